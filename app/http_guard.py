"""HTTP/1.1 as uvicorn speaks it, with the limits and the strictness that it lacks."""

import asyncio
import logging
import re
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn

import httptools
import uuid_utils
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.refusals import (
    MALFORMED,
    ONE_CODING,
    ONE_HOST,
    OTHER_HOST,
    Refusal,
    headers_too_large,
    url_too_long,
)

logger = logging.getLogger(__name__)

_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)/", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one connection may take.

    `head_s`: for everything before a body. `reader_s`: how long a client may leave its reply
    unread. `linger_s`: how long a refused client may take to read why.
    """

    url_bytes: int = 8 * 1024
    header_bytes: int = 64 * 1024
    headers: int = 100
    head_s: float = 10.0
    reader_s: float = 30.0
    linger_s: float = 2.0


class _RefusedError(Exception):
    """Ends the parser's work inside one of its callbacks."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection. What waits on the client has a timer, and what it sends has a limit."""

    limits = HttpLimits()

    _received = b""
    _asked = False
    _head_open = False
    _body_open = False
    _header_bytes = 0
    _barren_bytes = 0
    _refusal = MALFORMED
    _refused = False
    _patience: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _unread_bytes = 0

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._be_patient(self.limits.head_s)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self._reading is not None:
            self._reading.cancel()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._received = data
        self._barren_bytes += len(data)
        super().data_received(data)
        if self._ended():
            return
        unfinished = self._head_open or self._body_open
        if unfinished and self._barren_bytes > self.limits.url_bytes + self.limits.header_bytes:
            # The parser shows a header only when it is whole: an endless one has to be seen here.
            self._refuse(headers_too_large(self.limits.header_bytes, self.limits.headers))
            return
        if not self._busy():
            self._wait()

    def _ended(self) -> bool:
        return self._refused or self.transport.is_closing()

    # The parser's callbacks

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_open = True
        self._barren_bytes = self._header_bytes = 0

    @override
    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._stop(url_too_long(self.limits.url_bytes))

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_open:
            return  # A trailer must not become a header of a request that is being served.
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value) + 4
        limits = self.limits
        if len(self.headers) > limits.headers or self._header_bytes > limits.header_bytes:
            self._stop(headers_too_large(limits.header_bytes, limits.headers))

    @override
    def on_headers_complete(self) -> None:
        self._check_head()
        if self.parser.should_upgrade():
            return
        self._head_open, self._body_open = False, True
        self._stop_waiting()
        self._barren_bytes = 0
        super().on_headers_complete()
        self._asked = True

    @override
    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._barren_bytes = 0

    @override
    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._body_open = False
        super().on_message_complete()

    def _check_head(self) -> None:
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._stop(ONE_HOST)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:
            self._stop(ONE_CODING)
        if not self.url.startswith(b"/"):
            absolute = _ABSOLUTE.match(self.url)
            if absolute is None or [absolute[1].lower()] != [host.lower() for host in hosts]:
                self._stop(OTHER_HOST)

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Serve the request as if it had not offered another protocol.

        The parser takes its body for that protocol. Java's client offers HTTP/2 in this way, with
        the first request to every `http:` address.
        """
        paused = sys.exception()
        offset = paused.args[0] if paused is not None else len(self._received)
        lines = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip().lower() for token in value.split(b",")]
                lines += [b"connection: close"] if b"close" in tokens else []
            elif name not in {b"upgrade", b"http2-settings"}:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        super().data_received(b"\r\n".join([*lines, b"", self._received[offset:]]))

    def _stop(self, refusal: Refusal) -> NoReturn:
        self._refusal = refusal
        raise _RefusedError

    # Refusals

    @override
    def send_400_response(self, msg: str) -> None:
        """The parser has stopped, on its own or by `_stop`."""
        self._refuse(self._refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Reply, then wait for the client to read it: closing at once would reset the connection.

        Where another reply is on its way nothing may be put into it, so the connection is cut.
        """
        self._refused = True
        if not self._may_reply():
            self.transport.abort()
            return
        if self._body_open:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.write(self._reply(refusal))
        self.transport.write_eof()
        self._stop_waiting()
        self._be_patient(self.limits.linger_s)

    def _may_reply(self) -> bool:
        if self._body_open:
            return not self.pipeline and not self.cycle.response_started
        return not self._busy()

    def _reply(self, refusal: Refusal) -> bytes:
        request_id = (b"x-request-id", str(uuid_utils.uuid7()).encode())
        fields = [*self.server_state.default_headers, *refusal.headers(), request_id]
        status = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}".encode()
        return b"\r\n".join([status, *(b"%s: %s" % field for field in fields), b"", refusal.body()])

    # Timers

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch_reader()
        if not self._busy() and not self.transport.is_closing():
            self._wait()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def _busy(self) -> bool:
        """Whether a request is being served, so that what the client sends next can wait."""
        if not self._asked:
            return False
        return bool(self.pipeline) or not self.cycle.response_complete

    def _wait(self) -> None:
        """Nothing is to be done but to wait for the client: for a request, or for its rest."""
        if self._head_open or self._body_open:
            self._be_patient(self.limits.head_s)
            return
        self._stop_waiting()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _be_patient(self, wait_s: float) -> None:
        if self._patience is None:
            self._patience = self.loop.call_later(wait_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _watch_reader(self) -> None:
        if self._reading is None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._reading = self.loop.call_later(self.limits.reader_s, self._check_reader)

    def _check_reader(self) -> None:
        """Cut the connection if the client has read nothing since the watch began.

        A paused reply is not added to, so bytes that are as many as before are the same ones.
        """
        self._reading = None
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes and unread_bytes == self._unread_bytes:
            logger.info("a client stopped reading", extra={"unread_bytes": unread_bytes})
            self.transport.abort()
        elif unread_bytes:
            self._watch_reader()
