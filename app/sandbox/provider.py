"""The simulated provider: an OpenAI-compatible service over the simulated models."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from hashlib import blake2b

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ExceptionHandler

from app.errors import RequestError
from app.jsontext import Json, dump_json
from app.sandbox.asked import has_images
from app.sandbox.completions import chunks, completion
from app.sandbox.models import MODELS, SimModel
from app.sandbox.replies import EFFORTS, reply_to
from app.wire import ChatRequest, parse_request

SEED = 7
CREATED_S = 1_767_225_600  # 2026-01-01: the simulated models were made then
DELAY_PARAMETER = "sandbox_delay_factor"
_CHOICES = 128
_CHUNK_DELAY_SHARE = 0.05
_LONGEST_DELAY_S = 10.0


def sandbox_app(*, seed: int = SEED, delay_factor: float = 1.0) -> Starlette:
    """The provider as an ASGI application.

    Units: `delay_factor` 1 waits a few milliseconds a reply, 0 not at all; at 100 a stream can be
    watched. A request may bring its own, as `sandbox_delay_factor` in its body.
    Errors: as at OpenAI: 400 for a bad body, 404 for an unknown model or path.
    """
    provider = _Provider(seed, delay_factor)
    routes = [
        Route("/v1/chat/completions", provider.chat, methods=["POST"]),
        Route("/v1/models", provider.models),
        Route("/v1/models/{name}", provider.model),
    ]
    handlers: dict[type[Exception] | int, ExceptionHandler] = {HTTPException: _http_error}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Provider:
    def __init__(self, seed: int, delay_factor: float) -> None:
        self._seed = seed
        self._delay_factor = delay_factor

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [_described(name) for name in MODELS]})

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        return _json(_described(name)) if name in MODELS else _unknown_model(name)

    async def chat(self, request: Request) -> Response:
        raw = await request.body()
        try:
            asked = parse_request(raw, {})
            if (model := MODELS.get(asked.model)) is None:
                return _unknown_model(asked.model)
            _check(asked, model)
            delay_s = model.delay_s * self._factor(asked)
        except RequestError as exc:
            return _error(400, exc.message, code=exc.code, param=exc.param)
        choices = asked.body.get("n") or 1
        replies = [reply_to(asked, model, seed=self._seed + index) for index in range(choices)]
        identity = f"chatcmpl-{blake2b(raw, digest_size=12).hexdigest()}"
        await asyncio.sleep(min(delay_s, _LONGEST_DELAY_S))
        if not asked.stream:
            return _json(completion(identity, asked, replies))
        return StreamingResponse(
            _stream(chunks(identity, asked, replies), delay_s * _CHUNK_DELAY_SHARE),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache"},
        )

    def _factor(self, asked: ChatRequest) -> float:
        factor = asked.body.get(DELAY_PARAMETER, self._delay_factor)
        if isinstance(factor, bool) or not isinstance(factor, int | float) or factor < 0:
            raise RequestError(f"{DELAY_PARAMETER} must be 0 or more", param=DELAY_PARAMETER)
        return float(factor)


async def _stream(data: Iterable[Json], delay_s: float) -> AsyncGenerator[bytes, None]:
    for chunk in data:
        yield b"data: " + dump_json(chunk) + b"\n\n"
        await asyncio.sleep(min(delay_s, _LONGEST_DELAY_S))
    yield b"data: [DONE]\n\n"


def _check(asked: ChatRequest, model: SimModel) -> None:
    """Errors: RequestError for what this model cannot do."""
    if has_images(asked) and not model.sees:
        raise RequestError(
            f"{model.name} takes no images; sim-medium and sim-large do",
            code="image_content_not_supported",
            param="messages",
        )
    effort = asked.body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        raise RequestError(
            f"reasoning_effort must be one of {', '.join(EFFORTS)}",
            code="unsupported_value",
            param="reasoning_effort",
        )
    if (asked.body.get("n") or 1) > _CHOICES:
        raise RequestError(f"n must be at most {_CHOICES}", param="n")


def _described(name: str) -> Json:
    return {"id": name, "object": "model", "created": CREATED_S, "owned_by": "autoshift-sandbox"}


def _unknown_model(name: str) -> Response:
    known = ", ".join(MODELS)
    message = f"the model {name!r} does not exist; the sandbox has {known}"
    return _error(404, message, code="model_not_found", param="model")


async def _http_error(request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    return _error(status, f"{request.method} {request.url.path} is not served here")


def _error(
    status: int, message: str, *, code: str | None = None, param: str | None = None
) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _json({"error": error}, status)


def _json(value: Json, status: int = 200) -> Response:
    return Response(dump_json(value), status, media_type="application/json")
