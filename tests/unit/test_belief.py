"""The joint belief and the look ahead, against truths planted in made data."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.learning.belief import (
    ONE_RIGHT,
    USUAL,
    Ran,
    Rates,
    Relation,
    after_answer,
    after_attempts,
    after_failed_check,
    after_verdict,
    chance_right,
    joint,
    relation_of,
)
from app.planning.lookahead import Step, best, steps
from app.planning.plans import Situation
from app.records import Attempt, Verdict

RATES: Rates = (0.9, 0.4)
accuracies = st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4)


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing here is a secret


def situation(
    tiers: int, *ran: Ran, rates: Rates = RATES, judged: bool = False, comparable: bool = True
) -> Situation:
    highest = max((one.tier for one in ran), default=-1)
    return Situation(
        tiers=tiers,
        ran=ran,
        askable=tuple(range(highest + 1, tiers)),
        judgeable=frozenset(range(tiers - 1)),
        rates=((rates,) * 3,) * tiers,
        judged=judged,
        comparable=comparable,
    )


def choose(
    p: list[float], stands: Situation, ask: list[float], judge: list[float], depth: int = 2
) -> Step:
    step = best(steps(joint(p), stands, ask_costs=ask, judge_costs=judge, depth=depth))
    assert step is not None
    return step


@given(accuracies)
def test_a_belief_is_a_distribution_that_keeps_each_tiers_accuracy(p: list[float]) -> None:
    belief = joint(p)

    assert belief.shape == (2 ** (len(p) + 1),)
    assert belief.sum() == pytest.approx(1)
    assert chance_right(belief) == pytest.approx(p, abs=0.03)


@given(accuracies, st.data())
def test_a_better_tier_is_never_believed_less(p: list[float], data: st.DataObject) -> None:
    tier = data.draw(st.integers(0, len(p) - 1))
    better = [*p]
    better[tier] = min(0.97, p[tier] + data.draw(st.floats(0, 0.3)))
    seen = (Ran(0, 0), Ran(1, data.draw(st.integers(0, 1))))

    def believed(start: list[float]) -> float:
        belief = after_answer(joint(start), (), seen[0])
        return float(chance_right(after_answer(belief, seen[:1], seen[1]))[tier])

    assert believed(better) >= believed(p) - 1e-9


def test_agreement_raises_both_tiers_and_disagreement_lowers_them() -> None:
    before = joint([0.6, 0.8])
    first = after_answer(before, (), Ran(0, 0))
    agree = chance_right(after_answer(first, [Ran(0, 0)], Ran(1, 0)))
    disagree = chance_right(after_answer(first, [Ran(0, 0)], Ran(1, 1)))

    assert chance_right(first) == pytest.approx(chance_right(before))
    assert (agree > chance_right(before)).all()
    assert (disagree < chance_right(before)).all()
    assert disagree[1] > disagree[0]


def test_beliefs_after_agreement_match_a_world_made_by_the_same_rules() -> None:
    rng = np.random.default_rng(1)
    belief = joint([0.6, 0.75])
    states = rng.choice(len(belief), size=200_000, p=belief)
    right = np.array([states & 1, states >> 1 & 1])
    trapped = states >> 2 & 1
    chance = np.where(
        right.sum(axis=0) == 2,
        USUAL.agreement,
        np.where(right.sum(axis=0) == 1, 0.01, 0.1 + 0.65 * trapped),
    )
    agreed = rng.random(len(chance)) < chance

    for group, seen in ((0, agreed), (1, ~agreed)):
        believed = chance_right(after_answer(belief, [Ran(0, 0)], Ran(1, group)))
        assert believed == pytest.approx(right[:, seen].mean(axis=1), abs=0.005)


def test_what_a_third_answer_may_do_adds_up_to_certainty() -> None:
    belief = joint([0.5, 0.6, 0.7])
    ran = (Ran(0, 0), Ran(1, 1))

    after = [after_answer(belief, ran, Ran(2, group)) for group in range(3)]

    assert sum(after) == pytest.approx(belief)
    assert all((one >= 0).all() for one in after)


@pytest.mark.parametrize(("valid", "expected"), [(True, 0.54 / 0.7), (False, 0.06 / 0.3)])
def test_a_verdict_moves_the_belief_by_bayes_rule(valid: bool, expected: float) -> None:
    belief = joint([0.6, 0.8])
    before = float(chance_right(belief)[0])
    exact = 0.9 * before if valid else 0.1 * before
    exact /= exact + (0.4 if valid else 0.6) * (1 - before)

    after = chance_right(after_verdict(belief, 0, RATES, valid=valid))[0]

    assert after == pytest.approx(exact)
    assert after == pytest.approx(expected, abs=0.02)


def test_a_judge_that_cannot_tell_changes_nothing() -> None:
    belief = joint([0.6, 0.8])

    after = chance_right(after_verdict(belief, 0, (0.7, 0.7), valid=False))

    assert after == pytest.approx(chance_right(belief))


def test_a_failed_check_all_but_rules_an_answer_out() -> None:
    assert chance_right(after_failed_check(joint([0.9, 0.9]), 0))[0] < 0.1


def test_an_answer_that_cannot_be_compared_tells_nothing() -> None:
    belief = joint([0.6, 0.8])

    assert after_answer(belief, [Ran(0, 0)], Ran(1, None)) == pytest.approx(belief)


def test_the_relation_of_an_answer_to_others_needs_others_to_compare() -> None:
    assert relation_of(0, []) == "unknown"
    assert relation_of(None, [0]) == "unknown"
    assert relation_of(1, [None]) == "unknown"
    assert relation_of(0, [1, 0]) == "agree"
    assert relation_of(2, [1, 0]) == "disagree"


def test_attempts_are_read_in_order_and_failures_are_passed_over() -> None:
    attempts = [
        Attempt("a", "direct", outcome="complete", final_answer="x"),
        Attempt("b", "after_reject", outcome="failed"),
        Attempt(
            "c", "after_failure", outcome="complete", final_answer="x", verdicts=[verdict(True)]
        ),
    ]
    asked: list[tuple[str, Relation]] = []

    def rates(tier: str, relation: Relation) -> Rates:
        asked.append((tier, relation))
        return RATES

    belief, ran = after_attempts(joint([0.5, 0.6, 0.7]), ("a", "b", "c"), attempts, rates)

    assert ran == (Ran(0, 0), Ran(2, 0))
    assert asked == [("c", "agree")]
    assert chance_right(belief)[2] > 0.85


def test_an_answer_that_failed_a_check_is_compared_with_nothing() -> None:
    refused = Verdict(valid=False, by="check:json")
    attempts = [
        Attempt("a", "direct", outcome="complete", final_answer="x", verdicts=[refused]),
        Attempt("b", "after_reject", outcome="complete", final_answer="x"),
    ]

    _, ran = after_attempts(joint([0.5, 0.6]), ("a", "b"), attempts, lambda *_: RATES)

    assert ran == (Ran(0, None), Ran(1, 0))


def verdict(valid: bool) -> Verdict:
    return Verdict(valid=valid, by="judge")


def test_without_anything_to_do_there_is_no_step() -> None:
    assert best([]) is None


def test_an_answer_is_served_when_nothing_more_is_worth_its_price() -> None:
    step = choose([0.8, 0.9], situation(2, Ran(0, 0)), ask=[1, 1], judge=[1, 1])

    assert (step.do, step.tier) == ("serve", 0)


def test_a_free_higher_tier_is_asked() -> None:
    step = choose([0.5, 0.9], situation(2, Ran(0, 0)), ask=[0, 0], judge=[1, 1])

    assert (step.do, step.tier) == ("ask", 1)


def test_a_sharp_cheap_judge_is_paid_before_a_dear_tier() -> None:
    step = choose(
        [0.6, 0.9], situation(2, Ran(0, 0), rates=(0.99, 0.01)), ask=[0, 0.1], judge=[0.001] * 2
    )

    assert step.do == "judge"


def test_a_judge_that_cannot_tell_is_never_paid() -> None:
    stands = situation(2, Ran(0, 0), rates=(0.7, 0.7))

    step = choose([0.6, 0.9], stands, ask=[0, 0.25], judge=[0.001, 0.001])

    assert step.do == "ask"


def test_an_answer_is_judged_once() -> None:
    stands = situation(2, Ran(0, 0), judged=True)
    open_steps = steps(joint([0.6, 0.9]), stands, ask_costs=[0, 1], judge_costs=[0, 0], depth=2)

    assert [step.do for _, step in open_steps] == ["serve", "ask"]


def test_a_tie_goes_to_the_cheaper_tier() -> None:
    step = choose([0.80, 0.805], situation(2), ask=[0.001, 0.002], judge=[1, 1], depth=1)

    assert (step.do, step.tier) == ("ask", 0)


def test_the_value_of_asking_is_what_it_is_by_hand() -> None:
    """One tier, asked and served: its accuracy, less its cost."""
    open_steps = steps(
        joint([0.5, 0.5]), situation(2), ask_costs=[0.1, 0.2], judge_costs=[1, 1], depth=1
    )

    assert [step.value for _, step in open_steps] == pytest.approx([0.4, 0.3])
    assert [step.final for _, step in open_steps] == [True, True]


def test_asking_again_is_worth_the_better_of_two_answers() -> None:
    belief = joint([0.6, 0.6])
    both = float(belief[3] + belief[7])
    one = float(belief[1] + belief[2] + belief[5] + belief[6]) / 2
    none_, trapped = float(belief[0]), float(belief[4])
    agree_right = both * USUAL.agreement + one * ONE_RIGHT
    disagree_right = both * (1 - USUAL.agreement) + one * (1 - ONE_RIGHT)
    assert none_ + trapped + both + 2 * one == pytest.approx(1)

    open_steps = steps(
        belief, situation(2, Ran(0, 0)), ask_costs=[0, 0.05], judge_costs=[1, 1], depth=1
    )

    values = {step.do: step.value for _, step in open_steps}
    assert values["ask"] == pytest.approx(agree_right + disagree_right - 0.05)


def test_a_step_is_final_only_if_no_outcome_would_serve_another_answer() -> None:
    sure = choose([0.3, 0.9], situation(2), ask=[1, 0.1], judge=[1, 1], depth=3)
    open_ended = choose([0.8, 0.9], situation(2), ask=[0, 0.06], judge=[0.001, 1], depth=3)

    assert (sure.tier, sure.final) == (1, True)
    assert (open_ended.tier, open_ended.final) == (0, False)


def test_an_ask_is_not_final_where_an_earlier_answer_would_be_served() -> None:
    open_steps = steps(
        joint([0.95, 0.5]), situation(2, Ran(0, 0)), ask_costs=[1, 0], judge_costs=[1, 1], depth=1
    )

    assert [step.final for _, step in open_steps if step.do == "ask"] == [False]


def test_an_answer_yet_to_come_can_be_judged() -> None:
    sharp = replace(situation(3, rates=(0.99, 0.01)), judgeable=frozenset({1}))
    unjudged = replace(sharp, judgeable=frozenset())
    belief = joint([0.5, 0.5, 0.9])

    values = [
        steps(belief, one, ask_costs=[1, 0, 0.3], judge_costs=[0, 0, 0], depth=3)[1][1].value
        for one in (sharp, unjudged)
    ]

    assert values[0] > values[1] + 0.05


@given(accuracies, st.integers(0, 2**32))
def test_a_dearer_dollar_never_buys_more(p: list[float], seed: int) -> None:
    """The best value is convex and falling in the price of money: its slope is what is spent."""
    rng = seeded(seed)
    ask = sorted(rng.uniform(0, 0.2) for _ in p)
    judge = [rng.uniform(0, 0.05) for _ in p]

    def value(dial: float) -> float:
        open_steps = steps(
            joint(p),
            situation(len(p)),
            ask_costs=[dial * cost for cost in ask],
            judge_costs=[dial * cost for cost in judge],
            depth=3,
        )
        return max(step.value for _, step in open_steps)

    spent = [value(dial) - value(dial + 1) for dial in range(8)]

    assert all(more >= less - 1e-9 for more, less in pairwise(spent))
    assert spent[-1] >= 0


def test_looking_further_is_never_worth_less() -> None:
    values = [
        max(
            step.value
            for _, step in steps(
                joint([0.5, 0.7, 0.9]),
                situation(3),
                ask_costs=[0.001, 0.01, 0.2],
                judge_costs=[0.005] * 3,
                depth=depth,
            )
        )
        for depth in (1, 2, 3)
    ]

    assert values == sorted(values)
    assert values[2] > values[0]


@pytest.mark.parametrize("certain", [0.0, 1.0, 0.9996])
def test_a_tier_that_somebody_is_certain_of_is_believed_nearly_so(certain: float) -> None:
    """A record may hold any estimate: of another policy, or of an own one."""
    chances = chance_right(joint([certain, 0.7]))
    assert chances[0] == pytest.approx(certain, abs=2e-3)
    assert chances[1] == pytest.approx(0.7, abs=5e-3)
