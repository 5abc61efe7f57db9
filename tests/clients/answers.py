"""What the scripted provider answers: completions, streams and errors as bytes."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, TypedDict

import orjson
from typing_extensions import Unpack

from tests.clients.upstream import Asked, Ending, Json, Play, Reply

PROMPT_TOKENS, COMPLETION_TOKENS = 11, 7
USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}
Deltas: TypeAlias = Sequence[Json]
DONE = b"data: [DONE]\n\n"


def says(*parts: str, finish: str = "stop", first_after_s: float = 0.0) -> Play:
    """This text: joined in a plain reply, a delta each in a stream."""
    message: Json = {"role": "assistant", "content": "".join(parts), "refusal": None}
    deltas: Deltas = [{"content": part} for part in parts]
    return lambda asked: _answer(asked, message, deltas, finish, first_after_s)


class Streaming(TypedDict, total=False):
    """How a tool call is streamed: its arguments in `pieces`, as one provider or another does.

    `repeats_id`: id and name stand in every delta. `numbered`: there is an `index`.
    """

    pieces: int
    repeats_id: bool
    numbered: bool


def calls(name: str, arguments: str, **how: Unpack[Streaming]) -> Play:
    """A tool call, `call_1`."""
    called, named = {"name": name, "arguments": arguments}, {"id": "call_1", "type": "function"}
    call = {**named, "function": called}
    message: Json = {"role": "assistant", "content": None, "tool_calls": [call]}
    size = -(-len(arguments) // how.get("pieces", 3))
    cuts = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    repeats = how.get("repeats_id", False)
    place: Json = {"index": 0} if how.get("numbered", True) else {}
    again: Json = {**place, **(named if repeats else {})}
    function: Json = {"name": name} if repeats else {}
    first: Json = {**place, **named, "function": {"name": name, "arguments": cuts[0]}}
    later = [{**again, "function": {**function, "arguments": cut}} for cut in cuts[1:]]
    deltas: Deltas = [{"tool_calls": [delta]} for delta in (first, *later)]
    return lambda asked: _answer(asked, message, deltas, "tool_calls", 0.0)


def fills(value: Json) -> Play:
    """Structured output as the client asks for it: arguments of its one tool, or content."""
    text = orjson.dumps(value).decode()

    def play(asked: Asked) -> Reply:
        tools = asked.body.get("tools")
        if tools:
            return calls(tools[0]["function"]["name"], text)(asked)
        return says(text[:4], text[4:9], text[9:])(asked)

    return play


def fails(
    status: int,
    code: str | None = None,
    *,
    message: str = "no",
    headers: Sequence[str] = (),
) -> Play:
    """An HTTP error in OpenAI's envelope."""
    error = {"message": message, "type": "scripted", "param": None, "code": code}
    return lambda _: Reply([orjson.dumps({"error": error})], status=status, headers=headers)


def streams(*pieces: bytes, pause_s: float = 0.0, ending: Ending = "whole") -> Play:
    """Exactly these bytes as an event stream."""
    return lambda _: Reply(pieces, "text/event-stream", pause_s=pause_s, ending=ending)


def verdict(valid: bool) -> Play:
    """What a judge says."""
    return says('{"verdict": "%s"}' % ("VALID" if valid else "INVALID"))


def event(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({**_head("chunk"), "choices": [choice], **more}) + b"\n\n"


def usage_event() -> bytes:
    """The event that tells the usage, before the last."""
    return b"data: " + orjson.dumps({**_head("chunk"), "choices": [], "usage": USAGE}) + b"\n\n"


def _answer(
    asked: Asked, message: Json, deltas: Deltas, finish: str, first_after_s: float
) -> Reply:
    if asked.body.get("stream"):
        pieces = list(_events(asked, deltas, finish))
        return Reply(pieces, "text/event-stream", first_after_s=first_after_s, pause_s=0.02)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    body = {**_head("completion"), "choices": [choice], "usage": USAGE}
    return Reply([orjson.dumps(body)], first_after_s=first_after_s)


def _events(asked: Asked, deltas: Deltas, finish: str) -> Iterator[bytes]:
    yield event({"role": "assistant", "content": ""})
    yield from (event(delta) for delta in deltas)
    yield event({}, finish)
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        yield usage_event()
    yield DONE


def _head(kind: str) -> Json:
    kinds = {"chunk": "chat.completion.chunk", "completion": "chat.completion"}
    return {"id": "up-1", "object": kinds[kind], "created": 1, "model": "scripted-1"}
