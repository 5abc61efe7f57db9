"""`GET /v1/report`: whether routing pays, and what looks wrong."""

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.story import json_reply
from app.report import report_of
from app.tracker import Tracker


def report_router(tracker: Tracker, tenant: str | None, *, simulated: bool) -> APIRouter:
    """The one route, for a tenant's own requests; with None for everybody's."""
    router = APIRouter()

    @router.get("/report")
    async def tell_report() -> Response:
        return json_reply(report_of(tracker, tenant, simulated=simulated))

    return router
