"""Endpoints that are not routed: forwarded to one provider as they are, and left unrecorded."""

import orjson
from starlette.types import Receive, Scope, Send

from app.accounts.keyring import Caller
from app.api.auth import caller_of
from app.api.body import ClientLeft, headers_of, read_body, while_here
from app.api.render import envelope, raw_headers, send_error
from app.errors import (
    GatewayError,
    PermissionDeniedError,
    UnknownModelError,
    UpstreamError,
    UpstreamMissingError,
)
from app.jsontext import parse_json
from app.settings import Endpoint
from app.upstreams.client import Forwarded
from app.upstreams.inflight import InFlightLimit
from app.upstreams.turns import Exchange


class Passthrough:
    """One endpoint of one provider, as a plain ASGI application."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        exchange: Exchange,
        in_flight: InFlightLimit,
        body_bytes: int,
    ) -> None:
        self._endpoint = endpoint
        self._exchange = exchange
        self._in_flight = in_flight
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The client's body goes on byte for byte, and of its headers none."""
        try:
            _check_costs(caller_of(scope))
            raw = await read_body(receive, headers_of(scope), self._body_bytes)
            parse_json(raw)
        except ClientLeft:
            return
        except GatewayError as exc:
            await send_error(send, exc, {})
            return
        await while_here(receive, self._serve(raw, send))

    async def _serve(self, raw: bytes, send: Send) -> None:
        try:
            async with (
                self._in_flight.place(),
                self._exchange.forward(self._endpoint, raw) as answer,
            ):
                reply = _send_stream if answer.is_stream else _send_whole
                await reply(answer, send)
        except UpstreamMissingError as exc:
            # Here it is the client who named the model.
            await send_error(send, UnknownModelError(exc.message, param="model"), {})
        except GatewayError as exc:
            await send_error(send, exc, {})


def _check_costs(caller: Caller) -> None:
    """Errors: PermissionDeniedError where the caller may not spend what cannot be told."""
    if caller.limits.money is not None:
        raise PermissionDeniedError(
            f"what this costs is not known, and this key has a limit in money "
            f"({caller.limits.money}); use /v1/chat/completions, or a key without one"
        )


async def _send_whole(answer: Forwarded, send: Send) -> None:
    body = b"".join([piece async for piece in answer.body])
    headers = {**answer.headers, "content-length": str(len(body))}
    await _start(answer.status, headers, send)
    await send({"type": "http.response.body", "body": body})


async def _send_stream(answer: Forwarded, send: Send) -> None:
    """The status waits for the first piece; after it, an error is an event."""
    first = await anext(answer.body, b"")
    await _start(answer.status, {**answer.headers, "cache-control": "no-cache"}, send)
    last = b""
    try:
        await _send_piece(first, send)
        async for piece in answer.body:
            await _send_piece(piece, send)
    except UpstreamError as exc:
        last = b"\n\ndata: " + orjson.dumps(envelope(exc)) + b"\n\n"
    await send({"type": "http.response.body", "body": last})


async def _start(status: int, headers: dict[str, str], send: Send) -> None:
    message = {"type": "http.response.start", "status": status, "headers": raw_headers(headers)}
    await send(message)


async def _send_piece(piece: bytes, send: Send) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})
