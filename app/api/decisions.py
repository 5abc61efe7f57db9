"""`GET /v1/decisions/{id}`: what happened to one request, attempt by attempt."""

from fastapi import APIRouter
from fastapi.responses import Response

from app.api.auth import Asking
from app.api.story import json_reply, no_decision
from app.explaining import story
from app.recorder import Recorder


def decisions_router(recorder: Recorder) -> APIRouter:
    """Reads what the recorder knows: the outbox first, then the store."""
    router = APIRouter()

    @router.get("/decisions/{decision_id}")
    async def get_decision(decision_id: str, caller: Asking) -> Response:
        record = await recorder.get(decision_id, tenant=caller.tenant)
        if record is None:
            raise no_decision(decision_id)
        return json_reply(story(record))

    return router
