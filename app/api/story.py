"""A decision as it is shown to the tenant that made it."""

import orjson
from fastapi.responses import Response

from app.errors import NotFoundError
from app.records import Record

TENANT = "local"


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


def json_reply(body: dict[str, object]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def no_decision(decision_id: str, *, param: str | None = None) -> NotFoundError:
    """The error for a decision that is not there, or another tenant's."""
    return NotFoundError(
        f"there is no decision {decision_id[:64]!r}; its id is the reply header "
        "x-autoshift-decision",
        param=param,
    )
