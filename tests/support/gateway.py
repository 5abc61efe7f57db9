"""A real gateway on loopback, in front of a scripted provider."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import httpx
from fastapi import FastAPI

from app.errors import StoreError
from app.main import create_app
from app.parts import Parts
from app.records import Record
from app.serving import serving
from app.settings.configuration import build_settings
from app.settings.keys import LOCAL
from app.store import Wanted
from tests.support.exchange import NEVER, NO_RETRIES
from tests.support.ledger import Given, Witness, acknowledged_in, discrepancies
from tests.support.provider import Provider, provider

Json: TypeAlias = dict[str, Any]
DEADLINE_S = 5.0


class Giver(Protocol):
    """Whoever answers for the tiers, and remembers what it gave."""

    url: str

    @property
    def given(self) -> Sequence[Given]:
        """Every answer."""
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway under test: where it is, what stands behind it, and a client in front of it."""

    url: str
    provider: Provider
    http: httpx.AsyncClient
    app: FastAPI
    witness: Witness

    async def ask(
        self, text: str = "What is 2 + 2?", headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """One chat request, `auto` unless said otherwise."""
        return await self.http.post(
            "/v1/chat/completions", json=chat(text, **more), headers=headers
        )

    async def decision(self, decision_id: str) -> Json:
        """What the gateway tells about a decision, as soon as it can."""
        found = await self.http.get(f"/v1/decisions/{decision_id}")
        assert found.status_code == 200, found.text
        decision: Json = found.json()
        return decision

    async def decision_of(self, response: httpx.Response) -> Json:
        """The decision behind this reply."""
        return await self.decision(response.headers["x-autoshift-decision"])


def chat(text: str = "What is 2 + 2?", **more: Any) -> Json:
    """The body of a chat request."""
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **more}


def configuration(
    base_url: str, store: Path, /, *, store_url: str | None = None, **more: Any
) -> Json:
    """Three tiers, `small`, `medium` and `large`, at one provider.

    The policy is the one whose every step a test can foresee, and what fails is not asked again nor
    left alone, nor a slow machine given up, unless a test is about just that.
    """
    tiers = [
        {
            "name": name,
            "provider": "scripted",
            "model": f"model-{name}",
            "price": {"input": price, "output": 4 * price},
            "prior": prior,
            "timeouts": {"connect_s": 30, "first_byte_s": 30, "idle_s": 30},
        }
        for name, price, prior in (("small", 1, 0.55), ("medium", 10, 0.65), ("large", 100, 0.9))
    ]
    return {
        "server": {"port": 0, "pre_stop_s": 0, "drain_s": 1},
        "providers": {"scripted": {"base_url": base_url}},
        "tiers": tiers,
        "policy": "llm_at",
        "retries": NO_RETRIES,
        "breaker": NEVER,
        "store": {"path": str(store), "url": store_url},
        "seed": 1,
        **more,
    }


@asynccontextmanager
async def gateway(
    store: Path, behind: Provider | None = None, **more: Any
) -> AsyncGenerator[Gateway, None]:
    """A gateway with these settings over the usual ones; its provider too unless one is given."""
    async with AsyncExitStack() as stack:
        if behind is None:
            behind = await stack.enter_async_context(provider())
        yield await stack.enter_async_context(_gateway(store, behind, behind, more))


@asynccontextmanager
async def gateway_before(
    giver: Giver, store: Path, /, **more: Any
) -> AsyncGenerator[Gateway, None]:
    """A gateway with these settings over the usual ones, before a provider of another kind."""
    async with _gateway(store, Provider(), giver, more) as gate:
        yield gate


@asynccontextmanager
async def _gateway(
    store: Path, behind: Provider, giver: Giver, more: Json
) -> AsyncGenerator[Gateway, None]:
    async with AsyncExitStack() as stack:
        app = create_app(build_settings(configuration(giver.url, store, **more)))
        await stack.enter_async_context(app.router.lifespan_context(app))
        listening = await stack.enter_async_context(serving(app, drain_s=1))
        witness = Witness(httpx.AsyncHTTPTransport(trust_env=False))
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=listening.url, timeout=15, trust_env=False, transport=witness
            )
        )
        yield Gateway(listening.url, behind, http, app, witness)
        if found := await _discrepancies(app, giver, witness):
            raise AssertionError("the ledger does not balance: " + "; ".join(found))


async def _discrepancies(app: FastAPI, behind: Giver, witness: Witness) -> list[str]:
    """What the logs of provider, clients, outbox and store do not agree on."""
    parts: Parts = app.state.parts
    exchanges = witness.exchanges
    tenants = sorted(app.state.in_force.rules.keyring.tenants | {LOCAL})
    kept: dict[str, list[Record]] = defaultdict(list)
    try:
        await parts.recorder.deliver()
        for tenant in tenants if exchanges else ():
            start, more = None, True
            while more:
                rows, start = await parts.store.scan(Wanted(tenant), start=start, limit=256)
                more = start is not None
                for row in rows:
                    kept[row.id] += [row.record] if row.record is not None else []
    except StoreError:
        # Then what was acknowledged is in the outbox, waiting or not yet forgotten.
        for decision in acknowledged_in(exchanges):
            found = (parts.outbox.get(decision, tenant=tenant) for tenant in tenants)
            kept[decision] = [record for record in found if record is not None]
    models = {
        tier.name: tier.models
        for tier in parts.ladder
        if {parts.settings.providers[each.provider].base_url for each in tier.upstreams}
        == {behind.url}
    }
    return discrepancies(exchanges, behind.given, kept, models=models, erased=witness.erased)


async def until(
    claim: Callable[[], bool] | Callable[[], Awaitable[bool]], within_s: float = DEADLINE_S
) -> None:
    """Wait for a condition, under a deadline.

    The machine may stand still for seconds, this process with it: that is not counted, what the
    process itself is busy with is. Errors: TimeoutError.
    """
    left_s = within_s
    while left_s > 0:
        began_s, busy_s = time.monotonic(), time.process_time()
        held = claim()
        if held if isinstance(held, bool) else await held:
            return
        await asyncio.sleep(0.01)
        left_s -= min(time.monotonic() - began_s, time.process_time() - busy_s + 0.05)
    raise TimeoutError(f"it was not so within {within_s} s")


def metric(text: str, name: str, **labels: str) -> float:
    """A sample's value in Prometheus' text format; 0 where there is none."""
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(
            f'{k}="{v}"' in series for k, v in labels.items()
        ):
            return float(value)
    return 0.0
