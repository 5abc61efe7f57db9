"""Shadow and canary: who answers, what is tried beside it, what that costs, and the way back."""

import logging
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings.configuration import build_settings
from tests.support.gateway import Gateway, Json, configuration, gateway, metric, until
from tests.support.keys import bearer, keys_in
from tests.support.logged import World, kept
from tests.support.provider import Fails, Says

pytestmark = pytest.mark.anyio

ALL = {"share": 10}


async def records(gate: Gateway) -> list[Json]:
    page: Json = (await gate.http.get("/v1/records?limit=100")).json()
    return list(page["data"])


async def trials(gate: Gateway, count: int) -> list[Json]:
    """The records of what was tried, once there are so many and their lessons are over."""

    async def are_there() -> bool:
        found = [record for record in await records(gate) if record["trial_of"]]
        over = [record for record in found if record["evidence"] or len(record["attempts"]) == 3]
        return len(over) >= count

    await until(are_there)
    return [record for record in await records(gate) if record["trial_of"]]


def sources(record: Json) -> set[str]:
    return {evidence["source"] for evidence in record["evidence"].values()}


async def test_in_shadow_the_clients_own_model_answers_and_the_policys_way_is_tried(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, policy="llm_at", mode="shadow", shadow=ALL) as gate:
        for model in ("small", "medium", "large"):
            gate.provider.answers(f"model-{model}", Says("The answer is 4."))
        replies = [await gate.ask(stream=stream) for stream in (False, True) * 6]
        told = await trials(gate, 2)
        large = gate.provider.asked().count("model-large")
        metrics = (await gate.http.get("/metrics")).text
        mode = (await gate.http.get("/v1/report")).json()["mode"]
        first = replies[0].headers["x-autoshift-decision"]

        async def is_noted() -> bool:
            return "shadow" in sources(await gate.decision(first))

        await until(is_noted)
        served = await gate.decision(first)

    assert all(reply.status_code == 200 for reply in replies)
    assert {reply.headers.get("x-autoshift-tier", "large") for reply in replies} == {"large"}
    assert (served["kind"], served["policy"]) == ("pinned", "always:large")
    noted = [e for e in served["evidence"].values() if e["source"] == "shadow"]
    assert [(e["by"], e["tier"], e["cost_usd"]) for e in noted] == [("llm_at", "small", 0.0)]
    assert large == len(replies), "the answer that is there is not paid again"
    for trial in told:
        assert (trial["kind"], trial["policy"]) == ("routed", "llm_at")
        assert trial["attempts"][0]["tier"] == "small"
        lessons = [e for e in trial["evidence"].values() if e["source"] == "lesson"]
        asked = [a for e in lessons for a in e["attempts"]] + trial["attempts"]
        reused = {a["tier"] for a in asked if a["reused"]}
        assert reused == {"large"}
        assert trial["lessons"]["propensities"]["large"] == 1.0
        for lesson in lessons:
            paid = [a["cost_usd"] for a in lesson["attempts"] if not a["reused"]]
            paid += [v["cost_usd"] for a in lesson["attempts"] for v in a["verdicts"]]
            paid += [verdict["cost_usd"] for verdict in lesson["verdicts"].values()]
            assert lesson["cost_usd"] == pytest.approx(sum(paid))
        assert trial["labels"]["small"] > 0.9
    assert metric(metrics, "autoshift_mode", mode="shadow") == 1
    assert metric(metrics, "autoshift_mode", mode="route") == 0
    assert metric(metrics, "autoshift_requests_total", kind="trial") >= 2
    assert metric(metrics, "autoshift_cost_usd_total", tier="small", purpose="trial") > 0
    assert metric(metrics, "autoshift_cost_usd_total", tier="large", purpose="trial") == 0
    assert (mode["name"], mode["tier"]) == ("shadow", "large")
    assert mode["tried"] >= 2
    assert mode["spent_usd"] > 0


async def test_pinned_requests_stay_pinned_and_tool_turns_are_not_tried(tmp_path: Path) -> None:
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    turn = [
        {"role": "user", "content": "Use f."},
        called,
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
    ]
    shadow = {"tier": "medium", **ALL}
    async with gateway(tmp_path, policy="value", mode="shadow", shadow=shadow) as gate:
        pinned = await gate.ask(model="small")
        unlearned = [await gate.ask(messages=turn) for _ in range(6)]
        unlearned += [await gate.ask(autoshift={"learn": False}) for _ in range(6)]
        routed = await gate.ask("last")
        decision = await gate.decision_of(routed)

        async def is_looked_at() -> bool:
            return "shadow" in sources(await gate.decision(decision["id"]))

        await until(is_looked_at)
        tried = [record for record in await records(gate) if record["trial_of"]]

    assert pinned.headers["x-autoshift-tier"] == "small"
    assert {reply.headers["x-autoshift-tier"] for reply in unlearned} == {"medium"}
    assert decision["served_tier"] == "medium"
    assert {record["trial_of"] for record in tried} <= {decision["id"]}


async def test_no_more_is_spent_than_the_share_allows(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value", mode="shadow", shadow={"share": 0}) as gate:
        for _ in range(5):
            decision = await gate.decision_of(await gate.ask())

        async def is_looked_at() -> bool:
            return "shadow" in sources(await gate.decision(decision["id"]))

        await until(is_looked_at)
        asked = gate.provider.asked()

    assert asked == ["model-large"] * 5


async def test_what_all_tenants_together_had_tried_is_for_admins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(monkeypatch)
    async with gateway(tmp_path, policy="llm_at", mode="shadow", shadow=ALL, keys=keys) as gate:

        async def told(key: str, path: str) -> Json:
            mode: Json = (await gate.http.get(path, headers=bearer(key))).json()["mode"]
            return mode

        async def are_tried() -> bool:
            await gate.ask(headers=bearer("a-1"))
            return bool((await told("root", "/v1/report?tenant=*"))["tried"] > 0)

        await until(are_tried)
        for path in ("/v1/report", "/v1/dashboard"):
            assert set(await told("b-1", path)) == {"name", "tier", "canary"}
            assert (await told("root", path))["spent_usd"] > 0


async def test_a_tier_that_is_down_fails_as_before_and_nothing_is_tried(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value", mode="shadow", shadow=ALL) as gate:
        gate.provider.answers("model-large", Fails(500))
        failed = [(await gate.ask()).status_code for _ in range(4)]

    assert failed == [502] * 4
    assert set(gate.provider.asked()) == {"model-large"}


async def test_of_a_canary_some_conversations_are_routed_at_every_turn(tmp_path: Path) -> None:
    async with gateway(
        tmp_path, policy="always:small", mode={"canary": 0.4}, shadow={"share": 0}
    ) as gate:
        tiers: dict[str, set[str]] = {}
        for number in range(20):
            opening = {"role": "user", "content": f"Question {number}"}
            answered = {"role": "assistant", "content": "ok"}
            for more in ([], [answered, {"role": "user", "content": "And then?"}]):
                reply = await gate.ask(messages=[opening, *more])
                tiers.setdefault(opening["content"], set()).add(reply.headers["x-autoshift-tier"])

    assert all(len(found) == 1 for found in tiers.values())
    routed = sum(found == {"small"} for found in tiers.values())
    assert {tier for found in tiers.values() for tier in found} == {"small", "large"}
    assert 2 <= routed <= 15


@pytest.mark.parametrize(("sees", "then"), [(0.0, "returned"), (1.0, "canary")])
async def test_a_canary_that_is_worse_for_sure_returns_to_shadow(
    tmp_path: Path, sees: float, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    coins = {"small": 0.1, "medium": 0.1, "large": 0.6, "full": 0.4}
    world = World(1, start="small", judge_sees=sees, decided=True, coins=coins)
    await kept(tmp_path, [world.record() for _ in range(350)])
    caplog.set_level(logging.WARNING)
    mode = {"canary": 0.999}
    async with gateway(tmp_path, policy="always:small", mode=mode, shadow={"share": 0}) as gate:

        async def told() -> Json:
            report: Json = (await gate.http.get("/v1/report")).json()
            return report

        async def is_restored() -> bool:
            return bool((await told())["counts"]["all"] >= 350)

        async def is_seen() -> bool:
            return bool((await told())["mode"]["name"] == then)

        await until(is_restored, 15)
        await until(is_seen)
        report = await told()
        reply = await gate.ask()
        metrics = (await gate.http.get("/metrics")).text
        ready = await gate.http.get("/readyz")

    assert metric(metrics, "autoshift_mode", mode=then) == 1
    assert ready.status_code == 200
    returned = then == "returned"
    assert reply.headers["x-autoshift-tier"] == ("large" if returned else "small")
    assert ("points of accuracy against large" in (report["mode"]["returned"] or "")) == returned
    assert ("back to shadow" in caplog.text) == returned
    assert report["baseline"] == "large"


@pytest.mark.timeout(90)
async def test_after_a_restart_a_canary_and_its_alarms_are_decided_anew_from_the_records(
    tmp_path: Path,
) -> None:
    coins = {"small": 0.1, "medium": 0.1, "large": 0.6, "full": 0.4}
    world = World(1, start="small", judge_sees=0.0, decided=True, coins=coins)
    await kept(tmp_path, [world.record() for _ in range(350)])
    first, again = await _canary(tmp_path), await _canary(tmp_path, erases=True)
    erased = await _canary(tmp_path, records=0)
    assert first[:2] == ("returned", "large")
    assert first[2]
    assert again == first
    assert erased == ("canary", "small", set())


async def _canary(
    directory: Path, *, records: int = 350, erases: bool = False
) -> tuple[str, str, set[str]]:
    """How one stands that starts with so many records: its mode, who answers, its alarms."""
    more: Json = {"mode": {"canary": 0.999}, "shadow": {"share": 0}}
    async with gateway(directory, policy="always:small", **more) as gate:

        async def told() -> Json:
            report: Json = (await gate.http.get("/v1/report")).json()
            return report

        async def is_looked_at() -> bool:
            report = await told()
            return report["counts"]["all"] >= records and (
                not records or report["mode"]["name"] == "returned"
            )

        await until(is_looked_at, 20)
        reply, report = await gate.ask(), await told()
        if erases:
            await gate.http.delete("/v1/records?all=true")
    alarms = {f"{alarm['name']} {alarm['about']}" for alarm in report["alarms"]}
    return report["mode"]["name"], reply.headers["x-autoshift-tier"], alarms


async def test_a_reload_prices_what_is_tried_and_its_verdicts_anew(tmp_path: Path) -> None:
    judge = {"by": "medium"}
    async with gateway(tmp_path, policy="llm_at", mode="shadow", shadow=ALL, judge=judge) as gate:
        values = configuration(gate.provider.url, tmp_path, policy="llm_at", judge=judge)
        for tier in values["tiers"]:
            tier["price"] = {name: 3 * usd for name, usd in tier["price"].items()}
        before = (await _tried(gate))["attempts"][0]
        gate.app.state.in_force.reload(lambda: build_settings(values))
        after = (await _tried(gate))["attempts"][0]

    assert after["cost_usd"] == pytest.approx(3 * before["cost_usd"])
    costs = [attempt["verdicts"][0]["cost_usd"] for attempt in (before, after)]
    assert costs[1] == pytest.approx(3 * costs[0])


async def _tried(gate: Gateway) -> Json:
    """What is tried next beside a request, judged by a judge."""
    known = {record["id"] for record in await records(gate)}
    found: list[Json] = []

    async def is_tried() -> bool:
        await gate.ask()
        new = [r for r in await records(gate) if r["trial_of"] and r["trial_of"] not in known]
        found.extend(r for r in new if r["attempts"][0]["verdicts"] and r["id"] not in known)
        return bool(found)

    await until(is_tried)
    return found[-1]


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"mode": "shadows"}, "mode"),
        ({"mode": {"canary": 1.5}}, "mode"),
        ({"mode": {"canary": 0.1, "x": 1}}, "mode"),
        ({"shadow": {"tier": "none"}}, "shadow.tier: 'none' is none of small, medium, large"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, more: Json, names: str) -> None:
    with pytest.raises(SettingsError, match=names):
        build_settings(configuration("http://127.0.0.1:9", tmp_path, **more))
