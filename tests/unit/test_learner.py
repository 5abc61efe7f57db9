"""What the ledger learns: rates, costs, how far judges err, and when a lesson may be paid."""

from random import Random

import pytest

from app.learning.amounts import Bill, Judged, Label
from app.learning.belief import Relation
from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import Opinion
from app.learning.learner import LESSON_MAX, LESSON_SHARE, TENANTS, Learner, Ledger

ASK_USD = {"small": 0.001, "large": 0.1}
JUDGE_USD = {"small": 0.002}


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing here is a secret


def test_a_rate_starts_at_the_prior_and_goes_where_the_labels_are() -> None:
    ledger = Ledger()
    assert ledger.rate("small", 0.6) == pytest.approx(0.6)

    for number, right in enumerate((1.0, 0.0) * 1_000):
        ledger.learn(f"{number}", {"small": Label(right, 1.0)})

    assert ledger.rate("small", 0.9) == pytest.approx(0.5, abs=0.01)
    assert ledger.rate("large", 0.8) == pytest.approx(0.8)


def test_what_some_tiers_have_shown_says_something_of_the_others() -> None:
    """Easy questions are easy for all: a tier that was never asked is believed in more."""
    ledger = Ledger()
    for number in range(200):
        ledger.learn(f"{number}", {"small": Label(0.9, 1.0)})

    small, large = ledger.accuracies(["small", "large"], [0.6, 0.8])

    assert small == pytest.approx(0.9, abs=0.03)
    assert 0.9 < large < 0.97
    assert ledger.rate("large", 0.8) == pytest.approx(0.8)


def test_what_becomes_known_later_takes_the_place_of_what_was_known() -> None:
    ledger, told_once = Ledger(), Ledger()
    for number in range(100):
        ledger.learn(f"{number}", {"small": Label(1.0, 1.0)})
    for number in range(100):
        ledger.learn(f"{number}", {"small": Label(0.0, 1.0), "large": Label(1.0, 0.5)})
        told_once.learn(f"{number}", {"small": Label(0.0, 1.0), "large": Label(1.0, 0.5)})

    for tier in ("small", "large"):
        assert ledger.rate(tier, 0.6) == pytest.approx(told_once.rate(tier, 0.6))


def test_a_record_that_is_shown_twice_counts_once() -> None:
    ledger = Ledger()
    for _ in range(50):
        ledger.learn("the same", {"small": Label(0.0, 1.0)}, bill=Bill(request_usd=1.0))

    assert ledger.rate("small", 0.6) == pytest.approx(20 * 0.6 / 21, abs=0.003)
    assert ledger.spent_usd == 1.0


def test_a_rate_forgets() -> None:
    ledger = Ledger()
    for number, right in enumerate([0.0] * 3_000 + [1.0] * 1_500):
        ledger.learn(f"{number}", {"small": Label(right, 1.0)})

    assert ledger.rate("small", 0.5) > 0.93


def test_a_rate_stays_a_probability_whatever_the_labels() -> None:
    ledger = Ledger()
    for number in range(500):
        ledger.learn(f"{number}", {"low": Label(-0.8, 1.0), "high": Label(1.2, 1.0)})

    assert (ledger.rate("low", 0.5), ledger.rate("high", 0.5)) == (0.02, 0.98)


def test_verdicts_of_a_judge_of_known_error_average_to_the_true_accuracy() -> None:
    rng = seeded(4)
    ledger = Ledger()
    of_right, of_wrong = USUAL_RATES
    for number in range(4_000):
        right = rng.random() < 0.7
        valid = rng.random() < (of_right if right else of_wrong)
        ledger.learn(f"{number}", {"small": Opinion(valid, "unknown").label(USUAL_RATES)})

    assert ledger.rate("small", 0.5) == pytest.approx(0.7, abs=0.06)


def test_a_judges_error_is_learned_apart_for_each_relation() -> None:
    rng = seeded(5)
    ledger = Ledger()
    rates: dict[Relation, tuple[float, float]] = {"agree": (0.95, 0.8), "disagree": (0.9, 0.3)}
    for number in range(6_000):
        right, relation = rng.random() < 0.6, rng.choice(sorted(rates))
        of_right, of_wrong = rates[relation]
        valid = rng.random() < (of_right if right else of_wrong)
        ledger.learn(f"{number}", {}, [Judged("small", relation, float(right), valid)])

    for relation, known in rates.items():
        assert ledger.rates("small", relation) == pytest.approx(known, abs=0.06)
    # Of what was not seen, what is alike says something.
    assert 0.4 < ledger.rates("large", "agree")[1] < 0.7
    assert Ledger().rates("large", "agree") == pytest.approx(USUAL_RATES, abs=0.015)


def test_a_judge_that_cannot_tell_has_labels_without_weight() -> None:
    assert Opinion(valid=True, relation="unknown").label((0.7, 0.7)).weight == 0
    assert Opinion(valid=True, relation="unknown").label((0.3, 0.7)).weight == 0


def test_costs_are_the_usual_ones_until_they_were_paid() -> None:
    ledger = Ledger()
    assert ledger.ask_cost_usd("small", 0.5) == 0.5
    assert ledger.judge_cost_usd("small", 0.5) == 0.5

    asked, judged = (("small", 0.002), ("small", 0.004)), (("small", 0.01),)
    ledger.learn("r", {}, bill=Bill(asked, judged, request_usd=0.016))

    assert ledger.ask_cost_usd("small", 0.5) == pytest.approx(0.003, rel=0.01)
    assert ledger.judge_cost_usd("small", 0.5) == pytest.approx(0.01)


def test_without_money_spent_there_are_no_lessons() -> None:
    lessons = Ledger().draw(ASK_USD, JUDGE_USD, seeded(1))

    assert lessons.drawn == ()
    assert set(lessons.propensities.values()) == {0.0}


def test_a_budget_that_is_overdrawn_buys_nothing() -> None:
    ledger = Ledger()
    ledger.learn("r", {}, bill=Bill(request_usd=1.0, lessons_usd=0.2))

    assert set(ledger.draw(ASK_USD, JUDGE_USD, seeded(1)).propensities.values()) == {0.0}


def test_lessons_keep_to_their_share_of_all_spend() -> None:
    rng, ledger = seeded(2), Ledger()
    full = sum(ASK_USD.values()) + sum(JUDGE_USD.values())
    for number in range(20_000):
        drawn = ledger.draw(ASK_USD, JUDGE_USD, rng).drawn
        cost_usd = full if "full" in drawn else sum(ASK_USD[tier] for tier in drawn)
        ledger.learn(f"{number}", {}, bill=Bill(request_usd=0.01, lessons_usd=cost_usd))

    share = ledger.lessons_usd / ledger.spent_usd
    assert 0.6 * LESSON_SHARE < share < 1.05 * LESSON_SHARE


def test_coins_come_up_as_often_as_they_are_logged() -> None:
    ledger, rng = Ledger(), seeded(3)
    ledger.learn("r", {}, bill=Bill(request_usd=1.0))
    draws = [ledger.draw({"small": 1.0, "large": 2.0}, {"small": 1.0}, rng) for _ in range(20_000)]

    for coin, chance in draws[0].propensities.items():
        fell = sum(coin in draw.drawn for draw in draws) / len(draws)
        assert fell == pytest.approx(chance, abs=0.003)
    assert set(draws[0].propensities) == {"small", "large", "full"}


def test_no_coin_is_likelier_than_the_most_that_is_allowed() -> None:
    ledger = Ledger()
    ledger.learn("r", {}, bill=Bill(request_usd=1000.0))

    chances = ledger.draw(ASK_USD, JUDGE_USD, seeded(6)).propensities

    assert set(chances.values()) == {LESSON_MAX}


def test_a_dearer_share_buys_more_lessons() -> None:
    ledger = Ledger()
    ledger.learn("r", {}, bill=Bill(request_usd=0.001))

    low, high = (
        ledger.draw(ASK_USD, JUDGE_USD, seeded(7), share=share).propensities["large"]
        for share in (0.05, 0.10)
    )

    assert high == pytest.approx(2 * low)


def test_a_tier_whose_labels_change_is_noticed_and_soon_believed_anew() -> None:
    ledger = Ledger()
    for number in range(600):
        right = 0.9 if number < 300 else 0.6
        ledger.learn(f"{number}", {"small": Label(right, 1.0)})
        ledger.watch({"small": Label(right, 1.0)}, {"small": 0.9}, float(number))
        if ledger.changed_s:
            break

    assert 300 <= ledger.changed_s["small"] <= 310
    assert number < 400
    assert ledger.rate("small", 0.9) < 0.7


def test_chance_is_seldom_taken_for_change() -> None:
    rng, ledger, changes = seeded(11), Ledger(), set()
    for number in range(20_000):
        label = Label(0.95 if rng.random() < 0.8 else 0.22, 1.0)
        ledger.watch({"small": label}, {"small": 0.8}, float(number))
        changes.add(ledger.changed_s.get("small"))

    assert len(changes) <= 1 + 20_000 / 5_000


def test_another_model_behind_a_tier_is_another_tier() -> None:
    ledger = Ledger()
    for number in range(300):
        ledger.learn(f"{number}", {"small": Label(0.2, 1.0)})
        ledger.serve([("small", "model-1")], float(number))
    assert ledger.changed_s == {}

    ledger.serve([("small", "model-2")], 300.0)
    ledger.serve([("small", "model-1")], 301.0)
    for number in range(300, 330):
        ledger.learn(f"{number}", {"small": Label(0.9, 1.0)})

    assert ledger.changed_s == {"small": 300.0}
    assert ledger.rate("small", 0.6) > 0.75


def test_tenants_learn_apart() -> None:
    learner = Learner()
    learner.ledger("a").learn("r", {"small": Label(0.0, 100.0)})

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
