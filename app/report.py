"""The report: whether routing pays, as JSON that a person or a program can read."""

from dataclasses import asdict

from app.jsontext import Json
from app.standing import PER, Standing
from app.tracker import Tracker

OBJECT = "autoshift.report"
NOTHING = "nothing to compare yet: no request was routed"


def report_of(tracker: Tracker, tenant: str | None = None, *, simulated: bool = False) -> Json:
    """How things stand for one tenant, or over all. Units: USD per 1,000 requests.

    `simulated`: the tiers are.
    """
    standing = tracker.standing(tenant)
    return {
        "object": OBJECT,
        "simulated": simulated,
        **(_nothing() if standing is None else _told(standing)),
        "spend_usd_per_1000": tracker.spend(tenant),
        "alarms": [asdict(alarm) for alarm in tracker.alarms],
    }


def _told(standing: Standing) -> Json:
    told: Json = asdict(standing)
    best = told["best"]
    if best is not None:
        best["usd_per_1000"] = PER * best.pop("usd")
    return told


def _nothing() -> Json:
    return {
        "requests": 0.0,
        "left_out": 0.0,
        "served": None,
        "fixed": {},
        "best": None,
        "gain": None,
        "tied": None,
        "state": "unknown",
        "sentence": NOTHING,
    }
