"""What a reply is made of: errors in OpenAI's envelope, each with its status, and our own facts.

Source: openai/openai-openapi, `ErrorResponse`.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.types import Send

from app.errors import (
    AbstainedError,
    BodyTooLargeError,
    CountsDownError,
    DeadlineError,
    EmbedderError,
    GatewayError,
    InvalidJsonError,
    MediaTypeError,
    MethodError,
    NotFoundError,
    OutboxError,
    OverloadedError,
    PermissionDeniedError,
    QuotaError,
    RateLimitedError,
    RequestError,
    SettingsError,
    ShuttingDownError,
    StoreDownError,
    StoreError,
    StoreLockedError,
    StoreMismatchError,
    TooDearError,
    UnknownKeyError,
    UnknownModelError,
    UpstreamAuthError,
    UpstreamAwayError,
    UpstreamBrokenError,
    UpstreamBusyError,
    UpstreamConnectError,
    UpstreamDownError,
    UpstreamError,
    UpstreamFailedError,
    UpstreamMissingError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamStaleError,
    UpstreamTimeoutError,
    UpstreamUntrustedError,
)
from app.events import Settled
from app.jsontext import Json

RETRY_AFTER_MAX_S = 60.0

STATUS: Mapping[type[GatewayError], tuple[int, str]] = {
    GatewayError: (500, "server_error"),
    RequestError: (400, "invalid_request_error"),
    InvalidJsonError: (400, "invalid_request_error"),
    UnknownKeyError: (401, "invalid_request_error"),
    PermissionDeniedError: (403, "permission_denied"),
    RateLimitedError: (429, "rate_limit_error"),
    QuotaError: (429, "insufficient_quota"),
    TooDearError: (400, "invalid_request_error"),
    UnknownModelError: (404, "invalid_request_error"),
    NotFoundError: (404, "invalid_request_error"),
    MethodError: (405, "invalid_request_error"),
    BodyTooLargeError: (413, "invalid_request_error"),
    MediaTypeError: (415, "invalid_request_error"),
    UpstreamError: (502, "upstream_error"),
    UpstreamConnectError: (502, "upstream_error"),
    UpstreamUntrustedError: (502, "upstream_error"),
    UpstreamStaleError: (502, "upstream_error"),
    UpstreamDownError: (503, "overloaded_error"),
    UpstreamBusyError: (503, "overloaded_error"),
    UpstreamTimeoutError: (504, "timeout_error"),
    UpstreamAuthError: (502, "upstream_error"),
    UpstreamMissingError: (502, "upstream_error"),
    UpstreamRateLimitError: (429, "rate_limit_error"),
    UpstreamRejectedError: (400, "invalid_request_error"),
    UpstreamFailedError: (502, "upstream_error"),
    UpstreamAwayError: (502, "upstream_error"),
    UpstreamBrokenError: (502, "upstream_error"),
    OverloadedError: (503, "overloaded_error"),
    CountsDownError: (503, "overloaded_error"),
    DeadlineError: (504, "timeout_error"),
    AbstainedError: (422, "invalid_request_error"),
    ShuttingDownError: (503, "overloaded_error"),
    EmbedderError: (500, "server_error"),
    StoreError: (503, "overloaded_error"),
    StoreDownError: (503, "overloaded_error"),
    StoreLockedError: (500, "server_error"),
    StoreMismatchError: (500, "server_error"),
    OutboxError: (503, "overloaded_error"),
    SettingsError: (500, "server_error"),
}

Headers = dict[str, str]


def status_of(exc: GatewayError) -> int:
    """The HTTP status for this error."""
    return STATUS[type(exc)][0]


def envelope(exc: GatewayError) -> Json:
    """The error as OpenAI's clients read it."""
    _, kind = STATUS[type(exc)]
    return {"error": {"message": exc.message, "type": kind, "param": exc.param, "code": exc.code}}


def error_headers(exc: GatewayError) -> Headers:
    """Whether and when the client's SDK should try again: we have tried the other tiers already."""
    status = status_of(exc)
    if isinstance(exc, UpstreamRateLimitError):
        wait_s = min(max(exc.retry_after_s or 1.0, 1.0), RETRY_AFTER_MAX_S)
        return {"retry-after": f"{wait_s:.0f}"}
    if isinstance(exc, RateLimitedError):
        wait_s = min(max(exc.retry_after_s, 1.0), RETRY_AFTER_MAX_S)
        wait = {"retry-after": f"{math.ceil(wait_s)}", "retry-after-ms": f"{1000 * wait_s:.0f}"}
        return {**wait, **exc.limits}
    if isinstance(exc, QuotaError):
        return {"retry-after": f"{RETRY_AFTER_MAX_S:.0f}", "x-should-retry": "false"}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"www-authenticate": "Bearer"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        shed = {"x-autoshift-degraded": "shed"} if isinstance(exc, OverloadedError) else {}
        return {"retry-after": "2", "x-should-retry": "true", **shed}
    return {"x-should-retry": "false"} if status >= HTTPStatus.INTERNAL_SERVER_ERROR else {}


def facts(settled: Settled, *, simulated: bool) -> Json:
    """What the gateway tells about a decision, under `autoshift` in a body."""
    record = settled.record
    served = record.served_attempt
    told: Json = {
        "decision": record.id if settled.acknowledged else None,
        "tier": served.tier if served else None,
        "cost_usd": record.cost_usd,
        "verified": record.verified,
        "degraded": list(record.degraded),
        "dropped": list(served.dropped) if served else [],
    }
    if settled.explanation is not None:
        told |= {"dry_run": True, "explanation": settled.explanation}
    return {**told, "simulated": True} if simulated else told


def fact_headers(told: Json) -> Headers:
    """The same facts as reply headers; what is not known is left out."""
    headers = {
        "x-autoshift-tier": told["tier"] or "",
        "x-autoshift-verified": "yes" if told["verified"] else "no",
        "x-autoshift-degraded": ",".join(told["degraded"]) or "none",
    }
    if told["decision"] is not None:
        headers["x-autoshift-decision"] = told["decision"]
    if told["cost_usd"] is not None:
        headers["x-autoshift-cost-usd"] = f"{told['cost_usd']:.8f}"
    if told["dropped"]:
        headers["x-autoshift-dropped"] = ",".join(told["dropped"])
    if told.get("dry_run"):
        headers["x-autoshift-dry-run"] = "yes"
    if told.get("simulated"):
        headers["x-autoshift-simulated"] = "yes"
    return headers


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """One whole JSON reply."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": raw_headers(
                {"content-type": "application/json", "content-length": str(len(body)), **headers}
            ),
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, exc: GatewayError, headers: Headers) -> None:
    """One whole error reply."""
    body = orjson.dumps(envelope(exc))
    await send_json(send, status_of(exc), body, {**error_headers(exc), **headers})


def raw_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """As ASGI wants them."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]
