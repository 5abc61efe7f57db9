"""Baselines, calibration and intervals, on recordings whose every figure is worked out by hand."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from app.replay.baselines import fixed_points, oracle_point, programs, truth_of
from app.replay.bootstrap import Bootstrap
from app.replay.figures import Runs
from app.replay.run import OUTCOME, Outcomes
from app.replay.sweeps import Areas, spent_by
from tests.support.recordings import answer, course, four


def outcomes(*rows: Mapping[str, object]) -> Outcomes:
    """A stream of these outcomes; what is not given is zero."""
    made = np.zeros(len(rows), dtype=OUTCOME)
    made["believed"] = made["estimates"] = math.nan
    for position, row in enumerate(rows):
        made[position]["query"] = position
        for name, value in row.items():
            made[position][name] = value
    return made


def test_the_fixed_tiers_and_the_oracle_are_what_they_are_by_hand() -> None:
    truth = truth_of(course(four()))

    small, medium, large = fixed_points(truth)
    oracle = oracle_point(truth)

    assert (small.accuracy, medium.accuracy, large.accuracy) == (0.25, 0.5, 0.75)
    assert (small.usd, medium.usd, large.usd) == pytest.approx((1, 10, 100))
    # small, medium, large, and small where nobody knows: (1 + 10 + 100 + 1) / 4.
    assert (oracle.accuracy, oracle.usd) == pytest.approx((0.75, 28.0))


def test_the_oracle_takes_the_answer_that_was_cheapest_this_time() -> None:
    lines = four()
    lines[0]["answers"]["medium"]["cost_usd"] = 0.0001

    oracle = oracle_point(truth_of(course(lines)))

    assert oracle.usd == pytest.approx((0.1 + 10 + 100 + 1) / 4)


@pytest.mark.parametrize(
    ("name", "usd", "accuracy"),
    [
        # Cost of the four questions in thousandths of a USD, over four.
        ("small > large until the judge accepts", (3 + 103 + 3 + 103) / 4, 0.5),
        ("small > medium > large until two agree", (11 + 111 + 11 + 111) / 4, 0.5),
        (
            "small > medium > large until two agree and the judge accepts",
            (13 + 111 + 13 + 111) / 4,
            0.5,
        ),
        ("small > medium > large until the judge accepts", (3 + 15 + 3 + 115) / 4, 0.5),
        ("medium > large until the judge accepts", (12 + 12 + 12 + 112) / 4, 0.5),
    ],
)
def test_a_program_costs_what_its_calls_cost(name: str, usd: float, accuracy: float) -> None:
    laid_out = course(four())
    known = {str(program): program.point for program in programs(laid_out, truth_of(laid_out))}

    assert len(known) == 3 + 3 + 1 + 2
    assert (known[name].usd, known[name].accuracy) == pytest.approx((usd, accuracy))


def test_an_abstention_goes_on_without_paying_a_judge() -> None:
    lines = four()
    lines[0]["answers"]["small"] = answer(
        "small", "x", correct=False, verdict="yes", abstained=True
    )
    laid_out = course(lines)
    known = {str(program): program.point for program in programs(laid_out, truth_of(laid_out))}

    point = known["small > large until the judge accepts"]
    assert point.usd == pytest.approx((101 + 103 + 3 + 103) / 4)


def test_figures_are_means_over_questions_and_orders() -> None:
    first = outcomes(
        {"correct": True, "answer_usd": 0.001, "judge_usd": 0.002, "start": 0, "final": 0},
        {"correct": False, "answer_usd": 0.01, "draft_usd": 0.001, "start": 0, "final": 1},
    )
    second = outcomes(
        {"query": 1, "correct": True, "answer_usd": 0.1, "start": 2, "final": 2},
        {"query": 0, "correct": False, "answer_usd": 0.001, "start": 0, "final": 0},
    )
    runs = Runs([first, second])

    assert runs.correct.tolist() == [[1, 0], [0, 1]]
    assert runs.point.accuracy == 0.5
    assert runs.point.usd == pytest.approx((3 + 11 + 100 + 1) / 4)
    assert runs.usd_per_1000("draft") == pytest.approx(0.25)
    assert runs.shares("start", 3) == [0.75, 0, 0.25]
    assert runs.shares("final", 3) == [0.5, 0.25, 0.25]


def test_milestones_count_from_the_first_question() -> None:
    stream = outcomes(
        *({"correct": position >= 100, "answer_usd": 0.001} for position in range(600))
    )

    stones = Runs([stream]).milestones()

    assert [stone.questions for stone in stones] == [100, 500, 600]
    assert [stone.accuracy for stone in stones] == pytest.approx([0, 0.8, 5 / 6])
    assert stones[-1].usd_per_1000 == pytest.approx(1)


def test_calibration_compares_what_was_believed_with_what_was_true() -> None:
    stream = outcomes(
        {"believed": 0.85, "start_correct": True},
        {"believed": 0.85, "start_correct": False},
        {"believed": 0.25, "start_correct": False},
        {},
    )

    found = Runs([stream]).calibration()

    assert found is not None
    assert found.brier == pytest.approx((0.15**2 + 0.85**2 + 0.25**2) / 3)
    # In one bin 0.85 twice against one right of two, in another 0.25 against none.
    assert found.ece == pytest.approx((abs(1.7 - 1) + 0.25) / 3)
    assert (found.believed, found.true) == pytest.approx((1.95 / 3, 1 / 3))
    assert Runs([outcomes({})]).calibration() is None


def test_repeating_an_order_does_not_narrow_the_interval() -> None:
    correct = np.array([1.0, 0.0] * 100)
    once = Bootstrap(orders=1, queries=200, seed=1).mean(correct[None, :])
    often = Bootstrap(orders=20, queries=200, seed=1).mean(np.tile(correct, (20, 1)))

    # One standard error of 200 coin flips is 0.035.
    width = once.interval.high - once.interval.low
    assert width == pytest.approx(4 * 0.0354, rel=0.1)
    assert often.interval.high - often.interval.low == pytest.approx(width, rel=0.1)


def test_a_paired_difference_is_as_sure_as_its_pairs() -> None:
    bootstrap = Bootstrap(orders=1, queries=100, seed=1)
    ours = np.array([[1.0, 0.0] * 50])

    same = bootstrap.mean(ours - ours[0])

    assert (same.interval.low, same.interval.high) == (0, 0)
    ratio = bootstrap.ratio(2 * ours + 2, ours[0] + 1)
    assert ratio is not None
    assert (ratio.value, ratio.interval.low, ratio.interval.high) == pytest.approx((2, 2, 2))
    assert bootstrap.ratio(ours, np.zeros(100)) is None


def test_the_gain_over_mixtures_is_zero_for_a_fixed_tier_itself() -> None:
    truth = truth_of(course(four()))
    rows = [
        {"correct": right, "answer_usd": usd}
        for right, usd in zip(truth.correct[1], truth.usd[1], strict=True)
    ]
    runs = Runs([outcomes(*rows)])
    bootstrap = Bootstrap(orders=1, queries=4, seed=1)
    gain = Areas(truth, bootstrap).gain_over_mixtures(spent_by(runs))

    # medium is on the hull: small .25 at 1, medium .5 at 10, large .75 at 100.
    assert (runs.point.usd, runs.point.accuracy) == pytest.approx((10, 0.5))
    assert gain.value == pytest.approx(0)
    assert gain.interval.high <= 1e-9
