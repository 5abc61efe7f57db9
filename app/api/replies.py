"""Events into one JSON completion, or into a stream of server-sent events.

Source: openai/openai-openapi, `CreateChatCompletionStreamResponse`. A stream is framed so that real
clients survive it: a first chunk with a role, one chunk with the finish reason, usage once and only
if asked for, comments as keep-alives, never a clean end after a failure.
"""

import asyncio
import time
from typing import TypeAlias

import orjson
from starlette.types import Send

from app.answers import called
from app.api.framing import event_line, pieces
from app.api.render import (
    envelope,
    fact_headers,
    facts,
    raw_headers,
    send_error,
    send_json,
)
from app.errors import GatewayError
from app.events import Chunk, Event, Order, Settled
from app.jsontext import Json, dump_json
from app.records import Record

QUIET_S = 15.0
SIGNS_A_DELTA = 4


class JsonReply:
    """One completion, sent when everything is known."""

    def __init__(self, order: Order, send: Send, *, created_s: int, simulated: bool) -> None:
        self._order = order
        self._send = send
        self._created_s = created_s
        self._simulated = simulated
        self._settled: Settled | None = None
        self._completion: Json = {}

    async def take(self, event: Event) -> None:
        """Note what the event brings."""
        match event:
            case Settled():
                self._settled = event
            case Chunk(data):
                self._completion = data

    async def end(self) -> None:
        """Send it."""
        assert self._settled is not None  # noqa: S101 - the loop settles before it ends
        told = facts(self._settled, simulated=self._simulated)
        body = {
            **self._completion,
            "id": completion_id(self._order),
            "object": "chat.completion",
            "created": self._created_s,
            "model": _model(self._completion, self._settled.record),
            "autoshift": told,
        }
        headers = {"x-request-id": self._order.id, **fact_headers(told)}
        await send_json(self._send, 200, dump_json(body), headers)

    async def fail(self, exc: GatewayError) -> None:
        """Nothing has been sent yet, so the status can tell the truth."""
        await send_error(self._send, exc, {"x-request-id": self._order.id})


class SseReply:
    """A stream of events; the status line waits for the first chunk, at most `hold_s`.

    `quiet_s` is the longest silence after it.
    """

    def __init__(
        self,
        order: Order,
        send: Send,
        *,
        created_s: int,
        simulated: bool,
        hold_s: float,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._order = order
        self._send = send
        self._simulated = simulated
        self._hold_s = hold_s
        self._quiet_s = quiet_s
        self._common = {
            "id": completion_id(order),
            "object": "chat.completion.chunk",
            "created": created_s,
        }
        self._model: str | None = None
        self._told: Json | None = None
        self._usage: object = None
        self._finish: Json | None = None
        self._introduced: set[object] = set()
        self._finished: set[object] = set()
        self._committed = False
        self._sent_s = 0.0

    async def take(self, event: Event) -> None:
        """Send what the event brings; the finish chunk waits for the end."""
        match event:
            case Settled():
                self._told = facts(event, simulated=self._simulated)
                self._model = self._model or _model({}, event.record)
            case Chunk(data):
                await self._chunk(data)

    async def end(self) -> None:
        """The finish chunk with the facts, usage if it was asked for, and `[DONE]`."""
        await self._commit()
        finish = self._finish or self._empty({}, finish_reason="stop")
        await self._event({**finish, "autoshift": self._told})
        if self._order.request.include_usage:
            await self._event({**self._head(), "choices": [], "usage": self._usage})
        await self._send_body(b"data: [DONE]\n\n", more=False)

    async def fail(self, exc: GatewayError) -> None:
        """Before the first byte an error is a status; after it, an event, and no `[DONE]`."""
        if not self._committed:
            await send_error(self._send, exc, {"x-request-id": self._order.id})
            return
        await self._send_body(b"data: " + orjson.dumps(envelope(exc)) + b"\n\n", more=False)

    async def keep_alive(self) -> None:
        """Commit after `hold_s`, then never be silent for long.

        A comment resets the timers of HTTP libraries; some clients count parsed chunks only, so
        every fourth sign of life is an empty delta.
        """
        await asyncio.sleep(self._hold_s)
        if not self._committed:
            await self._commit()
            await self._event(self._introduction())
        signs = 0
        while True:
            await asyncio.sleep(max(0.05, self._sent_s + self._quiet_s - time.monotonic()))
            if time.monotonic() - self._sent_s < self._quiet_s:
                signs = 0
                continue
            signs += 1
            if signs % SIGNS_A_DELTA == 0:
                await self._event(self._empty({}))
            else:
                await self._send_body(b": keep-alive\n\n")

    async def _chunk(self, data: Json) -> None:
        self._usage = data.get("usage") or self._usage
        # Some providers go on after the finish chunk, or send it twice.
        choices = [c for c in data["choices"] if c["index"] not in self._finished]
        if not choices:
            return
        self._model = self._model or data.get("model")
        await self._commit()
        if self._finish is not None:
            await self._event(self._finish)
            self._finish = None
        chunk = {**data, **self._head(), "choices": choices}
        chunk.pop("usage", None)
        chunk.pop("obfuscation", None)
        for choice in choices:
            self._introduce(choice)
        finished = [choice["index"] for choice in choices if choice.get("finish_reason")]
        if finished:
            self._finished.update(finished)
            self._finish = chunk
        else:
            for piece in pieces(chunk):
                await self._event(piece)

    def _introduce(self, choice: Json) -> None:
        """Role, ids and names in the first delta, and only there: clients join what is repeated."""
        delta, index = choice["delta"], choice["index"]
        if index in self._introduced:
            delta.pop("role", None)
        elif not choice.get("finish_reason"):
            self._introduced.add(index)
            delta["role"] = "assistant"
            delta.setdefault("content", "")
        for call in delta.get("tool_calls") or []:
            self._introduce_call((index, call["index"]), call)

    def _introduce_call(self, place: tuple[int, int], call: Json) -> None:
        if place in self._introduced:
            for named, key in ((call, "id"), (call, "type"), (called(call), "name")):
                named.pop(key, None)
        elif call.get("id"):
            self._introduced.add(place)

    def _introduction(self) -> Json:
        self._introduced.add(0)
        return self._empty({"role": "assistant", "content": ""})

    def _empty(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._head(), "choices": [choice]}

    def _head(self) -> Json:
        return {**self._common, "model": self._model or self._order.request.model}

    async def _commit(self) -> None:
        if self._committed:
            return
        self._committed = True
        headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            "x-request-id": self._order.id,
            **(fact_headers(self._told) if self._told else {}),
        }
        if self._simulated:
            headers["x-autoshift-simulated"] = "yes"
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": raw_headers(headers)}
        )

    async def _event(self, data: Json) -> None:
        await self._send_body(event_line(data))

    async def _send_body(self, body: bytes, *, more: bool = True) -> None:
        self._sent_s = time.monotonic()
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def completion_id(order: Order) -> str:
    """The reply's id, the same in every chunk."""
    return f"chatcmpl-{order.id.replace('-', '')}"


def _model(data: Json, record: Record) -> str:
    served = record.served_attempt
    return data.get("model") or (served.model or served.tier if served else "")


Reply: TypeAlias = JsonReply | SseReply
