"""Whom to ask, and whom next: a tier's upstreams in turn, and one call more where that may help.

All of it before the first byte only: what has begun to arrive is never asked for again.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from app.errors import (
    UpstreamDownError,
    UpstreamError,
    UpstreamMissingError,
    UpstreamRejectedError,
    UpstreamStaleError,
)
from app.jsontext import Json
from app.tiers import Tier, Timeouts
from app.upstreams.breaker import CircuitBreaker
from app.upstreams.client import Forwarded, Upstream
from app.upstreams.inflight import InFlightLimit
from app.upstreams.retries import RetryBudget


class CallMeter(Protocol):
    """Whoever counts the calls; `upstream` is a name from the configuration."""

    def called(self, upstream: str) -> None:
        """A call was made."""
        ...

    def failed(self, upstream: str, code: str | None) -> None:
        """A call failed."""
        ...

    def retried(self, upstream: str) -> None:
        """It is called once more."""
        ...

    def failed_over(self, upstream: str) -> None:
        """Another upstream of the tier is asked instead."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One upstream: a provider, the model to ask it for (None: the client names it), its state."""

    name: str
    model: str | None
    upstream: Upstream
    breaker: CircuitBreaker


@dataclass(frozen=True, slots=True)
class Exchange:
    """`tiers` are each tier's lines in turn, `places` how many calls it may have at once.

    `patience` says how long an endpoint is waited for.
    """

    tiers: Mapping[str, Sequence[Line]]
    places: Mapping[str, InFlightLimit]
    endpoints: Mapping[str, Line]
    patience: Mapping[str, Timeouts]
    budget: RetryBudget
    meter: CallMeter

    async def complete(self, tier: Tier, body: Json) -> AsyncGenerator[Json, None]:
        """The tier's answer to this body: chunks of a stream, or one completion.

        Errors: UpstreamError; UpstreamDownError and UpstreamBusyError where nobody was asked.
        """
        turns = _Turns(self.tiers[tier.name], self.budget, self.meter)
        limit = self.places.get(tier.name)
        async with nullcontext() if limit is None else limit.place():
            while True:
                line, began = turns.line(), False
                sent = {**body, "model": line.model}
                source = line.upstream.complete(sent, tier.timeouts, fresh=turns.fresh)
                try:
                    with line.breaker.watch() as answered:
                        async with aclosing(source) as chunks:
                            async for chunk in chunks:
                                if not began:
                                    began = True
                                    answered()
                                yield chunk
                except UpstreamError as exc:
                    if not await turns.another(exc, began=began):
                        raise
                else:
                    return

    @asynccontextmanager
    async def forward(self, endpoint: str, raw: bytes) -> AsyncGenerator[Forwarded, None]:
        """What the endpoint's provider says to this body. Errors: as `Upstream.forward`."""
        turns = _Turns((self.endpoints[endpoint],), self.budget, self.meter)
        timeouts = self.patience[endpoint]
        while True:
            line, began = turns.line(), False
            source = line.upstream.forward(endpoint, raw, timeouts, fresh=turns.fresh)
            try:
                # Here it is the client who names the model.
                with line.breaker.watch(excused=UpstreamMissingError) as answered:
                    async with source as answer:
                        began = True
                        answered()
                        yield answer
            except UpstreamError as exc:
                if not await turns.another(exc, began=began):
                    raise
            else:
                return

    def is_left_alone(self, tier: str) -> bool:
        """Whether every upstream of the tier is, by its circuit breaker."""
        return all(line.breaker.state == "open" for line in self.tiers[tier])

    def states(self) -> dict[str, str]:
        """Of each upstream's circuit breaker, by its name."""
        lines = [line for tier in self.tiers.values() for line in tier]
        return {line.name: line.breaker.state for line in (*lines, *self.endpoints.values())}


class _Turns:
    """Whose turn it is during one hop, and whether over a `fresh` connection."""

    def __init__(self, lines: Sequence[Line], budget: RetryBudget, meter: CallMeter) -> None:
        self._waiting = list(lines)
        self._budget = budget
        self._meter = meter
        self._again: Line | None = None
        self._asked: Line | None = None
        self._retried = False
        self.fresh = False

    def line(self) -> Line:
        """Whom to ask now. Errors: UpstreamDownError where everyone is to be left alone."""
        chosen = self._again or self._next()
        self._asked, self._again = chosen, None
        self._meter.called(chosen.name)
        return chosen

    async def another(self, exc: UpstreamError, *, began: bool) -> bool:
        """After this failure: whether there is another turn, which it waits for.

        The failure is raised again by who caught it: from here, it would lead to a frame that leads
        to it, and all that the request has held would stay until the garbage collector comes.
        """
        asked = self._asked
        assert asked is not None  # noqa: S101 - nobody else can have failed
        self._meter.failed(asked.name, type(exc).code)
        if began or isinstance(exc, UpstreamRejectedError):
            return False
        if isinstance(exc, UpstreamStaleError) and not self.fresh:
            # Nothing was asked of it yet, and it has just answered before: this is no load.
            self._again, self.fresh, self._retried = asked, True, True
        elif any(line.breaker.admits for line in self._waiting):
            self._meter.failed_over(asked.name)
            self.fresh = False
            return True
        elif not await self._retry(asked, exc):
            return False
        self._meter.retried(asked.name)
        return True

    async def _retry(self, asked: Line, exc: UpstreamError) -> bool:
        wait_s = None if self._retried else self._budget.withdraw(exc)
        if wait_s is None:
            return False
        await asyncio.sleep(wait_s)
        if not asked.breaker.admits:
            return False
        self._again, self._retried = asked, True
        return True

    def _next(self) -> Line:
        downs: list[UpstreamDownError] = []
        while self._waiting:
            line = self._waiting.pop(0)
            if line.breaker.admits:
                return line
            downs.append(line.breaker.down())
        raise min(downs, key=lambda down: down.retry_after_s or 0.0)
