"""Upstreams in turn, one retry, circuit breakers, load shed: what a client sees of an outage."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.support.exchange import NEVER
from tests.support.faults import (
    Act,
    breaks,
    fails,
    faulty_provider,
    holds,
    raw,
    says,
)
from tests.support.faulty_gateway import PATIENT, QUICK, ended_well, faulty_gateway, tiers
from tests.support.gateway import Gateway, Json, gateway_before, metric, until

pytestmark = pytest.mark.anyio

AWAY = fails(503)
NOW = {"backoff_min_s": 0, "backoff_max_s": 0.001}
QUICKLY = {"open_s": 0.3, "open_max_s": 0.6}
TWO = [{"provider": "first", "model": "m-1"}, {"provider": "second", "model": "m-2"}]


def listed(upstreams: list[Json], **more: Any) -> list[Json]:
    """The usual tiers; the smallest has these upstreams."""
    small, *others = tiers()
    kept = {key: value for key, value in small.items() if key not in {"provider", "model"}}
    return [{**kept, "upstreams": upstreams, **more}, *others]


async def counted(gate: Gateway, name: str, **labels: str) -> float:
    return metric((await gate.http.get("/metrics")).text, f"autoshift_{name}", **labels)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_tiers_upstreams_are_asked_in_turn_before_the_first_byte(
    tmp_path: Path, stream: bool
) -> None:
    async with faulty_provider() as first, faulty_provider() as second:
        providers = {"first": {"base_url": first.url}, "second": {"base_url": second.url}}
        providers["scripted"] = {"base_url": second.url}
        second.plays("m-2", says("from the second"))
        async with gateway_before(second, tmp_path, providers=providers, tiers=listed(TWO)) as gate:
            faults = [AWAY, fails(401), fails(429), fails(404), raw(b"", "reset"), holds()]
            for fault in [*faults, breaks(0, "cut")]:
                first.plays("m-1", fault)
                second.hops.clear()
                reply = await gate.ask(model="small", stream=stream)
                assert ended_well(reply, stream=stream)
                assert "from the second" in reply.text
                # It is the same tier that answers.
                assert '"degraded":[]' in reply.text
                assert second.asked() == ["m-2"]
            for named in ("m-1", "m-2"):
                assert (await gate.ask(model=named, stream=stream)).status_code == 200
            failed_over = await counted(gate, "upstream_failovers_total", upstream="first/m-1")
            assert failed_over == len(faults) + 3
            # What a client has done wrong is wrong everywhere.
            first.plays("m-1", fails(400))
            assert (await gate.ask(model="small", stream=stream)).status_code == 400
            second.hops.clear()
            first.plays("m-1", breaks(3, "cut"))
            reply = await gate.ask(model="small", stream=True)
            assert not ended_well(reply, stream=True)
            assert second.hops == [], "what has begun is not asked for again"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_a_tier_that_is_down_is_skipped_and_comes_back(tmp_path: Path, stream: bool) -> None:
    async with faulty_gateway(tmp_path, breaker=QUICKLY) as (gate, behind):
        behind.plays("model-small", holds())
        for _ in range(5):
            reply = await gate.ask(model="auto:cascade", stream=stream)
            assert reply.headers["x-autoshift-tier"] == "medium"
        behind.hops.clear()
        reply = await gate.ask(model="auto:cascade", stream=stream)
        assert behind.asked() == ["model-medium"]
        assert reply.headers["x-autoshift-degraded"] == "tier:small"
        attempt, _ = (await gate.decision_of(reply))["attempts"]
        assert (attempt["outcome"], attempt["error"]) == ("failed", "upstream_down")
        assert (attempt["verdicts"], attempt["cost_usd"]) == ([], 0)
        assert attempt["latency_s"] < 0.05
        state = {"upstream": "scripted/model-small"}
        assert await counted(gate, "upstream_state", state="open", **state) == 1
        # Who wants just this tier is told when to come again, at once.
        reply = await gate.ask(model="small", stream=stream)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
        assert reply.json()["error"]["code"] == "upstream_down"
        behind.plays("model-small", says())

        async def is_back() -> bool:
            told = (await gate.ask(model="auto:cascade", stream=stream)).headers
            return bool(told["x-autoshift-tier"] == "small")

        await until(is_back)
        assert await counted(gate, "upstream_state", state="closed", **state) == 1


async def test_a_judge_that_is_down_is_not_waited_for(tmp_path: Path) -> None:
    quick = tiers(medium={"timeouts": QUICK})
    async with faulty_gateway(tmp_path, breaker={}, tiers=quick) as (gate, behind):
        behind.plays("model-medium", holds(), judging=True)
        behind.plays("model-medium", holds())
        for _ in range(3):
            await gate.ask(model="auto:cascade")
        started_s = time.monotonic()
        reply = await gate.ask(model="auto:cascade")
        assert time.monotonic() - started_s < QUICK["first_byte_s"]
        assert '"degraded":["judge","tier:medium"]' in reply.text


async def test_the_last_upstream_of_the_ladder_is_never_left_alone(tmp_path: Path) -> None:
    async with faulty_gateway(tmp_path, breaker={}) as (gate, behind):
        for tier in ("small", "medium", "large"):
            behind.plays(f"model-{tier}", fails(500))
        for _ in range(20):
            await gate.ask()
        metrics = (await gate.http.get("/metrics")).text
        closed = [
            tier
            for tier in ("small", "medium", "large")
            if metric(
                metrics,
                "autoshift_upstream_state",
                upstream=f"scripted/model-{tier}",
                state="closed",
            )
        ]
        assert len(closed) == 1
        behind.hops.clear()
        assert (await gate.ask()).status_code == 502
        assert behind.asked() == [f"model-{closed[0]}"]
        behind.plays(f"model-{closed[0]}", says())
        assert (await gate.ask()).status_code == 200


AGAIN: Mapping[str, tuple[Act, bool]] = {
    "502": (fails(502), True),
    "503": (AWAY, True),
    "504": (fails(504), True),
    "429, now": (fails(429, "retry-after: 0"), True),
    "429, later": (fails(429, "retry-after: 3"), False),
    "429": (fails(429), False),
    "503, later": (fails(503, "retry-after: 30"), False),
    "500": (fails(500), False),
    "529": (fails(529), False),
    "401": (fails(401), False),
    "reset": (raw(b"", "reset"), False),
    "cut": (breaks(0, "cut"), False),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_only_what_may_go_well_at_once_is_asked_again_and_that_once(
    tmp_path: Path, stream: bool
) -> None:
    patient = tiers(small={"timeouts": PATIENT})
    retries = {**NOW, "per_s": 100}
    async with faulty_gateway(tmp_path, retries=retries, tiers=patient) as (gate, behind):
        for how, (fault, again) in AGAIN.items():
            # Over new connections, so that none can be a stale one.
            behind.close_idle()
            await until(lambda: not behind.connections)
            behind.hops.clear()
            retried = await counted(gate, "upstream_retries_total")
            behind.plays("model-small", fault, says())
            reply = await gate.ask(model="small", stream=stream)
            assert ended_well(reply, stream=stream) is again, how
            assert len(behind.hops) == 1 + again, how
            assert await counted(gate, "upstream_retries_total") == retried + again, how
            behind.close_idle()
            await until(lambda: not behind.connections)
            behind.hops.clear()
            behind.plays("model-small", fault)
            assert (await gate.ask(model="small", stream=stream)).status_code != 200, how
            assert len(behind.hops) == 1 + again, how


async def test_an_outage_of_a_tier_multiplies_its_load_by_no_more_than_a_fifth(
    tmp_path: Path,
) -> None:
    async with faulty_gateway(tmp_path, retries={**NOW, "per_s": 0}, breaker=NEVER) as (
        gate,
        behind,
    ):
        behind.plays("model-small", AWAY)
        for _ in range(100):
            assert (await gate.ask(model="auto:cascade")).status_code == 200
        asked = Counter(behind.asked())
        assert 100 < asked["model-small"] <= 120
        assert asked["model-medium"] == 100


async def test_with_breakers_an_outage_costs_hardly_a_call(tmp_path: Path) -> None:
    async with faulty_gateway(tmp_path, retries=NOW, breaker={}) as (gate, behind):
        behind.plays("model-small", AWAY)
        for _ in range(50):
            assert (await gate.ask(model="auto:cascade")).status_code == 200
        assert Counter(behind.asked())["model-small"] <= 10


@pytest.mark.parametrize("outage", ["one tier", "all tiers"])
async def test_clients_that_try_again_and_again_do_not_multiply_an_outage(
    tmp_path: Path, outage: str
) -> None:
    """As LangChain JS (7 times) and LlamaIndex (12 times) do."""
    down = ("small",) if outage == "one tier" else ("small", "medium", "large")
    async with faulty_gateway(tmp_path, retries={**NOW, "per_s": 0}, breaker={}) as (gate, behind):
        for tier in down:
            behind.plays(f"model-{tier}", AWAY)
        sent = await storm(gate, sdk=6, heedless=4, tries=7)
        asked = Counter(behind.asked())
        assert asked["model-small"] <= 1.2 * sent
        if outage == "all tiers":
            # The SDK is told not to, and the last one closed gets each request once, and a fifth.
            assert sent <= 6 * 2 + 4 * 7
            assert sum(asked.values()) <= 1.2 * sent + 2 * 5 * 2


async def storm(gate: Gateway, *, sdk: int, heedless: int, tries: int) -> int:
    """Clients of OpenAI's SDK, and some that heed no header; how many requests they sent."""
    client = openai.AsyncOpenAI(base_url=f"{gate.url}/v1", api_key="x", max_retries=tries)

    async def ask_well() -> None:
        for _ in range(2):
            with suppress(openai.InternalServerError):
                await client.chat.completions.create(
                    model="auto:cascade", messages=[{"role": "user", "content": "2 + 2?"}]
                )

    async def ask_again() -> None:
        for _ in range(tries):
            if (await gate.ask(model="auto:cascade")).status_code == 200:
                return

    async with client, asyncio.TaskGroup() as tasks:
        for _ in range(sdk):
            tasks.create_task(ask_well())
        for _ in range(heedless):
            tasks.create_task(ask_again())
    metrics = (await gate.http.get("/metrics")).text
    sent = re.findall(r"^autoshift_requests_total\{.* (\S+)$", metrics, flags=re.MULTILINE)
    return int(sum(map(float, sent)))


async def test_what_is_too_much_is_turned_away_at_once_and_says_when_to_come_again(
    tmp_path: Path,
) -> None:
    limits = {"in_flight": 4, "waiting": 2, "waiting_s": 5}
    async with faulty_gateway(
        tmp_path, limits=limits, tiers=tiers(small={"timeouts": PATIENT})
    ) as (gate, behind):
        release = asyncio.Event()
        behind.chooses = lambda _: held(release)
        async with asyncio.TaskGroup() as tasks:
            served = [
                tasks.create_task(gate.ask(model="small", stream=n % 2 == 0)) for n in range(6)
            ]
            await until(lambda: behind.open == 4)
            await until(lambda: gate.app.state.parts.in_flight.waiting == 2)
            for stream in (False, True):
                started_s = time.monotonic()
                reply = await gate.ask(model="small", stream=stream)
                assert time.monotonic() - started_s < 0.5
                assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
                assert reply.headers["x-should-retry"] == "true"
                assert reply.headers["x-autoshift-degraded"] == "shed"
                assert reply.json()["error"]["type"] == "overloaded_error"
            assert await counted(gate, "in_flight") == 4
            release.set()
        assert [task.result().status_code for task in served] == [200] * 6
        assert await counted(gate, "sheds_total", what="request") == 2
        assert gate.app.state.parts.in_flight.in_flight == 0


def held(release: asyncio.Event, after: Act | None = None) -> Act:
    """A proper answer, once it is let go."""

    async def act(hop: Any, writer: asyncio.StreamWriter) -> Any:
        await release.wait()
        return await (after or says())(hop, writer)

    return act


async def test_who_leaves_the_queue_is_never_served(tmp_path: Path) -> None:
    limits = {"in_flight": 1, "waiting": 5, "waiting_s": 5}
    changed = tiers(small={"timeouts": PATIENT})
    async with faulty_gateway(tmp_path, limits=limits, tiers=changed) as (gate, behind):
        release = asyncio.Event()
        behind.chooses = lambda _: held(release)
        queue = gate.app.state.parts.in_flight
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(gate.ask(model="small"))
            await until(lambda: behind.open == 1)
            leaving = [tasks.create_task(gate.ask(model="small")) for _ in range(3)]
            await until(lambda: queue.waiting == 3)
            for client in leaving:
                client.cancel()
            await until(lambda: queue.waiting == 0, within_s=1)
            release.set()
        assert first.result().status_code == 200
        assert len(behind.hops) == 1


async def test_a_slow_tier_cannot_take_the_places_of_the_others(tmp_path: Path) -> None:
    small = {"in_flight": 2, "timeouts": PATIENT}
    limits = {"in_flight": 8, "waiting": 8, "waiting_s": 0.2}
    async with faulty_gateway(tmp_path, tiers=tiers(small=small), limits=limits) as (gate, behind):
        release = asyncio.Event()
        behind.plays("model-small", held(release))
        async with asyncio.TaskGroup() as tasks:
            stuck = [tasks.create_task(gate.ask(model="auto:cascade")) for _ in range(6)]
            await until(lambda: behind.asked().count("model-small") == 2)
            assert (await gate.ask(model="medium")).status_code == 200
            await until(lambda: sum(task.done() for task in stuck) == 4)
            release.set()
        tiers_used = Counter(task.result().headers["x-autoshift-tier"] for task in stuck)
        assert tiers_used == {"small": 2, "medium": 4}
        reply = await gate.ask(model="small")
        assert reply.status_code == 200


async def test_lessons_give_way_first(tmp_path: Path) -> None:
    limits = {"in_flight": 4}
    stream = {"mode": "direct"}
    changed = tiers(large={"timeouts": PATIENT})
    async with faulty_gateway(tmp_path, limits=limits, stream=stream, tiers=changed) as (
        gate,
        behind,
    ):
        release = asyncio.Event()
        behind.plays("model-large", held(release))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(gate.ask(model="large"))
            await until(lambda: behind.open == 3)
            reply = await gate.ask(model="auto:cascade", stream=True)
            assert reply.status_code == 200

            async def is_dropped() -> bool:
                return await counted(gate, "lessons_total", outcome="dropped") == 1

            await until(is_dropped)
            assert behind.asked(judging=True) == []
            release.set()


async def test_forwarded_endpoints_are_retried_left_alone_and_turned_away_too(
    tmp_path: Path,
) -> None:
    passthrough = {"embeddings": "scripted"}
    limits = {"in_flight": 1, "waiting": 0}
    async with faulty_gateway(
        tmp_path, passthrough=passthrough, retries=NOW, breaker={}, limits=limits
    ) as (gate, behind):

        async def embed() -> httpx.Response:
            return await gate.http.post("/v1/embeddings", json={"model": "e", "input": "x"})

        behind.plays("e", AWAY, says())
        assert (await embed()).status_code == 200
        assert len(behind.hops) == 2
        release = asyncio.Event()
        behind.plays("e", held(release))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(embed())
            await until(lambda: behind.open == 1)
            reply = await embed()
            assert (reply.status_code, reply.headers["x-autoshift-degraded"]) == (503, "shed")
            release.set()
        behind.plays("e", fails(404))
        for _ in range(6):
            assert (await embed()).status_code == 404, "its model is the client's to name"
        behind.plays("e", fails(500))
        for _ in range(5):
            assert (await embed()).status_code == 502
        behind.hops.clear()
        assert (await embed()).json()["error"]["code"] == "upstream_down"
        assert behind.hops == []


async def test_after_overload_it_serves_as_before(tmp_path: Path) -> None:
    """I5 in short: asked for far more than it can serve, it serves nearly all it can; then all."""
    limits = {"in_flight": 4, "waiting": 4, "waiting_s": 0.2}
    async with faulty_gateway(
        tmp_path, limits=limits, tiers=tiers(small={"timeouts": PATIENT})
    ) as (gate, behind):
        behind.plays("model-small", says(pieces=2, pause_s=0.05))
        knee = await crowd(gate, clients=4, for_s=1.5)
        assert set(knee) == {200}
        overload = await crowd(gate, clients=12, for_s=1.5)
        assert set(overload) == {200, 503}
        assert overload[200] >= 0.7 * knee[200]
        after = await crowd(gate, clients=4, for_s=1.5)
        assert set(after) == {200}
        assert after[200] >= 0.7 * knee[200]


async def crowd(gate: Gateway, *, clients: int, for_s: float) -> Counter[int]:
    """How often each status comes to so many clients who ask again and again."""
    until_s, statuses = time.monotonic() + for_s, Counter[int]()

    async def client() -> None:
        while time.monotonic() < until_s:
            status = (await gate.ask(model="small", stream=True)).status_code
            statuses[status] += 1
            await asyncio.sleep(0.2 if status == 503 else 0)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(clients):
            tasks.create_task(client())
    return statuses
