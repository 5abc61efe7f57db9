"""Curves beside each other, and cost at equal accuracy, on figures that are known beforehand."""

from math import e

import numpy as np
import pytest

from app.replay.baselines import Truth
from app.replay.bootstrap import Bootstrap, Floats
from app.replay.sweeps import Areas, Spent, parity

QUERIES = 400


def truth() -> Truth:
    """Two tiers: a cheap one that is right every other time, a dear one always."""
    correct = np.array([[True, False] * (QUERIES // 2), [True] * QUERIES])
    usd = np.array([[0.001] * QUERIES, [0.001 * e] * QUERIES])
    nothing = np.zeros(correct.shape)
    return Truth(correct, usd, correct, nothing, nothing.astype(np.int16))


def bootstrap(orders: int = 2) -> Bootstrap:
    return Bootstrap(orders=orders, queries=QUERIES, seed=1, draws=300)


def spent(correct: Floats, usd: float) -> Spent:
    """Two orders alike, each question at the same cost."""
    return Spent(np.full((2, QUERIES), usd), np.tile(correct, (2, 1)))


def right(share: float) -> Floats:
    """The first so many questions."""
    return (np.arange(QUERIES) < share * QUERIES).astype(np.float64)


def test_a_fixed_tier_by_itself_adds_nothing_to_the_hull_in_any_draw() -> None:
    known = truth()
    areas = Areas(known, bootstrap())
    areas.add("tiers", [Spent(known.usd[at], known.correct[at].astype(float)) for at in (0, 1)])

    over = areas.over_mixtures("tiers")

    assert over is not None
    assert (over.value, over.interval.low, over.interval.high) == pytest.approx((0, 0, 0))


def test_the_area_over_the_hull_is_what_is_worked_out_by_hand() -> None:
    areas = Areas(truth(), bootstrap())
    areas.add("perfect", [spent(right(1), 0.001)])

    over = areas.over_mixtures("perfect")

    # Right for the cheapest price: 1 everywhere. The hull rises from .5 to 1 in proportion to cost,
    # so over the log of it (e - 2) / (e - 1) of that half.
    assert over is not None
    assert over.value == pytest.approx(0.5 - 0.5 * (e - 2) / (e - 1))
    assert over.interval.low < over.value < over.interval.high
    assert over.error == pytest.approx(0.025 * (1 - (e - 2) / (e - 1)), rel=0.2)


def test_the_area_between_two_curves_is_paired_and_the_same_from_both_sides() -> None:
    areas = Areas(truth(), bootstrap())
    # At the cheapest cost both are flat, so the gap is theirs: ten points.
    areas.add("better", [spent(right(0.9), 0.001)])
    areas.add("worse", [spent(right(0.8), 0.001)])

    over, under = areas.over_others("better")["worse"], areas.over_others("worse")["better"]

    assert over.value == pytest.approx(0.1)
    assert under.value == pytest.approx(-0.1)
    assert (under.interval.low, under.interval.high) == pytest.approx(
        (-over.interval.high, -over.interval.low)
    )
    # One standard error of a tenth of 400 questions is .015; of two such curves, unpaired, .025.
    assert over.error == pytest.approx(0.015, rel=0.2)
    assert set(areas.over_others("better")) == {"worse"}


def test_without_a_range_of_costs_there_is_no_area() -> None:
    known = truth()
    free = Truth(known.correct, 0 * known.usd, known.accepts, known.judge_usd, known.final)
    areas = Areas(free, bootstrap())
    areas.add("any", [spent(right(1), 0.0)])

    assert areas.over_mixtures("any") is None
    assert areas.over_others("any") == {}


def test_equal_accuracy_is_the_cheapest_setting_that_is_surely_within_the_margin() -> None:
    first = spent(right(0.9), 0.01)
    settings = {
        "dear": spent(right(0.95), 0.009),
        "just": spent(right(0.9), 0.004),
        "worse": spent(right(0.85), 0.001),
    }

    found = parity(settings, first, bootstrap(), margin=0.01)

    assert found is not None
    assert found.setting == "just"
    assert (found.gain.value, found.gain.interval.low) == (0, 0)
    assert found.cost is not None
    assert found.cost.value == pytest.approx(0.4)
    assert (found.point.usd, found.point.accuracy) == pytest.approx((4, 0.9))


def test_what_may_by_chance_be_worse_than_the_margin_does_not_count() -> None:
    first = spent(right(0.9), 0.01)
    # One point below on 400 questions: four of them, give or take two, twice.
    near = {"near": spent(right(0.89), 0.005)}

    assert parity(near, first, bootstrap(), margin=0.012) is None
    within = parity(near, first, bootstrap(), margin=0.03)
    assert within is not None
    assert within.gain.value == pytest.approx(-0.01)
    assert parity({}, first, bootstrap(), margin=0.5) is None
