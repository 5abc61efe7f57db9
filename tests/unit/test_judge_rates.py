"""How far judges err: what is said of them, and what their verdicts show."""

from pathlib import Path
from random import Random

import pytest

from app.learning.belief import Rates
from app.learning.judge_rates import USUAL_RATES, JudgeRates, prior_of
from app.planning.learned import Learned
from app.policies import build_policies
from app.policy import Context
from app.settings.configuration import build_settings
from tests.support.gateway import configuration

GOOD: Rates = (0.95, 0.12)


def test_without_verdicts_it_is_what_is_said_of_them_else_what_is_usual() -> None:
    assert JudgeRates().rates("small") == pytest.approx(USUAL_RATES, abs=0.015)
    for said in (GOOD, (0.8, 0.5), (0.9, 0.65)):
        assert JudgeRates(prior_of(said)).rates("small") == pytest.approx(said, abs=0.05), said


@pytest.mark.parametrize("said", [None, GOOD, (0.9, 0.65)])
@pytest.mark.parametrize("true", [(0.95, 0.1), (0.9, 0.5)])
def test_in_the_end_verdicts_count_whatever_was_said(said: Rates | None, true: Rates) -> None:
    rng = Random(3)  # noqa: S311
    rates = JudgeRates(prior_of(said))
    before = rates.rates("small")
    for _ in range(3_000):
        chance = rng.choice((0.2, 0.5, 0.9))
        valid = rng.random() < true[rng.random() >= chance]
        rates.add("small", chance, valid=valid)
    assert rates.rates("small") == pytest.approx(true, abs=0.08)
    if abs(before[1] - true[1]) > 0.1:
        # Of another tier's answers they say a little as well.
        assert abs(rates.rates("medium")[1] - true[1]) < abs(before[1] - true[1])


def test_every_policy_that_weighs_verdicts_hears_what_is_said_of_judges() -> None:
    said = {"valid_if_right": GOOD[0], "valid_if_wrong": GOOD[1]}
    values = configuration("http://127.0.0.1:9/v1", Path("unused"), judge={"prior": said})
    policies = build_policies(build_settings(values))
    asked = Context(build_settings(values).ladder, (), Random(1), tenant="a")  # noqa: S311
    learned = {name: one for name, one in policies.items() if isinstance(one, Learned)}
    heard = {
        name
        for name, policy in learned.items()
        if policy.ledger(asked).rates("small", "unknown") == pytest.approx(GOOD, abs=0.05)
    }
    assert heard == {"value", "cascade_routing", "winrate", "target_error"}
    assert "judged=0.95-0.12" in policies["value"].version
