"""A load generator: closed loop, open loop with latency from the due time, and streams.

It speaks just enough HTTP/1.1 to keep connections alive, so that it costs little beside what it
measures. Errors: RuntimeError for any status but 200 and for a reply that is not complete.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

import orjson

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send which bodies, one after the other and over again."""

    url: str
    bodies: Sequence[bytes]

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 80

    def requests(self) -> list[bytes]:
        """The requests, as they go over the wire."""
        host, port = self.address
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: %b:%d\r\n"
            b"content-type: application/json\r\nauthorization: Bearer unused\r\n"
            b"content-length: %d\r\n\r\n"
        )
        return [head % (host.encode(), port, len(body)) + body for body in self.bodies]


@dataclass(frozen=True, slots=True)
class Streamed:
    """One stream: seconds to its first words and to its end, and how many chunks had words."""

    first_s: float
    total_s: float
    chunks: int


class Client:
    """Keep-alive connections to one target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._requests = cycle(target.requests())
        self._idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._idle:
            writer.close()

    async def ask(self) -> bytes:
        """The body of one whole reply."""
        reader, writer = await self._connection()
        writer.write(next(self._requests))
        head = await _head(reader)
        length = _LENGTH.search(head)
        body = (
            await reader.readexactly(int(length[1]))
            if length
            else b"".join([piece async for piece in _pieces(reader)])
        )
        self._idle.append((reader, writer))
        return body

    async def stream(self) -> Streamed:
        """One stream, read to its end."""
        reader, writer = await self._connection()
        started_s = time.perf_counter()
        first_s, chunks, rest, piece = 0.0, 0, b"", b""
        writer.write(next(self._requests))
        await _head(reader)
        async for piece in _pieces(reader):
            found = (rest + piece).count(b'"content":"word')
            rest = (rest + piece)[-400:] if not found else b""
            if found and not chunks:
                first_s = time.perf_counter() - started_s
            chunks += found
        if not piece.endswith(b"[DONE]\n\n"):
            raise RuntimeError("a stream ended without [DONE]")
        self._idle.append((reader, writer))
        return Streamed(first_s, time.perf_counter() - started_s, chunks)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._idle:
            return self._idle.popleft()
        return await asyncio.open_connection(*self._target.address)


async def _head(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:16]:
        raise RuntimeError(f"not a 200: {head[:300]!r}")
    return head


async def _pieces(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    """The pieces of a chunked body."""
    while True:
        size = int(await reader.readline(), 16)
        piece = await reader.readexactly(size + 2)
        if not size:
            return
        yield piece[:-2]


async def closed_loop(target: Target, *, connections: int, requests: int) -> float:
    """Seconds until this many requests were answered, with so many under way at any time."""
    left = requests

    async def work(client: Client) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await client.ask()

    started_s = time.perf_counter()
    async with Client(target) as client:
        await asyncio.gather(*(work(client) for _ in range(connections)))
    return time.perf_counter() - started_s


async def open_loop(target: Target, *, per_s: float, requests: int) -> list[float]:
    """Seconds from when each request was due to its answer, whatever became of the others."""
    taken_s: list[float] = []

    async def one(client: Client, due_s: float) -> None:
        await client.ask()
        taken_s.append(time.perf_counter() - due_s)

    async with Client(target) as client, asyncio.TaskGroup() as tasks:
        started_s = time.perf_counter()
        for number in range(requests):
            due_s = started_s + number / per_s
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            tasks.create_task(one(client, due_s))
    return taken_s


async def streams(target: Target, *, at_once: int, each: int) -> list[Streamed]:
    """So many streams at a time, one after the other in each place."""
    done: list[Streamed] = []

    async def work(client: Client, place: int) -> None:
        await asyncio.sleep(0.013 * place)  # not all in step
        done.extend([await client.stream() for _ in range(each)])

    async with Client(target) as client:
        await asyncio.gather(*(work(client, place) for place in range(at_once)))
    return done


def chat(model: str, text: str, **more: object) -> bytes:
    """A body of about 640 bytes."""
    filler = "Please answer in whole sentences, and say where you are not sure. " * 5
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": f"{text} {filler}"},
    ]
    return orjson.dumps({"model": model, "messages": messages, **more})


def percentile(taken_s: Sequence[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(taken_s)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
