"""Estimates beside the truth, where both are made."""

import numpy as np
import pytest

from app.replay.baselines import Truth
from app.replay.bootstrap import Floats
from app.replay.estimates import auc, reliability, running_rates
from app.replay.figures import Runs, calibration_error
from app.replay.run import OUTCOME

PRIORS = {"small": 0.5, "large": 0.9}


def truth(correct: Floats) -> Truth:
    """Shape of `correct`: (queries, tiers)."""
    known = correct.T.astype(np.bool_)
    nothing = np.zeros(known.shape)
    return Truth(known, nothing, known, nothing, nothing.astype(np.int16))


def runs(believed: Floats, order: Floats | None = None) -> Runs:
    """One stream with these estimates, in its order. Shape: (queries, tiers)."""
    stream = np.zeros(len(believed), dtype=OUTCOME)
    stream["query"] = np.arange(len(believed)) if order is None else order
    stream["estimates"] = np.nan
    stream["estimates"][:, : believed.shape[1]] = believed
    return Runs([stream])


def made(queries: int = 2000) -> Floats:
    """Two tiers that are right at random, in 40 and 80 % of cases."""
    return (np.random.default_rng(1).random((queries, 2)) < [0.4, 0.8]).astype(np.float64)


def test_the_running_rate_knows_only_what_came_before() -> None:
    right = np.array([[[1.0], [0.0], [1.0], [1.0]]])

    rates = running_rates(right, np.array([0.5]))

    assert rates[0, :, 0].tolist() == pytest.approx([0.5, 1.5 / 2, 1.5 / 3, 2.5 / 4])


def test_who_believes_the_running_rate_has_no_skill_and_who_knows_has_all() -> None:
    right = made()
    rates = running_rates(right[None], np.array(list(PRIORS.values())))[0]

    usual = reliability(runs(rates), truth(right), PRIORS)
    knowing = reliability(runs(right), truth(right), PRIORS)
    contrary = reliability(runs(1 - right), truth(right), PRIORS)

    assert usual is not None
    assert knowing is not None
    assert contrary is not None
    assert usual.skill == pytest.approx(0)
    assert (knowing.skill, knowing.brier, knowing.ece) == (1, 0, 0)
    assert knowing.auc == {"small": 1, "large": 1}
    assert contrary.auc == {"small": 0, "large": 0}
    assert contrary.skill is not None
    assert contrary.skill < -1
    # As good as chance lets a rate be: .24 and .16.
    assert usual.brier == pytest.approx(0.2, abs=0.01)
    assert usual.comparisons == 4000


def test_the_truth_is_that_of_the_question_whatever_the_order() -> None:
    right = made(50)
    order = np.arange(50)[::-1]

    found = reliability(runs(right[::-1], order.astype(np.float64)), truth(right), PRIORS)

    assert found is not None
    assert found.brier == 0


def test_what_came_before_is_left_out_where_only_later_estimates_count() -> None:
    right = made(800)
    believed = right.copy()
    believed[:500] = 1 - right[:500]

    late = reliability(runs(believed), truth(right), PRIORS, after=500)

    assert late is not None
    assert (late.brier, late.comparisons) == (0, 600)
    assert reliability(runs(believed), truth(right), PRIORS, after=800) is None


def test_a_tier_without_estimates_is_left_out() -> None:
    right = made(100)
    believed = right.copy()
    believed[:, 1] = np.nan

    found = reliability(runs(believed), truth(right), PRIORS)

    assert found is not None
    assert found.comparisons == 100
    assert set(found.ece_by_tier) == {"small"}
    assert found.auc == {"small": 1, "large": None}
    assert reliability(runs(np.full((100, 2), np.nan)), truth(right), PRIORS) is None


def test_the_calibration_error_is_over_all_tiers_and_over_each() -> None:
    right = np.array([[1.0, 1.0], [0.0, 1.0]] * 50)
    believed = np.tile([0.75, 0.75], (100, 1))

    found = reliability(runs(believed), truth(right), PRIORS)

    # In one bin: 75 % believed of both; right is half of one, all of the other.
    assert found is not None
    assert found.ece == pytest.approx(0)
    assert found.ece_by_tier == pytest.approx({"small": 0.25, "large": 0.25})
    # A belief of 1 is in the last bin, not in one of its own.
    assert calibration_error(np.array([1.0, 0.95]), np.array([1.0, 0.0])) == pytest.approx(0.475)


def test_the_area_under_the_curve_counts_pairs_and_ties_as_half() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.1])

    # Right against wrong: .9 over both, .8 over .1 and level with .8.
    assert auc(scores, np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(3.5 / 4)
    assert auc(np.full(4, 0.5), np.array([1.0, 1.0, 0.0, 0.0])) == 0.5
    assert auc(scores, np.ones(4)) is None
    assert auc(np.array([]), np.array([])) is None
