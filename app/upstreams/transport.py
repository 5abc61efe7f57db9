"""The fast transport under httpx's API, and its errors in our words.

httpx's own pool costs several times the CPU of a whole pass-through request; aiohttp's does not.
The package `httpx-aiohttp` joins the two as well, but reports refused connections, a full pool and
a provider that died after it had received the request all as `ConnectTimeout`.
"""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
import httpx
from typing_extensions import override

from app.addresses import Addresses
from app.errors import (
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamError,
    UpstreamStaleError,
    UpstreamTimeoutError,
    UpstreamUntrustedError,
)
from app.upstreams.resolver import CheckedResolver

HEADER_BYTES = 64 * 1024
FRESH = "autoshift.fresh"
"""The request's extension that asks for a new connection."""
CONNECTION = "autoshift.connection"
"""The request's extension with the `Connection` in which what becomes known of it is noted."""

STALE_S = 1.0
"""A kept connection that breaks off this soon was closed before the request arrived: later, and the
provider may have been at work on it."""


@dataclass(slots=True)
class Connection:
    """What is known about the connection that a request goes over."""

    kept: bool = False
    established: bool = False
    started_s: float = field(default_factory=time.monotonic)


def translate(exc: Exception, who: str, connection: Connection | None = None) -> UpstreamError:
    """Our error for what the transport raised; `who` is the provider's name.

    `connection`: not a byte had come over it.
    """
    match exc:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return UpstreamUntrustedError(f"{who}: its TLS certificate was not accepted")
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return UpstreamConnectError(f"{who}: no connection could be made")
        case aiohttp.ServerTimeoutError():
            return UpstreamTimeoutError(f"{who}: it was silent for too long")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() if _stale(connection):
            return UpstreamStaleError(f"{who}: it had closed the connection meanwhile")
        case _:
            return UpstreamBrokenError(f"{who}: the connection broke off")


def _stale(connection: Connection | None) -> bool:
    if connection is None or not connection.kept:
        return False
    return time.monotonic() - connection.started_s < STALE_S


class Transport(httpx.AsyncBaseTransport):
    """Connections to all providers: kept, unless a request wants a new one.

    No cookies, no redirects, no proxy variables. `allowed` says, by host name, which addresses it
    may have. Errors: aiohttp's own; see `translate`.
    """

    def __init__(self, allowed: Mapping[str, Addresses] | None = None) -> None:
        self._allowed = allowed or {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, its body unread. Units: the extension `timeout` has seconds."""
        answer = await self._session(fresh=bool(request.extensions.get(FRESH))).request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            data=await request.aread() or None,
            allow_redirects=False,
            trace_request_ctx=request.extensions.get(CONNECTION),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=request.extensions["timeout"]["connect"]
            ),
        )
        return httpx.Response(
            answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request
        )

    @override
    async def aclose(self) -> None:
        """Close what is open."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _session(self, *, fresh: bool) -> aiohttp.ClientSession:
        # Not made beforehand: a session belongs to the loop it is made in.
        session = self._sessions.get(fresh)
        if session is None:
            session = self._sessions[fresh] = _session(self._allowed, force_close=fresh)
        return session


class _Body(httpx.AsyncByteStream):
    """A response's body, as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    @override
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.content.iter_any()

    @override
    async def aclose(self) -> None:
        """Give the connection back; where not all of the body was read, aiohttp closes it."""
        self._answer.release()


def _session(
    allowed: Mapping[str, Addresses], *, force_close: bool = False
) -> aiohttp.ClientSession:
    keeping = {"force_close": True} if force_close else {"keepalive_timeout": 60}
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=CheckedResolver(allowed), **keeping),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("accept", "accept-encoding", "user-agent"),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        trace_configs=[_tracing()],
    )


def _tracing() -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()

    async def on_reuse(_: object, about: SimpleNamespace, __: object) -> None:
        if about.trace_request_ctx is not None:
            about.trace_request_ctx.kept = about.trace_request_ctx.established = True

    async def on_made(_: object, about: SimpleNamespace, __: object) -> None:
        if about.trace_request_ctx is not None:
            about.trace_request_ctx.established = True

    tracing.on_connection_reuseconn.append(on_reuse)
    tracing.on_connection_create_end.append(on_made)
    return tracing
