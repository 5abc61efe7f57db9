"""The target error: exact bounds, fixed-sequence testing, audits, alarms, and the guarantee."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest

from app.intervals import binomial_cdf, upper_bound
from app.learning.guarantees import (
    AUDITS_MIN,
    EVERY,
    TESTED_MIN,
    WINDOW,
    Audit,
    Guard,
    audits_of,
    score_of,
    threshold_for,
)
from app.policies.target_error import TargetError
from app.policy import Accept, Ask, Judge, Seat, Stop
from app.records import Attempt, Estimate, Evidence, Lessons, Record, Start, Verdict
from tests.support.made_world import (
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
ESTIMATES = {tier: Estimate(p, p) for tier, p in zip(TIERS, (0.6, 0.75, 0.9), strict=True)}


def record(
    *attempts: Attempt, record_id: str = "r", taught: Sequence[Attempt] = (), drawn: str = "large"
) -> Record:
    """A record of these attempts, the last one served; `taught` are a lesson's."""
    made = Record(
        id=record_id,
        time_s=0.0,
        tenant="local",
        kind="routed",
        policy="target_error",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=list(attempts),
        served=len(attempts) - 1,
        start=Start(attempts[0].tier, {attempts[0].tier: 1.0}, ESTIMATES),
        lessons=Lessons({drawn: 0.1}, (drawn,)) if drawn else None,
        outcome="answered",
    )
    if taught:
        made.evidence["lesson"] = Evidence(
            "lesson", None, "lesson", 1.0, 0.001, attempts=tuple(taught)
        )
    return made


def noted(guard: Guard, count: int, *, wrong: int = 0, score: float = 0.9, at: int = 0) -> Guard:
    """The guard after so many audits of accepted answers, the first of them wrong."""
    for number in range(count):
        audit = Audit(score, number < wrong, coin=True, accepted=True)
        guard.note(f"{at + number}", audit)
    return guard


@pytest.mark.parametrize(
    ("wrong", "count", "doubt", "bound"),
    [
        (0, 10, 0.05, 0.2589),
        (1, 10, 0.05, 0.3942),
        (0, 30, 0.1, 1 - 0.1 ** (1 / 30)),
        (5, 5, 0.1, 1),
    ],
)
def test_the_bound_is_clopper_and_pearsons(
    wrong: int, count: int, doubt: float, bound: float
) -> None:
    """Of tables; of none wrong it is 1 - doubt^(1/n)."""
    assert upper_bound(wrong, count, doubt) == pytest.approx(bound, abs=1e-4)


def test_the_bound_is_under_the_target_exactly_where_the_distribution_says_so() -> None:
    for wrong in range(8):
        under = upper_bound(wrong, 80, 0.1) <= 0.1
        assert under == (binomial_cdf(wrong, 80, 0.1) <= 0.1)


def test_thresholds_are_tested_downwards_until_one_fails() -> None:
    """What lies below a failure is not looked at, however good."""
    good = [Audit(0.9, wrong=False)] * 60
    bad = [Audit(0.8, wrong=True)] * 60
    better = [Audit(0.7, wrong=False)] * 2000

    assert threshold_for([*good, *bad, *better], 0.1, 0.1) == 0.9
    assert threshold_for([*good, *better], 0.1, 0.1) == 0.7
    assert threshold_for(bad, 0.1, 0.1) is None
    assert threshold_for(good[: TESTED_MIN - 1], 0.1, 0.1) is None
    assert threshold_for([], 0.1, 0.1) is None


@pytest.mark.parametrize("doubt", [0.1, 0.3])
def test_a_threshold_is_too_low_no_more_often_than_it_may_be(doubt: float) -> None:
    """Answers of score s are wrong with a chance of 1 - s, s from 0.5 to 1; 250 calibrations."""
    rng, error, failed, found = seeded(1), 0.2, 0, 0
    for _ in range(250):
        scores = [rng.choice(range(50, 100)) / 100 for _ in range(300)]
        audits = [Audit(score, rng.random() > score) for score in scores]
        threshold = threshold_for(audits, error, doubt)
        if threshold is not None:
            found += 1
            above = [at / 100 for at in range(50, 100) if at / 100 >= threshold - 1e-9]
            failed += sum(1 - score for score in above) / len(above) > error

    assert found > 200
    assert failed / 250 <= doubt + 0.06  # three deviations


def test_before_there_are_enough_audits_only_what_is_surely_right_is_accepted() -> None:
    guard = noted(Guard("small", 0.1, 0.1), AUDITS_MIN - 1, score=0.6)

    assert (guard.calibrated, guard.threshold) == (False, 0.95)
    noted(guard, 1, score=0.6, at=1000)
    assert (guard.calibrated, guard.threshold) == (True, 0.6)


def test_a_threshold_is_found_again_after_every_twenty_five_audits() -> None:
    guard = noted(Guard("small", 0.1, 0.1), AUDITS_MIN, score=0.9)
    noted(guard, EVERY - 1, score=0.8, at=1000)
    assert guard.threshold == 0.9

    noted(guard, 1, score=0.8, at=2000)

    assert guard.threshold == 0.8
    assert guard.bound()[1] == AUDITS_MIN + EVERY
    assert guard.bound()[0] < 0.1


def test_old_audits_are_forgotten_and_one_record_counts_once() -> None:
    guard = Guard("small", 0.1, 0.1)
    for number in range(WINDOW + EVERY):
        guard.note(f"{number}", Audit(0.9 if number < EVERY else 0.7, wrong=False))
    for _ in range(100):
        guard.note("again", Audit(0.5, wrong=False))

    assert guard.bound()[1] <= WINDOW
    assert guard.threshold == 0.7


def test_escalated_answers_count_only_until_coins_have_found_enough() -> None:
    """They are worse than others: the bound errs on the safe side first, and is right later."""
    guard = Guard("small", 0.1, 0.1)
    for number in range(100):
        guard.note(f"{number}", Audit(0.8, wrong=number % 2 == 0, coin=False))
    assert guard.threshold == inf

    noted(guard, AUDITS_MIN + EVERY, score=0.8, at=1000)

    assert guard.threshold == 0.8


def test_errors_that_cannot_be_chance_raise_an_alarm_and_new_audits_end_it() -> None:
    """Of 100 with a target of 10 %, 18 have a chance of 1.0 %, and 19 one of 0.5 %."""
    assert 1 - binomial_cdf(17, 100, 0.1) == pytest.approx(0.01, abs=1e-3)
    quiet = noted(Guard("small", 0.1, 0.1), 100, wrong=0)
    for number in range(12):
        quiet.note(f"{number}", Audit(0.9, wrong=True, accepted=True))
    assert not quiet.alarmed

    loud = noted(Guard("small", 0.1, 0.1), 100)
    for number in range(25):
        if not loud.alarmed:
            loud.note(f"new-{number}", Audit(0.9, wrong=True, accepted=True))
    assert (loud.alarmed, loud.alarms, loud.threshold) == (True, 1, inf)

    for number in range(AUDITS_MIN + EVERY):
        loud.note(f"probe-{number}", Audit(0.9, wrong=False, coin=False))
    assert (loud.alarmed, loud.threshold) == (False, 0.9)


def test_an_audit_is_what_the_top_tier_says_and_no_judges_word() -> None:
    lesson = attempt("large", "b")
    wrong = dict(audits_of(record(attempt("small", "a", VALID), taught=[lesson])))
    right = dict(audits_of(record(attempt("small", "b", VALID), taught=[lesson])))
    climbed = dict(
        audits_of(record(attempt("small", "a", REFUSED), attempt("large", "b"), drawn=""))
    )
    prose = [attempt("small", "~a", VALID), attempt("large", "~b")]

    assert (wrong["small"].wrong, wrong["small"].coin, wrong["small"].accepted) == (True,) * 3
    assert not right["small"].wrong
    assert (climbed["small"].coin, climbed["small"].accepted) == (False, False)
    assert dict(audits_of(record(attempt("small", "a", VALID)))) == {}
    assert dict(audits_of(record(prose[0], taught=[prose[1]]))) == {}
    medium = record(attempt("small", "a", VALID), taught=[attempt("medium", "b")], drawn="medium")
    assert dict(audits_of(medium)) == {}


def test_an_arbiter_decides_where_answers_differ() -> None:
    judged = record(attempt("small", "a", VALID), taught=[attempt("large", "b")])
    judged.evidence["arbiter"] = Evidence("arbiter", True, "large", 2.0, 0.0, tier="small")

    assert not dict(audits_of(judged))["small"].wrong


def test_the_score_is_the_same_when_it_is_decided_by_and_audited() -> None:
    policy = TargetError()
    served = record(attempt("small", "a", VALID), taught=[attempt("large", "a")])
    score = dict(audits_of(served))["small"].score

    assert score == score_of(ESTIMATES, TIERS, served.attempts)
    before = policy.next(given(), served.attempts)
    for number in range(400):
        policy.observe(replace(served, id=f"{number}"))
    guard = policy.guards("local")["small"]

    assert isinstance(before, Ask)
    assert guard.threshold == score
    assert policy.next(given(), served.attempts) == Accept(0)


def test_it_climbs_judging_and_serves_what_the_top_says() -> None:
    policy, context = TargetError(), given()
    first = policy.next(context, [])
    assert isinstance(first, Ask)
    assert first.tier == "small"
    assert policy.next(context, [attempt("small", "a")]) == Judge(0, by="medium")
    on = policy.next(context, [attempt("small", "a", REFUSED)])
    assert isinstance(on, Ask)
    assert on.tier == "medium"
    whole = [attempt("small", "a", REFUSED), attempt("medium", "b", REFUSED), attempt("large", "c")]
    assert policy.next(context, whole) == Accept(2)
    failed = [Attempt(tier, "direct", outcome="failed") for tier in TIERS]
    assert policy.next(context, failed) == Stop(None)
    seat = policy.next(replace(context, tool_turn=True, seat=Seat("medium")), [])
    assert isinstance(seat, Ask)
    assert seat.tier == "medium"


def test_an_alarm_is_told_and_falls_back_one_tier_up(caplog: pytest.LogCaptureFixture) -> None:
    policy = TargetError()
    lesson = attempt("large", "a")
    good = record(attempt("small", "a", VALID), taught=[lesson])
    bad = record(attempt("small", "b", VALID), taught=[lesson])
    assert TargetError().alarmed is None
    for number in range(100):
        policy.observe(replace(good, id=f"good-{number}"))
    assert policy.alarmed == 0
    first = policy.next(given(), [])
    for number in range(20):
        policy.observe(replace(bad, id=f"bad-{number}"))

    action = policy.next(given(), [])

    assert isinstance(first, Ask)
    assert first.tier == "small"
    assert (policy.alarmed, policy.guards("local")["small"].alarms) == (1, 1)
    assert [r.levelname for r in caplog.records if "passed over" in r.message] == ["WARNING"]
    assert isinstance(action, Ask)
    assert action.start is not None
    assert action.start.propensities == {"small": 0.1, "medium": 0.9}


def test_a_tier_that_cannot_be_accepted_is_passed_over_but_probed() -> None:
    policy = TargetError()
    bad = record(attempt("small", "a", VALID), taught=[attempt("large", "b")])
    for number in range(AUDITS_MIN):
        policy.observe(replace(bad, id=f"{number}"))

    action = policy.next(given(), [])

    assert isinstance(action, Ask)
    assert action.start is not None
    assert action.start.propensities == {"small": 0.1, "medium": 0.9}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("error", [0.1, 0.3])
def test_the_target_is_met_in_a_world_of_known_truth(error: float) -> None:
    """Small is right in 85 %, and a judge sees 7 of 10 errors; the top is nearly always right."""
    skill = {"small": 0.85, "medium": 0.9, "large": 0.99}
    run = MadeWorld(TargetError(error=error, lessons=0.2), seeded(6), skill)
    records = run.serve(1_500)[500:]
    accepted = [r for r in records if r.served_attempt and r.served_attempt.tier != "large"]

    assert len(accepted) > 300
    assert 1 - accuracy(accepted) < error
    assert usd_per_1000(records) < 50


@pytest.mark.timeout(90)
def test_a_tier_that_becomes_bad_is_passed_over_and_comes_back_when_it_is_good() -> None:
    good = {"small": 0.95, "medium": 0.96, "large": 0.99}
    policy = TargetError(error=0.1, lessons=0.5)
    run = MadeWorld(policy, seeded(7), good)

    def served(records: Sequence[Record], tier: str) -> float:
        return sum(
            r.served_attempt is not None and r.served_attempt.tier == tier for r in records
        ) / len(records)

    before = run.serve(700)[-200:]
    run.skill = {"small": 0.3, "medium": 0.96, "large": 0.99}
    run.judged = lambda rng, _: rng.random() < 0.9  # and the judge sees nothing
    during = run.serve(700)[-200:]
    run.skill, run.judged = good, lambda rng, right: rng.random() < (0.9 if right else 0.3)
    after = run.serve(1_500)[-200:]

    assert served(before, "small") > 0.5
    assert served(during, "small") < 0.15
    assert served(after, "small") > 0.3
