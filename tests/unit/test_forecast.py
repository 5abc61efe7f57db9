"""The forecast: what requests would cost and keep at every rate."""

from dataclasses import replace

import numpy as np
import pytest

from app.learning.belief import chance_right, joint
from app.planning.forecast import (
    CATCH_UP,
    KEPT,
    RATES,
    SLIP,
    Curve,
    Forecast,
    Prospect,
    Question,
    curve_of,
)
from app.planning.lookahead import TIE, best, steps
from app.planning.plans import Situation

ACCURACIES = (0.6, 0.8, 0.95)
USD = (0.0005, 0.005, 0.05)
JUDGING_USD = 0.002
FAIR = ((0.9, 0.3),) * 3


def prospect(depth: int = 3, judges: tuple[int, ...] = (0, 1), waits_s: float = 0.0) -> Prospect:
    situation = Situation(
        tiers=3, ran=(), askable=(0, 1, 2), judgeable=frozenset(judges), rates=(FAIR,) * 3
    )
    return Prospect(
        joint(ACCURACIES), situation, (*USD, *(JUDGING_USD,) * 3, 0.001), (waits_s,) * 7, depth
    )


def test_with_one_step_ahead_the_curve_is_that_of_the_best_single_tier() -> None:
    one = prospect(depth=1)
    curve, accuracies = curve_of(one), chance_right(one.belief).tolist()

    for rate, usd, right in zip(RATES, curve.usd, curve.right, strict=True):
        values = [a - rate * cost for a, cost in zip(accuracies, USD, strict=True)]
        chosen = next(at for at in range(3) if values[at] >= max(values) - TIE)
        assert (usd, right) == pytest.approx((USD[chosen], accuracies[chosen]))
    assert curve.top == pytest.approx(accuracies[-1])
    assert curve.usd[-1] == USD[0]  # something must be asked, however dear


def test_what_is_right_less_its_price_is_what_the_look_ahead_promises() -> None:
    one = prospect()
    curve = curve_of(one)

    for rate, usd, right in zip(RATES, curve.usd, curve.right, strict=True):
        costs = [rate * each for each in one.usd]
        step = best(
            steps(
                one.belief,
                one.situation,
                ask_costs=costs[:3],
                judge_costs=costs[3:6],
                compare_cost=costs[6],
                depth=3,
            )
        )
        assert step is not None
        # On each of three steps what is as good by a hair may be let go.
        assert right - rate * usd == pytest.approx(step.value, abs=3 * TIE)


def test_the_dearer_money_is_the_less_is_spent_and_kept() -> None:
    curve = curve_of(prospect())

    assert np.all(np.diff(curve.usd) < 1e-3)
    assert curve.usd_at(1e-2) > 0.04
    assert curve.quality_at(1e-2) == pytest.approx(1.0, abs=0.02)
    assert curve.quality_at(1e5) == pytest.approx(0.6 / 0.95 - SLIP, abs=0.01)


def test_waiting_counts_in_decisions_and_is_not_spent() -> None:
    hurried = curve_of(prospect(waits_s=0.05))

    # One call of the top tier at once, rather than several in turn.
    assert curve_of(prospect()).usd_at(1.0) < hurried.usd_at(1.0) <= USD[2]
    assert hurried.usd[-1] == pytest.approx(USD[0])


LINE = Curve(np.linspace(0.08, 0.001, len(RATES)), np.linspace(0.95, 0.5, len(RATES)), 0.95)


@pytest.mark.parametrize("usd", [0.002, 0.01, 0.0345, 0.08])
def test_the_rate_for_a_budget_spends_it(usd: float) -> None:
    assert LINE.usd_at(LINE.rate_for_usd(usd)) == pytest.approx(usd)


def test_a_budget_out_of_reach_is_met_as_nearly_as_can_be() -> None:
    assert LINE.rate_for_usd(1e-6) == RATES[-1]
    assert LINE.rate_for_usd(1.0) == RATES[0]


@pytest.mark.parametrize("lost", [0.0, 0.02, 0.1, 0.3])
def test_the_rate_for_a_loss_is_the_highest_that_loses_no_more(lost: float) -> None:
    rate = LINE.rate_for_loss(lost)

    assert 1 - LINE.quality_at(rate) <= lost + 1e-9
    at = int(np.argmin(abs(RATES - rate)))
    assert at == 0 or 1 - LINE.quality_at(RATES[at + 1]) > lost


def test_where_nothing_more_is_saved_the_rate_goes_no_higher() -> None:
    flat = replace(LINE, usd=np.full(len(RATES), 0.001), right=np.full(len(RATES), 0.94))

    assert flat.rate_for_loss(0.05) == RATES[0]


def test_a_request_looks_at_few_others() -> None:
    forecast, looked = Forecast(), [0]

    def look(question: Question) -> Prospect | None:
        looked[0] += 1
        return prospect() if question.comparable else None

    assert forecast.curve(look) is None
    for _ in range(10 * KEPT):
        forecast.note(Question(("small", "medium", "large"), ACCURACIES, comparable=True))
    counts, curve = [], None
    for _ in range(2 * KEPT):
        before = looked[0]
        curve = forecast.curve(look)
        counts.append(looked[0] - before)

    assert counts[0] == CATCH_UP
    assert max(counts[1:]) == 1
    assert sum(counts) == KEPT
    assert curve is not None
    assert curve.usd == pytest.approx(curve_of(prospect()).usd)


def test_what_cannot_be_looked_at_is_left_out() -> None:
    forecast = Forecast()
    forecast.note(Question(("unheard of",), (0.5,), comparable=True))

    assert forecast.curve(lambda _: None) is None
