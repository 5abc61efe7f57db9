"""A key's limits at the door: requests a minute, and at once; how they stand, as headers."""

from contextlib import suppress
from dataclasses import replace

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts.keyring import Caller
from app.accounts.limiter import Limiter, Stand
from app.accounts.purse import token_total
from app.api.render import raw_headers
from app.errors import CountsDownError, RateLimitedError
from app.settings.keys import KeyLimits

UNLIMITED = KeyLimits()
SOON_S = 1.0
READS_PER_MINUTE = 60
"""A key with a limit may read as often as it may ask, and at least so often: a page looks anew."""
ADMITTED = "autoshift.caller"
"""Where a request's scope says who was let in."""
DEGRADED = b"x-autoshift-degraded"


class Admission:
    """Lets requests through to a route. Those that only read are counted apart."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def serve(
        self, app: ASGIApp, caller: Caller, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Errors: RateLimitedError, before the route has seen the request."""
        scope[ADMITTED] = caller
        if caller.limits == UNLIMITED:
            await app(scope, receive, send)
            return
        if scope["method"] == "GET":
            await self._count_read(caller)
            await app(scope, receive, send)
            return
        counted = True

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = await self._told(caller)
                if not counted and all(name != DEGRADED for name, _ in message["headers"]):
                    told[DEGRADED.decode()] = "limiter"
                message["headers"] = [*message["headers"], *raw_headers(told)]
            await send(message)

        concurrent = caller.limits.concurrent
        with self._limiter.counted(caller.name, concurrent) as has_place:
            if not has_place:
                raise RateLimitedError(
                    f"this key may have {concurrent} requests under way; wait until one is done",
                    retry_after_s=SOON_S,
                    limits=await self._told(caller),
                )
            counted = await self._count(caller)
            scope[ADMITTED] = replace(caller, counted=counted)
            await app(scope, receive, send_told)

    async def _count(self, caller: Caller) -> bool:
        """Whether it is; where nobody can count, to serve too many harms less than to serve none.

        Errors: RateLimitedError.
        """
        per_minute = caller.limits.requests_per_minute
        if per_minute is None:
            return True
        try:
            await self._hit(caller, _rate_of(caller), "ask", per_minute)
        except CountsDownError:
            return False
        return True

    async def _count_read(self, caller: Caller) -> None:
        """Errors: RateLimitedError."""
        if caller.limits.requests_per_minute is None:
            return
        per_minute = max(READS_PER_MINUTE, caller.limits.requests_per_minute)
        with suppress(CountsDownError):
            await self._hit(caller, f"reads_per_minute:{caller.name}", "read", per_minute)

    async def _hit(self, caller: Caller, rate: str, does: str, per_minute: int) -> None:
        """Count one more. Errors: RateLimitedError where it is one too many; CountsDownError."""
        if await self._limiter.hit(rate, per_minute):
            return
        stand = await self._limiter.rate(rate, per_minute)
        raise RateLimitedError(
            f"this key may {does} {per_minute} times a minute; wait a little",
            retry_after_s=max(SOON_S, stand.reset_s),
            limits=await self._told(caller),
        )

    async def _told(self, caller: Caller) -> dict[str, str]:
        """Source: OpenAI's rate limit headers."""
        per_minute, tokens = caller.limits.requests_per_minute, token_total(caller)
        try:
            told: dict[str, str] = {}
            if per_minute is not None:
                stand = await self._limiter.rate(_rate_of(caller), per_minute)
                told |= _headers("requests", stand)
            if tokens is not None:
                told |= _headers("tokens", await self._limiter.stand(tokens))
        except CountsDownError:
            return {}
        return told


def _rate_of(caller: Caller) -> str:
    return f"requests_per_minute:{caller.name}"


def _headers(what: str, stand: Stand) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(stand.most),
        f"x-ratelimit-remaining-{what}": str(stand.left),
        f"x-ratelimit-reset-{what}": _duration(stand.reset_s),
    }


def _duration(seconds: float) -> str:
    """As OpenAI writes it: 12ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{1000 * seconds:.0f}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:.3g}s"
