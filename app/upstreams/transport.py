"""The fast transport under httpx's API, and its errors in our words.

httpx's own pool costs several times the CPU of a whole pass-through request; aiohttp's does not.
`httpx-aiohttp` reports refused connections, a full pool and a provider that died after it had
received the request all as `ConnectTimeout`, so errors are told apart by their cause.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
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

STALE_S = 1.0
"""A kept connection that breaks off this soon was closed before the request arrived: later, and the
provider may have been at work on it."""


@dataclass(slots=True)
class Connection:
    """What is known about the connection that a request goes over."""

    kept: bool = False
    started_s: float = field(default_factory=time.monotonic)


_current: ContextVar[Connection] = ContextVar("connection")


def build_client(allowed: Mapping[str, Addresses] | None = None) -> httpx.AsyncClient:
    """One client for all providers: keep-alive, no cookies, no redirects, no proxy variables.

    `allowed` says, by host name, which addresses it may have.
    """
    return httpx.AsyncClient(
        transport=_Transport(allowed or {}),
        # Both libraries keep cookies of their own; see _session.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity", "user-agent": "autoshift"},
    )


@contextmanager
def following() -> Iterator[Connection]:
    """What becomes known about the connection of the request that is sent inside."""
    connection = Connection()
    token = _current.set(connection)
    try:
        yield connection
    finally:
        _current.reset(token)


def translate(exc: Exception, who: str, connection: Connection | None = None) -> UpstreamError:
    """Our error for what the transport raised; `who` is the provider's name.

    `connection`: not a byte had come over it.
    """
    cause = exc if isinstance(exc, aiohttp.ClientError) else exc.__cause__ or exc
    match cause:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return UpstreamUntrustedError(f"{who}: its TLS certificate was not accepted")
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return UpstreamConnectError(f"{who}: no connection could be made")
        case httpx.ConnectError() | httpx.UnsupportedProtocol():
            return UpstreamConnectError(f"{who}: no connection could be made")
        case aiohttp.ServerTimeoutError() | httpx.TimeoutException():
            return UpstreamTimeoutError(f"{who}: it was silent for too long")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() if _stale(connection):
            return UpstreamStaleError(f"{who}: it had closed the connection meanwhile")
        case _:
            return UpstreamBrokenError(f"{who}: the connection broke off")


def _stale(connection: Connection | None) -> bool:
    if connection is None or not connection.kept:
        return False
    return time.monotonic() - connection.started_s < STALE_S


class _Transport(httpx.AsyncBaseTransport):
    """Kept connections, unless a request wants a new one."""

    def __init__(self, allowed: Mapping[str, Addresses]) -> None:
        self._kept = AiohttpTransport(client=lambda: _session(allowed))
        self._new = AiohttpTransport(client=lambda: _session(allowed, force_close=True))

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, its body unread."""
        transport = self._new if request.extensions.get(FRESH) else self._kept
        return await transport.handle_async_request(request)

    @override
    async def aclose(self) -> None:
        """Close what is open."""
        await self._kept.aclose()
        await self._new.aclose()


def _session(
    allowed: Mapping[str, Addresses], *, force_close: bool = False
) -> aiohttp.ClientSession:
    keeping = {"force_close": True} if force_close else {"keepalive_timeout": 60}
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=CheckedResolver(allowed), **keeping),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        trace_configs=[_tracing()],
    )


def _tracing() -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()

    async def on_reuse(*_: object) -> None:
        _current.get().kept = True

    tracing.on_connection_reuseconn.append(on_reuse)
    return tracing
