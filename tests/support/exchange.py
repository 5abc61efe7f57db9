"""Calls to a scripted provider that are made once, whatever has failed before."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from random import Random

from prometheus_client import CollectorRegistry

from app.clock import SystemClock
from app.settings.pressure import BreakerSection, RetriesSection
from app.telemetry.traffic import Traffic
from app.tiers import Tier
from app.upstreams.access import Access
from app.upstreams.breaker import CircuitBreaker
from app.upstreams.client import Upstream
from app.upstreams.retries import RetryBudget
from app.upstreams.transport import Transport
from app.upstreams.turns import Exchange, Line

NEVER = {"in_a_row": 10**9, "calls": 10**9}
"""A circuit breaker's settings that keep it closed."""
NO_RETRIES = {"share": 0, "per_s": 0}


@asynccontextmanager
async def plain_exchange(url: str, tiers: Iterable[Tier]) -> AsyncGenerator[Exchange, None]:
    """An exchange in which the provider at this address answers for all tiers."""
    clock = SystemClock()
    async with Transport() as transport:
        upstream = Upstream(name="scripted", access=Access(url), transport=transport)
        lines = {
            tier.name: [
                Line(
                    f"scripted/{tier.model}",
                    tier.model,
                    upstream,
                    CircuitBreaker(tier.name, BreakerSection(**NEVER), clock),
                )
            ]
            for tier in tiers
        }
        budget = RetryBudget(RetriesSection(**NO_RETRIES), clock, Random(1))  # noqa: S311
        traffic = Traffic(CollectorRegistry())
        yield Exchange(lines, {}, {}, {}, budget, traffic)
