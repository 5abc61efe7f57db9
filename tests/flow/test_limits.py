"""Limits: what a key may ask and spend, what one request may cost, and when nobody can count."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI, RateLimitError

from app.api.admission import READS_PER_MINUTE
from app.errors import SettingsError
from app.main import create_app
from app.settings.configuration import build_settings
from tests.support.gateway import (
    Gateway,
    Json,
    configuration,
    gateway,
    metric,
    until,
)
from tests.support.keys import SECRETS, bearer, keys_in
from tests.support.provider import INVALID, Says, provider
from tests.support.redis import PASSWORD, needs_redis, redis

pytestmark = pytest.mark.anyio

COST_USD = 0.0003
"""What an answer of `small` costs: 100 tokens in, 50 out."""


def limited(environment: pytest.MonkeyPatch, **limits: float) -> list[Json]:
    return keys_in(environment, {"a-1": {"limits": limits}})


async def spent_usd(gate: Gateway, key: str = "a-1", tenant: str = "tenant-a") -> float:
    """What the records say that this key spent."""
    spent, after = 0.0, dict[str, str]()
    while True:
        query = {"principal": key, "limit": "100", "order": "asc", "tenant": tenant, **after}
        page = (await gate.http.get("/v1/records", params=query, headers=bearer("root"))).json()
        spent += sum(float(record["cost_usd"]) for record in page["data"])
        if not page["has_more"]:
            return spent
        after = {"after": page["last_id"]}


@asynccontextmanager
async def counting(
    kind: str, directory: Path, environment: pytest.MonkeyPatch
) -> AsyncGenerator[Json, None]:
    """The section `limits` for counting in the process, or on a server."""
    if kind == "memory":
        yield {}
        return
    environment.setenv("REDIS_PASSWORD", PASSWORD)
    async with redis(directory) as server:
        yield {"url": server.url, "password_env": "REDIS_PASSWORD"}


KINDS = ["memory", pytest.param("redis", marks=needs_redis)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_limit_in_money_holds_with_200_callers_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """I14: cost <= cap + one request's maximum; here the cap itself."""
    cap_usd, cost_usd = 0.02, 0.00105
    keys = limited(monkeypatch, usd_per_day=cap_usd)
    async with AsyncExitStack() as stack:
        limits = await stack.enter_async_context(counting(kind, tmp_path, monkeypatch))
        behind = await stack.enter_async_context(provider())
        # Each costs about as much as it can: 200 tokens of output at 4 USD per million.
        behind.answers("model-small", Says(usage=(250, 200)))
        settings = {"keys": keys, "limits": {**limits, "in_flight": 400}}
        gates = [
            await stack.enter_async_context(gateway(tmp_path / str(at), behind, **settings))
            for at in range(1 if kind == "memory" else 2)
        ]

        async def ask(number: int) -> int:
            reply = await gates[number % len(gates)].ask(
                "x" * 200, headers=bearer("a-1"), model="small", max_tokens=200
            )
            if reply.status_code == 429:
                assert reply.json()["error"]["code"] == "insufficient_quota"
                assert reply.headers["x-should-retry"] == "false"
            return reply.status_code

        statuses = await asyncio.gather(*map(ask, range(200)))
        assert set(statuses) == {200, 429}
        spent = sum([await spent_usd(gate) for gate in gates])
        assert spent == pytest.approx(cost_usd * statuses.count(200))
        assert cap_usd / 2 <= spent <= cap_usd
        assert len(behind.calls) == statuses.count(200)
        # Another key is not concerned.
        assert (await gates[0].ask(headers=bearer("a-2"))).status_code == 200


async def test_what_was_laid_aside_and_not_spent_may_be_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call could cost 4,000 tokens, and costs 50: the cap is reached by the true costs."""
    keys = limited(monkeypatch, usd_per_hour=0.02)
    async with gateway(tmp_path, keys=keys) as gate:
        statuses = []
        while 429 not in statuses:
            reply = await gate.ask(headers=bearer("a-1"), model="small", max_tokens=4000)
            statuses.append(reply.status_code)
        spent = await spent_usd(gate)
        assert spent == pytest.approx(COST_USD * statuses.count(200))
        assert 0.02 - 0.0165 - COST_USD <= spent <= 0.02
        assert statuses.count(200) > 10


async def test_an_openai_client_sees_a_quota_error_once_and_rates_with_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(
        monkeypatch,
        {
            "a-1": {"limits": {"usd_per_day": 0.000001}},
            "b-1": {"limits": {"requests_per_minute": 2}},
        },
    )
    async with gateway(tmp_path, keys=keys) as gate:
        base_url = f"{gate.url}/v1"
        async with AsyncOpenAI(base_url=base_url, api_key=SECRETS["a-1"]) as client:
            with pytest.raises(RateLimitError) as refused:
                await client.chat.completions.create(
                    model="auto", messages=[{"role": "user", "content": "hi"}]
                )
            assert refused.value.code == "insufficient_quota"
            assert "24 hours" in refused.value.message
        async with AsyncOpenAI(base_url=base_url, api_key=SECRETS["b-1"], max_retries=0) as client:
            for left in (1, 0):
                raw = await client.chat.completions.with_raw_response.create(
                    model="auto", messages=[{"role": "user", "content": "hi"}], stream=left == 0
                )
                assert raw.headers["x-ratelimit-limit-requests"] == "2"
                assert raw.headers["x-ratelimit-remaining-requests"] == str(left)
            with pytest.raises(RateLimitError) as refused:
                await client.chat.completions.create(
                    model="auto", messages=[{"role": "user", "content": "hi"}]
                )
            assert refused.value.code == "rate_limit_exceeded"
            assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
            assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        listed = await gate.http.get("/v1/models", headers=bearer("b-1"))
        assert listed.status_code == 200
        told = await gate.http.post("/v1/feedback", json={}, headers=bearer("b-1"))
        assert told.status_code == 429


async def test_tokens_a_minute_are_limited_by_what_was_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = limited(monkeypatch, tokens_per_minute=1000)
    async with gateway(tmp_path, keys=keys) as gate:
        used = 0
        for _ in range(6):
            reply = await gate.ask(headers=bearer("a-1"), model="small", max_tokens=100)
            assert reply.status_code == 200
            used += 150
            assert int(reply.headers["x-ratelimit-remaining-tokens"]) >= 1000 - used - 110
        reply = await gate.ask(headers=bearer("a-1"), model="small", max_tokens=100)
        assert reply.status_code == 429
        assert reply.json()["error"]["code"] == "rate_limit_exceeded"
        assert reply.headers["x-ratelimit-remaining-tokens"] == "100"


async def test_what_only_reads_is_limited_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = limited(monkeypatch, requests_per_minute=2)
    async with gateway(tmp_path, keys=keys) as gate:

        async def read(path: str = "/v1/records") -> int:
            return (await gate.http.get(path, headers=bearer("a-1"))).status_code

        statuses = [await read() for _ in range(READS_PER_MINUTE)]
        assert set(statuses) == {200}
        refused = await gate.http.get("/v1/models", headers=bearer("a-1"))
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert refused.json()["error"]["message"].startswith(
            f"this key may read {READS_PER_MINUTE}"
        )
        assert int(refused.headers["retry-after"]) >= 1
        # Who has read too much may ask all the same, and others read.
        assert (await gate.ask(headers=bearer("a-1"), model="small")).status_code == 200
        assert (await gate.http.get("/v1/records", headers=bearer("a-2"))).status_code == 200


async def test_requests_at_once_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = limited(monkeypatch, concurrent=2)
    async with gateway(tmp_path, keys=keys) as gate:
        gate.provider.answers("model-small", held := Says(gate=asyncio.Event()), held, Says())

        async def ask(name: str = "a-1") -> int:
            return (await gate.ask(headers=bearer(name), model="small")).status_code

        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(ask()) for _ in range(2)]
            await until(lambda: gate.provider.open == 2)
            refused = await gate.ask(headers=bearer("a-1"), model="small")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            text = (await gate.http.get("/metrics", headers=bearer("prom"))).text
            assert metric(text, "autoshift_limited_total", limit="concurrent") == 1
            assert await ask("a-2") == 200
            assert held.gate is not None
            held.gate.set()
        assert [each.result() for each in asked] == [200, 200]
        assert (await gate.ask(headers=bearer("a-1"), model="small")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_past_its_escalations_a_key_gets_what_its_first_tier_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    keys = limited(monkeypatch, escalations_per_minute=2)
    async with gateway(tmp_path, keys=keys) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        asked = []
        for number in range(4):
            before = len(gate.provider.asked())
            await gate.ask(f"{number}", headers=bearer("a-1"), model="auto:cascade", stream=stream)
            asked.append(gate.provider.asked()[before:])
        assert asked == [["model-small", "model-medium"]] * 2 + [["model-small"]] * 2
        page = await gate.http.get("/v1/records?limit=1", headers=bearer("a-1"))
        (last,) = page.json()["data"]
        assert (last["outcome"], last["degraded"]) == ("answered", ["escalations"])
        before = len(gate.provider.asked())
        await gate.ask("another", headers=bearer("a-2"), model="auto:cascade", stream=stream)
        assert len(gate.provider.asked()) - before == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_request_may_cost_binds_and_the_best_so_far_is_served(
    tmp_path: Path, stream: bool
) -> None:
    async with gateway(tmp_path, judge={"max_tokens": 100}) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        for bound_usd, asked, judged in (
            (1e-6, [], []),
            (0.002, ["model-small"], []),
            (0.05, ["model-small", "model-medium"], ["model-medium"]),
            (1.0, ["model-small", "model-medium"], ["model-medium", "model-large"]),
        ):
            gate.provider.calls.clear()
            reply = await gate.ask(
                model="auto:cascade",
                max_tokens=60,
                stream=stream,
                autoshift={"max_cost_usd": bound_usd},
            )
            assert (gate.provider.asked(), gate.provider.asked(judging=True)) == (asked, judged)
            if not asked:
                assert reply.status_code == 400
                assert reply.json()["error"]["code"] == "max_cost_exceeded"
                assert reply.json()["error"]["param"] == "autoshift.max_cost_usd"
                continue
            told = await gate.decision((await latest(gate))["id"])
            assert told["cost_usd"] <= bound_usd
            assert told["degraded"] == ([] if bound_usd == 1.0 else ["budget"])


async def latest(gate: Gateway) -> Json:
    page = await gate.http.get("/v1/records?limit=1")
    found: Json = page.json()["data"][0]
    return found


async def test_an_answer_whose_cost_is_bounded_has_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = limited(monkeypatch, usd_per_day=5)
    async with gateway(tmp_path, keys=keys, limits={"output_tokens": 1234}) as gate:
        for headers, more, cap in (
            (bearer("a-1"), {}, 1234),
            (bearer("a-1"), {"max_tokens": 99}, 99),
            (bearer("a-2"), {}, None),
            (bearer("a-2"), {"autoshift": {"max_cost_usd": 1}}, 1234),
            # Half of it, at 4 USD per million; but never fewer than 256.
            (bearer("a-2"), {"autoshift": {"max_cost_usd": 0.004}}, 500),
            (bearer("a-2"), {"autoshift": {"max_cost_usd": 0.0015}}, 256),
        ):
            gate.provider.calls.clear()
            await gate.ask(headers=headers, model="small", **more)
            assert gate.provider.calls[0].body.get("max_completion_tokens") == cap


async def test_what_has_no_price_cannot_be_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = limited(monkeypatch, usd_per_day=5)
    async with provider() as behind:
        values = configuration(behind.url, tmp_path, passthrough={"embeddings": "scripted"})
        del values["tiers"][1]["price"]
        with pytest.raises(SettingsError, match=r"keys\.a-1\.limits\.usd_per_day.*'medium'"):
            create_app(build_settings({**values, "keys": keys}))
        unlimited = {**values, "keys": keys_in(monkeypatch)}
        del unlimited["store"], unlimited["providers"]
        async with gateway(tmp_path, behind, **unlimited) as gate:
            reply = await gate.ask(headers=bearer("a-1"), autoshift={"max_cost_usd": 1})
            assert reply.status_code == 400
            assert "'medium' is not known" in reply.json()["error"]["message"]
        more = {"keys": keys, "passthrough": {"embeddings": "scripted"}}
        async with gateway(tmp_path, behind, **more) as gate:
            forwarded = {"model": "m", "input": "x"}
            for name, status in (("a-1", 403), ("a-2", 200)):
                reply = await gate.http.post("/v1/embeddings", json=forwarded, headers=bearer(name))
                assert reply.status_code == status


@needs_redis
async def test_without_its_server_rates_are_not_limited_and_money_is_not_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    keys = keys_in(
        monkeypatch,
        {
            "a-1": {"limits": {"requests_per_minute": 1, "tokens_per_minute": 1}},
            "b-1": {"limits": {"usd_per_day": 5}},
        },
    )
    async with redis(tmp_path) as server:
        limits = {"url": server.url, "password_env": "REDIS_PASSWORD"}
        async with gateway(tmp_path, keys=keys, limits=limits) as gate:
            assert (await gate.ask(headers=bearer("b-1"), max_tokens=9)).status_code == 200
            await until(lambda: counts_are(gate, "up"))
            caplog.clear()
            await server.stop()
            await until(lambda: counts_are(gate, "down"), 10)
            assert (await gate.http.get("/readyz")).status_code == 200
            for more in ({}, {"stream": True}, {"model": "small"}):
                reply = await gate.ask(headers=bearer("a-1"), **more)
                assert reply.status_code == 200
                assert reply.headers["x-autoshift-degraded"] == "limiter"
            told = await gate.http.post("/v1/feedback", json={}, headers=bearer("a-1"))
            assert told.headers["x-autoshift-degraded"] == "limiter"
            reply = await gate.ask(headers=bearer("a-2"))
            assert reply.headers["x-autoshift-degraded"] == "none"
            text = (await gate.http.get("/metrics", headers=bearer("prom"))).text
            assert metric(text, "autoshift_degraded_requests_total", reason="limiter") == 3
            refused = await gate.ask(headers=bearer("b-1"), max_tokens=9)
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                503,
                "limits_unavailable",
            )
            assert refused.headers["retry-after"] == "2"
            # Once, however many asked. Of a server that is there but slow it may be said again.
            assert caplog.text.count("the limits' server does not answer") == 1
            await server.start()

            async def is_served() -> bool:
                reply = await gate.ask(headers=bearer("b-1"), max_tokens=9)
                return reply.status_code == 200

            await until(is_served)
            await until(lambda: counts_are(gate, "up"))
            assert "the limits' server answers again" in caplog.text
            text = (await gate.http.get("/metrics", headers=bearer("prom"))).text
            assert metric(text, "autoshift_limited_total", limit="limits_unavailable") >= 1


async def counts_are(gate: Gateway, state: str) -> bool:
    return bool((await gate.http.get("/readyz")).json()["limiter"] == state)


@needs_redis
async def test_a_server_that_comes_back_counts_escalations_and_tokens_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    some = {"escalations_per_minute": 1, "tokens_per_minute": 100_000}
    async with redis(tmp_path) as server:
        limits = {"url": server.url, "password_env": "REDIS_PASSWORD"}
        keys = limited(monkeypatch, **some)
        async with gateway(tmp_path, keys=keys, limits=limits) as gate:
            gate.provider.verdicts("model-medium", INVALID)
            await server.stop()
            for _ in range(2):
                reply = await gate.ask(headers=bearer("a-1"), model="auto:cascade")
                assert reply.headers["x-autoshift-degraded"] == "limiter"
                assert reply.headers["x-autoshift-tier"] == "medium"
            await server.start()
            await until(lambda: counts_are(gate, "up"), 10)
            told = [
                (await gate.ask(headers=bearer("a-1"), model="auto:cascade")).headers
                for _ in range(2)
            ]
            assert [each["x-autoshift-degraded"] for each in told] == ["none", "escalations"]


async def test_what_limits_refuse_is_counted_by_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(
        monkeypatch,
        {
            "a-1": {"limits": {"usd_per_day": 0.000001}},
            "a-2": {"limits": {"tokens_per_minute": 1, "usd_per_hour": 5}},
            "b-1": {"limits": {"requests_per_minute": 1, "escalations_per_minute": 0}},
        },
    )
    async with gateway(tmp_path, keys=keys) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        for name, status, more in (
            ("a-1", 429, {"model": "small"}),
            ("a-2", 429, {"model": "small"}),
            ("b-1", 200, {"model": "auto:cascade"}),
            ("b-1", 429, {}),
            ("root", 400, {"model": "small", "autoshift": {"max_cost_usd": 1e-9}}),
        ):
            assert (await gate.ask(headers=bearer(name), **more)).status_code == status
        text = (await gate.http.get("/metrics", headers=bearer("prom"))).text
        for limit, count in (
            ("usd_per_day", 1),
            ("usd_per_hour", 0),
            ("tokens_per_minute", 1),
            ("requests_per_minute", 1),
            ("escalations_per_minute", 1),
            ("max_cost_usd", 1),
            ("concurrent", 0),
            ("limits_unavailable", 0),
        ):
            assert metric(text, "autoshift_limited_total", limit=limit) == count, limit
