"""A scripted OpenAI-compatible provider: says what a test tells it, notes what it is asked."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, TypeAlias

import orjson
from starlette.types import Receive, Scope, Send

from app.serving import serving
from tests.support.attacks import obeys
from tests.support.ledger import Given

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Says:
    """An answer. A stream sends it in `pieces`; `gate` holds everything after the first back.

    `others` are further choices of a plain reply, whatever was asked for. `margin`: by how much its
    one token was the likelier, told to whoever asks for logprobs.
    """

    text: str = "ok"
    pieces: Sequence[str] | None = None
    tool_calls: Sequence[Json] = ()
    finish: str | None = "stop"
    usage: tuple[int, int] | None = (100, 50)
    delay_s: float = 0.0
    gate: asyncio.Event | None = None
    others: Sequence[str] = ()
    margin: float | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fails:
    """An HTTP error."""

    status: int = 500
    body: bytes = b'{"error": {"message": "no", "type": "x", "param": null, "code": null}}'
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sends:
    """These bytes, whatever they are; `cut` ends without the body's proper end."""

    body: bytes
    content_type: str = "text/event-stream"
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Hangs:
    """Nothing at all, or nothing more after the headers."""

    after_headers: bool = False


@dataclass(frozen=True, slots=True)
class Obeys:
    """A verdict of a judge that does whatever it is told anywhere outside of the data.

    Of two answers it then prefers the first; untold, it takes any answer for wrong.
    """


Reply: TypeAlias = Says | Fails | Sends | Hangs | Obeys
VALID = Says('{"verdict": "VALID"}', usage=(200, 5))
INVALID = Says('{"verdict": "INVALID"}', usage=(200, 5))
STRATEGY = Says('{"strategy": "Split the larger factor, then add the parts."}', usage=(400, 30))
TIE = Says('{"verdict": "TIE", "same": true}', usage=(300, 9))


@dataclass(frozen=True, slots=True)
class Call:
    """One request the provider got; `raw` is the body as it came.

    `judging`: an answer was to be judged, or two were to be compared; `writing`: a strategy was to
    be written.
    """

    model: str
    judging: bool
    comparing: bool
    body: Json
    headers: dict[str, str]
    raw: bytes
    query: str = ""
    writing: bool = False


NOBODY = Call("", judging=False, comparing=False, body={}, headers={}, raw=b"")


class Provider:
    """Replies are used up in order, the last one again and again; `listing` is its model list."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.given: list[Given] = []
        self.open = 0
        self.left_early = 0
        self.listing: Reply = Sends(b'{"object": "list", "data": []}', "application/json")
        self._answers: dict[str, list[Reply]] = defaultdict(lambda: [Says()])
        self._verdicts: dict[str, list[Reply]] = defaultdict(lambda: [VALID])
        self._comparisons: dict[str, list[Reply]] = defaultdict(lambda: [TIE])
        self._strategies: dict[str, list[Reply]] = defaultdict(lambda: [STRATEGY])

    def answers(self, model: str, *replies: Reply) -> None:
        """What this model answers from now on."""
        self._answers[model] = list(replies)

    def verdicts(self, model: str, *replies: Reply) -> None:
        """What this model says as a judge from now on."""
        self._verdicts[model] = list(replies)

    def comparisons(self, model: str, *replies: Reply) -> None:
        """What this model says of two answers from now on."""
        self._comparisons[model] = list(replies)

    def strategies(self, model: str, *replies: Reply) -> None:
        """What this model writes down from now on for others."""
        self._strategies[model] = list(replies)

    def asked(self, *, judging: bool = False) -> list[str]:
        """The models that were asked to answer, or to judge, in order."""
        calls = [call for call in self.calls if not call.writing]
        return [call.model for call in calls if call.judging == judging]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The provider as an ASGI application."""
        if scope["path"].endswith("/models"):
            await _play(self.listing, NOBODY, send)
            return
        raw = await _body(receive)
        body = orjson.loads(raw)
        name = _schema_name(body)
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        comparing = name == "comparison"
        judging = comparing or name in {"verdict", "verification"}
        query = scope["query_string"].decode()
        writing = name == "strategy"
        call = Call(body["model"], judging, comparing, body, headers, raw, query, writing)
        self.calls.append(call)
        asked = self._comparisons if comparing else self._verdicts
        said = self._strategies if writing else self._answers
        replies = (asked if judging else said)[call.model]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        self.open += 1
        number = len(self.given)
        self.given.append(_given(reply, call))
        try:
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(_play(reply, call, send))
                watching = tasks.create_task(self._watch(receive, playing))
                playing.add_done_callback(lambda _: watching.cancel())
        finally:
            self.open -= 1
            if playing.cancelled():
                self.given[number] = replace(self.given[number], whole=False)

    async def _watch(self, receive: Receive, playing: "asyncio.Task[None]") -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left_early += 1
        playing.cancel()


@asynccontextmanager
async def provider() -> AsyncGenerator[Provider, None]:
    """A scripted provider on loopback; `url` is its base URL."""
    scripted = Provider()
    async with serving(scripted, drain_s=1) as listening:
        scripted.url = f"{listening.url}/v1"
        yield scripted


def _given(reply: Reply, call: Call) -> Given:
    """What this reply amounts to, if it is sent to its end."""
    match reply:
        case Says(text, pieces):
            streamed = bool(call.body.get("stream"))
            said = "".join(pieces) if pieces and streamed else text
            return Given(call.model, said, reply.finish is not None or not streamed)
        case Sends() | Obeys():
            return Given(call.model, None, whole=True)
        case Fails() | Hangs():
            return Given(call.model, None, whole=False)


async def _play(reply: Reply, call: Call, send: Send) -> None:
    match reply:
        case Says():
            await asyncio.sleep(reply.delay_s)
            speak: Callable[[Says, Call, Send], Any] = (
                _stream if call.body.get("stream") else _plain
            )
            await speak(reply, call, send)
        case Fails():
            await _send(send, reply.status, reply.body, reply.headers)
        case Sends():
            await _start(send, 200, {"content-type": reply.content_type})
            await send({"type": "http.response.body", "body": reply.body, "more_body": reply.cut})
            # Returning with `more_body` open makes the server cut the connection.
        case Obeys():
            await _play(_obedient(call), call, send)
        case Hangs():
            if reply.after_headers:
                await _start(send, 200, {"content-type": "text/event-stream"})
                await send({"type": "http.response.body", "body": b": wait\n\n", "more_body": True})
            await asyncio.Event().wait()


def _obedient(call: Call) -> Says:
    obeyed = obeys(call.body)
    if call.comparing:
        return Says('{"verdict": "%s", "same": false}' % ("FIRST" if obeyed else "SECOND"))
    return VALID if obeyed else INVALID


async def _plain(says: Says, call: Call, send: Send) -> None:
    message: Json = {"role": "assistant", "content": says.text or None}
    if says.tool_calls:
        message["tool_calls"] = list(says.tool_calls)
    choice = {"index": 0, "message": message, "finish_reason": says.finish}
    choice["logprobs"] = _logprobs(says, call)
    choices = [
        {**choice, "index": at, "message": {**message, "content": said}}
        for at, said in enumerate((says.text, *says.others))
    ]
    if says.gate is not None:
        await says.gate.wait()
    body = {
        **_head(call, "chat.completion"),
        **says.extra,
        "choices": choices if says.others else [choice],
    }
    await _send(send, 200, orjson.dumps({**body, "usage": _usage(says)}))


async def _stream(says: Says, call: Call, send: Send) -> None:
    await _start(send, 200, {"content-type": "text/event-stream"})
    head = {**_head(call, "chat.completion.chunk"), **says.extra}

    async def event(choices: list[Json], **more: object) -> None:
        data = orjson.dumps({**head, "choices": choices, **more})
        await send(
            {"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True}
        )

    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in says.pieces or [says.text] if piece]
    deltas += [{"tool_calls": [{"index": i, **c}]} for i, c in enumerate(says.tool_calls)]
    told = _logprobs(says, call)
    for number, delta in enumerate(deltas):
        if number == 2 and says.gate is not None:
            await says.gate.wait()
        logprobs = told if number == 1 else None
        await event([{"index": 0, "delta": delta, "finish_reason": None, "logprobs": logprobs}])
    if says.finish is not None:
        await event([{"index": 0, "delta": {}, "finish_reason": says.finish}])
        if says.usage is not None and call.body.get("stream_options", {}).get("include_usage"):
            await event([], usage=_usage(says))
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _logprobs(says: Says, call: Call) -> Json | None:
    if says.margin is None or not call.body.get("logprobs"):
        return None
    words = [
        {"token": t, "logprob": log(0.5 + s * says.margin / 2)} for t, s in (("a", 1), ("b", -1))
    ]
    return {"content": [{**words[0], "top_logprobs": words}]}


def _head(call: Call, kind: str) -> Json:
    return {"id": "up-1", "object": kind, "created": 1, "model": f"{call.model}-2026"}


def _usage(says: Says) -> Json | None:
    if says.usage is None:
        return None
    prompt, completion = says.usage
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _send(
    send: Send, status: int, body: bytes, headers: dict[str, str] | None = None
) -> None:
    await _start(send, status, {"content-type": "application/json", **(headers or {})})
    await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive) -> bytes:
    received, more = b"", True
    while more:
        message = await receive()
        received += message.get("body", b"")
        more = message.get("more_body", False)
    return received


def _schema_name(body: dict[str, Any]) -> str | None:
    """Of the schema that is asked for; a hostile body may have anything in its place."""
    found: object = body
    for key in ("response_format", "json_schema", "name"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None
