"""`GET /v1/report`: what was spent and saved, whether routing pays, and what looks wrong."""

import time

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.fields import Fields, query_of
from app.api.story import json_reply
from app.jsontext import Json
from app.report import report_of, told_by
from app.tracker import Tracker

NAME_CHARACTERS = 64


def report_router(tracker: Tracker, tenant: str | None, *, simulated: bool) -> APIRouter:
    """The one route, for a tenant's own requests; with None for everybody's."""
    router = APIRouter()

    @router.get("/report")
    async def tell_report(request: Request) -> Response:
        fields = Fields(query_of(request), ("since", "baseline"), query=True)
        since_s = fields.since_s("since", time.time())
        baseline = fields.text("baseline", most=NAME_CHARACTERS)
        told = told_by(tracker, tenant, since_s=since_s, simulated=simulated)
        report: Json = await to_thread.run_sync(report_of, told, baseline)
        return json_reply(report)

    return router
