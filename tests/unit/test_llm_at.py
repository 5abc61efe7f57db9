"""LLM-AT's own rules: what a record teaches, where to start, who judges whom."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.neighbours import Neighbour
from app.planning.affinity import Voucher
from app.policies.llm_at import LlmAt, paper_judge
from app.policy import Accept, Ask, Context, Judge
from app.records import (
    Attempt,
    AttemptOutcome,
    Labels,
    Record,
    Verdict,
    record_from_json,
)
from app.starter import AccuracyEstimator, Starter
from app.tiers import Tier, TierLadder

VOUCHER = Voucher(bound=0.7, evidence=3, prior_weight=5)

TIERS = ("small", "medium", "large")
LADDER = TierLadder(
    tuple(
        Tier(name=name, provider="p", model=name, prior=prior)
        for name, prior in zip(TIERS, (0.55, 0.65, 0.9), strict=True)
    )
)
POLICY = LlmAt(Starter(0.7, 5), AccuracyEstimator(5), VOUCHER)

REFUSED = Verdict(valid=False, by="medium")
VALID = Verdict(valid=True, by="medium")
SILENT = Verdict(valid=None, by="medium", reason="timeout")
CHECK_REFUSED = Verdict(valid=False, by="check:json")


def attempt(
    tier: str, answer: str | None, *verdicts: Verdict, outcome: AttemptOutcome = "complete"
) -> Attempt:
    return Attempt(tier, "direct", outcome=outcome, final_answer=answer, verdicts=list(verdicts))


def record(*attempts: Attempt, served: int | None = -1) -> Record:
    """A record of these attempts, the last one served unless said otherwise."""
    return Record(
        id="r",
        time_s=0.0,
        tenant="local",
        kind="routed",
        policy="llm_at",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=list(attempts),
        served=len(attempts) + served if served is not None and served < 0 else served,
        outcome="failed" if served is None else "answered",
    )


def context(neighbours: list[Neighbour] | None = None, ladder: TierLadder = LADDER) -> Context:
    return Context(ladder, neighbours or [], Random(0))  # noqa: S311


@pytest.mark.parametrize(
    ("attempts", "labels"),
    [
        pytest.param(
            [attempt("small", "a", VALID)],
            {"small": 1.0, "medium": 1.0, "large": 1.0},
            id="final at the bottom: all above are right, though nobody asked them",
        ),
        pytest.param(
            [attempt("small", "a", REFUSED), attempt("medium", "b", VALID)],
            {"small": 0.0, "medium": 1.0, "large": 1.0},
            id="a tried lower tier with another answer is wrong",
        ),
        pytest.param(
            [attempt("small", "a", REFUSED), attempt("medium", "a", VALID)],
            {"small": 1.0, "medium": 1.0, "large": 1.0},
            id="a tried lower tier with the same answer is right, whatever its judge said",
        ),
        pytest.param(
            [attempt("medium", "a", VALID)],
            {"medium": 1.0, "large": 1.0},
            id="a lower tier that was not tried gets no label",
        ),
        pytest.param(
            [
                attempt("small", "a", REFUSED),
                attempt("medium", "b", REFUSED),
                attempt("large", "b"),
            ],
            {"small": 0.0, "medium": 1.0, "large": 1.0},
            id="the top's answer counts unjudged",
        ),
        pytest.param(
            [attempt("small", None, outcome="failed"), attempt("medium", "b", VALID)],
            {"medium": 1.0, "large": 1.0},
            id="a failure says nothing about quality",
        ),
        pytest.param(
            [
                attempt("small", "a", CHECK_REFUSED, outcome="truncated"),
                attempt("medium", "b", VALID),
            ],
            {"medium": 1.0, "large": 1.0},
            id="nor does a lower answer that was cut off",
        ),
        pytest.param([attempt("small", "a", outcome="censored")], {}, id="cut by the client's cap"),
        pytest.param([attempt("large", "a", outcome="truncated")], {}, id="top, cut off"),
        pytest.param([attempt("small", "a", SILENT)], {}, id="no verdict below the top"),
        pytest.param([attempt("medium", "a")], {}, id="unjudged below the top"),
        pytest.param(
            [attempt("large", "", Verdict(valid=False, by="check:not_empty"))],
            {},
            id="the top's answer failed an exact check",
        ),
    ],
)
def test_what_a_record_teaches(attempts: list[Attempt], labels: Labels) -> None:
    assert POLICY.label(record(*attempts)) == labels


def test_a_refused_answer_served_because_the_tiers_above_are_down_teaches_nothing() -> None:
    failed = [attempt(tier, None, outcome="failed") for tier in ("medium", "large")]
    assert POLICY.label(record(attempt("small", "a", REFUSED), *failed, served=0)) == {}


def test_a_request_that_nobody_answered_teaches_nothing() -> None:
    assert POLICY.label(record(attempt("small", None, outcome="failed"), served=None)) == {}
    assert POLICY.label(record(served=None)) == {}


def test_an_answer_of_a_tier_that_is_no_longer_there_teaches_nothing() -> None:
    assert POLICY.label(record(attempt("retired", "a", VALID))) == {}


def test_the_top_of_a_smaller_ladder_is_not_the_top() -> None:
    served_unjudged = record(attempt("medium", "a"))
    served_unjudged.eligible = ("small", "medium")
    assert POLICY.label(served_unjudged) == {}


verdicts = st.builds(
    Verdict,
    valid=st.sampled_from([True, False, None]),
    by=st.sampled_from([*TIERS, "check:json"]),
)
attempts_made = st.builds(
    Attempt,
    tier=st.sampled_from([*TIERS, "retired"]),
    arrived=st.just("direct"),
    outcome=st.sampled_from(["complete", "censored", "truncated", "failed", "cancelled"]),
    final_answer=st.sampled_from(["a", "b", None]),
    verdicts=st.lists(verdicts, max_size=2),
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    attempts = draw(st.lists(attempts_made, max_size=4))
    served = draw(st.none() | st.integers(0, len(attempts) - 1)) if attempts else None
    return record(*attempts, served=served)


@given(records())
def test_labels_depend_on_what_is_written_down_only(made: Record) -> None:
    read_back = record_from_json(made.to_json())
    assert read_back is not None
    assert POLICY.label(read_back) == POLICY.label(made)


@given(records())
def test_labels_are_probabilities_of_the_ladders_tiers(made: Record) -> None:
    labels = POLICY.label(made)
    assert set(labels) <= set(TIERS)
    assert set(labels.values()) <= {0.0, 1.0}
    final = made.served_attempt
    if labels:
        assert final is not None
        assert labels[final.tier] == 1.0


def test_the_lowest_tier_is_judged_by_the_second_others_by_themselves_the_top_by_nobody() -> None:
    assert [paper_judge(LADDER, tier) for tier in TIERS] == ["medium", "medium", None]


def test_in_a_smaller_ladder_the_rule_of_who_judges_is_about_that_ladder() -> None:
    able = LADDER.only(frozenset({"medium", "large"}))
    assert paper_judge(able, "medium") == "large"
    alone = LADDER.only(frozenset({"small"}))
    assert paper_judge(alone, "small") is None


def test_a_start_notes_what_was_believed_and_with_what_chance_it_was_chosen() -> None:
    taught = record(attempt("small", "a", REFUSED), attempt("medium", "b", VALID))
    asked = POLICY.next(context([Neighbour(0.5 + n / 10, taught) for n in range(5)]), [])
    assert isinstance(asked, Ask)
    assert (asked.tier, asked.arrived, asked.live) == ("medium", "direct", False)
    start = asked.start
    assert start is not None
    assert start.propensities == {"medium": 1.0}
    assert (start.neighbours, start.top_similarity) == (5, 0.9)
    # n_F(small) = n_T(medium) = .5 + .6 + .7 + .8 + .9
    assert start.estimates["small"].accuracy == pytest.approx(2.75 / 8.5)
    assert start.estimates["medium"].accuracy == pytest.approx((3.5 + 3.25) / 8.5)


def test_an_empty_store_starts_at_the_lowest_tier() -> None:
    asked = POLICY.next(context(), [])
    assert isinstance(asked, Ask)
    assert asked.tier == "small"


def test_a_start_at_the_top_flows_live() -> None:
    lost = record(
        attempt("small", "a", REFUSED), attempt("medium", "c", REFUSED), attempt("large", "b")
    )
    asked = POLICY.next(context([Neighbour(0.9, lost)] * 5), [])
    assert isinstance(asked, Ask)
    assert (asked.tier, asked.live) == ("large", True)


def test_an_answer_without_a_verdict_is_served_where_the_records_trust_its_tier() -> None:
    unjudged = [attempt("small", "a", SILENT)]
    vouched = [Neighbour(0.9, record(attempt("small", "a", VALID)))] * 5
    assert POLICY.next(context(vouched), unjudged) == Accept(0)
    assert POLICY.next(context(), unjudged) == Ask("medium", "after_reject", live=False)


def test_a_setting_may_name_another_judge() -> None:
    by_large = LlmAt(Starter(0.7, 5), AccuracyEstimator(5), VOUCHER, judge="large")
    assert by_large.next(context(), [attempt("medium", "a")]) == Judge(0, by="large")
    assert POLICY.next(context(), [attempt("medium", "a")]) == Judge(0, by="medium")


def test_the_version_changes_with_every_parameter() -> None:
    policies = [
        POLICY,
        LlmAt(Starter(0.71, 5), AccuracyEstimator(5), VOUCHER),
        LlmAt(Starter(0.7, 6), AccuracyEstimator(5), VOUCHER),
        LlmAt(Starter(0.7, 5), AccuracyEstimator(4.5), VOUCHER),
        LlmAt(Starter(0.7, 5), AccuracyEstimator(5), VOUCHER, judge="next"),
    ]
    assert len({policy.version for policy in policies}) == len(policies)
    assert LlmAt(Starter(0.7, 5), AccuracyEstimator(5), VOUCHER).version == POLICY.version
