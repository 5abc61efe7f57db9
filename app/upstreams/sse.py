"""Reading server-sent events: bytes in any slices, data payloads out.

Source: WHATWG HTML, "Server-sent events"; only `data` matters to this protocol. A byte-order mark,
CRLF, several `data` lines an event and a missing last blank line are all accepted.
"""

from app.errors import UpstreamBrokenError

EVENT_BYTES = 8 * 1024 * 1024


class SseDecoder:
    """Feed it bytes; it gives the data of each event that is complete."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._started = False

    def feed(self, received: bytes) -> list[bytes]:
        """Units: bytes of UTF-8. Errors: UpstreamBrokenError over 8 MiB an event."""
        if b"\n" not in received and b"\r" not in received and not self._held():
            # A long line comes in many pieces: they are joined once.
            self._keep(received)
            return []
        received = b"".join((*self._rest, received))
        if b"\r" in received:
            # A CR at the very end may be the first half of a CRLF.
            held = received.endswith(b"\r")
            body = received[:-1] if held else received
            received = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\r" * held
        *lines, rest = received.split(b"\n")
        events = [event for line in lines if (event := self._line(line)) is not None]
        self._rest, self._rest_bytes = [], 0
        self._keep(rest)
        return events

    def end(self) -> list[bytes]:
        """What is left when the body ends without a last blank line."""
        lines = (b"".join(self._rest).removesuffix(b"\r"), b"")
        last = [event for line in lines if (event := self._line(line)) is not None]
        self._rest, self._rest_bytes = [], 0
        return last

    def _held(self) -> bool:
        return bool(self._rest) and self._rest[-1].endswith(b"\r")

    def _keep(self, rest: bytes) -> None:
        self._rest.append(rest)
        self._rest_bytes += len(rest)
        if self._rest_bytes + self._data_bytes > EVENT_BYTES:
            raise UpstreamBrokenError("the provider sent an event of more than 8 MiB")

    def _line(self, line: bytes) -> bytes | None:
        if not self._started:
            line, self._started = line.removeprefix(b"\xef\xbb\xbf"), True
        if not line:
            data, self._data, self._data_bytes = b"\n".join(self._data), [], 0
            return data or None
        if line.startswith(b"data:"):
            value = line[5:].removeprefix(b" ")
            self._data.append(value)
            self._data_bytes += len(value)
        return None
