"""The accuracy estimator against numbers worked out by hand, and the Starter's threshold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.neighbours import Neighbour
from app.records import Estimate, Labels, Record
from app.starter import AccuracyEstimator, Starter
from app.tiers import Tier, TierLadder
from tests.support.records import record

PRIORS = {"small": 0.55, "medium": 0.65, "large": 0.9}
LADDER = TierLadder(
    tuple(Tier(name=n, provider="p", model=n, prior=prior) for n, prior in PRIORS.items())
)
ESTIMATOR = AccuracyEstimator(prior_weight=5)
STARTER = Starter(threshold=0.7, neighbours=5)

similarities = st.floats(-1, 1, allow_nan=False)
shares = st.floats(0, 1, allow_nan=False)


def estimate(
    *taught: tuple[float, Labels], estimator: AccuracyEstimator = ESTIMATOR
) -> dict[str, Estimate]:
    """What the estimator says with neighbours of these similarities and labels."""
    records = [record() for _ in taught]
    labels = {r.id: label for r, (_, label) in zip(records, taught, strict=True)}
    neighbours = [Neighbour(s, r) for r, (s, _) in zip(records, taught, strict=True)]

    def label(of: Record) -> Labels:
        return labels[of.id]

    return estimator.estimate(LADDER, neighbours, label)


def test_the_estimate_is_the_papers_formula() -> None:
    estimates = estimate(
        (0.9, {"small": 1.0, "medium": 1.0, "large": 1.0}),
        (0.8, {"small": 1.0, "medium": 1.0, "large": 1.0}),
        (0.7, {"small": 1.0}),
        (0.6, {"small": 0.0, "medium": 1.0}),
        (0.5, {"large": 1.0}),
    )
    # P = (n_T + 5 · prior) / (n_T + n_F + 5)
    assert estimates["small"].accuracy == pytest.approx((2.4 + 2.75) / (3.0 + 5))
    assert estimates["small"].accuracy == pytest.approx(0.64375)
    assert estimates["medium"].accuracy == pytest.approx((2.3 + 3.25) / 7.3)
    assert estimates["large"].accuracy == pytest.approx((2.2 + 4.5) / 7.2)
    assert (estimates["small"].weight_right, estimates["small"].weight_wrong) == pytest.approx(
        (2.4, 0.6)
    )


def test_five_near_right_neighbours_lift_the_lowest_tier_over_the_threshold() -> None:
    estimates = estimate(*[(0.9, {"small": 1.0})] * 5)
    assert estimates["small"].accuracy == pytest.approx(7.25 / 9.5)
    assert STARTER.start(LADDER, estimates, known=5) == "small"


def test_five_near_wrong_neighbours_send_the_question_up() -> None:
    estimates = estimate(*[(1.0, {"small": 0.0, "medium": 1.0, "large": 1.0})] * 5)
    assert estimates["small"].accuracy == pytest.approx(2.75 / 10)
    assert estimates["medium"].accuracy == pytest.approx(8.25 / 10)
    assert STARTER.start(LADDER, estimates, known=5) == "medium"


def test_a_negative_similarity_counts_as_nothing() -> None:
    far = estimate((-0.9, {"small": 0.0}), (-0.1, {"small": 1.0}), (0.5, {"small": 1.0}))
    assert far["small"] == estimate((0.5, {"small": 1.0}))["small"]


def test_without_neighbours_the_estimate_is_the_prior() -> None:
    for weight in (0, 5):
        estimates = estimate(estimator=AccuracyEstimator(weight))
        assert {tier: e.accuracy for tier, e in estimates.items()} == pytest.approx(PRIORS)


def test_without_prior_weight_only_evidence_counts() -> None:
    estimates = estimate(
        (0.3, {"small": 1.0}), (0.1, {"small": 0.0}), estimator=AccuracyEstimator(0)
    )
    assert estimates["small"].accuracy == pytest.approx(0.75)
    assert estimates["medium"].accuracy == pytest.approx(PRIORS["medium"])


def test_a_label_may_be_a_probability() -> None:
    estimates = estimate((1.0, {"small": 0.25}))
    assert (estimates["small"].weight_right, estimates["small"].weight_wrong) == (0.25, 0.75)


def test_a_label_for_a_tier_outside_the_ladder_is_passed_over() -> None:
    assert estimate((1.0, {"retired": 1.0})) == estimate()


def test_fewer_neighbours_than_k_start_at_the_lowest_tier() -> None:
    estimates = estimate(*[(1.0, {"small": 0.0, "large": 1.0})] * 4)
    assert STARTER.start(LADDER, estimates, known=4) == "small"
    assert STARTER.start(LADDER, estimates, known=5) == "large"


def test_where_no_tier_reaches_the_threshold_the_lowest_starts() -> None:
    wrong = {"small": 0.0, "medium": 0.0, "large": 0.0}
    estimates = estimate(*[(1.0, wrong)] * 5)
    assert max(e.accuracy for e in estimates.values()) < STARTER.threshold
    assert STARTER.start(LADDER, estimates, known=5) == "small"


def test_an_accuracy_of_exactly_the_threshold_suffices() -> None:
    estimates = {"small": 0.69, "medium": 0.7, "large": 0.99}
    given_ = {tier: Estimate(accuracy, 0.5) for tier, accuracy in estimates.items()}
    assert STARTER.start(LADDER, given_, known=5) == "medium"


def test_a_smaller_ladder_starts_within_itself() -> None:
    able = LADDER.only(frozenset({"medium", "large"}))
    estimates = ESTIMATOR.estimate(able, (), lambda _: {})
    assert set(estimates) == {"medium", "large"}
    assert STARTER.start(able, estimates, known=0) == "medium"
    assert STARTER.start(able, estimates, known=5) == "large"


@given(st.lists(st.tuples(similarities, shares), max_size=12), st.floats(0.1, 50))
def test_an_estimate_is_a_probability_between_prior_and_evidence(
    taught: list[tuple[float, float]], prior_weight: float
) -> None:
    estimates = estimate(
        *[(s, {"small": share}) for s, share in taught], estimator=AccuracyEstimator(prior_weight)
    )
    small = estimates["small"]
    bounds = [small.prior, *(share for s, share in taught if s > 0)]
    assert min(bounds) - 1e-9 <= small.accuracy <= max(bounds) + 1e-9
    assert small.weight_right >= 0
    assert small.weight_wrong >= 0


@given(st.lists(st.tuples(similarities, shares), max_size=12), similarities)
def test_one_more_right_neighbour_never_lowers_an_estimate(
    taught: list[tuple[float, float]], similarity: float
) -> None:
    labels = [(s, {"small": share}) for s, share in taught]
    before = estimate(*labels)["small"].accuracy
    after = estimate(*labels, (similarity, {"small": 1.0}))["small"].accuracy
    assert after >= before - 1e-12
