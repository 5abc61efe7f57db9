"""`POST /v1/explain`: what is told beforehand is what happens, and costs nothing."""

import json
from pathlib import Path

import httpx
import pytest

from tests.support.gateway import Gateway, Json, chat, gateway, until
from tests.support.provider import Fails

pytestmark = pytest.mark.anyio


async def explained(gate: Gateway, text: str = "What is 2 + 2?", **more: object) -> Json:
    reply = await gate.http.post("/v1/explain", json=chat(text, **more))
    assert reply.status_code == 200, reply.text
    told: Json = reply.json()
    return told


async def stored(gate: Gateway) -> int:
    page: Json = (await gate.http.get("/v1/records?limit=100")).json()
    return len(page["data"])


@pytest.mark.parametrize("policy", ["value", "llm_at", "cascade", "always:medium"])
async def test_the_first_step_that_is_told_is_the_one_that_is_taken(
    tmp_path: Path, policy: str
) -> None:
    async with gateway(tmp_path, policy="value", value={"lessons": 0}) as gate:
        for number in range(8):
            await gate.ask(f"What is {number} + {number}?")

        async def is_learned() -> bool:
            return len((await explained(gate))["neighbours"]) == 8

        await until(is_learned)
        model = f"auto:{policy}"
        told = await explained(gate, model=model)
        decision = await gate.decision_of(await gate.ask(model=model))

    assert told["object"] == "autoshift.explanation"
    assert told["policy"] == decision["policy"] == policy
    assert told["first"]["tier"] == decision["attempts"][0]["tier"]
    assert told["features"] == decision["features"]
    believed = {tier["tier"]: tier["accuracy"] for tier in told["tiers"] if tier["accuracy"]}
    then = {name: each["accuracy"] for name, each in decision["start"]["estimates"].items()}
    assert believed == pytest.approx(then)
    assert len(told["neighbours"]) == decision["start"]["neighbours"]


async def test_nothing_is_asked_recorded_or_learned(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        first = await explained(gate)
        again = await explained(gate)
        dry = await gate.ask(autoshift={"dry_run": True})
        records = await stored(gate)

    assert dry.headers["x-autoshift-dry-run"] == "yes"
    assert "x-autoshift-decision" not in dry.headers
    assert dry.json()["autoshift"]["explanation"]["first"] == first["first"]
    assert again["tiers"] == first["tiers"]
    assert gate.provider.calls == []
    assert records == 0


async def test_neighbours_are_told_with_what_they_came_to_and_text_only_if_it_was_kept(
    tmp_path: Path,
) -> None:
    for text in ("none", "full"):
        async with gateway(tmp_path / text, policy="value", records={"text": text}) as gate:
            reply = await gate.ask("What is 2 + 2?")
            decision = reply.headers["x-autoshift-decision"]

            async def is_found(gate: Gateway = gate) -> bool:
                return bool((await explained(gate))["neighbours"])

            await until(is_found)
            told = await explained(gate)
            (near,) = told["neighbours"]

        assert near["decision"] == decision
        assert near["similarity"] == pytest.approx(1, abs=1e-3)
        assert 0 <= near["age_s"] < 60
        assert near["served_tier"] == reply.headers["x-autoshift-tier"]
        assert near["text"] == (None if text == "none" else "What is 2 + 2?")


async def test_the_rate_at_which_the_choice_flips_is_the_one_at_which_it_does(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        told = await explained(gate)
        rates = [flip for flip in told["flips"] if flip["name"] == "quality_per_dollar"]
        assert rates
        for flip in rates:
            beyond = flip["at"] * (0.99 if flip["at"] < flip["now"] else 1.01)
            before = flip["at"] * (1.01 if flip["at"] < flip["now"] else 0.99)
            there = await explained(gate, autoshift={"quality_per_dollar": beyond})
            here = await explained(gate, autoshift={"quality_per_dollar": before})
            assert there["first"]["tier"] == flip["then"]["tier"] != told["first"]["tier"]
            assert here["first"]["tier"] == told["first"]["tier"]

    best = told["actions"][0]
    assert best["value"] == max(action["value"] for action in told["actions"])
    assert told["first"]["tier"] in {action["tier"] for action in told["actions"]}
    assert told["trade"]["quality_per_dollar"] == rates[0]["now"]
    for tier in told["tiers"]:
        assert 0 <= tier["low"] < tier["accuracy"] < tier["high"] <= 1
        assert tier["effective_n"] == 0


async def test_tiers_that_are_out_are_named_with_the_reason(tmp_path: Path) -> None:
    def tier(name: str, **more: object) -> Json:
        usual = {"name": name, "provider": "scripted", "model": f"model-{name}", "prior": 0.8}
        return {**usual, **more}

    tiers = [
        tier("blind", supports=["tools"]),
        tier("short", context_tokens=3),
        tier("strict", drops=["tools"]),
        tier("large"),
        tier("huge"),
    ]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with gateway(tmp_path, tiers=tiers, policy="value") as gate:
        told = await explained(
            gate,
            "How is the weather in Bonn today, and why?",
            tools=[tool],
            response_format={"type": "json_object"},
        )
        pinned = await explained(gate, model="large")

    why = {out["tier"]: out["why"] for out in told["ruled_out"]}
    assert why["blind"] == "it does not support json_object"
    assert why["short"] == "the prompt is too long: about 10 tokens, and it takes 3"
    assert why["strict"] == "it does not take tools"
    assert [each["tier"] for each in told["tiers"]] == ["large", "huge"]
    assert pinned["kind"] == "pinned"
    assert pinned["first"]["tier"] == "large"
    assert {out["tier"] for out in pinned["ruled_out"]} == {"blind", "short", "strict", "huge"}
    assert pinned["neighbours"] == []


async def test_what_is_wrong_is_refused_as_for_a_completion(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:

        async def refused(**body: object) -> tuple[int, str]:
            reply = await gate.http.post("/v1/explain", json=body)
            return reply.status_code, reply.json()["error"]["param"]

        assert await refused(model="auto", messages=[]) == (400, "messages")
        assert await refused(model="none", messages=chat()["messages"]) == (404, "model")
        typed: httpx.Response = await gate.http.post("/v1/explain", content=json.dumps(chat()))
        assert typed.status_code == 200
        wrong = await gate.http.get("/v1/explain")
        assert wrong.status_code == 405


async def test_what_a_bound_on_cost_and_a_circuit_breaker_keep_away_is_told(tmp_path: Path) -> None:
    breaker = {"in_a_row": 2, "open_s": 60}
    async with gateway(tmp_path, policy="value", breaker=breaker, retries={"share": 0}) as gate:
        gate.provider.answers("model-medium", Fails(500))
        for _ in range(4):
            await gate.ask(model="medium")
        free = await explained(gate)
        dear = await explained(
            gate, autoshift={"max_cost_usd": 0.02, "quality_per_dollar": 0.001}, max_tokens=100
        )
        served = await gate.ask(
            autoshift={"max_cost_usd": 0.02, "quality_per_dollar": 0.001}, max_tokens=100
        )
        none = await explained(gate, autoshift={"max_cost_usd": 1e-9}, max_tokens=100)

    why = {out["tier"]: out["why"] for out in free["ruled_out"]}
    assert set(why) == {"medium"}
    assert "circuit breaker is open" in why["medium"]
    why = {out["tier"]: out["why"] for out in dear["ruled_out"]}
    assert "over max_cost_usd" in why["large"]
    assert dear["first"]["tier"] != "large"
    assert served.headers["x-autoshift-tier"] == "small"
    assert none["first"] == {"do": "stop", "attempt": None}
    assert none["sentence"].startswith("No tier can be asked: ")
