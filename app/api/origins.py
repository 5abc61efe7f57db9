"""Who may ask from inside a browser: the Host that is served, and the origins that may read."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body import send_refusal
from app.refusals import host_not_allowed

PREFLIGHT_S = 600
METHODS = "GET, POST, DELETE"
EXPOSED = ", ".join(
    (
        *("x-request-id", "openai-processing-ms", "retry-after", "retry-after-ms"),
        *("x-should-retry", "x-autoshift-decision", "x-autoshift-tier", "x-autoshift-cost-usd"),
        *("x-autoshift-verified", "x-autoshift-degraded", "x-autoshift-dropped"),
        *("x-autoshift-simulated", "x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"),
        *("x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"),
        *("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"),
    )
)

_PORT = re.compile(rb":\d+$")
_LOOPBACK_HOST = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)


class Hosts:
    """Serves this machine's own names, and `names`, under any port.

    Others are refused: a page can let its own resolve to this machine (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower().encode() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what names one of them; HTTP/1.0 may name nobody, and no browser speaks it."""
        fields = scope["headers"] if scope["type"] == "http" else ()
        for name, host in fields:
            if name == b"host" and not self._serves(host):
                await send_refusal(send, host_not_allowed(host.decode("latin-1")))
                return
        await self._app(scope, receive, send)

    def _serves(self, host: bytes) -> bool:
        named = _PORT.sub(b"", host.lower())
        return named in self._names or _LOOPBACK_HOST.fullmatch(host) is not None


class Cors:
    """Lets pages of the listed origins ask, and read the replies.

    Source: WHATWG Fetch, "CORS protocol". Requested headers are echoed, since `*` does not cover
    `authorization`, and OpenAI's client in a browser sends some ten of its own.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A preflight is answered here, without a key; any other request is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        origin = asked.get("origin")
        if origin not in self._origins:
            origin = None
        if origin and scope["method"] == "OPTIONS" and "access-control-request-method" in asked:
            await send(_preflight(origin, asked))
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                if origin is not None:
                    headers["access-control-allow-origin"] = origin
                    headers["access-control-expose-headers"] = EXPOSED
            await send(message)

        await self._app(scope, receive, send_readable)


def _preflight(origin: str, asked: Headers) -> Message:
    headers = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": METHODS,
        "access-control-max-age": str(PREFLIGHT_S),
        "vary": "Origin, Access-Control-Request-Headers",
    }
    wanted = asked.get("access-control-request-headers")
    if wanted:
        headers["access-control-allow-headers"] = wanted
    return {
        "type": "http.response.start",
        "status": 204,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
