"""The value policy over a stream of known truth: cold starts, lock-in, drift, runaway labels."""

from collections.abc import Sequence
from random import Random

import pytest

from app.learning.learner import LESSON_SHARE
from app.neighbours import Neighbour
from app.policies.value import Value
from app.records import Attempt, Record, Verdict
from tests.support.made_world import (
    COST_USD,
    PRIORS,
    TIERS,
    MadeWorld,
    Skill,
    accuracy,
    usd_per_1000,
)

pytestmark = pytest.mark.timeout(90)  # thousands of requests each

RATE = 6.0
"""How much accuracy one USD must buy here: the top tier's call, .30; the medium one's, .03."""
GOOD: Skill = {"small": 0.9, "medium": 0.93, "large": 0.95}


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing here is a secret


def world(skill: Skill, seed: int = 1, rate: float = RATE) -> MadeWorld:
    return MadeWorld(Value(quality_per_dollar=rate), seeded(seed), skill)


def worth(records: Sequence[Record]) -> float:
    """Accuracy, less money at its rate."""
    return accuracy(records) - RATE * usd_per_1000(records) / 1000


def share(records: Sequence[Record], tier: str) -> float:
    served = [record.served_attempt for record in records]
    return sum(attempt is not None and attempt.tier == tier for attempt in served) / len(records)


def test_the_first_hundred_requests_are_sensible_on_stated_priors_alone() -> None:
    """Where the priors are right, no fixed tier would have been worth more."""
    skill = dict(zip(TIERS, PRIORS, strict=True))
    ours = [worth(world(skill, seed).serve(100)) for seed in range(8)]

    best_fixed = max(skill[tier] - RATE * COST_USD[tier] for tier in TIERS)

    assert sum(ours) / len(ours) > best_fixed - 0.01


def test_it_is_worth_as_much_as_the_best_fixed_tier_once_it_has_learned() -> None:
    """Though the priors have the tiers' worth wrong."""
    skill = {"small": 0.75, "medium": 0.85, "large": 0.9}
    run = [worth(world(skill, seed).serve(1_500)[500:]) for seed in range(3)]

    assert sum(run) / len(run) > max(skill[t] - RATE * COST_USD[t] for t in TIERS) - 0.02


@pytest.mark.parametrize("valid", [False, True])
def test_twenty_false_labels_lock_nothing_in_and_nothing_out(valid: bool) -> None:
    """Of the cheap tier, which is good in one case and bad in the other."""
    skill = GOOD if not valid else {"small": 0.3, "medium": 0.9, "large": 0.95}
    here = world(skill, 2, rate=RATE if valid else 20.0)
    before = share(here.serve(700)[200:], "small")
    for number in range(20):
        word = Verdict(valid=valid, by="medium" if valid else "check:schema")
        false = Record(
            id=f"false-{number}",
            time_s=float(len(here.records)),
            tenant="local",
            kind="routed",
            policy="value",
            policy_version="1",
            ladder=TIERS,
            eligible=TIERS,
            outcome="answered",
            start=here.records[-1].start,
            attempts=[Attempt("small", "direct", outcome="complete", verdicts=[word])],
            served=0,
        )
        here.policy.observe(false)
        here.near(Neighbour(0.9, false))

    after = share(here.serve(1_000)[-200:], "small")

    assert abs(after - before) < 0.5


def test_a_tier_that_falls_is_routed_around_within_three_hundred_requests() -> None:
    here = world({"small": 0.6, "medium": 0.93, "large": 0.96}, 3, rate=2.0)
    before = share(here.serve(800)[-200:], "medium")
    here.skill = {"small": 0.6, "medium": 0.7, "large": 0.96}
    here.serve(300)
    soon = share(here.serve(200), "medium")

    eventual = share(here.serve(1_000)[-300:], "medium")
    assert before - eventual > 0.1
    assert before - soon > 0.5 * (before - eventual)


def test_labels_do_not_run_away() -> None:
    """Rates stay where the truth is, though each label was made of what the last ones led to."""
    skill = {"small": 0.6, "medium": 0.75, "large": 0.88}
    here = world(skill, 4)
    here.serve(1_000)
    early = _rates(here)
    here.serve(2_000)
    late = _rates(here)

    for tier in TIERS[:2]:
        assert late[tier] == pytest.approx(skill[tier], abs=0.12)
        assert late[tier] == pytest.approx(early[tier], abs=0.1)


def test_a_judge_that_accepts_all_is_found_out() -> None:
    """It is hardly asked any more, and accuracy holds."""
    skill = {"small": 0.6, "medium": 0.8, "large": 0.95}
    here = world(skill, 5)
    here.judged = lambda rng, right: rng.random() < (0.97 if right else 0.95)
    first, _, last = here.serve(300), here.serve(1_200), here.serve(300)

    def verdicts(records: Sequence[Record]) -> int:
        return sum(len(attempt.verdicts) for record in records for attempt in record.attempts)

    assert verdicts(last) < 0.5 * verdicts(first) + 15
    assert accuracy(last) > 0.8


def test_lessons_keep_to_their_share_of_all_spend_whatever_they_find() -> None:
    records = world(GOOD, 6).serve(1_500)

    lessons = sum(record.costs_usd()["lesson"] or 0.0 for record in records)
    spent = sum(record.cost_usd or 0.0 for record in records)

    assert 0.2 * LESSON_SHARE < lessons / spent < 1.2 * LESSON_SHARE


def test_a_new_tier_is_taken_up_by_lessons_though_nobody_believes_in_it() -> None:
    """Its prior is far too low; what it costs to find out is of the lessons' budget."""
    skill = {"small": 0.5, "medium": 0.93, "large": 0.95}
    here = world(skill, 7)
    whole = here.ladder
    here.ladder = whole.only(frozenset({"small", "large"}))
    here.serve(400)
    medium = whole["medium"].model_copy(update={"prior": 0.45})
    here.ladder = type(whole)((whole["small"], medium, whole["large"]))
    records = here.serve(1_600)

    assert share(records[-300:], "medium") > 0.3
    lessons = sum(record.costs_usd()["lesson"] or 0.0 for record in records)
    assert lessons < 1.2 * LESSON_SHARE * sum(record.cost_usd or 0.0 for record in records)


def _rates(here: MadeWorld) -> dict[str, float]:
    assert isinstance(here.policy, Value)
    return here.policy.rates("local", here.ladder)
