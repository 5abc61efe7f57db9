"""A tier's answer: chunks brought into one form, and put together again for judging.

Source: openai/openai-openapi, `CreateChatCompletionResponse` and its stream variant. Providers
stray from it in known ways; what can be repaired without guessing is, the rest is a failure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import TypeGuard

import orjson

from app.errors import UpstreamBrokenError
from app.jsontext import Json
from app.margins import drop_logprobs, gaps, margin_of
from app.records import Usage
from app.wire import FINISH_REASONS

TOOL_CALLS = 128

_FINISH_REASONS = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "safety": "content_filter",
    "content_filtered": "content_filter",
}


@dataclass(slots=True)
class ToolCall:
    """A tool call, put together from its deltas; `arguments` is JSON text."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class Answer:
    """What one tier said."""

    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    model: str | None = None
    usage: Usage | None = None
    _first: Json | None = None
    _rest: bytearray = field(default_factory=bytearray)
    _text: list[str] = field(default_factory=list)
    _refusal: list[str] = field(default_factory=list)
    _gaps: list[float] = field(default_factory=list)

    @property
    def chunks(self) -> Iterator[Json]:
        """The provider's own, as far as they were kept for the reply."""
        if self._first is not None:
            yield self._first
        for line in BytesIO(self._rest):
            yield orjson.loads(line)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def refusal(self) -> str:
        return "".join(self._refusal)

    @property
    def margin(self) -> float | None:
        return margin_of(self._gaps)

    @property
    def empty(self) -> bool:
        return not (self.tool_calls or self.refusal or self.text.strip())

    def add(self, chunk: Json, *, keep: bool = True, unasked: bool = False) -> None:
        """Take in the next normalised chunk: of a stream, or the one of a plain reply.

        `unasked`: its logprobs are for us, and go no further.
        """
        self.model = chunk.get("model") or self.model
        self.usage = parse_usage(chunk.get("usage")) or self.usage
        for choice in chunk["choices"]:
            if choice["index"] == 0:
                self._add_choice(choice)
        if unasked:
            drop_logprobs(chunk)
        if keep and self._first is None:
            self._first = chunk
        elif keep:
            # As lines, since a chunk of one letter takes twenty times as much as a tree of objects.
            self._rest += orjson.dumps(chunk, option=orjson.OPT_APPEND_NEWLINE)

    def _add_choice(self, choice: Json) -> None:
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if logprobs := choice.get("logprobs"):
            self._gaps.extend(gaps(logprobs))
        said = choice.get("delta") or choice.get("message") or {}
        if text := said.get("content"):
            self._text.append(text)
        if refusal := said.get("refusal"):
            self._refusal.append(refusal)
        for position, call in enumerate(said.get("tool_calls") or []):
            self._add_tool_call(call.get("index", position), call)

    def _add_tool_call(self, index: int, delta: Json) -> None:
        while len(self.tool_calls) <= index:
            self.tool_calls.append(ToolCall())
        call = self.tool_calls[index]
        inner = called(delta)
        call.id = delta.get("id") or call.id
        # A name never comes in pieces, but some providers repeat it in every delta.
        call.name = inner.get("name") or call.name
        call.arguments += inner.get("arguments") or inner.get("input") or ""


def completion_of(answer: Answer) -> Json:
    """The answer as one plain reply, however it came."""
    message: Json = {"role": "assistant", "content": answer.text, "refusal": answer.refusal or None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in answer.tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    told: Json = {"model": answer.model, "choices": [choice]}
    used = answer.usage
    if used is not None:
        told["usage"] = {
            "prompt_tokens": used.input_tokens,
            "completion_tokens": used.output_tokens,
            "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        }
    return told


def normalise_completion(body: Json, who: str) -> Json:
    """A plain reply in the specification's form.

    Errors: UpstreamBrokenError where there is no message to serve; `who` is the provider's name.
    """
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _broken(who, "choices")
    _normalise_model(body)
    for position, choice in enumerate(choices):
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise _broken(who, "message")
        choice.pop("delta", None)
        message = choice["message"]
        message["role"] = "assistant"
        message.setdefault("content", None)
        message.setdefault("refusal", None)
        _normalise_said(message, who)
        _normalise_index(choice, position, who)
        choice.setdefault("logprobs", None)
        _normalise_finish(choice)
        if choice["finish_reason"] is None:
            raise _broken(who, "finish_reason")
    return body


def normalise_chunk(body: Json, who: str) -> list[Json]:
    """A chunk of a stream in the specification's form; the finish reason in a chunk of its own.

    Errors: UpstreamBrokenError for a chunk no client could read.
    """
    choices = body.get("choices") or []
    if not isinstance(choices, list):
        raise _broken(who, "choices")
    body["choices"] = choices
    if not choices:
        return [body] if body.get("usage") else []
    _normalise_model(body)
    finishes = []
    for position, choice in enumerate(choices):
        if not isinstance(choice, dict) or not isinstance(choice.get("delta") or {}, dict):
            raise _broken(who, "delta")
        choice.pop("message", None)
        choice["delta"] = choice.get("delta") or {}
        _normalise_index(choice, position, who)
        _normalise_said(choice["delta"], who)
        for place, call in enumerate(choice["delta"].get("tool_calls") or []):
            call.setdefault("index", place)
        _normalise_finish(choice)
        if choice["finish_reason"] and _says_something(choice["delta"]):
            finishes.append({**choice, "delta": {}, "logprobs": None})
            choice["finish_reason"] = None
    if not finishes:
        return [body]
    return [{**body, "usage": None}, {**body, "choices": finishes}]


def parse_usage(usage: object) -> Usage | None:
    """Usage as the provider reports it; None where it does not, or reports nonsense."""
    if not isinstance(usage, dict):
        return None
    input_tokens, output_tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(input_tokens) or not _is_count(output_tokens):
        return None
    cached_tokens = _detail(usage, "prompt_tokens_details", "cached_tokens")
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=min(cached_tokens, input_tokens),
        reasoning_tokens=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _normalise_model(body: Json) -> None:
    if not isinstance(body.get("model"), str):
        body.pop("model", None)


def _normalise_index(choice: Json, position: int, who: str) -> None:
    if choice.get("index") is None:
        choice["index"] = position
    if not _is_count(choice["index"]):
        raise _broken(who, "index")


def _normalise_said(said: Json, who: str) -> None:
    for name in ("content", "refusal"):
        if not isinstance(said.get(name), str | None):
            raise _broken(who, name)
    calls = said.get("tool_calls")
    if calls is None:
        return
    if not isinstance(calls, list) or len(calls) > TOOL_CALLS:
        raise _broken(who, "tool_calls")
    for position, call in enumerate(calls):
        if not isinstance(call, dict) or not isinstance(called(call), dict):
            raise _broken(who, "tool_calls")
        index = call.get("index", position)
        if not _is_count(index) or index >= TOOL_CALLS:
            raise _broken(who, "tool_calls.index")
        _normalise_called(call, who)


def _normalise_called(call: Json, who: str) -> None:
    inner = called(call)
    if isinstance(inner.get("arguments"), dict | list):
        inner["arguments"] = orjson.dumps(inner["arguments"]).decode()
    texts = (call.get("id"), *(inner.get(name) for name in ("name", "arguments", "input")))
    if not all(isinstance(text, str | None) for text in texts):
        raise _broken(who, "tool_calls")


def called(call: Json) -> Json:
    """What a tool call calls: a function, or a tool of the client's own kind."""
    inner: Json = call.get("function") or call.get("custom") or {}
    return inner


def _normalise_finish(choice: Json) -> None:
    given = choice.get("finish_reason")
    if given is None or (isinstance(given, str) and given in FINISH_REASONS):
        choice["finish_reason"] = given
        return
    choice["finish_reason"] = _FINISH_REASONS.get(str(given).lower(), "stop")
    choice["native_finish_reason"] = given


def _says_something(delta: Json) -> bool:
    return any(value for key, value in delta.items() if key != "role")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _detail(usage: Json, group: str, name: str) -> int:
    details = usage.get(group)
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _broken(who: str, what: str) -> UpstreamBrokenError:
    return UpstreamBrokenError(f"{who}: its answer has no usable `{what}`")
