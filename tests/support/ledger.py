"""The ledger: what the provider gave, what clients got and what is kept must tell one story.

Pure functions over three logs; `tests/support/gateway.py` fills them and checks them at the end of
every test that has a gateway.
"""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import httpx
import orjson
from typing_extensions import override

from app.records import Record

Json: TypeAlias = dict[str, Any]
End: TypeAlias = Literal["whole", "error", "cut"]


@dataclass(frozen=True, slots=True)
class Given:
    """One answer of the provider's; `text` is None where the bytes were not an answer as such."""

    model: str
    text: str | None
    whole: bool


@dataclass(slots=True)
class Exchange:
    """One reply to a chat request, byte for byte; `ended`: it came to the end that HTTP says."""

    status: int
    headers: httpx.Headers
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False

    @property
    def is_stream(self) -> bool:
        return "event-stream" in self.headers.get("content-type", "")


@dataclass(frozen=True, slots=True)
class Got:
    """What a client understood of a reply. `decision` is the id it was told, an acknowledgement."""

    end: End
    decision: str | None = None
    tier: str | None = None
    text: str | None = None


class Witness(httpx.AsyncBaseTransport):
    """A client's transport that keeps what came back to its chat requests.

    `erased`: records may be gone because somebody wanted them gone.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.exchanges: list[Exchange] = []
        self.erased = False

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if request.method == "DELETE":
            self.erased = True
        if request.method != "POST" or not request.url.path.endswith("/chat/completions"):
            return response
        exchange = Exchange(response.status_code, response.headers)
        self.exchanges.append(exchange)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Copied(response.stream, exchange)
        return response

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


class _Copied(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            self._exchange.body += piece
            yield piece
        self._exchange.ended = True

    @override
    async def aclose(self) -> None:
        await self._stream.aclose()


def discrepancies(
    exchanges: Iterable[Exchange],
    given: Sequence[Given],
    kept: Mapping[str, Sequence[Record]],
    *,
    models: Mapping[str, Collection[str]],
    erased: bool = False,
) -> list[str]:
    """Where the logs contradict each other, in words; none is as it should be.

    `kept` has the records of each id, wherever they are: store or outbox. `models` are a tier's;
    what a tier that is not among them gave is not known.
    `erased`: some records may be gone because they were to go.
    """
    found: list[str] = []
    acknowledged: list[str] = []
    whole = {(each.model, each.text) for each in given if each.whole}
    for exchange in exchanges:
        try:
            got = understood(exchange)
        except ValueError as exc:
            found.append(str(exc))
            continue
        if got.decision is not None:
            acknowledged.append(got.decision)
        if got.end == "whole" and not _was_given(got, whole, models):
            found.append(f"{got.tier} never gave {got.text!r}, which a client got")
    found += [f"decision {each} was told twice" for each, n in _counted(acknowledged) if n > 1]
    for decision in dict.fromkeys(acknowledged):
        times = len(kept.get(decision, ()))
        if times != 1 and not (erased and times == 0):
            found.append(f"decision {decision} was acknowledged and is kept {times} times")
    mine = [record for each in acknowledged for record in kept.get(each, ())]
    return found + _unbacked(mine, given, models)


def acknowledged_in(exchanges: Iterable[Exchange]) -> list[str]:
    """The decisions clients were told of, where a reply can be understood."""
    told = []
    for exchange in exchanges:
        with suppress(ValueError):
            told.append(understood(exchange).decision)
    return [decision for decision in told if decision is not None]


def understood(exchange: Exchange) -> Got:
    """What a client makes of these bytes. Errors: ValueError where they break the contract."""
    if exchange.status >= 400:
        if exchange.ended and "error" not in orjson.loads(exchange.body):
            raise ValueError(f"status {exchange.status} without an error in the envelope")
        return Got("error")
    if exchange.is_stream:
        return _understood_stream(exchange)
    if not exchange.ended:
        return Got("cut", exchange.headers.get("x-autoshift-decision"))
    body = orjson.loads(exchange.body)
    told = body["autoshift"]
    return Got("whole", told.get("decision"), told.get("tier"), _first(body, "message"))


def _understood_stream(exchange: Exchange) -> Got:
    events = [
        line.removeprefix(b"data: ")
        for event in bytes(exchange.body).split(b"\n\n")[:-1]
        for line in event.split(b"\n")
        if line.startswith(b"data: ")
    ]
    chunks = [orjson.loads(event) for event in events if event != b"[DONE]"]
    errors = [chunk for chunk in chunks if "error" in chunk]
    done = events.count(b"[DONE]")
    if done + len(errors) > 1:
        raise ValueError(f"a stream ended {done} times, and with {len(errors)} errors")
    if exchange.ended and not done and not errors:
        raise ValueError("a stream came to a clean end without [DONE] and without an error")
    told: Json = next((c["autoshift"] for c in chunks if c.get("autoshift")), {})
    decision = told.get("decision") or exchange.headers.get("x-autoshift-decision")
    if not done:
        return Got("error" if errors else "cut", decision, told.get("tier"))
    if events[-1] != b"[DONE]":
        raise ValueError("a stream goes on after [DONE]")
    if not told:
        raise ValueError("a stream ended well and told nothing of its decision")
    text = "".join(_first(chunk, "delta") or "" for chunk in chunks)
    return Got("whole", decision, told.get("tier"), text)


def _first(body: Json, key: str) -> str | None:
    """The text of the first choice."""
    for choice in body["choices"]:
        if choice["index"] == 0:
            content = choice[key].get("content")
            return content if isinstance(content, str) else None
    return None


def _was_given(
    got: Got, whole: set[tuple[str, str | None]], models: Mapping[str, Collection[str]]
) -> bool:
    """Whether one of the tier's models gave just this, as a whole."""
    if got.tier is None or got.tier not in models:
        return True
    return any({(model, None), (model, got.text or "")} & whole for model in models[got.tier])


def _unbacked(
    records: Iterable[Record], given: Sequence[Given], models: Mapping[str, Collection[str]]
) -> list[str]:
    """Verdicts on what was no whole answer, and more whole answers than there were."""
    found: list[str] = []
    whole: Counter[str] = Counter()
    for record in records:
        for attempt in record.attempts:
            if attempt.ended:
                whole[attempt.tier] += 1
            elif any(verdict.valid is not None for verdict in attempt.verdicts):
                found.append(f"{record.id}: {attempt.tier} {attempt.outcome}, yet it was judged")
    for tier in whole.keys() & models.keys():
        count = whole[tier]
        were = sum(each.whole and each.model in models[tier] for each in given)
        if count > were:
            found.append(f"{tier} has {count} whole answers on record, and gave {were}")
    return found


def _counted(ids: Sequence[str]) -> Iterable[tuple[str, int]]:
    return Counter(ids).items()
