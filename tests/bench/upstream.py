"""A provider that costs next to nothing: it answers any chat request from prepared bytes.

Run as a process of its own. `GET /counts` tells how many answers, verdicts and chunks it gave.
A request says how it wants to be answered in its own text: `wait=<ms>` before the first byte,
`gap=<ms>` between chunks.
"""

import asyncio
import re
import sys
from typing import cast

import orjson
import uvloop
from typing_extensions import override

WORDS = 64
ANSWER = "word " * 80  # 400 characters
_WAIT = re.compile(rb"wait=(\d+)")
_GAP = re.compile(rb"gap=(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def completion(text: str) -> bytes:
    """A whole reply, headers included."""
    body = orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "scripted",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 150, "completion_tokens": 100, "total_tokens": 250},
        }
    )
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


def event(delta: dict[str, str], finish: str | None = None, **more: object) -> bytes:
    """One chunk of a stream, framed as HTTP wants it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
        "choices": [choice],
        **more,
    }
    return framed(b"data: " + orjson.dumps(chunk) + b"\n\n")


def framed(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


PLAIN = completion(ANSWER)
VERDICT = completion('{"verdict": "VALID"}')
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
FIRST = event({"role": "assistant", "content": "word "})
NEXT = event({"content": "word "})
LAST = (
    event({}, "stop")
    + framed(
        b"data: "
        + orjson.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "scripted",
                "choices": [],
                "usage": {"prompt_tokens": 150, "completion_tokens": 64, "total_tokens": 214},
            }
        )
        + b"\n\n"
    )
    + framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other."""

    counts = {"answers": 0, "verdicts": 0, "streams": 0, "chunks": 0}  # noqa: RUF012 - shared on purpose

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio says it."""
        self._transport = cast(asyncio.WriteTransport, transport)

    @override
    def data_received(self, data: bytes) -> None:
        """Answer when a whole request is here."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if length and len(body) < int(length[1]):
            return
        self._received = b""
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET"):
            told = orjson.dumps(self.counts)
            self._write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(told) + told)
            return
        loop = asyncio.get_running_loop()
        wait = _WAIT.search(body)
        wait_s = int(wait[1]) / 1000 if wait else 0.0
        if b"You check the work" in body:
            self.counts["verdicts"] += 1
            reply = VERDICT
        elif b'"stream":true' in body:
            gap = _GAP.search(body)
            loop.call_later(wait_s, self._stream, WORDS, int(gap[1]) / 1000 if gap else 0.0)
            return
        else:
            self.counts["answers"] += 1
            reply = PLAIN
        if wait_s:
            loop.call_later(wait_s, self._write, reply)
        else:
            self._write(reply)

    def _stream(self, left: int, gap_s: float) -> None:
        if left == WORDS:
            self.counts["streams"] += 1
            self._write(STREAM_HEAD + FIRST)
        elif left:
            self._write(NEXT)
        else:
            self._write(LAST)
            return
        self.counts["chunks"] += 1
        asyncio.get_running_loop().call_later(gap_s, self._stream, left - 1, gap_s)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def main() -> None:
    """Serve on any free port until terminated."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(f"the provider listens on http://{host}:{port}", file=sys.stderr, flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
