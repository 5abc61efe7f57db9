"""Scenarios: what each changes, and that it changes nothing else."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from app.errors import SettingsError
from app.replay.baselines import fixed_points, truth_of
from app.replay.bootstrap import Floats
from app.replay.run import Course, shuffled
from app.replay.scenarios import (
    PLANTED,
    Ground,
    Overruled,
    Scene,
    fall,
    parse_scenarios,
    planted,
    reversed_ladder,
    scenes,
    trap,
    wrong_priors,
)
from app.replay.simulated import SimulatedVerdicts, parse_rates
from app.replay.stand_ins import recording_of, said
from tests.support.recordings import MODELS, answer, course, four, line

QUERIES = 400
ACCURACIES = {"small": 0.5, "medium": 0.7, "large": 0.9}


def laid_out(queries: int = QUERIES) -> Course:
    """Questions that the tiers get right at random, each as often as stated; judges see half."""
    rng = Random(3)  # noqa: S311
    lines = []
    for number in range(queries):
        given = []
        for model, accuracy in ACCURACIES.items():
            right = rng.random() < accuracy
            final = "right" if right else f"{model} is lost"
            valid = right or rng.random() < 0.5
            verdict = None if model == "large" else "yes" if valid else "no"
            given.append(answer(model, final, correct=right, verdict=verdict))
        lines.append(line(number, *given))
    return course(lines)


def on_a_circle(queries: int = QUERIES) -> Floats:
    """Questions evenly around: each is nearest to those next to it."""
    angles = 2 * np.pi * np.arange(queries) / queries
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def finals(made: Course, query: int) -> dict[str, str]:
    return {m: said(made.recordings[query].answers[m]).split("is: ")[-1] for m in MODELS}


def changed(made: Course, before: Course) -> list[tuple[int, str]]:
    return [
        (query, model)
        for query, (new, old) in enumerate(zip(made.recordings, before.recordings, strict=True))
        for model in MODELS
        if new.answers[model] != old.answers[model]
    ]


def test_unknown_scenarios_are_refused_and_repetitions_run_once() -> None:
    assert parse_scenarios(["trap", "fall", "trap"]) == ("trap", "fall")
    with pytest.raises(SettingsError, match="'flood' is unknown; known: wrong-priors, reversed"):
        parse_scenarios(["flood"])


def test_priors_are_turned_round_and_nothing_else() -> None:
    before = course(four(), priors=(0.2, 0.5, 0.9))
    made = wrong_priors(before)

    assert [tier.prior for tier in made.tiers] == [0.9, 0.5, 0.2]
    assert [tier.name for tier in made.tiers] == list(MODELS)
    for ladder, old in zip(made.ladders, before.ladders, strict=True):
        assert [tier.prior for tier in ladder] == [0.9, 0.5, 0.2]
        usage = before.recordings[0].answers["small"].usage
        assert [t.cost_usd(usage) for t in ladder] == [t.cost_usd(usage) for t in old]
    assert [tier.prior for tier in before.tiers] == [0.2, 0.5, 0.9]
    assert changed(made, before) == []


def test_a_reversed_ladder_is_dearest_first_and_each_tier_keeps_its_prior() -> None:
    made = reversed_ladder(course(four(), priors=(0.2, 0.5, 0.9)))

    expected = [("large", 0.9), ("medium", 0.5), ("small", 0.2)]
    assert [(tier.name, tier.prior) for tier in made.tiers] == expected
    assert all([(t.name, t.prior) for t in ladder] == expected for ladder in made.ladders)


def test_in_a_trap_all_tiers_are_as_accurate_as_the_cheapest() -> None:
    before = laid_out()
    made = trap(before, seed=1)

    small, *dearer = fixed_points(truth_of(made))
    assert small == fixed_points(truth_of(before))[0]
    assert [tier.accuracy for tier in dearer] == pytest.approx([small.accuracy] * 2)
    assert [tier.usd for tier in dearer] == pytest.approx([10, 100])
    for query, model in changed(made, before):
        assert not made.recordings[query].answers[model].correct
        assert not before.recordings[query].answers["small"].correct
    assert made.recordings == trap(before, seed=1).recordings != trap(before, seed=2).recordings


def test_a_trap_leaves_alone_what_is_one_already() -> None:
    lines = four()
    for each in lines:
        each["answers"]["small"]["correct"] = True
    before = course(lines)

    assert changed(trap(before, seed=1), before) == []


def test_a_fall_is_twenty_points_of_one_tier_from_the_middle_on() -> None:
    before = laid_out()
    order = shuffled(before, 1)
    scene = fall(before, order, "large", seed=1)

    made = changed(scene.course, before)
    late = set(order[QUERIES // 2 :])
    assert (scene.at, scene.tier, scene.order) == (QUERIES // 2, "large", order)
    assert len(made) == round(0.2 * len(late)) == 40
    assert {model for _, model in made} == {"large"}
    assert {query for query, _ in made} <= late
    for query, model in made:
        assert before.recordings[query].answers[model].correct
        assert not scene.course.recordings[query].answers[model].correct
        lost = finals(scene.course, query)
        assert lost["large"] not in (lost["small"], lost["medium"])
    truth = truth_of(scene.course).correct
    assert truth[2, sorted(late)].mean() == pytest.approx(
        truth_of(before).correct[2, sorted(late)].mean() - 0.2
    )


def test_what_is_newly_wrong_passes_the_judge_as_often_as_other_wrong_answers() -> None:
    before = laid_out(2000)
    scene = fall(before, shuffled(before, 1), "medium", seed=1)

    by = before.tiers[2]
    verdicts = [
        scene.course.verdicts.verdict(scene.course.recordings[query], "medium", by).valid
        for query, _ in changed(scene.course, before)
    ]
    # 200 answers, a half of which pass: three standard errors are .11.
    assert len(verdicts) == 200
    assert sum(map(bool, verdicts)) / 200 == pytest.approx(0.5, abs=0.11)
    # Others are judged as before.
    same = [r for r in before.recordings if r.answers["medium"].correct][:50]
    for recording in same:
        old = before.verdicts.verdict(recording, "small", by)
        assert scene.course.verdicts.verdict(recording, "small", by) == old


def test_a_simulated_judge_is_overruled_too_at_its_own_cost() -> None:
    before = laid_out(50)
    judge = SimulatedVerdicts(before.recordings, MODELS, parse_rates("1,0,0"), seed=1)
    (first, second), by = before.recordings[:2], before.tiers[2]
    known = judge.verdict(first, "small", by)
    overruled = Overruled(judge, {(first.id, "small"): not known.valid})

    assert overruled.verdict(first, "small", by) == replace(known, valid=not known.valid)
    assert overruled.verdict(second, "small", by) == judge.verdict(second, "small", by)


def test_nobody_is_overruled_who_has_nothing_to_say() -> None:
    before = course(four())
    recording, by = before.recordings[0], before.tiers[2]

    told = Overruled(before.verdicts, {(recording.id, "large"): True}).verdict(
        recording, "large", by
    )

    assert told.valid is None


def scene_of(*, right: bool, seed: int = 5) -> tuple[Course, Scene]:
    before = laid_out()
    order = shuffled(before, 1)
    return before, planted(Ground(before, on_a_circle()), order, seed, right=right)


@pytest.mark.parametrize("right", [True, False])
def test_twenty_answers_in_the_middle_look_other_than_they_are(right: bool) -> None:
    before, scene = scene_of(right=right)

    made = changed(scene.course, before)
    assert len(made) == scene.planted == PLANTED
    assert {model for _, model in made} == {"small"}
    middle = scene.order[scene.at : scene.at + PLANTED]
    assert {query for query, _ in made} == set(middle)
    assert scene.at == (QUERIES - PLANTED) // 2
    assert sorted(scene.order) == list(range(QUERIES))
    by = before.tiers[1]
    for query in middle:
        recording = scene.course.recordings[query]
        # The truth is the opposite of what is seen, and it stays.
        assert recording.answers["small"].correct is not right
        verdict = scene.course.verdicts.verdict(recording, "small", by)
        assert verdict.valid is right
        assert verdict.cost_usd == 0.002
        others = {final for model, final in finals(scene.course, query).items() if model != "small"}
        assert (finals(scene.course, query)["small"] in others) is right
        assert recording_of(scene.course.requests[query]) is recording


def test_what_is_planted_is_close_together_and_its_surroundings_are_told_apart() -> None:
    _, scene = scene_of(right=False)

    middle = set(scene.order[scene.at : scene.at + PLANTED])
    around = np.array(sorted(middle | scene.near))
    assert len(scene.near) == QUERIES // 10
    assert not middle & scene.near
    # On the circle they are one arc; only answers that are right could be planted, half of all.
    widest_gap = np.diff(around, append=around[0] + QUERIES).max()
    assert QUERIES - widest_gap < len(around) + PLANTED


def test_the_seed_decides_what_is_planted_and_where() -> None:
    first, again, other = (scene_of(right=False, seed=seed)[1] for seed in (5, 5, 6))

    assert first.order == again.order
    assert first.near == again.near != other.near


def test_every_scenario_has_a_scene_an_order_and_leaves_the_course_as_it_was() -> None:
    before = laid_out(60)
    untouched = [recording.model_copy(deep=True) for recording in before.recordings]
    ground = Ground(before, on_a_circle(60))
    orders = [shuffled(before, seed) for seed in (1, 2)]

    for name in parse_scenarios(
        ["wrong-priors", "reversed", "false-failures", "false-successes", "fall", "trap"]
    ):
        made = scenes(name, ground, orders, seed=1, most="medium")
        assert [sorted(scene.order) for scene in made] == [list(range(60))] * 2
        assert before.recordings == untouched
        assert {scene.tier for scene in made} <= {None, "small", "medium"}
