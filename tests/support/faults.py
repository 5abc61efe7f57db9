"""A provider of raw bytes: it misbehaves as it is told to, below HTTP if need be; all is logged."""

import asyncio
import re
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

import orjson

from tests.support.ledger import Given

Json: TypeAlias = dict[str, Any]
Ending = Literal["whole", "cut", "reset"]

MARK = re.compile(r"\[(\w+)\]")
USAGE: Json = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


@dataclass(slots=True)
class Hop:
    """One call that came in. `mark` is the one in the question.

    `whole`: it got an answer, which is `answered` where that was made here. `kept`: it came over a
    connection that had served another one before. `left`: whether whoever asked has.
    """

    model: str
    judging: bool
    stream: bool
    mark: str
    body: Json
    headers: dict[str, str]
    path: str
    kept: bool
    left: Callable[[], bool]
    answered: str | None = None
    whole: bool = False


Act: TypeAlias = Callable[[Hop, asyncio.StreamWriter], Awaitable[Ending]]
"""Writes a reply; says how the connection ends. `whole` keeps it."""


class FaultyProvider:
    """Acts are used up in order, the last one again and again; `chooses` decides where it is set.

    `hops` may be cleared between two cases; `log` keeps all.
    """

    def __init__(self) -> None:
        self.url = ""
        self.hops: list[Hop] = []
        self.log: list[Hop] = []
        self.open = 0
        self.chooses: Callable[[Hop], Act] | None = None
        self._acts: dict[tuple[str, bool], list[Act]] = defaultdict(list)
        self._writers: set[asyncio.StreamWriter] = set()

    def plays(self, model: str, *acts: Act, judging: bool = False) -> None:
        """What this model does from now on."""
        self._acts[model, judging] = list(acts)

    def asked(self, *, judging: bool = False) -> list[str]:
        """The models that were asked to answer, or to judge, in order."""
        return [hop.model for hop in self.hops if hop.judging == judging]

    @property
    def given(self) -> list[Given]:
        """Every answer, for the ledger."""
        return [Given(hop.model, hop.answered, hop.whole) for hop in self.log if not hop.judging]

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._writers)

    def close_idle(self) -> None:
        """Close every connection at once, as a restart does."""
        for writer in self._writers:
            writer.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it is kept as long as replies end properly."""
        self._writers.add(writer)
        kept = False
        try:
            while (hop := await _hop(reader, kept=kept)) is not None:
                self.hops.append(hop)
                self.log.append(hop)
                self.open += 1
                try:
                    ending = await self._act(hop)(hop, writer)
                    await writer.drain()
                finally:
                    self.open -= 1
                if ending == "reset":
                    reset(writer)
                if ending != "whole":
                    break
                kept = True
        except (ConnectionError, asyncio.CancelledError):
            pass  # whoever asked has left, or all is over, which Python 3.11 takes for a bug
        finally:
            self._writers.discard(writer)
            writer.close()

    def _act(self, hop: Hop) -> Act:
        if self.chooses is not None:
            return self.chooses(hop)
        acts = self._acts[hop.model, hop.judging] or [says("VALID" if hop.judging else "ok")]
        return acts.pop(0) if len(acts) > 1 else acts[0]


@asynccontextmanager
async def faulty_provider(
    ssl: Any = None, *, host: str = "127.0.0.1"
) -> AsyncGenerator[FaultyProvider, None]:
    """The provider on loopback; `url` is its base URL."""
    provider = FaultyProvider()
    server = await asyncio.start_server(provider.serve, host, 0, ssl=ssl, backlog=1024, limit=2**20)
    kind = "https" if ssl is not None else "http"
    named = f"[{host}]" if ":" in host else host
    provider.url = f"{kind}://{named}:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        server.close()
        provider.close_idle()


@asynccontextmanager
async def black_hole() -> AsyncGenerator[str, None]:
    """The base URL of an address that takes no connection and refuses none: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                with suppress(BlockingIOError):
                    filler.connect(address)
            yield f"http://127.0.0.1:{address[1]}/v1"
        finally:
            for filler in fillers:
                filler.close()


def says(text: str = "ok", *, pieces: int = 1, pause_s: float = 0.0) -> Act:
    """A proper answer, or verdict; a stream in so many pieces."""

    async def act(hop: Hop, writer: asyncio.StreamWriter) -> Ending:
        said = orjson.dumps({"verdict": text}).decode() if hop.judging else text
        bodies = list(whole_stream(said, pieces)) if hop.stream else [completion(said)]
        writer.write(head(200, "text/event-stream" if hop.stream else "application/json"))
        for body in bodies[:-1]:
            writer.write(chunk(body))
            await writer.drain()
            await asyncio.sleep(pause_s)
        hop.answered, hop.whole = said, True
        writer.write(chunk(bodies[-1]) + b"0\r\n\r\n")
        await writer.drain()
        return "whole"

    return act


def fails(status: int, *headers: str, body: bytes = b'{"error": {"message": "no"}}') -> Act:
    """An HTTP error."""
    return sends(body, *headers, status=status, kind="application/json")


def sends(*parts: bytes | str, status: int = 200, kind: str = "", ending: Ending = "whole") -> Act:
    """These bytes as the body, whatever they are; strings are headers."""
    body = b"".join(part for part in parts if isinstance(part, bytes))
    headers = [part for part in parts if isinstance(part, str)]

    async def act(hop: Hop, writer: asyncio.StreamWriter) -> Ending:
        usual = "text/event-stream" if hop.stream else "application/json"
        writer.write(head(status, kind or usual, *headers) + (chunk(body) if body else b""))
        if ending == "whole":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        hop.whole = status == HTTPStatus.OK and ending == "whole"
        return ending

    return act


def raw(data: bytes, ending: Ending = "cut") -> Act:
    """These bytes instead of an HTTP reply."""

    async def act(_: Hop, writer: asyncio.StreamWriter) -> Ending:
        writer.write(data)
        return ending

    return act


def breaks(after: int, ending: Ending, text: str = "this is never to be seen") -> Act:
    """An answer that ends after so many of its events, or bytes where it is no stream."""

    async def act(hop: Hop, writer: asyncio.StreamWriter) -> Ending:
        if hop.stream:
            writer.write(head(200, "text/event-stream"))
            for body in list(whole_stream(text, len(text)))[:after]:
                writer.write(chunk(body))
                await writer.drain()
        else:
            body = completion(text)
            writer.write(head(200, "application/json") + chunk(body[: min(after, len(body) - 1)]))
        await writer.drain()
        return ending

    return act


def endless(piece: bytes) -> Act:
    """The same event, again and again."""

    async def act(_: Hop, writer: asyncio.StreamWriter) -> Ending:
        writer.write(head(200, "text/event-stream"))
        while True:
            writer.write(chunk(piece))
            await writer.drain()

    return act


def holds(first: bytes = b"") -> Act:
    """This, and then nothing, until whoever asked has left."""

    async def act(hop: Hop, writer: asyncio.StreamWriter) -> Ending:
        writer.write(first)
        await writer.drain()
        while not hop.left():
            await asyncio.sleep(0.02)
        return "cut"

    return act


def drips(data: bytes, pause_s: float) -> Act:
    """An endless body, a piece at a time."""

    async def act(hop: Hop, writer: asyncio.StreamWriter) -> Ending:
        writer.write(head(200, "text/event-stream" if hop.stream else "application/json"))
        while True:
            writer.write(chunk(data))
            await writer.drain()
            await asyncio.sleep(pause_s)

    return act


def head(status: int, kind: str, *headers: str) -> bytes:
    """The head of a chunked reply."""
    lines = (f"HTTP/1.1 {status} Scripted", f"content-type: {kind}", "transfer-encoding: chunked")
    return "\r\n".join((*lines, *headers, "", "")).encode()


def chunk(body: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def completion(text: str) -> bytes:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return orjson.dumps({"object": "chat.completion", "choices": [choice], "usage": USAGE})


def whole_stream(text: str, pieces: int = 1) -> Iterator[bytes]:
    """A whole answer as events."""
    size = -(-len(text) // pieces)
    for start in range(0, len(text), size):
        yield event({"content": text[start : start + size]})
    yield event({}, finish="stop")
    yield b"data: " + orjson.dumps({"choices": [], "usage": USAGE}) + b"\n\n"
    yield b"data: [DONE]\n\n"


def event(delta: Json, finish: str | None = None) -> bytes:
    """One event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


def reset(writer: asyncio.StreamWriter) -> None:
    """Have it end with an RST: that is what closing with a linger time of 0 sends."""
    raw_socket: socket.socket = writer.get_extra_info("socket")
    raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _hop(reader: asyncio.StreamReader, *, kept: bool) -> Hop | None:
    """The next call; None once the connection is closed."""
    try:
        top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = top.rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        data = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError:
        return None
    body: Json = orjson.loads(data) if data else {}
    name = ((body.get("response_format") or {}).get("json_schema") or {}).get("name")
    found = MARK.search(data.decode())
    return Hop(
        model=body.get("model", ""),
        judging=name == "verdict",
        stream=bool(body.get("stream")),
        mark=found[1] if found else "",
        body=body,
        headers=headers,
        path=first.split(" ")[1],
        kept=kept,
        left=reader.at_eof,
    )
