"""`POST /v1/chat/completions` and `GET /v1/models`."""

import logging
import math
import time
from collections.abc import Callable
from contextlib import aclosing

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from app.accounts.keyring import Caller
from app.api.auth import caller_of
from app.api.body import ClientLeft, headers_of, read_body, while_here
from app.api.render import send_error
from app.api.replies import QUIET_S, JsonReply, Reply, SseReply
from app.drain import Drain
from app.errors import GatewayError, UnknownModelError
from app.events import Order
from app.rules import Rules
from app.settings import Server
from app.telemetry.traceparent import traceparent_of
from app.upstreams.inflight import InFlightLimit
from app.wire import parse_request

logger = logging.getLogger(__name__)

REPLY_RESERVE_S = 2.0


class ChatEndpoint:
    """The hot route, as a plain ASGI application: no framework stands between socket and loop."""

    def __init__(
        self,
        *,
        rules: Callable[[], Rules],
        in_flight: InFlightLimit,
        drain: Drain,
        server: Server,
        new_id: Callable[[], str],
        drive: Callable[[Order], Order],
        simulated: bool,
    ) -> None:
        self._rules = rules
        self._in_flight = in_flight
        self._drain = drain
        self._server = server
        self._new_id = new_id
        self._drive = drive
        self._simulated = simulated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every failure ends in the envelope or in an error event."""
        request_id = self._new_id()
        try:
            headers = headers_of(scope)
            raw = await read_body(receive, headers, self._server.body_bytes)
            rules = self._rules()
            order = self.order(request_id, raw, headers, caller_of(scope))
        except ClientLeft:
            return
        except GatewayError as exc:
            await send_error(send, exc, {"x-request-id": request_id})
            return
        reply = self._reply(order, send, patience_s(headers))
        beside = (reply.keep_alive(),) if isinstance(reply, SseReply) else ()
        await while_here(receive, self._serve(rules, order, reply), *beside)

    def order(self, request_id: str, raw: bytes, headers: dict[str, str], caller: Caller) -> Order:
        """What these bytes and headers ask for. Errors: RequestError, and its kind."""
        rules, asked = self._rules(), parse_request(raw, headers)
        request, purse = rules.purses.bounded(caller, asked), rules.purses.purse(caller, asked)
        route = rules.catalogue.route(request, caller.policy)
        # A stream is kept alive, so its client's patience does not end; a plain reply's does.
        patient_s = math.inf if request.stream else within_s(patience_s(headers))
        order = Order(
            id=request_id,
            tenant=caller.tenant,
            principal=caller.principal,
            purse=purse,
            request=request,
            policy=route.policy,
            ladder=route.ladder,
            kind=route.kind,
            mode=request.extension.stream or rules.mode,
            deadline_s=min(self._server.deadline_s, patient_s),
            trace=traceparent_of(headers.get("traceparent")),
        )
        return self._drive(order)

    def _reply(self, order: Order, send: Send, patient_s: float) -> Reply:
        created_s = int(time.time())
        if not order.request.stream:
            return JsonReply(order, send, created_s=created_s, simulated=self._simulated)
        return SseReply(
            order,
            send,
            created_s=created_s,
            simulated=self._simulated,
            hold_s=min(self._server.hold_s, within_s(patient_s)),
            quiet_s=min(QUIET_S, within_s(patient_s)),
        )

    async def _serve(self, rules: Rules, order: Order, reply: Reply) -> None:
        try:
            dry = order.request.extension.dry_run
            serve = rules.explainer.dry_run if dry else rules.transmission.run
            with self._drain.under_way():
                async with self._in_flight.place(), aclosing(serve(order)) as events:
                    async for event in events:
                        await reply.take(event)
                await reply.end()
        except GatewayError as exc:
            await reply.fail(exc)
        except Exception:
            # A bug must not reach the client as a cut connection, nor end the process.
            logger.exception("a request failed on a bug", extra={"request_id": order.id})
            await reply.fail(GatewayError("internal error", code="internal_error"))


def patience_s(headers: dict[str, str]) -> float:
    """How long the client waits without a byte, as its SDK tells; without end where it does not."""
    for name in ("x-stainless-read-timeout", "x-stainless-timeout"):
        try:
            hint_s = float(headers[name])
        except (KeyError, ValueError):
            continue
        if hint_s > 0:
            return hint_s
    return math.inf


def within_s(patient_s: float) -> float:
    """What of a client's patience may be used up: the reply has to travel as well."""
    return max(patient_s - REPLY_RESERVE_S, patient_s / 2)


def chat_router(rules: Callable[[], Rules], started_s: float) -> APIRouter:
    """The routes about models; `started_s` is what they are said to have been created at."""
    router = APIRouter()

    def model(name: str) -> dict[str, object]:
        return {
            "id": name,
            "object": "model",
            "created": int(started_s),
            "owned_by": "autoshift",
        }

    @router.get("/models")
    async def list_models() -> JSONResponse:
        return JSONResponse(
            {"object": "list", "data": [model(name) for name in rules().catalogue.names]}
        )

    @router.get("/models/{name:path}")
    async def get_model(name: str) -> JSONResponse:
        if name not in rules().catalogue.names:
            raise UnknownModelError(f"the model {name[:100]!r} does not exist here", param="model")
        return JSONResponse(model(name))

    return router
