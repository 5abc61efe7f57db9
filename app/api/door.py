"""What stands before every route: paths in all their spellings, and errors in the one envelope."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.render import envelope, error_headers, status_of
from app.errors import GatewayError, MethodError, NotFoundError, RequestError

logger = logging.getLogger(__name__)

_SUPPORTED = "/v1/chat/completions, /v1/models, /v1/decisions/{id}, /healthz, /readyz, /metrics"


def guard(app: FastAPI) -> None:
    """Let no error of the framework's own out, and serve a path with a trailing slash directly."""
    app.router.redirect_slashes = False
    app.add_middleware(WithoutTrailingSlash)
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _bug)


class WithoutTrailingSlash:
    """A redirect would make some clients send the request again without its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route as if the slash had not been there."""
        if scope["type"] == "http" and len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def _reply(exc: GatewayError) -> JSONResponse:
    return JSONResponse(envelope(exc), status_code=status_of(exc), headers=error_headers(exc))


async def _gateway_error(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, GatewayError)  # noqa: S101 - registered for nothing else
    return _reply(exc)


async def _http_error(request: Request, exc: Exception) -> JSONResponse:
    path = request.url.path[:100]
    if getattr(exc, "status_code", None) == HTTPStatus.METHOD_NOT_ALLOWED:
        return _reply(MethodError(f"{request.method} is not possible on {path}"))
    return _reply(
        NotFoundError(
            f"{path} is not served here; there is {_SUPPORTED}", code="unsupported_endpoint"
        )
    )


async def _invalid(_: Request, __: Exception) -> JSONResponse:
    return _reply(RequestError("the request is not well formed"))


async def _bug(request: Request, exc: Exception) -> JSONResponse:
    logger.error("a request failed on a bug", exc_info=exc, extra={"route": request.url.path[:100]})
    return _reply(GatewayError("internal error", code="internal_error"))
