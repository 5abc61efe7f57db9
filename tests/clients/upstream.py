"""A provider that sends exactly the bytes it is told to, at a pace, and ends as it is told to."""

import asyncio
import re
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

Json: TypeAlias = dict[str, Any]

# `whole` ends the chunked body properly, `cut` closes before its end, `reset` sends an RST.
Ending = Literal["whole", "cut", "reset"]

# Clients run at the same time; each puts its name and the scenario's into the question.
MARK = re.compile(rb"\[([\w.-]+)/([\w.-]+)\]")


def mark(client: str, scenario: str) -> str:
    """What a question must hold, so that the provider knows what to play to whom."""
    return f"[{client}/{scenario}]"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `nth` counts those of the same client, scenario and tier from 0."""

    tier: str
    judging: bool
    body: Json
    nth: int

    @property
    def after_tool(self) -> bool:
        """Whether a tool's result is the last word so far."""
        return bool(self.body["messages"][-1]["role"] == "tool")


@dataclass(frozen=True, slots=True)
class Reply:
    """The body in pieces, one write and one HTTP chunk each."""

    pieces: Sequence[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: Sequence[str] = ()
    first_after_s: float = 0.0
    pause_s: float = 0.0
    ending: Ending = "whole"


Play: TypeAlias = Callable[[Asked], Reply]


class Upstream:
    """Plays to each client the scenario that the question names."""

    def __init__(self, plays: dict[str, Play]) -> None:
        self.url = ""
        self._plays = plays
        self._counts: Counter[tuple[str, str, str, bool]] = Counter()
        self._asked: dict[tuple[str, str], list[str]] = defaultdict(list)

    def asked(self, client: str, scenario: str) -> list[str]:
        """The tiers this client's scenario had answer, in order."""
        return self._asked[client, scenario]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it is kept as long as replies end properly."""
        try:
            while (raw := await _request(reader)) is not None:
                reply = self._reply(raw)
                await _send(reply, writer)
                if reply.ending != "whole":
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # whoever asked has left, or all is over, which Python 3.11 takes for a bug
        finally:
            writer.close()

    def _reply(self, raw: bytes) -> Reply:
        found = MARK.search(raw)
        if found is None:
            return Reply([b'{"object": "list", "data": []}'])
        client, scenario = (part.decode() for part in found.groups())
        body = orjson.loads(raw)
        tier = body["model"].removeprefix("model-")
        name = ((body.get("response_format") or {}).get("json_schema") or {}).get("name")
        key = (client, scenario, tier, name == "verdict")
        asked = Asked(tier, name == "verdict", body, self._counts[key])
        self._counts[key] += 1
        if not asked.judging:
            self._asked[client, scenario].append(tier)
        return self._plays[scenario](asked)


@asynccontextmanager
async def upstream(plays: dict[str, Play]) -> AsyncGenerator[Upstream, None]:
    """The provider on loopback; `url` is its base URL."""
    playing = Upstream(plays)
    server = await asyncio.start_server(playing.serve, "127.0.0.1", 0)
    playing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield playing
    finally:
        server.close()


async def _request(reader: asyncio.StreamReader) -> bytes | None:
    """The next request's body; None once the connection is closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return await reader.readexactly(int(length[1])) if length else b""
    except asyncio.IncompleteReadError:
        return None


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(reply.first_after_s)
    head = (
        f"HTTP/1.1 {reply.status} Scripted",
        f"content-type: {reply.content_type}",
        "transfer-encoding: chunked",
        *reply.headers,
    )
    writer.write("\r\n".join((*head, "", "")).encode())
    for piece in reply.pieces:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(reply.pause_s)
    if reply.ending == "whole":
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    elif reply.ending == "reset":
        # Closing with a linger time of 0 sends an RST instead of a FIN.
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
