"""Conversations under way: which tier each is on, and which decision made which tool call."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from app.answers import Answer
from app.clock import Clock
from app.errors import StoreError
from app.jsontext import Json
from app.policy import Seat
from app.records import Record
from app.store import RecordStore
from app.wire import ChatRequest, text_of

REMEMBERED = 20_000
PROMPT_CACHE_S = 300.0
"""How long providers keep a prompt in their cache after its last use, about."""

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Last:
    """A conversation's latest answer here, of the decision `record`."""

    record: str
    tier: str
    prompt_tokens: int
    output_tokens: int
    time_s: float


class Conversations:
    """What is remembered in this process, the latest first to come and the oldest first to go.

    After a restart, or on another replica, the records tell which tier a conversation was on.
    """

    def __init__(self, *, store: RecordStore, clock: Clock, remembered: int = REMEMBERED) -> None:
        self._store = store
        self._clock = clock
        self._last: _Memory[_Last] = _Memory(remembered)
        self._tool_calls: _Memory[str] = _Memory(remembered)

    async def seat(self, tenant: str, request: ChatRequest) -> Seat | None:
        """The tier this conversation is on; None for a new one."""
        key = _key(request)
        if key is None:
            return None
        last = self._last.get((tenant, key)) or await self._recorded(tenant, key)
        if last is None:
            return None
        cached = self._clock.time_s() - last.time_s < PROMPT_CACHE_S
        return Seat(last.tier, last.prompt_tokens if cached else 0, last.output_tokens)

    def keep(self, record: Record, request: ChatRequest, answer: Answer) -> None:
        """Remember what served this turn, and note the conversation on its record."""
        key = _key(request) or _opened(
            request, _said(answer.text, [c.id for c in answer.tool_calls])
        )
        served = record.served_attempt
        record.conversation = key
        if served is None:
            return
        usage = served.usage
        self._last[record.tenant, key] = _Last(
            record=record.id,
            tier=served.tier,
            prompt_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
            time_s=record.time_s,
        )
        for call in answer.tool_calls:
            self._tool_calls[record.tenant, call.id] = record.id

    def forget(self, tenant: str, records: Collection[str]) -> None:
        """Remember nothing of these decisions any more."""
        gone = frozenset(records)
        self._last.drop(tenant, lambda last: last.record in gone)
        self._tool_calls.drop(tenant, lambda record: record in gone)

    def failed_calls(self, tenant: str, request: ChatRequest) -> set[str]:
        """The decisions whose tool calls have just come back with a failure."""
        decisions = set()
        for message in _new_results(request.messages):
            decision = self._tool_calls.get((tenant, str(message.get("tool_call_id"))))
            if decision is not None and reports_failure(message):
                decisions.add(decision)
        return decisions

    async def _recorded(self, tenant: str, key: str) -> _Last | None:
        try:
            record = await self._store.last_in_conversation(key, tenant=tenant)
        except StoreError:
            return None
        served = record.served_attempt if record is not None else None
        if record is None or served is None:
            return None
        usage = served.usage
        return _Last(
            record=record.id,
            tier=served.tier,
            prompt_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
            time_s=record.time_s,
        )


def named(name: str) -> str:
    """What stands on the records of a conversation that its client has named so."""
    return _digest(["named", name])


def as_recorded(conversation: str) -> str:
    """What stands on its records, from that or from its client's own name for it."""
    return conversation if _DIGEST.fullmatch(conversation) else named(conversation)


def reports_failure(message: Json) -> bool:
    """Whether a tool's result says that the call itself went wrong.

    That is: an object with an `error`, or `is_error` true, or a text that begins as errors do.
    """
    text = text_of(message).strip()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.lower().startswith(("error", "exception", "traceback (most recent call last)"))
    if not isinstance(value, dict):
        return False
    return bool(value.get("error") or value.get("is_error") or value.get("isError"))


class _Memory(Generic[_Value]):
    """The latest so many values."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[tuple[str, str], _Value] = OrderedDict()

    def get(self, key: tuple[str, str]) -> _Value | None:
        return self._values.get(key)

    def drop(self, tenant: str, is_gone: Callable[[_Value], bool]) -> None:
        for key in [k for k, v in self._values.items() if k[0] == tenant and is_gone(v)]:
            del self._values[key]

    def __setitem__(self, key: tuple[str, str], value: _Value) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


def _key(request: ChatRequest) -> str | None:
    """The client's own name for it, else a digest of how it began; None for a beginning."""
    if request.extension.conversation is not None:
        return named(request.extension.conversation)
    for message in request.messages:
        if message["role"] == "assistant":
            ids = [str(call.get("id")) for call in message.get("tool_calls") or []]
            return _opened(request, _said(text_of(message), ids))
    return None


def _opened(request: ChatRequest, said: list[str]) -> str:
    """A digest of everything up to the first answer, which makes it this conversation's own."""
    opening: list[object] = []
    for message in request.messages:
        if message["role"] == "assistant":
            break
        opening.append([message["role"], text_of(message)])
    return _digest([opening, said])


def _said(text: str, tool_call_ids: list[str]) -> list[str]:
    return [text.strip(), *tool_call_ids]


def _new_results(messages: list[Json]) -> Iterator[Json]:
    """The tool results that came in with this turn."""
    for message in reversed(messages):
        if message["role"] not in ("tool", "function"):
            return
        yield message


# A name may well be 32 digits; with what begins it, it is none of ours.
_DIGEST = re.compile(r"c-[0-9a-f]{32}")


def _digest(value: object) -> str:
    return f"c-{hashlib.blake2b(orjson.dumps(value), digest_size=16).hexdigest()}"
