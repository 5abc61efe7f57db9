"""What stands before every route: paths in all their spellings, and errors in the one envelope."""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import get_args

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body import PacedUploads
from app.api.origins import Cors, Hosts
from app.api.render import Headers, envelope, error_headers, send_error, status_of
from app.errors import GatewayError, MethodError, NotFoundError, RequestError
from app.settings import Endpoint, Server

logger = logging.getLogger(__name__)

_SUPPORTED = (
    "/v1/chat/completions, /v1/models, /v1/explain, /v1/decisions/{id}, /healthz, /readyz, "
    "/metrics, /dashboard"
)


def guard(app: FastAPI, server: Server, new_id: Callable[[], str], *, keyed: bool) -> None:
    """Let no error of the framework's own out, and nothing in that HTTP or a browser should not.

    `keyed`: whoever asks needs a key, which no page of another site has.
    """
    app.router.redirect_slashes = False
    # The last one added is the first one asked.
    app.add_middleware(WithoutTrailingSlash)
    app.add_middleware(PacedUploads, start_s=server.body_s)
    if server.cors:
        app.add_middleware(Cors, origins=server.cors)
    if server.hosts or not keyed:
        app.add_middleware(Hosts, names=server.hosts)
    app.add_middleware(Bugs)
    app.add_middleware(Stamp, new_id=new_id)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)


class Stamp:
    """Every reply says which request it is for, and how long that took: `openai-processing-ms`."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str]) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A route that has given the request an id keeps it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()

        async def send_stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                took_ms = 1000 * (time.perf_counter() - started_s)
                headers = [*message["headers"], (b"openai-processing-ms", b"%.0f" % took_ms)]
                if all(name != b"x-request-id" for name, _ in headers):
                    headers.append((b"x-request-id", self._new_id().encode()))
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_stamped)


class Bugs:
    """A bug is logged, and told as an error of ours; a reply that has begun is cut."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The exception goes no further, unless only it can still end the reply."""
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception:
            logger.exception("a request failed on a bug", extra={"route": scope["path"][:100]})
            if started:
                raise
            await send_error(send, GatewayError("internal error", code="internal_error"), {})


class WithoutTrailingSlash:
    """A redirect would make some clients send the request again without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route as if the slash had not been there."""
        if scope["type"] == "http" and len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


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
