"""What stands before every route: paths in all their spellings, and errors in the one envelope."""

import logging
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.auth import Guarded
from app.api.body import Uploads
from app.api.origins import Cors, Hosts
from app.api.render import Headers, envelope, error_headers, send_error, status_of
from app.api.room import Room
from app.errors import GatewayError, MethodError, NotFoundError, RequestError
from app.settings import Endpoint, Server

logger = logging.getLogger(__name__)

_SUPPORTED = (
    "/v1/chat/completions, /v1/models, /v1/explain, /v1/decisions/{id}, /healthz, /readyz, "
    "/metrics, /dashboard"
)


def guard(
    app: FastAPI, server: Server, new_id: Callable[[], str], room: Room, *, keyed: bool
) -> None:
    """Let no error of the framework's own out, and nothing in that HTTP or a browser should not.

    `keyed`: whoever asks needs a key, which no page of another site has.
    """
    app.router.redirect_slashes = False
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    layers = [Middleware(Door, new_id=new_id)]
    if server.hosts or not keyed:
        layers.append(Middleware(Hosts, names=server.hosts))
    if server.cors:
        layers.append(Middleware(Cors, origins=server.cors))
    layers.append(Middleware(Uploads, start_s=server.body_s, room=room))
    app.user_middleware = layers
    app.middleware_stack = PlainRoutes(app.build_middleware_stack(), app.router.routes, layers)


class Door:
    """What is so of every request and reply, however it is served.

    A reply says which request it is for, and how long that took: `openai-processing-ms`. A path may
    end in a slash: a redirect would make some clients send the request again without its body. An
    error is told in the one envelope; a bug is logged as well, and cuts a reply that has begun.
    """

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route that has given the request an id keeps it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        started = False
        path: str = scope["path"]
        if path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/") or "/"}

        async def send_stamped(message: Message) -> None:
            nonlocal started
            if not started:
                started = True
                took_ms = 1000 * (time.perf_counter() - started_s)
                headers = [*message["headers"], (b"openai-processing-ms", b"%.0f" % took_ms)]
                if all(name != b"x-request-id" for name, _ in headers):
                    headers.append((b"x-request-id", self._new_id().encode()))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_stamped)
        except Exception as exc:
            if isinstance(exc, GatewayError) and not started:
                await send_error(send_stamped, exc, {})
                return
            logger.exception("a request failed on a bug", extra={"route": path[:100]})
            if started:
                raise
            bug = GatewayError("internal error", code="internal_error")
            await send_error(send_stamped, bug, {})


class PlainRoutes:
    """Calls a route that is a plain ASGI application at once; `app` is the framework, for others.

    It is the same route behind the same `layers`, the first of them outermost: what is left out is
    the framework's own, and its search for the route.
    """

    def __init__(
        self, app: ASGIApp, routes: Sequence[BaseRoute], layers: Sequence[Middleware]
    ) -> None:
        self._app = app
        found = [route for route in routes if isinstance(route, Route)]
        self._plain = {
            (method, route.path): _behind(layers, route.app)
            for route in found
            if isinstance(route.app, Guarded) and route.app.plain
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Errors: as the layers' own."""
        if scope["type"] == "http":
            known = self._plain.get((scope["method"], scope["path"]))
            if known is not None:
                await known(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _behind(layers: Sequence[Middleware], app: ASGIApp) -> ASGIApp:
    for layer in reversed(layers):
        app = layer.cls(app, *layer.args, **layer.kwargs)
    return app


def _reply(exc: GatewayError, headers: Headers | None = None) -> JSONResponse:
    return JSONResponse(
        envelope(exc), status_code=status_of(exc), headers={**error_headers(exc), **(headers or {})}
    )


async def _gateway_error(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, GatewayError)  # noqa: S101 - registered for nothing else
    return _reply(exc)


async def _http_error(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for nothing else
    path = request.scope["path"][:100]
    if exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        refused = MethodError(f"{request.method} is not possible on {path}")
        return _reply(refused, dict(exc.headers or {}))
    message = f"{path} is not served here; {_instead(path)}"
    return _reply(NotFoundError(message, code="unsupported_endpoint"))


def _instead(path: str) -> str:
    endpoint = path.removeprefix("/v1").removeprefix("/")
    if endpoint in ("responses", "messages"):
        return "use /v1/chat/completions"
    if endpoint in get_args(Endpoint):
        return f"name a provider for it under passthrough.{endpoint}, or use /v1/chat/completions"
    return f"there is {_SUPPORTED}"


async def _invalid(_: Request, __: Exception) -> JSONResponse:
    return _reply(RequestError("the request is not well formed"))
