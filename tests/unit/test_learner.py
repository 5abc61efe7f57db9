"""What the ledger learns: rates, costs, how far judges err, and when a lesson may be paid."""

from random import Random

import pytest

from app.labels import Opinion
from app.learner import (
    LESSON_MAX,
    LESSON_SHARE,
    TENANTS,
    USUAL_RATES,
    Judged,
    Label,
    Learner,
    Ledger,
)

ASK_USD = {"small": 0.001, "large": 0.1}
JUDGE_USD = {"small": 0.002}


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing here is a secret


def test_a_rate_starts_at_the_prior_and_goes_where_the_labels_are() -> None:
    ledger = Ledger()
    assert ledger.rate("small", 0.6) == pytest.approx(0.6)

    for right in (1.0, 0.0) * 1_000:
        ledger.learn({"small": Label(right, 1.0)}, {"small": 0.9})

    assert ledger.rate("small", 0.9) == pytest.approx(0.5, abs=0.01)
    assert ledger.rate("large", 0.8) == pytest.approx(0.8)


def test_a_rate_forgets() -> None:
    ledger = Ledger()
    for right in [0.0] * 3_000 + [1.0] * 1_500:
        ledger.learn({"small": Label(right, 1.0)}, {})

    assert ledger.rate("small", 0.5) > 0.93


def test_a_rate_stays_a_probability_whatever_the_labels() -> None:
    ledger = Ledger()
    for _ in range(500):
        ledger.learn({"low": Label(-0.8, 1.0), "high": Label(1.2, 1.0)}, {})

    assert (ledger.rate("low", 0.5), ledger.rate("high", 0.5)) == (0.02, 0.98)


def test_verdicts_of_a_judge_of_known_error_average_to_the_true_accuracy() -> None:
    rng = seeded(4)
    ledger = Ledger()
    for _ in range(4_000):
        right = rng.random() < 0.7
        valid = rng.random() < (0.9 if right else 0.4)
        ledger.learn({"small": Opinion(valid, "unknown").label(USUAL_RATES)}, {})

    assert ledger.rate("small", 0.5) == pytest.approx(0.7, abs=0.06)


def test_a_judges_error_is_learned_apart_for_each_relation() -> None:
    rng = seeded(5)
    ledger = Ledger()
    for _ in range(3_000):
        right = rng.random() < 0.6
        valid = rng.random() < (0.95 if right else 0.8)
        ledger.learn_judge([Judged("small", "agree", float(right), valid)])

    assert ledger.rates("small", "agree") == pytest.approx((0.95, 0.8), abs=0.03)
    assert ledger.rates("small", "disagree") == USUAL_RATES == (0.9, 0.4)


def test_a_judge_that_cannot_tell_has_labels_without_weight() -> None:
    assert Opinion(valid=True, relation="unknown").label((0.7, 0.7)).weight == 0
    assert Opinion(valid=True, relation="unknown").label((0.3, 0.7)).weight == 0


def test_costs_are_the_usual_ones_until_they_were_paid() -> None:
    ledger = Ledger()
    assert ledger.ask_cost_usd("small", 0.5) == 0.5
    assert ledger.judge_cost_usd("small", 0.5) == 0.5

    ledger.pay(
        asked=[("small", 0.002), ("small", 0.004)],
        judged=[("small", 0.01)],
        request_usd=0.016,
        lessons_usd=0.0,
    )

    assert ledger.ask_cost_usd("small", 0.5) == pytest.approx(0.003, rel=0.01)
    assert ledger.judge_cost_usd("small", 0.5) == pytest.approx(0.01)


def test_without_money_spent_there_are_no_lessons() -> None:
    lessons = Ledger().draw(ASK_USD, JUDGE_USD, seeded(1))

    assert lessons.tiers == frozenset()
    assert set(lessons.propensities.values()) == {0.0}


def test_a_budget_that_is_used_up_buys_nothing() -> None:
    ledger = Ledger()
    ledger.pay(asked=[], judged=[], request_usd=1.0, lessons_usd=0.06)

    assert set(ledger.draw(ASK_USD, JUDGE_USD, seeded(1)).propensities.values()) == {0.0}


def test_lessons_keep_to_their_share_of_all_spend() -> None:
    rng, ledger = seeded(2), Ledger()
    full = sum(ASK_USD.values()) + sum(JUDGE_USD.values())
    for _ in range(20_000):
        lessons = ledger.draw(ASK_USD, JUDGE_USD, rng)
        cost_usd = full if lessons.judged else sum(ASK_USD[tier] for tier in lessons.tiers)
        ledger.pay(asked=[], judged=[], request_usd=0.01, lessons_usd=cost_usd)

    share = ledger.lessons_usd / ledger.spent_usd
    assert 0.6 * LESSON_SHARE < share < 1.05 * LESSON_SHARE


def test_coins_come_up_as_often_as_they_are_logged() -> None:
    ledger, rng = Ledger(), seeded(3)
    ledger.pay(asked=[], judged=[], request_usd=1.0, lessons_usd=0.0)
    draws = [ledger.draw({"small": 1.0, "large": 2.0}, {"small": 1.0}, rng) for _ in range(20_000)]
    chances = draws[0].propensities

    full = sum(draw.judged for draw in draws) / len(draws)
    large = sum("large" in draw.tiers for draw in draws) / len(draws)

    assert full == pytest.approx(chances["full"], abs=0.003)
    assert large == pytest.approx(1 - (1 - full) * (1 - chances["large"]), abs=0.003)


def test_a_full_lesson_asks_every_tier() -> None:
    ledger, rng = Ledger(), seeded(6)
    ledger.pay(asked=[], judged=[], request_usd=1.0, lessons_usd=0.0)

    draws = [ledger.draw(ASK_USD, JUDGE_USD, rng) for _ in range(500)]

    assert any(draw.judged for draw in draws)
    assert all(draw.tiers == set(ASK_USD) for draw in draws if draw.judged)
    assert max(draws[0].propensities.values()) == LESSON_MAX


def test_tenants_learn_apart() -> None:
    learner = Learner()
    learner.ledger("a").learn({"small": Label(0.0, 100.0)}, {})

    assert learner.ledger("b").rate("small", 0.6) == pytest.approx(0.6)
    assert learner.ledger("a").rate("small", 0.6) < 0.2


def test_the_tenant_not_heard_of_for_longest_is_forgotten() -> None:
    learner = Learner()
    first = learner.ledger("first")
    for number in range(TENANTS - 1):
        learner.ledger(str(number))

    assert learner.ledger("first") is first
    second = learner.ledger("one more")
    assert learner.ledger("first") is first
    assert learner.ledger("one more") is second
    assert len(learner._ledgers) == TENANTS  # noqa: SLF001 - the bound is not to be seen otherwise
