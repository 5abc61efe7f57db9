"""A decision as it is shown to the tenant that made it."""

import orjson
from fastapi.responses import Response

from app.errors import NotFoundError


def json_reply(body: dict[str, object]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def no_decision(decision_id: str, *, param: str | None = None) -> NotFoundError:
    """The error for a decision that is not there, or another tenant's."""
    return NotFoundError(
        f"there is no decision {decision_id[:64]!r}; its id is the reply header "
        "x-autoshift-decision",
        param=param,
    )
