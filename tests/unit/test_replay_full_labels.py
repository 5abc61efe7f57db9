"""The upper bound: what full labels tell of questions in two made topics."""

import numpy as np
import pytest

from app.replay.baselines import Truth
from app.replay.bootstrap import Floats
from app.replay.full_labels import auc_by_tier, full_labels, swept

EACH = 100


def truth() -> Truth:
    """Easy questions, which both tiers get right; then hard ones, which only the dear one does."""
    easy = np.arange(2 * EACH) < EACH
    correct = np.stack([easy, np.ones(2 * EACH, dtype=np.bool_)])
    usd = np.stack([np.full(2 * EACH, 0.001), np.full(2 * EACH, 0.1)])
    return Truth(correct, usd, correct, 0 * usd, (0 * usd).astype(np.int16))


def topics() -> Floats:
    """Two clouds of unit vectors: cosines of some .8 within one, of some 0 between them."""
    rng = np.random.default_rng(1)
    centres = np.repeat(np.eye(40)[:2], EACH, axis=0)
    vectors = centres + 0.08 * rng.standard_normal((2 * EACH, 40))
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def test_accuracy_and_cost_are_those_of_the_topic() -> None:
    labels = full_labels(topics(), truth())

    assert labels.accuracy[0, :EACH].min() > 0.99
    assert labels.accuracy[0, EACH:].max() < 0.01
    assert labels.accuracy[1] == pytest.approx(1)
    assert labels.usd[1] == pytest.approx(0.1)
    assert auc_by_tier(labels, truth(), ("small", "large")) == {"small": 1, "large": None}


def test_the_dial_goes_from_the_most_accurate_tier_to_the_cheapest() -> None:
    known = truth()
    curve = swept(full_labels(topics(), known), known)

    # Nothing to pay for accuracy: equals go to the cheap tier, so the easy half is cheap.
    assert curve[0].point.accuracy == 1
    assert 50 < curve[0].point.usd < 100
    best = [spent.point for spent in curve if spent.point.accuracy == 1]
    assert min(point.usd for point in best) == pytest.approx((1 + 100) / 2)
    assert (curve[-1].point.usd, curve[-1].point.accuracy) == pytest.approx((1, 0.5))


def test_neither_a_question_itself_nor_its_double_vouches_for_it() -> None:
    vectors = topics()
    vectors[0] = vectors[EACH]
    vectors[1] = vectors[EACH]

    labels = full_labels(vectors, truth())

    # Two easy questions amid hard ones: each knows neither itself nor the other.
    assert labels.accuracy[0, :2].max() < 0.01
    # But questions near them do know both.
    assert labels.accuracy[0, EACH + 1 :].max() > 0.01


def test_a_question_without_a_vector_gets_the_mean_of_all() -> None:
    vectors = topics()
    vectors[0] = 0.0

    labels = full_labels(vectors, truth())

    assert labels.accuracy[0, 0] == pytest.approx(0.5)
    assert labels.usd[1, 0] == pytest.approx(0.1)
