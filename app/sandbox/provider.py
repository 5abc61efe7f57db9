"""The simulated provider: an OpenAI-compatible service over the simulated models."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from hashlib import blake2b

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ExceptionHandler

from app.errors import RequestError
from app.jsontext import Json, dump_json
from app.sandbox.models import MODELS, SimModel
from app.sandbox.replies import Reply, ToolCall, pieces, prompt_token_count, reply_to
from app.wire import ChatRequest, parse_request

SEED = 7
CREATED_S = 1_767_225_600  # 2026-01-01: the simulated models were made then
_CHOICES = 8
_CHUNK_DELAY_SHARE = 0.05


def sandbox_app(*, seed: int = SEED, delay_factor: float = 1.0) -> Starlette:
    """The provider as an ASGI application.

    Units: `delay_factor` 1 waits a few milliseconds a reply, 0 not at all.
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
        except RequestError as exc:
            return _error(400, exc.message, code=exc.code, param=exc.param)
        model = MODELS.get(asked.model)
        if model is None:
            return _unknown_model(asked.model)
        reply = reply_to(asked, model, seed=self._seed)
        identity = f"chatcmpl-{blake2b(raw, digest_size=12).hexdigest()}"
        await asyncio.sleep(model.delay_s * self._delay_factor)
        if not asked.stream:
            return _json(_completion(identity, asked, reply))
        return StreamingResponse(
            self._stream(identity, asked, model, reply),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache"},
        )

    async def _stream(
        self, identity: str, asked: ChatRequest, model: SimModel, reply: Reply
    ) -> AsyncGenerator[bytes, None]:
        head = _head(identity, asked, "chat.completion.chunk")
        for choices in _deltas(asked, reply):
            yield _event({**head, "choices": choices})
            await asyncio.sleep(model.delay_s * self._delay_factor * _CHUNK_DELAY_SHARE)
        if asked.include_usage:
            yield _event({**head, "choices": [], "usage": _usage(asked, reply)})
        yield b"data: [DONE]\n\n"


def _completion(identity: str, asked: ChatRequest, reply: Reply) -> Json:
    message: Json = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_calls:
        message["content"] = None
        message["tool_calls"] = [_call(call) for call in reply.tool_calls]
    choices = [
        {
            "index": index,
            "message": message,
            "logprobs": None,
            "finish_reason": reply.finish_reason,
        }
        for index in _choices(asked)
    ]
    head = _head(identity, asked, "chat.completion")
    return {**head, "choices": choices, "usage": _usage(asked, reply)}


def _deltas(asked: ChatRequest, reply: Reply) -> Iterator[list[Json]]:
    """The `choices` of every chunk: role, pieces of text or of a tool call, the end."""
    for index in _choices(asked):
        yield _choice(index, {"role": "assistant", "content": None if reply.tool_calls else ""})
        for piece in pieces(reply.text):
            yield _choice(index, {"content": piece})
        for position, call in enumerate(reply.tool_calls):
            opening = {**_call(call), "index": position}
            opening["function"] = {"name": call.name, "arguments": ""}
            yield _choice(index, {"tool_calls": [opening]})
            for piece in pieces(call.arguments):
                delta = {"index": position, "function": {"arguments": piece}}
                yield _choice(index, {"tool_calls": [delta]})
        yield _choice(index, {}, reply.finish_reason)


def _choice(index: int, delta: Json, finish_reason: str | None = None) -> list[Json]:
    return [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]


def _choices(asked: ChatRequest) -> range:
    return range(min(asked.body.get("n") or 1, _CHOICES))


def _call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _usage(asked: ChatRequest, reply: Reply) -> Json:
    prompt_tokens = prompt_token_count(asked)
    completion_tokens = reply.tokens * len(_choices(asked))
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
    }


def _head(identity: str, asked: ChatRequest, kind: str) -> Json:
    return {
        "id": identity,
        "object": kind,
        "created": int(time.time()),
        "model": asked.model,
        "system_fingerprint": "sandbox",
    }


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


def _event(value: Json) -> bytes:
    return b"data: " + dump_json(value) + b"\n\n"
