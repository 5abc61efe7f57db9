"""The bandit: what it learns of tiers by question, how it explores, what it takes back."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from app.dials import Dial
from app.learning.regression import Regression
from app.learning.sketches import features_of, sketch_of
from app.policies.bandit import Bandit, Explorer
from app.policy import Ask, Context
from app.records import Attempt, Evidence, Record, record_from_json
from tests.support.made_world import (
    TIERS,
    MadeWorld,
    Topic,
    accuracy,
    ladder,
    place,
    usd_per_1000,
)

EASY = Topic("easy", place(1), {"small": 0.95, "medium": 0.96, "large": 0.98})
HARD = Topic("hard", place(2), {"small": 0.2, "medium": 0.85, "large": 0.95})
RATE = 8.0
"""So much accuracy must one more USD buy: a call of the top tier costs 0.4 of it."""


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311


def world(policy: Bandit, *topics: Topic, seed: int = 5) -> MadeWorld:
    return MadeWorld(policy, seeded(seed), {}, topics=topics)


def share(records: Sequence[Record], tier: str) -> float:
    return sum(record.attempts[0].tier == tier for record in records) / len(records)


def given(topic: Topic, *, dial: Dial | None = None, seed: int = 0) -> Context:
    return Context(
        ladder(), (), seeded(seed), prompt_tokens=100, tenant="local", vector=topic.at, dial=dial
    )


def first(policy: Bandit, context: Context) -> Ask:
    action = policy.next(context, [])
    assert isinstance(action, Ask)
    return action


def record_of(number: int, topic: Topic, tier: str, *, tenant: str = "local") -> Record:
    return Record(
        id=f"{number}",
        time_s=float(number),
        tenant=tenant,
        kind="routed",
        policy="bandit",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        sketch=sketch_of(topic.at),
        attempts=[Attempt(tier, "direct", outcome="complete", final_answer="x", cost_usd=0.001)],
        served=0,
        outcome="answered",
    )


def told(record: Record, *, valid: bool) -> Record:
    evidence = Evidence("feedback", valid, "someone", record.time_s)
    return replace(record, evidence={**record.evidence, "someone": evidence})


@pytest.mark.parametrize(("explorer", "least"), [("linucb", 0.8), ("thompson", 0.5)])
def test_it_learns_which_tier_suffices_for_which_question(explorer: Explorer, least: float) -> None:
    played = world(Bandit(quality_per_dollar=RATE, explorer=explorer), EASY, HARD)
    played.serve(700)

    easy, hard = played.of(EASY, 300), played.of(HARD, 300)
    assert share(easy, "small") > least
    assert share(hard, "medium") > least - 0.1
    last = played.records[-300:]
    assert accuracy(last) > 0.8
    assert usd_per_1000(last) < 0.2 * 1000 * 0.05


def test_the_requests_own_dial_weighs_the_same_knowledge_differently() -> None:
    policy = Bandit(quality_per_dollar=RATE)
    world(policy, HARD).serve(300)

    def chosen(value: float) -> str:
        dial = Dial("quality_per_dollar", value)
        return first(policy, given(HARD, dial=dial)).tier

    assert [chosen(value) for value in (1e6, RATE, 0.001)] == ["small", "medium", "large"]


def test_a_run_of_bad_luck_does_not_lock_a_good_tier_out() -> None:
    policy = Bandit(quality_per_dollar=RATE, discount=0.99)
    for number in range(20):
        policy.observe(told(record_of(-1 - number, EASY, "small"), valid=False))
    assert first(policy, given(EASY)).tier != "small"

    played = world(policy, EASY)
    played.serve(500)

    assert share(played.records[-100:], "small") > 0.7


def test_without_optimism_such_a_tier_stays_locked_out() -> None:
    policy = Bandit(quality_per_dollar=RATE, optimism=0, discount=1, lessons=0)
    for number in range(20):
        policy.observe(told(record_of(-1 - number, EASY, "small"), valid=False))

    played = world(policy, EASY)
    played.serve(200)

    assert share(played.records, "small") == 0


def test_a_label_that_changes_is_undone_as_if_it_had_never_been() -> None:
    changed, told_once = Bandit(), Bandit()
    for number in range(30):
        record = record_of(number, EASY, "small")
        changed.observe(record)
        told_once.observe(record)
    for number in range(30):
        wrong = told(record_of(number, EASY, "small"), valid=False)
        changed.observe(wrong)
    for number in range(30):
        right = told(record_of(number, EASY, "small"), valid=True)
        changed.observe(right)
        told_once.observe(right)

    ours = [option.accuracy for option in changed.options(given(EASY))]
    theirs = [option.accuracy for option in told_once.options(given(EASY))]
    assert ours == pytest.approx(theirs, abs=0.01)
    assert ours[0] > 0.9


def test_a_label_taken_back_altogether_leaves_the_prior() -> None:
    policy = Bandit()
    policy.observe(told(record_of(0, EASY, "small"), valid=False))
    assert policy.options(given(EASY))[0].accuracy < 0.55

    policy.observe(record_of(0, EASY, "small"))

    assert policy.options(given(EASY))[0].accuracy == pytest.approx(0.6, abs=1e-6)


def test_shown_the_written_records_again_it_knows_the_same() -> None:
    policy = Bandit(quality_per_dollar=RATE)
    played = world(policy, EASY, HARD)
    played.serve(150)

    restored = Bandit(quality_per_dollar=RATE)
    for record in played.records:
        read = record_from_json(record.to_json())
        assert read is not None
        restored.observe(read)

    for topic in (EASY, HARD):
        again, known = restored.options(given(topic)), policy.options(given(topic))
        assert [o.accuracy for o in again] == pytest.approx([o.accuracy for o in known], abs=1e-3)


def test_tenants_teach_each_other_nothing() -> None:
    policy = Bandit()
    before = policy.options(given(EASY))
    for number in range(20):
        policy.observe(told(record_of(number, EASY, "small", tenant="other"), valid=False))

    assert policy.options(given(EASY)) == before


def test_the_chances_that_thompson_sampling_notes_are_those_it_draws_by() -> None:
    policy = Bandit(quality_per_dollar=RATE, explorer="thompson")
    for number in range(6):
        policy.observe(told(record_of(number, HARD, "small"), valid=number % 2 == 0))
        policy.observe(told(record_of(100 + number, HARD, "medium"), valid=number % 3 > 0))

    asked = [first(policy, given(HARD, seed=seed)) for seed in range(400)]

    assert asked[0].start is not None
    chances = asked[0].start.propensities
    assert sum(chances.values()) == pytest.approx(1)
    for tier in TIERS:
        assert sum(a.tier == tier for a in asked) / 400 == pytest.approx(chances[tier], abs=0.08)


def test_near_ties_go_to_the_cheaper_tier() -> None:
    policy = Bandit(quality_per_dollar=0, lessons=0)
    for number in range(400):
        for at, tier in enumerate(TIERS):
            policy.observe(told(record_of(1000 * at + number, EASY, tier), valid=True))

    assert first(policy, given(EASY)).tier == "small"


def test_a_regression_kept_up_step_by_step_is_the_one_solved_at_once() -> None:
    rng = np.random.default_rng(3)
    model = Regression(5, discount=0.99)
    rows = [(np.append(1.0, rng.standard_normal(4)), float(rng.random())) for _ in range(300)]
    for features, target in rows:
        model.age(1)
        model.add(features, target, 1.0)
    model.add(*rows[200], weight=-(0.99**99))

    data, moments = np.eye(5), np.zeros(5)
    for number, (features, target) in enumerate(rows):
        if number != 200:
            weight = 0.99 ** (299 - number)
            data += weight * np.outer(features, features)
            moments += weight * target * features
    solved = np.linalg.solve(data, moments)
    probe = features_of(())[:5]
    assert model.predict(probe, 0.0)[0] == pytest.approx(float(probe @ solved), abs=0.01)
