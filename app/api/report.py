"""`GET /v1/report`: what was spent and saved, whether routing pays, and what looks wrong."""

import time
from collections.abc import Callable
from dataclasses import replace

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.auth import EVERYBODY, Asking, mode_for, tenant_of
from app.api.fields import Fields, query_of
from app.api.story import json_reply
from app.jsontext import Json
from app.reporting.report import Snapshot, report_of, snapshot_of
from app.reporting.tracker import Tracker

NAME_CHARACTERS = 64


def report_router(
    tracker: Tracker, *, usual: str | None, mode: Callable[[], Json], simulated: bool
) -> APIRouter:
    """The one route, for the caller's tenant, or by `usual` for another; `*` is everybody.

    In shadow it is told against the tier that answers, unless asked for another one.
    """
    router = APIRouter()

    @router.get("/report")
    async def tell_report(request: Request, caller: Asking) -> Response:
        fields = Fields(query_of(request), ("tenant", "since", "baseline"), query=True)
        named = tenant_of(caller, fields.text("tenant", most=NAME_CHARACTERS) or usual)
        tenant = None if named == EVERYBODY else named
        since_s = fields.since_s("since", time.time())
        now = mode_for(caller, mode())
        baseline = fields.text("baseline", most=NAME_CHARACTERS) or now["tier"]
        taken = snapshot_of(tracker, tenant, since_s=since_s, simulated=simulated)
        if caller.role != "admin":
            taken = replace(taken, alarms=())  # they are about everybody's requests
        report: Json = await to_thread.run_sync(_told, taken, baseline)
        return json_reply({**report, "mode": now})

    return router


def _told(taken: Snapshot, baseline: str | None) -> Json:
    return report_of(taken.told(), baseline)
