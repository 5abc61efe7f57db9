"""The climb, branch by branch, and driven through whatever tiers and judges may do."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeAlias, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.planning.affinity import Voucher
from app.planning.climb import best_ended, climb, judge_rule
from app.policies.fixed import Always, Cascade, RandomStart
from app.policies.llm_at import LlmAt
from app.policy import Accept, Action, Ask, Context, Judge, Policy, Stop
from app.records import Attempt, AttemptOutcome, Verdict
from app.starter import AccuracyEstimator, Starter
from app.tiers import Tier, TierLadder

VOUCHER = Voucher(bound=0.7, evidence=3, prior_weight=5)

Fate: TypeAlias = Literal["good", "judged_bad", "no_verdict", "check_refused", "censored", "failed"]


def ladder(size: int) -> TierLadder:
    return TierLadder(
        tuple(Tier(name=f"t{n}", provider="p", model=f"m{n}", prior=0.5) for n in range(size))
    )


def context(size: int = 3, *, single: bool = False) -> Context:
    return Context(ladder(size), (), Random(0), single=single)  # noqa: S311


def attempt(
    tier: str, *verdicts: bool | None, outcome: AttemptOutcome = "complete", check: bool = False
) -> Attempt:
    by = "check:json" if check else "t1"
    made = [Verdict(valid=valid, by=by) for valid in verdicts]
    return Attempt(tier, "direct", outcome=outcome, verdicts=made)


def failed(tier: str) -> Attempt:
    return attempt(tier, outcome="failed")


def decide(
    *attempts: Attempt, trusted: bool = False, judge: str = "next", single: bool = False
) -> Action:
    return climb(
        context(single=single),
        attempts,
        first=lambda: Ask("t0", "direct"),
        judged_by=judge_rule(judge),
        trusted=lambda _: trusted,
    )


@pytest.mark.parametrize(
    ("attempts", "action"),
    [
        pytest.param([], Ask("t0", "direct"), id="first"),
        pytest.param([attempt("t0")], Judge(0, by="t1"), id="an answer is judged"),
        pytest.param([attempt("t0", True)], Accept(0), id="valid"),
        pytest.param([attempt("t0", False)], Ask("t1", "after_reject"), id="refused: up"),
        pytest.param(
            [attempt("t0", False), attempt("t1", False)],
            Ask("t2", "after_reject", live=True),
            id="the last tier's answer will be served, so it flows",
        ),
        pytest.param([attempt("t0", None)], Ask("t1", "after_reject"), id="no verdict: up"),
        pytest.param([attempt("t0", None, True)], Accept(0), id="the latest word counts"),
        pytest.param([attempt("t2")], Accept(0), id="the top is not judged"),
        pytest.param(
            [attempt("t0", outcome="censored")], Accept(0), id="cut by the client's own cap"
        ),
        pytest.param(
            [attempt("t0", False, outcome="truncated", check=True)],
            Ask("t1", "after_reject"),
            id="cut by the model: refused",
        ),
        pytest.param([attempt("t2", False, check=True)], Stop(0), id="the top, refused by a check"),
        pytest.param(
            [attempt("t0", False), attempt("t1", False), attempt("t2", False, check=True)],
            Stop(2),
            id="all refused: the highest",
        ),
        pytest.param([failed("t0")], Ask("t1", "after_failure"), id="down: up"),
        pytest.param(
            [attempt("t0", False), failed("t1")],
            Ask("t2", "after_failure", live=True),
            id="down after a refusal: up",
        ),
        pytest.param(
            [attempt("t0", False), failed("t1"), failed("t2")],
            Stop(0),
            id="down above a refused answer: that answer, nothing lower",
        ),
        pytest.param(
            [failed("t1"), failed("t2")],
            Ask("t0", "after_failure", live=True),
            id="down above, and no answer yet: the best tier below",
        ),
        pytest.param(
            [failed("t2")],
            Ask("t1", "after_failure", live=True),
            id="the best tier below is the highest",
        ),
        pytest.param(
            [failed("t1"), failed("t2"), attempt("t0")],
            Accept(2),
            id="a fallback is not judged: nothing else could be served",
        ),
        pytest.param([failed("t0"), failed("t1"), failed("t2")], Stop(None), id="all down"),
    ],
)
def test_the_next_action(attempts: list[Attempt], action: Action) -> None:
    assert decide(*attempts) == action


def test_an_answer_without_a_verdict_is_served_where_it_is_trusted() -> None:
    assert decide(attempt("t0", None), trusted=True) == Accept(0)
    assert decide(attempt("t0"), trusted=True) == Judge(0, by="t1")
    assert decide(attempt("t0", False), trusted=True) == Ask("t1", "after_reject")


def test_where_one_tier_must_do_it_all_its_answer_is_served_as_it_is() -> None:
    assert decide(attempt("t0"), single=True) == Accept(0)
    assert decide(attempt("t0", False, check=True), single=True) == Accept(0)
    assert decide(failed("t0"), single=True) == Ask("t1", "after_failure")


@pytest.mark.parametrize(
    ("by", "judges"),
    [
        ("next", ["t1", "t2", None]),
        ("self", ["t0", "t1", None]),
        ("none", [None, None, None]),
        ("t2", ["t2", "t2", None]),
    ],
)
def test_who_judges_is_a_rule_with_a_name(by: str, judges: list[str | None]) -> None:
    assert [judge_rule(by)(ladder(3), tier) for tier in ("t0", "t1", "t2")] == judges


def test_the_best_answer_is_the_highest_tiers() -> None:
    attempts = [attempt("t1"), failed("t2"), attempt("t0", True)]
    assert best_ended(ladder(3), attempts) == 0
    assert best_ended(ladder(3), [failed("t0")]) is None


def test_always_one_tier_takes_no_answer_back() -> None:
    always = Always("t1")
    assert always.next(context(), [attempt("t1", False, check=True)]) == Accept(0)
    assert always.next(context(), [failed("t1")]) == Ask("t2", "after_failure", live=True)


@dataclass(slots=True)
class Ride:
    """One request driven to its end: the tiers do what `fates` says."""

    ladder: TierLadder
    attempts: list[Attempt] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)

    def asks(self) -> list[tuple[Ask, Sequence[Attempt]]]:
        """Every question put to a tier, and the attempts before it."""
        asked = [action for action in self.actions if isinstance(action, Ask)]
        return [(ask, self.attempts[:index]) for index, ask in enumerate(asked)]


def ride(policy: Policy, fates: Sequence[Fate], *, single: bool, seed: int) -> Ride:
    """Do what the policy says until it accepts or stops."""
    driven = Ride(ladder(len(fates)))
    given_context = Context(driven.ladder, (), Random(seed), single=single)  # noqa: S311
    while not driven.actions or not isinstance(driven.actions[-1], Accept | Stop):
        assert len(driven.actions) <= 2 * len(fates), driven.actions
        action = policy.next(given_context, driven.attempts)
        driven.actions.append(action)
        match action:
            case Ask(tier):
                fate = fates[driven.ladder.names.index(tier)]
                driven.attempts.append(_answer(tier, action, fate))
            case Judge(index, by):
                fate = fates[driven.ladder.names.index(driven.attempts[index].tier)]
                valid = {"good": True, "judged_bad": False}.get(fate)
                driven.attempts[index].verdicts.append(Verdict(valid=valid, by=by))
            case _:
                pass
    return driven


def _answer(tier: str, ask: Ask, fate: Fate) -> Attempt:
    made = Attempt(tier, ask.arrived, outcome="complete")
    if fate in {"failed", "censored"}:
        made.outcome = "failed" if fate == "failed" else "censored"
    elif fate == "check_refused":
        made.verdicts.append(Verdict(valid=False, by="check:json"))
    return made


POLICIES: list[Policy] = [
    Cascade("next"),
    Cascade("self"),
    Cascade("none"),
    RandomStart("next"),
    Always("t1"),
    LlmAt(Starter(0.7, 5), AccuracyEstimator(5), VOUCHER),
    LlmAt(Starter(0.4, 5), AccuracyEstimator(5), VOUCHER),
]
rides = st.builds(
    ride,
    st.sampled_from(POLICIES),
    st.lists(st.sampled_from(get_args(Fate)), min_size=2, max_size=5),
    single=st.booleans(),
    seed=st.integers(0, 99),
)


@given(rides)
def test_after_a_refusal_only_a_higher_tier_is_asked(driven: Ride) -> None:
    order = driven.ladder.names.index
    for ask, before in driven.asks():
        if any(made.ended for made in before):
            assert all(order(ask.tier) > order(made.tier) for made in before if made.ended)


@given(rides)
def test_no_tier_is_asked_twice_and_no_answer_judged_twice(driven: Ride) -> None:
    asked = [ask.tier for ask, _ in driven.asks()]
    assert len(set(asked)) == len(asked)
    judged = [action.attempt for action in driven.actions if isinstance(action, Judge)]
    assert len(set(judged)) == len(judged)


@given(rides)
def test_a_lower_tier_is_asked_only_where_all_above_are_down_and_nothing_is_answered(
    driven: Ride,
) -> None:
    order = driven.ladder.names.index
    for ask, before in driven.asks()[1:]:
        if order(ask.tier) < max(order(made.tier) for made in before):
            assert [made.outcome for made in before] == ["failed"] * len(before)
            above = {tier.name for tier in driven.ladder.above(ask.tier)}
            assert above <= {made.tier for made in before}
            assert ask.arrived == "after_failure"


@given(rides)
def test_a_request_fails_only_where_every_tier_failed(driven: Ride) -> None:
    end = driven.actions[-1]
    assert isinstance(end, Accept | Stop)
    if end.attempt is None:
        assert {made.tier for made in driven.attempts} == set(driven.ladder.names)
        assert not any(made.ended for made in driven.attempts)
    else:
        assert driven.attempts[end.attempt].ended


@given(rides)
def test_an_answer_that_flows_live_is_the_one_that_is_served(driven: Ride) -> None:
    end = driven.actions[-1]
    assert isinstance(end, Accept | Stop)
    for index, (ask, _) in enumerate(driven.asks()):
        if ask.live and driven.attempts[index].ended:
            assert end.attempt == index


@given(rides)
def test_a_refused_answer_is_served_only_where_nothing_is_left_above_it(driven: Ride) -> None:
    end = driven.actions[-1]
    assert isinstance(end, Accept | Stop)
    if end.attempt is not None and isinstance(end, Stop):
        tried = {made.tier for made in driven.attempts}
        served = driven.attempts[end.attempt]
        assert {tier.name for tier in driven.ladder.above(served.tier)} <= tried
