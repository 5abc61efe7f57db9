"""The fast transport under httpx's API, and its errors in our words.

httpx's own pool costs several times the CPU of a whole pass-through request; aiohttp's does not.
`httpx-aiohttp` reports refused connections, a full pool and a provider that died after it had
received the request all as `ConnectTimeout`, so errors are told apart by their cause.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from app.errors import (
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamError,
    UpstreamTimeoutError,
)

HEADER_BYTES = 64 * 1024


def build_client() -> httpx.AsyncClient:
    """One client for all providers: keep-alive, no cookies, no redirects, no proxy variables."""
    return httpx.AsyncClient(
        transport=AiohttpTransport(client=_session),
        # Both libraries keep cookies of their own; see _session.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
        headers={"accept-encoding": "identity", "user-agent": "autoshift"},
    )


def translate(exc: Exception, who: str) -> UpstreamError:
    """Our error for what the transport raised; `who` is the provider's name."""
    cause = exc if isinstance(exc, aiohttp.ClientError) else exc.__cause__ or exc
    match cause:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return UpstreamConnectError(f"{who}: its TLS certificate was not accepted")
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return UpstreamConnectError(f"{who}: no connection could be made")
        case httpx.ConnectError() | httpx.UnsupportedProtocol():
            return UpstreamConnectError(f"{who}: no connection could be made")
        case aiohttp.ServerTimeoutError() | httpx.TimeoutException():
            return UpstreamTimeoutError(f"{who}: it was silent for too long")
        case _:
            return UpstreamBrokenError(f"{who}: the connection broke off")


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
    )
