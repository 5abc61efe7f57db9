"""`GET /v1/decisions/{id}`: what happened to one request, attempt by attempt."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.api.auth import Asking, tenant_of
from app.api.fields import Fields, query_of
from app.api.story import json_reply, no_decision
from app.explanation import story
from app.recorder import Recorder

NAME_CHARACTERS = 64


def decisions_router(recorder: Recorder) -> APIRouter:
    """Reads what the recorder knows: the outbox first, then the store."""
    router = APIRouter()

    @router.get("/decisions/{decision_id}")
    async def get_decision(decision_id: str, request: Request, caller: Asking) -> Response:
        fields = Fields(query_of(request), ("tenant",), query=True)
        tenant = tenant_of(caller, fields.text("tenant", most=NAME_CHARACTERS))
        record = await recorder.get(decision_id, tenant=tenant)
        if record is None:
            raise no_decision(decision_id)
        return json_reply(story(record))

    return router
