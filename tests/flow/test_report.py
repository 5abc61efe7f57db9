"""Whether routing pays, as the gateway says it: in metrics, on request, and in its log."""

import json
import logging
from pathlib import Path

import httpx
import pytest
from typing_extensions import override

from app.records import Record
from app.reporting.tracker import Tracker
from app.serving import serving
from app.telemetry.gauges import Figures
from app.telemetry.logs import JsonFormatter
from tests.support.gateway import Gateway, Json, gateway, metric, until
from tests.support.logged import TIERS, World, kept
from tests.support.loop import Drawing, loop
from tests.support.provider import Says

pytestmark = pytest.mark.anyio

GAUGES = (
    *(f"fixed_{figure}" for figure in ("accuracy", "usd_per_1000", "effective_sample")),
    *(f"served_{figure}" for figure in ("accuracy", "usd_per_1000", "effective_sample")),
    "routing_gain",
    "alarms",
)


async def report(gate: Gateway, requests: float = 1) -> Json:
    """What is told, once there are so many requests in it."""
    told: Json = {}

    async def is_there() -> bool:
        reply = await gate.http.get("/v1/report")
        assert reply.status_code == 200
        told.update(reply.json())
        return bool(told["requests"] >= requests)

    await until(is_there, 30)
    return told


async def exposed(gate: Gateway) -> str:
    """The samples, without what is said about them."""
    text = (await gate.http.get("/metrics")).text
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def said(caplog: pytest.LogCaptureFixture, message: str) -> list[Json]:
    """What the log has of this, as it is written."""
    lines = [JsonFormatter().format(r) for r in caplog.records if r.getMessage() == message]
    return [json.loads(line) for line in lines]


async def test_before_anything_is_known_there_are_no_figures_not_even_zeros(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        samples = await exposed(gate)
        assert [name for name in GAUGES if f"autoshift_{name}" in samples] == []
        told = (await gate.http.get("/report")).json()
    assert (told["object"], told["requests"], told["served"]) == ("autoshift.report", 0.0, None)
    assert (told["state"], told["alarms"], told["fixed"]) == ("unknown", [], {})
    assert told["sentence"] == "nothing to compare yet: no request was routed"


async def test_what_is_served_counts_at_once_and_again_when_its_lesson_is_over(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, policy="value", value={"lessons": 0.5}) as gate:
        for model in TIERS:
            gate.provider.answers(f"model-{model}", Says("The answer is 4"))
        decisions = [await gate.decision_of(await gate.ask()) for _ in range(30)]
        told = await report(gate, 29)
        spent_usd = [sum(decision["costs_usd"].values()) for decision in decisions]

        async def lessons_counted() -> bool:
            assert (await gate.ask()).status_code == 200  # whether it is a lesson, coins say
            return bool((await report(gate))["spend_usd_per_1000"]["lesson"] > 0)

        await until(lessons_counted, 30)
        samples = await exposed(gate)
    assert told["state"] == "unknown"
    assert told["sentence"].startswith("not enough evidence yet: n_eff ")
    assert told["served"]["usd_per_1000"]["n_eff"] == pytest.approx(30, abs=0.5)
    assert told["spend_usd_per_1000"]["answer"] > 0
    assert max(spent_usd) > 0
    assert "autoshift_fixed_effective_sample" in samples
    # Too little is known of accuracies, so they are not there.
    assert "autoshift_fixed_accuracy" not in samples
    assert "autoshift_routing_gain" not in samples
    assert metric(samples, "autoshift_alarms", alarm="judge") == 0


async def test_metrics_and_report_tell_the_truth_about_a_world_that_is_known(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(1, start="medium", judge_sees=0.9, decided=True)
    await kept(tmp_path, [world.record() for _ in range(1200)])
    with caplog.at_level(logging.INFO):
        async with gateway(tmp_path, policy="value") as gate:
            told = await report(gate, 900)
            await until(lambda: bool(said(caplog, "what was learned is restored")), 30)
            told, samples = await report(gate), await exposed(gate)
    assert metric(samples, "autoshift_fixed_accuracy", tier="small") == pytest.approx(
        0.75, abs=0.08
    )
    assert metric(samples, "autoshift_fixed_accuracy", tier="large") == pytest.approx(1, abs=0.02)
    assert metric(samples, "autoshift_served_accuracy") == pytest.approx(0.99, abs=0.02)
    gain = metric(samples, "autoshift_routing_gain")
    assert gain == pytest.approx(told["gain"]["value"])
    assert gain > 0.02
    for tier in TIERS:
        way = told["fixed"][tier]
        usd = metric(samples, "autoshift_fixed_usd_per_1000", tier=tier)
        assert usd == pytest.approx(way["usd_per_1000"]["value"])
        assert way["accuracy"]["low"] < way["accuracy"]["value"] < way["accuracy"]["high"]
        assert metric(samples, "autoshift_fixed_effective_sample", tier=tier) > 50
    spent = told["spend_usd_per_1000"]
    assert sum(spent.values()) == pytest.approx(told["served"]["usd_per_1000"]["value"])
    assert told["state"] == "pays"
    assert told["sentence"].startswith("routing pays: +")
    (line,) = said(caplog, "what routing is worth has changed")
    assert (line["level"], line["was"], line["now"]) == ("INFO", "unknown", "pays")
    assert line["says"].startswith("routing pays: +")


async def test_where_a_fixed_tier_would_have_been_better_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(1, start="small", judge_sees=0.1)
    await kept(tmp_path, [world.record() for _ in range(1500)])
    with caplog.at_level(logging.INFO):
        async with gateway(tmp_path, policy="value") as gate:
            await until(lambda: bool(said(caplog, "what was learned is restored")), 30)
            told, samples = await report(gate), await exposed(gate)
    assert told["state"] == "fixed"
    assert told["sentence"].startswith("a fixed tier would have been better: -")
    assert metric(samples, "autoshift_routing_gain") < 0
    (line,) = said(caplog, "a fixed tier would have been better")
    assert line["level"] == "WARNING"
    assert " points [" in line["says"]


async def test_a_judge_that_accepts_everything_raises_an_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        with caplog.at_level(logging.WARNING):
            for number in range(150):
                reply = await gate.ask(f"What is {number} + 2?", model="auto:cascade")
                assert reply.status_code == 200
            await until(lambda: bool(said(caplog, "learning looks corrupt")))
            told, samples = await report(gate, 0), await exposed(gate)
    (line,) = [line for line in said(caplog, "learning looks corrupt") if line["alarm"] == "judge"]
    assert line["says"].startswith("medium has accepted ")
    assert line["says"].endswith(" answers of small in a row")
    (alarm,) = [alarm for alarm in told["alarms"] if alarm["name"] == "judge"]
    assert alarm["about"] == "medium of small"
    assert alarm["sentence"].startswith("medium has accepted ")
    assert metric(samples, "autoshift_alarms", alarm="judge") == 1
    assert metric(samples, "autoshift_alarms", alarm="no_labels") == 0


async def test_where_lessons_bring_no_labels_there_is_an_alarm(tmp_path: Path) -> None:
    world = World(1, start="small", judge_sees=0.0)
    await kept(tmp_path, [world.early()[0] for _ in range(300)])
    async with gateway(tmp_path, policy="value") as gate:

        async def is_raised() -> bool:
            return metric(await exposed(gate), "autoshift_alarms", alarm="no_labels") == 1

        await until(is_raised, 30)
        alarms = {alarm["name"]: alarm for alarm in (await report(gate))["alarms"]}
    sentence = alarms["no_labels"]["sentence"]
    assert sentence.startswith("no label has come for ")
    assert " requests, though lessons should have brought " in sentence


async def test_on_the_admin_port_the_report_is_about_everyone(tmp_path: Path) -> None:
    await kept(tmp_path, [World(1).record() for _ in range(3)])
    async with gateway(tmp_path, policy="value") as gate, serving(gate.app.state.admin) as admin:

        async def restored() -> bool:
            return float((await report(gate))["requests"]) > 2.5

        await until(restored)
        mine = await report(gate)
        async with httpx.AsyncClient(base_url=admin.url, trust_env=False) as http:
            overall = (await http.get("/v1/report")).json()
    assert mine["simulated"] is False
    # There is but one tenant yet.
    (tenant,) = overall.pop("by_tenant")
    assert (tenant["name"], tenant["requests"]) == ("local", 3)
    assert overall == mine


async def test_the_report_can_be_about_some_time_and_beside_another_tier(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="value") as gate:
        for _ in range(3):
            assert (await gate.ask()).status_code == 200
        assert (await gate.ask(model="small")).status_code == 200

        async def told(**query: str) -> Json:
            reply = await gate.http.get("/v1/report", params=query)
            assert reply.status_code == 200
            found: Json = reply.json()
            return found

        async def all_counted() -> bool:
            return bool((await told(since="1h"))["counts"]["all"] == 4)

        await until(all_counted)
        lately, beside = await told(since="1h"), await told(since="1h", baseline="small")
        future = await told(since="2126-01-01T00:00:00Z")
        wrong = await gate.http.get("/v1/report", params={"since": "yesterday"})
        unknown = await gate.http.get("/v1/report", params={"baseline": "huge"})
    assert lately["counts"]["pinned"] == 1
    assert sum(lately["counts"]["served_by"].values()) == lately["counts"]["routed"] == 3
    assert lately["spend"]["usd"] > 0
    assert (lately["baseline"], beside["baseline"]) == ("large", "small")
    assert lately["requests"] == 3  # not faded
    assert (future["counts"]["all"], future["served"]) == (0, None)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "since")
    assert "24h" in wrong.json()["error"]["message"]
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "baseline")


async def test_a_tracker_that_fails_costs_no_request_and_no_lesson(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Tracker):
        @override
        def observe(self, record: Record) -> None:
            raise ValueError("cannot count that")

    policy = Drawing(("large",))
    async with loop(tracker=Broken()) as here:
        for _ in range(2):
            record = await here.ask(policy)
            assert record.outcome == "answered"
            assert (await here.taught(record)).evidence
        await until(lambda: len(policy.seen) == 4)
    failures = [r for r in caplog.records if r.getMessage() == "a record could not be learned from"]
    assert len(failures) == 4


async def test_gauges_that_fail_do_not_hide_the_other_metrics() -> None:
    def broken() -> Figures:
        raise ValueError("no figures")

    async with loop() as here:
        here.metrics.watch_standing(broken)
        counted = here.counted()
    assert metric(counted, "autoshift_build_info") == 1
    assert "autoshift_alarms{" not in counted
