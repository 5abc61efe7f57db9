"""`GET /v1/decisions/{id}`: what happened to one request, attempt by attempt."""

import orjson
from fastapi import APIRouter
from fastapi.responses import Response

from app.errors import NotFoundError
from app.recorder import Recorder
from app.records import Record

TENANT = "local"


def decisions_router(recorder: Recorder) -> APIRouter:
    """Reads what the recorder knows: the outbox first, then the store."""
    router = APIRouter()

    @router.get("/decisions/{decision_id}")
    async def get_decision(decision_id: str) -> Response:
        record = await recorder.get(decision_id, tenant=TENANT)
        if record is None:
            raise NotFoundError(
                f"there is no decision {decision_id[:64]!r}; its id is the reply header "
                "x-autoshift-decision"
            )
        return Response(orjson.dumps(story(record)), media_type="application/json")

    return router


def story(record: Record) -> dict[str, object]:
    """The record, and what follows from it: its costs, the tier that answered."""
    served = record.served_attempt
    return {
        "object": "autoshift.decision",
        **orjson.loads(record.to_json()),
        "served_tier": served.tier if served else None,
        "verified": record.verified,
        "costs_usd": record.costs_usd(),
        "cost_usd": record.cost_usd,
    }
