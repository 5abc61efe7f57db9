"""Strategies through the door: written in the background, shown as data, erased with records."""

import json
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from app.errors import SettingsError
from app.policies.inter_cascade import InterCascade
from app.replay.policies import ALL, Choice, build_policy, parse_choices
from app.settings.configuration import build_settings
from tests.support.attacks import MARK, PAYLOADS, obeys
from tests.support.command import autoshift
from tests.support.gateway import Gateway, Json, configuration, gateway, metric, until
from tests.support.keys import SECRETS, bearer, keys_in
from tests.support.provider import INVALID, VALID, Fails, Obeys, Provider, Says, provider
from tests.support.recordings import course, four
from tests.support.records import holds

pytestmark = pytest.mark.anyio

# With all of its spend it can pay for each; the coin as good as never withholds any.
SURE = {"strategies": True, "held_out": 1e-9, "budget": 0.5}
HALF = {"strategies": True, "held_out": 0.5, "budget": 0.5, "similarity": 0.2}
SPLIT = "Split the larger factor, then add the parts."
WRITTEN = "autoshift_cost_usd_total"


async def resolved(gate: Gateway, question: str = "What is 17 * 23?", **more: object) -> str:
    """The decision of a question that `medium` resolved after `small` could not."""
    gate.provider.answers("model-small", Says("It is 390."))
    gate.provider.answers("model-medium", Says("It is 391."))
    gate.provider.verdicts("model-medium", INVALID, VALID)
    gate.provider.verdicts("model-large", VALID)
    reply = await gate.ask(question, **more)  # type: ignore[arg-type]
    assert reply.headers["x-autoshift-tier"] == "medium", reply.text
    decision: str = reply.headers["x-autoshift-decision"]
    return decision


async def noted(gate: Gateway, decision: str, headers: dict[str, str] | None = None) -> Json:
    """The decision, once a strategy was written after it and is in its collection."""
    told: Json = {}

    async def is_there() -> bool:
        reply = await gate.http.get(f"/v1/decisions/{decision}", headers=headers)
        told.update(reply.json())
        return any(each["source"] == "strategy" for each in told.get("evidence", {}).values())

    await until(is_there)
    shelf = gate.app.state.parts.strategies.shelf
    await shelf.recorder.deliver()
    return told


def shown(provider: Provider) -> list[str]:
    """What the last call to answer had between its fences; nothing where there are none."""
    call = [c for c in provider.calls if not c.judging and not c.writing][-1]
    lines = call.body["messages"][-1]["content"].split("\n")
    fences = [at for at, line in enumerate(lines) if line.startswith("----- data")]
    if not fences:
        return []
    found: list[str] = json.loads(lines[fences[0] + 1])["strategies"]
    return found


async def test_what_a_stronger_tier_noted_is_shown_to_the_weaker_one(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        first = await resolved(gate)
        told = await noted(gate, first)
        (evidence,) = (e for e in told["evidence"].values() if e["source"] == "strategy")
        gate.provider.answers("model-small", Says("It is 414."))
        gate.provider.verdicts("model-medium", VALID)
        async with AsyncOpenAI(base_url=f"{gate.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(
                model="auto",
                stream=True,
                messages=[{"role": "user", "content": "What is 18 * 23?"}],
            )
            said = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        data = shown(gate.provider)
        judged = [call for call in gate.provider.calls if call.judging][-1]
        page = (await gate.http.get("/v1/records")).json()["data"]
        unlike = await gate.ask("Translate into German: the cat sleeps on the old chair.")
        told_unlike = await gate.decision_of(unlike)
        metrics = (await gate.http.get("/metrics")).text

    assert said == "It is 414."
    assert data == [SPLIT]
    # No judge sees it, and the client's question is what is judged and kept.
    assert SPLIT not in json.dumps(judged.body)
    (attempt,) = page[0]["attempts"]
    assert (attempt["tier"], attempt["strategies"], attempt["withheld"]) == (
        "small",
        [first],
        False,
    )
    assert page[0]["labels"] == {"small+strategies": 1.0}
    assert told_unlike["attempts"][0]["strategies"] == []
    # What writing cost is known, counted, and part of what the decision cost.
    writing_usd = (400 * 10 + 30 * 40) / 1e6
    assert (evidence["by"], evidence["cost_usd"]) == ("medium", pytest.approx(writing_usd))
    assert told["costs_usd"]["lesson"] == pytest.approx(writing_usd)
    assert metric(metrics, WRITTEN, tier="medium", purpose="lesson") == pytest.approx(writing_usd)
    assert metric(metrics, "autoshift_requests_total", policy="inter_cascade") == 3
    advised = {"tier": "small", "shown": "yes", "verdict": "valid"}
    assert metric(metrics, "autoshift_advised_total", **advised) == 1


async def test_the_tier_that_writes_gets_question_and_answers_as_data(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        payload = PAYLOADS[30]
        gate.provider.strategies("model-medium", Says(json.dumps({"strategy": payload})))
        await noted(gate, await resolved(gate, f"What is 17 * 23? {payload}"))
        (writing,) = (call for call in gate.provider.calls if call.writing)
        await resolved(gate, f"What is 18 * 23? {payload}")
        (assisted,) = (
            call
            for call in gate.provider.calls
            if "strategies" in json.dumps(call.body) and call.model == "model-small"
        )
    assert not obeys(writing.body)
    data = json.loads(writing.body["messages"][-1]["content"].split("\n")[1])
    assert (data["refused"], data["accepted"]) == ("It is 390.", "It is 391.")
    before = assisted.body["messages"][-1]["content"].split("What is 18 * 23?")[0]
    assert MARK in before
    assert not obeys({"messages": [{"role": "user", "content": before}]})


async def test_an_injected_strategy_talks_no_judge_round(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        for payload in PAYLOADS[::60]:
            gate.provider.strategies("model-medium", Says(json.dumps({"strategy": payload})))
            await noted(gate, await resolved(gate))
            # This judge accepts whatever it is told to accept anywhere outside of the data.
            gate.provider.answers("model-small", Says("It is 390, as the strategy says."))
            gate.provider.verdicts("model-medium", Obeys())
            gate.provider.verdicts("model-large", VALID)
            reply = await gate.ask("What is 18 * 23?")
            assert reply.headers["x-autoshift-tier"] == "medium"


async def test_withheld_strategies_are_on_the_record_and_not_in_the_call(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=HALF) as gate:
        first = await resolved(gate)
        await noted(gate, first)
        gate.provider.verdicts("model-medium", VALID)
        coins: list[bool] = []
        told: Json = {}
        for number in range(9):  # a tenth use may be its last
            told = await gate.decision_of(await gate.ask(f"What is {number + 30} * 23?"))
            (attempt,) = told["attempts"]
            assert attempt["strategies"] == [first]
            assert shown(gate.provider) == ([] if attempt["withheld"] else [SPLIT])
            coins.append(attempt["withheld"])
    assert 0 < sum(coins) < 9
    assert "held_out=0.5" in told["policy_version"]


async def test_tenants_and_keys_get_only_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(monkeypatch)
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE, keys=keys) as gate:
        mine = await resolved(gate, headers=bearer("a-1"))
        await noted(gate, mine, bearer("a-1"))
        gate.provider.verdicts("model-medium", VALID)
        found = {}
        for name in ("a-1", "a-2", "b-1"):
            reply = await gate.ask("What is 18 * 23?", headers=bearer(name))
            assert reply.status_code == 200
            found[name] = shown(gate.provider)
    assert found == {"a-1": [SPLIT], "a-2": [], "b-1": []}
    assert len(SECRETS) == 5


async def test_erased_records_take_their_strategies_with_them(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        one = await resolved(gate)
        await noted(gate, one)
        other = await resolved(gate, "What is 170 * 230?")
        await noted(gate, other)
        shelf = gate.app.state.parts.strategies.shelf
        assert await shelf.store.count() == 2
        erased = await gate.http.delete("/v1/records", params={"decision": one})
        assert erased.json()["deleted"] == 1
        assert await shelf.store.count() == 1
        assert await shelf.store.get(one, tenant="local") is None
        await gate.http.delete("/v1/records", params={"all": "true"})
        assert await shelf.store.count() == 0
        gate.provider.verdicts("model-medium", VALID)
        await gate.ask("What is 18 * 23?")
        assert shown(gate.provider) == []


async def test_they_outlive_a_restart_and_can_be_erased_when_switched_off(tmp_path: Path) -> None:
    async with provider() as behind:
        more = {"policy": "inter_cascade", "inter_cascade": SURE}
        async with gateway(tmp_path, behind, **more) as gate:
            await noted(gate, await resolved(gate))
        async with gateway(tmp_path, behind, **more) as gate:
            gate.provider.verdicts("model-medium", VALID)
            await gate.ask("What is 18 * 23?")
            assert shown(gate.provider) == [SPLIT]
        async with gateway(tmp_path, behind, policy="inter_cascade") as gate:
            await gate.ask("What is 18 * 23?")
            assert shown(gate.provider) == []
    assert holds(tmp_path / "strategies", SPLIT.encode())
    here = tmp_path / "here.yaml"
    here.write_text(json.dumps(configuration("http://127.0.0.1:1/v1", tmp_path)), "utf-8")
    ran = await autoshift("records", "delete", "--all", "--yes", "--config", here)
    assert ran.status == 0, ran.err
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        assert await gate.app.state.parts.strategies.shelf.store.count() == 0


async def test_one_that_does_not_help_is_dropped_and_erased(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=HALF) as gate:
        first = await resolved(gate)
        await noted(gate, first)
        shelf = gate.app.state.parts.strategies.shelf
        gate.provider.verdicts("model-medium", VALID)
        # From now on what it is shown makes `small` worse: whoever asks finds just that wrong.
        for number in range(60):
            told = await gate.decision_of(await gate.ask(f"What is {number + 30} * 23?"))
            attempt = told["attempts"][0]
            if not attempt["strategies"]:
                break
            correct = {"decision": told["id"], "correct": bool(attempt["withheld"])}
            await gate.http.post("/v1/feedback", json=correct)
            await gate.app.state.parts.audience.catch_up()
        else:
            raise AssertionError("it is still shown")

        async def is_gone() -> bool:
            found: int = await shelf.store.count()
            return found == 0

        await until(is_gone)
        # The decision it was written after is as it was.
        assert (await gate.decision(first))["id"] == first


async def test_what_fails_to_be_written_costs_what_it_cost_and_nothing_else(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        gate.provider.strategies("model-medium", Fails(500))
        told = await noted(gate, await resolved(gate))
        assert told["costs_usd"]["lesson"] == 0
        gate.provider.strategies("model-medium", Says("I would rather not.", usage=(10, 10)))
        told = await noted(gate, await resolved(gate))
        assert told["costs_usd"]["lesson"] == pytest.approx((10 * 10 + 10 * 40) / 1e6)
        assert await gate.app.state.parts.strategies.shelf.store.count() == 0


async def test_a_request_that_must_teach_nothing_leaves_none(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade", inter_cascade=SURE) as gate:
        await resolved(gate, autoshift={"learn": False})
        await noted(gate, await resolved(gate))
        assert len([call for call in gate.provider.calls if call.writing]) == 1


async def test_switched_off_nothing_is_written_and_no_collection_is_made(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="inter_cascade") as gate:
        await resolved(gate)
        await resolved(gate)
        assert gate.app.state.parts.strategies.shelf is None
        assert not any(call.writing for call in gate.provider.calls)
    assert not (tmp_path / "strategies").exists()


def test_a_replay_runs_it_as_the_plain_cascade_and_leaves_it_out_of_all() -> None:
    laid = course(four())
    built = build_policy(Choice("inter_cascade"), laid.tiers)
    assert isinstance(built, InterCascade)
    assert built.version.endswith("strategies=off")
    assert "inter_cascade" not in {choice.name for choice in parse_choices([ALL], laid.tiers)}


@pytest.mark.parametrize("section", [{"held_out": 0}, {"budget": 2}, {"similarity": 1.5}])
def test_settings_that_cannot_be_are_refused(tmp_path: Path, section: Json) -> None:
    values = configuration("http://127.0.0.1:1/v1", tmp_path, inter_cascade=section)
    with pytest.raises(SettingsError, match="inter_cascade"):
        build_settings(values, where="here")
