"""Everything the dashboard shows, as one JSON object."""

from app.jsontext import Json
from app.reporting.report import Told, report_of
from app.reporting.trends import calibration_of, judges_of, latency_of, newest_of, timeline_of

OBJECT = "autoshift.dashboard"


def dashboard_of(told: Told, baseline: str | None, *, now_s: float) -> Json:
    """The report, and what is drawn beside it. Errors: RequestError as `report_of`."""
    excerpt = told.excerpt
    return {
        "object": OBJECT,
        "now_s": now_s,
        "report": report_of(told, baseline),
        "timeline": timeline_of(excerpt, told.since_s, now_s),
        "calibration": calibration_of(excerpt),
        "judges": judges_of(excerpt),
        "latency": latency_of(excerpt),
        "newest": newest_of(excerpt, tenants=told.tenant is None),
    }
