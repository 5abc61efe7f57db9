"""A replay: what is measured is what is served, the truth stays out, the command says it all."""

import json
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import get_args

import numpy as np
import orjson
import pytest
from PIL import Image

from app.errors import SettingsError
from app.policies import build_policies
from app.records import Evidence, Record
from app.replay.baselines import fixed_points, truth_of
from app.replay.command import Replay, add_options
from app.replay.experiment import Plan, questions, run_plan
from app.replay.figures import Runs
from app.replay.ladders import PROVIDER
from app.replay.policies import UNUSED_URL, Choice, build_policy
from app.replay.run import Advance, by_arrival, by_topic, records, run, shuffled, vectors
from app.replay.scenarios import Ground, ScenarioName, parse_scenarios
from app.settings.configuration import build_settings
from tests.flow.test_learning import EASY, HARD, delivered
from tests.support.gateway import gateway
from tests.support.loop import Drawing
from tests.support.provider import INVALID, VALID, Says
from tests.support.recordings import MODELS, Json, answer, course, four, line

pytestmark = pytest.mark.anyio


def lesson(number: int, text: str, *, small_suffices: bool, **more: object) -> Json:
    """A question that small can or cannot answer, and a judge that sees which."""
    small = answer("small", "42" if small_suffices else "13", correct=small_suffices)
    medium = answer("medium", "42", correct=True)
    for each, valid in ((small, small_suffices), (medium, True)):
        each["judge"] = {
            "judge_model": "j",
            "verdict": "yes" if valid else "no",
            "cost_usd": 0.002,
        }
    return line(number, small, medium, answer("large", "42", correct=True)) | {
        "query": text,
        **more,
    }


def lessons() -> list[Json]:
    """Easy and hard ones by turns."""
    return [
        lesson(2 * number + hard, text, small_suffices=not hard, subset="hard" if hard else "easy")
        for number, pair in enumerate(zip(EASY, HARD, strict=True))
        for hard, text in enumerate(pair)
    ]


async def test_a_cascade_costs_and_takes_what_its_calls_did() -> None:
    lines = four()
    lines[3]["answers"]["medium"]["judge"]["latency_s"] = 0.5
    laid_out = course(lines)
    policy = build_policy(Choice("cascade"), laid_out.tiers)

    runs = Runs([await run(laid_out, policy, [0, 1, 2, 3], seed=1)])

    # small; small, medium; small, wrongly accepted; all three, the top one unjudged.
    assert runs.by_query["answers"].tolist() == [[1, 2, 1, 3]]
    assert runs.by_query["judgements"].tolist() == [[1, 2, 1, 2]]
    assert runs.by_query["final"].tolist() == [[0, 1, 0, 2]]
    assert runs.correct.tolist() == [[1, 1, 0, 0]]
    spent = [runs.usd_per_1000(purpose) for purpose in ("answer", "draft", "judge", "lesson")]
    assert spent == pytest.approx([(1 + 10 + 1 + 100) / 4, (1 + 11) / 4, 6 * 2 / 4, 0])
    assert runs.by_query["latency_s"].tolist() == [[1, 2, 1, 3.5]]


async def test_one_tier_always_is_the_fixed_baseline_to_the_recorded_cent() -> None:
    lines = four()
    for number, each in enumerate(lines):
        # As many tokens as ever, yet dearer: no list price explains that.
        each["answers"]["medium"]["cost_usd"] += 0.001 * number
    laid_out = course(lines)
    truth = truth_of(laid_out)
    for position, fixed in enumerate(fixed_points(truth)):
        policy = build_policy(Choice(f"always:{MODELS[position]}"), laid_out.tiers)
        runs = Runs([await run(laid_out, policy, [3, 1, 0, 2], seed=1)])
        assert (runs.point.usd, runs.point.accuracy) == pytest.approx((fixed.usd, fixed.accuracy))
        assert runs.usd[0].tolist() == truth.usd[position].tolist()


async def test_an_abstention_escalates_without_a_judge() -> None:
    lines = four()
    lines[0]["answers"]["small"]["abstained"] = True
    laid_out = course(lines)

    (record,) = await records(laid_out, build_policy(Choice("llm_at"), laid_out.tiers), [0], seed=1)

    assert [attempt.tier for attempt in record.attempts] == ["small", "medium"]
    assert [verdict.by for verdict in record.attempts[0].verdicts] == ["check:not_empty"]
    assert record.costs_usd()["judge"] == pytest.approx(0.002)


async def test_drawn_lessons_are_taught_at_once_and_paid_apart() -> None:
    laid_out = course(four())
    policy = Drawing(("full",), tenant="replay")

    made = await records(laid_out, policy, [0, 1, 2], seed=1)
    runs = Runs([await run(laid_out, policy, [0, 1, 2], seed=1)])

    # Each served by small, unjudged; medium and large are asked, small and medium judged.
    assert [[attempt.tier for attempt in record.attempts] for record in made] == [["small"]] * 3
    for record in made:
        lesson = _lesson(record)
        assert [attempt.tier for attempt in lesson.attempts] == ["medium", "large"]
        assert lesson.cost_usd == pytest.approx(0.01 + 0.1 + 2 * 0.002)
    verdicts = [_lesson(record).verdicts["small"].valid for record in made]
    assert verdicts == [True, False, True]
    assert [bool(seen.evidence) for seen in policy.seen] == [False, True] * 6
    spent = [runs.usd_per_1000(purpose) for purpose in ("answer", "draft", "judge", "lesson")]
    assert spent == pytest.approx([1, 0, 0, 114])
    assert runs.by_query["latency_s"].tolist() == [[1, 1, 1]]
    assert runs.by_query["answers"].tolist() == [[1, 1, 1]]


def _lesson(record: Record) -> Evidence:
    return next(each for each in record.evidence.values() if each.source == "lesson")


@pytest.mark.parametrize("name", ["llm_at", "cascade", "random", "value", "value:global"])
async def test_no_decision_depends_on_what_is_correct(name: str) -> None:
    flipped = lessons()
    for each in flipped:
        for model in MODELS:
            each["answers"][model]["correct"] = not each["answers"][model]["correct"]

    left = []
    for lines in (lessons(), flipped):
        laid_out = course(lines)
        policy = build_policy(Choice(name), laid_out.tiers)
        made = await records(laid_out, policy, shuffled(laid_out, 5), seed=5)
        left.append([record.to_json() for record in made])

    assert len(left[0]) == len(EASY) + len(HARD)
    # How long embedding and searching took is all that may differ, and the clock stands still.
    assert left[0] == left[1]


async def test_value_with_global_rates_only_looks_at_no_neighbours() -> None:
    laid_out = course(lessons())
    order = by_arrival(laid_out)

    starts = {
        name: [
            record.start
            for record in await records(
                laid_out, build_policy(Choice(name, 1.0), laid_out.tiers), order, seed=1
            )
        ]
        for name in ("value", "value:global")
    }

    assert max(start.neighbours for start in starts["value"] if start) > 0
    assert {start.neighbours for start in starts["value:global"] if start} == {0}
    assert len([start for start in starts["value:global"] if start]) == len(order)


async def test_every_tiers_estimate_is_kept_as_it_was_before_anything_ran() -> None:
    laid_out = course(lessons(), priors=(0.55, 0.65, 0.9))
    policy = build_policy(Choice("llm_at"), laid_out.tiers)

    made = await records(laid_out, policy, by_arrival(laid_out), seed=1)
    outcomes = await run(laid_out, policy, by_arrival(laid_out), seed=1)

    for record, estimates in zip(made, outcomes["estimates"], strict=True):
        assert record.start is not None
        believed = [record.start.estimates[model].accuracy for model in MODELS]
        assert estimates[:3].tolist() == believed
        assert np.isnan(estimates[3:]).all()
    assert outcomes["estimates"][0, :3].tolist() == [0.55, 0.65, 0.9]


async def test_the_progress_bar_counts_every_question_that_is_run() -> None:
    laid_out = course(lessons())
    plan = Plan(
        (Choice("llm_at"), Choice("cascade"), Choice("cascade")),
        orders=2,
        seed=1,
        swept=True,
        scenarios=parse_scenarios(get_args(ScenarioName)),
    )
    counted: list[str] = []

    def begin(name: str) -> Advance:
        return lambda: counted.append(name)

    await run_plan(Ground(laid_out, await vectors(laid_out)), plan, begin)

    assert len(counted) == questions(plan, laid_out)
    assert {"llm_at", "llm_at@0.7", "cascade, trap", "random, as recorded"} <= set(counted)
    assert "random, trap" not in counted


async def test_the_running_gateway_decides_the_same_on_the_same_records(tmp_path: Path) -> None:
    laid_out = course(lessons(), priors=(0.55, 0.65, 0.9))
    judged: Json = {"judge": {"by": "next"}, "policy": "llm_at"}
    settings = build_settings(
        {
            "providers": {PROVIDER: {"base_url": UNUSED_URL}},
            "tiers": laid_out.tiers,
            **judged,
        }
    )
    policy = build_policies(settings)["llm_at"]
    replayed = await records(laid_out, policy, by_arrival(laid_out), seed=1)

    served = []
    async with gateway(tmp_path, **judged) as gate:
        for each in lessons():
            answers = each["answers"]
            for model in MODELS:
                gate.provider.answers(f"model-{model}", Says(str(answers[model]["answer"])))
            for judge, of in (("medium", "small"), ("large", "medium")):
                accepts = answers[of]["judge"]["verdict"] == "yes"
                gate.provider.verdicts(f"model-{judge}", VALID if accepts else INVALID)
            served.append(await gate.decision_of(await gate.ask(each["query"])))
            await delivered(gate)

    starts = [record.start for record in replayed]
    assert {start.tier for start in starts if start} == {"small", "medium"}
    for mine, theirs in zip(replayed, served, strict=True):
        assert [a.tier for a in mine.attempts] == [a["tier"] for a in theirs["attempts"]]
        assert mine.start is not None
        assert mine.start.neighbours == theirs["start"]["neighbours"]
        for tier, estimate in mine.start.estimates.items():
            other = theirs["start"]["estimates"][tier]["accuracy"]
            assert estimate.accuracy == pytest.approx(other, abs=1e-4)


async def test_streams_are_every_question_once() -> None:
    laid_out = course(lessons())
    everything = list(range(len(lessons())))

    assert by_arrival(laid_out) == everything
    assert by_topic(laid_out) == [*everything[0::2], *everything[1::2]]
    assert sorted(shuffled(laid_out, 1)) == everything != shuffled(laid_out, 1)
    assert shuffled(laid_out, 1) == shuffled(laid_out, 1) != shuffled(laid_out, 2)


def replay(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "app.cli", "replay", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=18,
        check=False,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(each) for each in lessons()))
    return path


def test_the_command_prints_every_table_and_writes_figures_and_picture(
    file: Path, tmp_path: Path
) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.png"

    done = replay(
        *(str(file), "--policy", "llm_at", "--policy", "cascade", "--orders", "2", "--sweep"),
        *("--json", str(figures), "--plot", str(picture)),
    )

    assert done.returncode == 0, done.stderr
    for said in ("judge: recorded", "oracle", "Over the dial", "Brier", "lessons", "In hindsight"):
        assert said in done.stdout
    report = json.loads(figures.read_text(encoding="utf-8"))
    assert report["fixed"]["small"]["accuracy"] == 0.5
    assert [policy["policy"] for policy in report["policies"]] == ["llm_at", "cascade", "random"]
    cascade = report["policies"][1]
    # Half the questions end at small, half at medium after it; each answer is judged.
    assert cascade["point"]["accuracy"] == 1.0
    assert cascade["point"]["usd"] == pytest.approx((3 + 15) / 2)
    assert len(report["policies"][0]["settings"]) == 11
    with Image.open(picture) as drawn:
        assert drawn.size == (1300, 720)
        colours = drawn.convert("RGB").getcolors(maxcolors=100_000)
        assert colours is not None
        assert len(colours) > 20


def test_figures_go_to_stdout_where_no_file_is_named(file: Path) -> None:
    done = replay(str(file), "--policy", "llm_at", "--orders", "1", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fixed"]["small"]["accuracy"] == 0.5
    assert "oracle" in done.stderr


def test_the_command_compares_curves_at_equal_accuracy_and_tries_scenarios(
    file: Path, tmp_path: Path
) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.png"

    done = replay(
        *(str(file), "--policy", "llm_at", "--policy", "value", "--orders", "2", "--sweep"),
        *("--margin", "30", "--scenario", "trap", "--scenario", "false-failures"),
        *("--json", str(figures), "--plot", str(picture)),
    )

    assert done.returncode == 0, done.stderr
    for said in (
        "margin: 30 points",
        "Cost at the accuracy of llm_at",
        "hull of tiers",
        "kNN, full labels",
        "agreement only",
        "skill",
        "as the gateway would report it",
        "trap, value",
        "false-failures,",
        "before > after > end",
    ):
        assert said in done.stdout
    report = json.loads(figures.read_text(encoding="utf-8"))
    first, value, _ = report["policies"]
    assert report["margin"] == 0.3
    assert first["parity"] is None
    assert value["parity"]["setting"].startswith("value")
    assert value["parity"]["gain"]["interval"]["low"] > -0.3
    assert value["parity"]["cost"]["value"] > 0
    assert set(value["aiq_over"]) == {"llm_at"}
    assert value["aiq_over"]["llm_at"]["value"] == -first["aiq_over"]["value"]["value"]
    assert {"value", "interval", "error"} == set(value["aiq_over_mixtures"])
    assert value["estimates"]["0"]["comparisons"] == 2 * 3 * report["queries"]
    assert report["agreement"]["gate"] == "agreement"
    assert report["upper_bound"]["settings"][-1]["point"]["accuracy"] == 0.5
    assert [trial["scenario"] for trial in value["trials"]] == ["trap", "false-failures"]
    assert value["trials"][0]["trap"]["good"] == "small"
    assert value["trials"][1]["tier"] == "small"


def test_figures_of_a_simulated_judge_say_so_and_two_tiers_have_their_measures(
    file: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    judge = "simulated:0.9,0.3,0.5"

    done = replay(
        *(str(file), "--tiers", "small,large", "--judge", judge, "--orders", "1"),
        *("--json", str(figures)),
    )

    assert done.returncode == 0, done.stderr
    assert judge in done.stdout
    assert "APGR" in done.stdout
    report = json.loads(figures.read_text(encoding="utf-8"))
    assert report["judge"] == judge
    assert report["policies"][0]["two_tiers"]["apgr"] is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tiers", "small,huge"], "'huge' is not recorded"),
        (["--policy", "nonsense"], "'nonsense' is unknown; known: always:large"),
        (["--policy", "cascade@1"], "'cascade' has no dial"),
        (["--policy", "llm_at@7"], "llm_at.threshold"),
        (["--judge", "guess"], "neither recorded nor simulated"),
        (["--priors", "0.5"], "give 3 numbers"),
        (["--scenario", "flood"], "'flood' is unknown; known: wrong-priors"),
        (["--policy", "margin"], "no answer here has a `margin`"),
        (["--policy", "best_of_n"], "no answer here has `repeats`"),
        (["--policy", "value:global@-1"], "value.quality_per_dollar"),
        (["--policy", "value:keep_quality@2"], "value.keep_quality"),
        (["--policy", "value:usd_per_1000"], "needs a number"),
        (["--json", "/nowhere/figures.json"], "cannot be written"),
    ],
)
def test_a_mistake_in_the_call_is_refused_before_anything_runs(
    file: Path, arguments: list[str], said: str
) -> None:
    parser = ArgumentParser()
    add_options(parser)

    with pytest.raises(SettingsError) as refused:
        Replay(parser.parse_args([str(file), *arguments]))

    assert said in refused.value.message
    assert "\n" not in refused.value.message


def test_recordings_without_verdicts_ask_for_a_simulated_judge(tmp_path: Path) -> None:
    lines = four()
    for each in lines:
        for model in MODELS:
            each["answers"][model]["judge"] = None
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(each) for each in lines))

    done = replay(str(path))

    assert done.returncode == 2
    assert "simulate a judge, for instance --judge simulated:0.9,0.3,0.5" in done.stderr
    assert done.stderr.count("\n") == 1
