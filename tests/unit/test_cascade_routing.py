"""Cascade routing: the best of several answers, supersets, verdicts worth asking, budgets."""

from dataclasses import replace
from math import pi, sqrt

import numpy as np
import pytest

from app.dials import Dial
from app.learning.belief import Ran, chance_right, joint
from app.planning.budgets import Budget, mean_usd, mixed
from app.planning.supersets import Situation, Superset, best_of, expected_max, supersets
from app.policies.cascade_routing import CascadeRouting
from app.policy import Accept, Ask, Judge, Seat, Stop
from app.records import Attempt, Record, Verdict
from tests.support.made_world import (
    COST_USD,
    PRIORS,
    TIERS,
    MadeWorld,
    accuracy,
    attempt,
    given,
    seeded,
    usd_per_1000,
)

VALID = Verdict(valid=True, by="medium", cost_usd=0.001)
REFUSED = Verdict(valid=False, by="medium", cost_usd=0.001)
HALF = (0.9, 0.3)


def with_cheap_verdicts(policy: CascadeRouting) -> CascadeRouting:
    """The policy, once it knows that verdicts cost a hundredth of a cent."""
    for number in range(20):
        verdict = Verdict(valid=number % 4 != 0, by="medium", cost_usd=0.0001)
        policy.observe(
            Record(
                id=f"{number}",
                time_s=0.0,
                tenant="local",
                kind="routed",
                policy="another",
                policy_version="1",
                ladder=TIERS,
                eligible=TIERS,
                attempts=[attempt("small", "a", verdict)],
                served=0,
                outcome="answered",
            )
        )
    return policy


def situation(*ran: Ran, tiers: int = 3, askable: tuple[int, ...] | None = None) -> Situation:
    accuracies = [0.6, 0.75, 0.9, 0.92, 0.94, 0.95][:tiers]
    return Situation(
        belief=joint(accuracies),
        ran=ran,
        askable=tuple(range(tiers)) if askable is None else askable,
        judgeable=frozenset(range(tiers - 1)),
        rates=[HALF] * tiers,
        comparable=True,
        agreement=0.96,
        ask_usd=[0.001 * 10**at for at in range(tiers)],
        judge_usd=[0.002] * tiers,
    )


def test_of_two_the_best_is_the_papers_closed_form_by_the_deviation() -> None:
    """Two of N(.5, .2²): .5 + .2/√π = .613; scaled by the variance, as released, it is .523."""
    independent = expected_max([0.5, 0.5], np.diag([0.04, 0.04]))

    assert independent == pytest.approx(0.5 + 0.2 / sqrt(pi))
    assert independent == pytest.approx(0.613, abs=5e-4)
    by_variance = expected_max([0.5, 0.5], np.diag([0.04**2, 0.04**2]))
    assert by_variance == pytest.approx(0.523, abs=5e-4)


def test_the_better_of_two_that_move_together_is_no_better_than_one() -> None:
    together = np.array([[0.04, 0.04], [0.04, 0.04]])

    assert expected_max([0.5, 0.5], together) == pytest.approx(0.5)
    assert expected_max([0.5, 0.7], together) == pytest.approx(0.7)
    assert expected_max([0.8, 0.3], np.zeros((2, 2))) == 0.8


def test_of_three_clarks_recursion_is_near_what_samples_say() -> None:
    means = np.array([0.5, 0.6, 0.55])
    covariance = np.array([[0.04, 0.01, 0.0], [0.01, 0.02, 0.005], [0.0, 0.005, 0.03]])
    samples = np.random.default_rng(1).multivariate_normal(means, covariance, 200_000)

    assert expected_max(means, covariance) == pytest.approx(samples.max(axis=1).mean(), abs=2e-3)


@pytest.mark.parametrize(("tiers", "count"), [(2, 3), (3, 7), (4, 15), (6, 15)])
def test_there_are_at_most_fifteen_sets(tiers: int, count: int) -> None:
    assert len(supersets(situation(tiers=tiers), 1.0)) == count


def test_a_set_is_worth_what_its_best_answer_is_and_costs_all_it_asks() -> None:
    sets = {each.new: each for each in supersets(situation(), 1.0)}
    chances = chance_right(situation().belief)

    assert sets[0,].quality == pytest.approx(chances[0])
    assert sets[0,].usd == pytest.approx(0.001)
    assert sets[0, 1].quality > max(chances[0], chances[1])
    assert sets[0, 1].usd == pytest.approx(0.001 + 0.01 + 0.002)
    assert sets[0, 1, 2].quality >= sets[1, 2].quality
    after = {each.new for each in supersets(situation(Ran(0, 0), askable=(1, 2)), 1.0)}
    assert after == {(), (1,), (2,), (1, 2)}


def test_money_decides_which_set_is_best() -> None:
    sets = supersets(situation(), 1.0)
    free, dear = best_of(sets, 0.0), best_of(sets, 1e6)

    assert free is not None
    assert dear is not None
    assert free.quality == max(each.quality for each in sets)
    assert dear.new == (0,)
    assert best_of([], 1.0) is None


def test_the_best_answer_is_served_and_not_the_last() -> None:
    """The lower tier's was judged valid, the top's came to something else and failed a check."""
    failed = attempt("large", "b", Verdict(valid=False, by="check:json"))
    action = CascadeRouting().next(
        given(), [attempt("small", "a", VALID), replace(failed, arrived="after_reject")]
    )

    assert action == Accept(0)


def test_an_answer_is_judged_only_where_the_verdict_is_worth_its_price() -> None:
    """Where verdicts are cheap; else the next tier's answer says more for the same money."""
    answered = [attempt("small", "a")]
    cheap = with_cheap_verdicts(CascadeRouting(quality_per_dollar=20.0)).next(given(), answered)
    dear = with_cheap_verdicts(CascadeRouting(quality_per_dollar=1e5)).next(given(), answered)
    usual = CascadeRouting(quality_per_dollar=8.0).next(given(), answered)
    nobody = CascadeRouting(quality_per_dollar=20.0, judge="none").next(given(), answered)

    assert cheap == Judge(0, by="medium")
    assert isinstance(usual, Ask)
    assert dear == Accept(0)
    assert not isinstance(nobody, Judge)


def test_a_refused_answer_is_asked_on_and_an_accepted_one_is_not() -> None:
    policy = CascadeRouting(quality_per_dollar=40.0)
    on = policy.next(given(), [attempt("small", "a", REFUSED)])
    done = policy.next(given(), [attempt("small", "a", VALID)])

    assert isinstance(on, Ask)
    assert on.arrived == "after_reject"
    assert done == Accept(0)


def test_failures_and_tools_leave_it_something_to_do() -> None:
    policy = CascadeRouting()
    failed = [Attempt(tier, "direct", outcome="failed") for tier in TIERS]
    seated = replace(given(), tool_turn=True, seat=Seat("medium"))
    first = policy.next(seated, [])

    assert isinstance(policy.next(given(), failed[:1]), Ask)
    assert policy.next(given(), failed) == Stop(None)
    assert isinstance(policy.next(given(), failed[1:]), Ask)  # the lowest, while others are down
    assert isinstance(first, Ask)
    assert first.tier == "medium"
    assert policy.next(seated, [attempt("medium", "a")]) == Accept(0)


def test_a_request_keeps_its_rate_and_may_set_its_own() -> None:
    thrifty = replace(given(), dial=Dial("quality_per_dollar", 1e9))
    lavish = replace(given(), dial=Dial("quality_per_dollar", 0.0))
    policy = CascadeRouting()
    first = policy.next(thrifty, [])

    assert isinstance(first, Ask)
    assert first.start is not None
    assert first.start.trade is not None
    assert (first.tier, first.start.trade.quality_per_dollar) == ("small", 1e9)
    on = policy.next(lavish, [attempt("small", "a", VALID)])
    assert isinstance(on, Judge | Ask)


def test_between_two_rates_a_mixture_costs_exactly_the_budget() -> None:
    """The paper's: one question, a cheap set for 1 and a dear one for 3; a budget of 2 is half."""
    question = [Superset((0,), 0.5, 1.0), Superset((1,), 0.9, 3.0)]

    found = mixed([question], 2.0)

    assert mean_usd([question], found.low) == 3.0
    assert mean_usd([question], found.high) == 1.0
    assert found.share == pytest.approx(0.5)
    assert mixed([question], 5.0).low == 0.0
    assert mixed([question], 0.5).share == 0.0


def test_what_requests_really_cost_moves_the_budget() -> None:
    budget = Budget(1.0)
    question = [Superset((0,), 0.5, 1.0)]
    for _ in range(200):
        budget.note(question, paid_usd=2.0, expected_usd=1.0)

    assert budget.dearer == pytest.approx((400 + 20) / (200 + 20))


@pytest.mark.timeout(90)
@pytest.mark.parametrize("budget", [3.0, 20.0])
def test_a_budget_is_kept(budget: float) -> None:
    skill = {"small": 0.6, "medium": 0.75, "large": 0.9}
    run = MadeWorld(CascadeRouting(usd_per_1000=budget), seeded(4), skill)

    records = run.serve(700)[200:]

    assert usd_per_1000(records) == pytest.approx(budget, rel=0.2)


@pytest.mark.timeout(90)
def test_it_is_worth_more_than_any_fixed_tier() -> None:
    """At a rate at which medium is the best of the fixed ones, and verdicts are cheap."""
    rate = 6.0
    skill = dict(zip(TIERS, PRIORS, strict=True))
    run = MadeWorld(CascadeRouting(quality_per_dollar=rate), seeded(5), skill)
    records = run.serve(900)[200:]

    worth = accuracy(records) - rate * usd_per_1000(records) / 1000
    assert worth > max(skill[tier] - rate * COST_USD[tier] for tier in TIERS)
