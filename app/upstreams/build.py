"""Upstreams, and all that stands between them and a request, made as configured."""

from collections.abc import Callable, Mapping
from typing import Protocol

import httpx

from app.clock import Clock
from app.errors import OverloadedError, UpstreamBusyError
from app.settings import Settings
from app.settings.configuration import secret
from app.settings.keys import Limits
from app.tiers import Timeouts
from app.upstreams.access import access_of
from app.upstreams.breaker import CircuitBreaker
from app.upstreams.client import Upstream
from app.upstreams.inflight import InFlightLimit
from app.upstreams.retries import RetryBudget
from app.upstreams.transport import Transport
from app.upstreams.turns import CallMeter, Exchange, Line


class ShedMeter(CallMeter, Protocol):
    """Whoever counts what is turned away as well."""

    def shed(self, what: str) -> None:
        """A request, say, was turned away."""
        ...


def build_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """The connections to these providers."""
    return Transport({p.host: p.addresses for p in settings.providers.values()})


def build_upstreams(settings: Settings, transport: httpx.AsyncBaseTransport) -> dict[str, Upstream]:
    """One upstream a provider, by its name.

    Errors: SettingsError where a provider's key is missing from the environment.
    """
    return {
        name: Upstream(
            name=name,
            access=access_of(provider, secret(provider.api_key_env, wanted_by=f"providers.{name}")),
            transport=transport,
        )
        for name, provider in settings.providers.items()
    }


def build_exchange(
    settings: Settings,
    transport: httpx.AsyncBaseTransport,
    budget: RetryBudget,
    meter: CallMeter,
    clock: Clock,
) -> Exchange:
    """Everyone who can be asked. Errors: as `build_upstreams`."""
    upstreams = build_upstreams(settings, transport)
    ladder: dict[str, Line] = {}
    for tier in settings.tiers:
        for each in tier.upstreams:
            # What fails is mostly a model, not all that its provider has.
            may_open = _without(ladder, each.name)
            breaker = CircuitBreaker(each.name, settings.breaker, clock, may_open)
            line = Line(each.name, each.model, upstreams[each.provider], breaker)
            ladder.setdefault(each.name, line)
    endpoints: dict[str, Line] = {
        endpoint: Line(
            f"{provider}/{endpoint}",
            None,
            upstreams[provider],
            CircuitBreaker(f"{provider}/{endpoint}", settings.breaker, clock),
        )
        for endpoint, provider in settings.passthrough.items()
    }
    return Exchange(
        tiers={
            tier.name: [ladder[each.name] for each in tier.upstreams] for tier in settings.tiers
        },
        places={
            tier.name: _tier_limit(tier.name, tier.in_flight, settings.limits)
            for tier in settings.tiers
            if tier.in_flight is not None
        },
        endpoints=endpoints,
        patience=_patience(settings),
        budget=budget,
        meter=meter,
    )


def build_limit(limits: Limits, budget: RetryBudget, meter: ShedMeter) -> InFlightLimit:
    """How many requests the gateway serves at once."""

    def full(in_flight: int) -> OverloadedError:
        meter.shed("request")
        return OverloadedError(f"load shed: {in_flight} requests are in flight; try again")

    return InFlightLimit(
        places=limits.in_flight,
        waiting=limits.waiting,
        waiting_s=limits.waiting_s,
        full=full,
        admitted=budget.request,
    )


def _without(ladder: Mapping[str, Line], name: str) -> Callable[[], bool]:
    """Whether anyone else on the ladder may be asked."""
    return lambda: any(
        line.breaker.state == "closed" for other, line in ladder.items() if other != name
    )


def _tier_limit(tier: str, places: int, limits: Limits) -> InFlightLimit:
    return InFlightLimit(
        places=places,
        waiting=limits.waiting,
        waiting_s=limits.waiting_s,
        full=lambda in_flight: UpstreamBusyError(f"{tier}: {in_flight} calls are in flight"),
    )


def _patience(settings: Settings) -> dict[str, Timeouts]:
    """How long each forwarded endpoint is waited for: as its provider's most patient tier."""
    longest = {
        each.provider: tier.timeouts
        for tier in sorted(settings.tiers, key=lambda tier: tier.timeouts.first_byte_s)
        for each in tier.upstreams
    }
    return {
        endpoint: longest.get(provider, Timeouts())
        for endpoint, provider in settings.passthrough.items()
    }
