"""Alarms: each goes off when learning looks corrupt, and none does while it is honest."""

import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from app.records import Attempt, Estimate, Evidence, Lessons, Record, Start, Verdict
from app.reporting.alarms import Alarm, impossibilities
from app.reporting.tracker import Tracker
from tests.support.logged import TIERS, World

HONEST = {"small": 0.76, "medium": 0.875, "large": 0.934}
"""What labels say of the made world's tiers."""


def world(seed: int = 1) -> World:
    return World(seed, believed=dict(HONEST))


def observed(
    requests: int, corrupt: Callable[[Record, int], Record] = lambda record, _: record
) -> Tracker:
    """A tracker after so many requests, the second half of them corrupted."""
    watching, made = Tracker(), world()
    for number in range(requests):
        record = made.record()
        watching.observe(corrupt(record, number) if 2 * number >= requests else record)
    return watching


def the_alarm(watching: Tracker) -> Alarm:
    (alarm,) = watching.alarms
    return alarm


def test_five_thousand_honest_requests_raise_none() -> None:
    watching, made, raised = Tracker(), world(), set()
    for _ in range(5000):
        watching.observe(made.record())
        raised |= {(alarm.name, alarm.about) for alarm in watching.alarms}

    assert raised == set()


def test_lessons_that_bring_no_labels_are_noticed() -> None:
    alarm = the_alarm(observed(1200, lambda record, _: replace(record, evidence={})))

    # Where the path itself goes to the top, it is no coin's doing that it teaches.
    assert alarm.name == "no_labels"
    assert alarm.figures["due"] > 20
    assert alarm.sentence.startswith("no label has come for ")
    assert alarm.since_s < 1_700_000_000.0 + 1200


@pytest.mark.parametrize(("valid", "word"), [(True, "accepted"), (False, "refused")])
def test_a_judge_that_always_says_the_same_is_noticed(valid: bool, word: str) -> None:
    def judged(record: Record, _: int) -> Record:
        for attempt in record.attempts[:1]:
            attempt.verdicts = [replace(verdict, valid=valid) for verdict in attempt.verdicts]
        return record

    alarms = observed(3000, judged).alarms

    assert {(alarm.name, alarm.about) for alarm in alarms} == {
        ("judge", "large of small"),
        ("judge", "large of medium"),
    }
    assert all(f"large has {word} " in alarm.sentence for alarm in alarms)


def test_a_judge_that_was_never_anything_but_content_is_noticed_too() -> None:
    watching, made = Tracker(), World(1, believed=dict(HONEST), judge_sees=0.0, start="small")
    for _ in range(400):
        watching.observe(made.record())

    assert ("judge", "large of small") in {(a.name, a.about) for a in watching.alarms}


def test_words_that_are_not_a_judges_own_are_not_counted() -> None:
    def compared(record: Record, _: int) -> Record:
        for attempt in record.attempts:
            attempt.verdicts.append(Verdict(valid=True, by="same:medium"))
            attempt.verdicts.append(Verdict(valid=True, by="check:not_empty"))
        return record

    assert observed(3000, compared).alarms == ()


def test_beliefs_far_from_what_audits_find_are_noticed() -> None:
    watching, made = Tracker(), World(1, believed={**HONEST, "medium": 0.97})
    for _ in range(4000):
        watching.observe(made.record())

    alarm = the_alarm(watching)
    assert (alarm.name, alarm.about) == ("believed", "medium")
    assert alarm.figures["believed"] == pytest.approx(0.97, abs=0.001)
    assert alarm.sentence.startswith("medium is believed to be right in 97% of cases, and was in 8")


@pytest.mark.parametrize(("tier", "word"), [("medium", "all"), ("small", "none")])
def test_a_share_that_suddenly_is_all_or_nothing_is_noticed(tier: str, word: str) -> None:
    def started(record: Record, _: int) -> Record:
        assert record.start is not None
        return replace(record, start=replace(record.start, tier="medium"))

    alarms = {alarm.about: alarm for alarm in observed(1000, started).alarms}

    assert alarms[tier].name == "share"
    assert (
        alarms[tier].sentence
        == f"{word} of the last 5{_last(alarms[tier])} requests started at " + tier
    )


def _last(alarm: Alarm) -> str:
    """The run began a little before the second half, by chance."""
    return f"{alarm.figures['length']:.0f}"[1:]


def test_what_has_become_usual_is_no_alarm_any_more() -> None:
    watching, made, random = Tracker(), world(), Random(1)  # noqa: S311 - a made world
    raised = []
    for number in range(7000):
        record = made.record()
        assert record.start is not None
        first = "small" if number < 500 and random.random() < 0.5 else "medium"
        watching.observe(replace(record, start=replace(record.start, tier=first)))
        if number % 100 == 99:
            raised.append({alarm.about for alarm in watching.alarms if alarm.name == "share"})

    assert raised[0] == set()
    assert raised[6] == {"small", "medium"}
    assert raised[-1] == set()


def test_what_cannot_be_is_noticed_and_forgotten_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watching, made = Tracker(), world()
    alarm: Alarm | None = None
    with caplog.at_level(logging.WARNING, logger="app.reporting.tracker"):
        for number in range(1600):
            record = made.record()
            if number == 120:
                record.attempts[0].cost_usd = -0.5
            watching.observe(record)
            if number == 500:
                alarm = the_alarm(watching)

    assert alarm is not None
    assert (alarm.name, alarm.sentence) == (
        "impossible",
        "a record holds what cannot be: a cost is negative or no number",
    )
    assert alarm.since_s == 1_700_000_150.0  # it looks every 50 requests
    assert watching.alarms == ()
    assert [r.getMessage() for r in caplog.records] == ["learning looks corrupt"]


def believing(accuracy: float, weight: float) -> Start:
    return Start("small", {"small": 1.0}, {"small": Estimate(accuracy, 0.5, weight, 0.0)})


TWICE = Evidence(
    "lesson",
    None,
    "lesson",
    1.0,
    attempts=(Attempt("medium", "lesson"), Attempt("medium", "lesson")),
)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lessons": Lessons({"small": 1.5})}, "a coin's chance is outside [0, 1]"),
        ({"lessons": Lessons({"small": float("nan")})}, "a coin's chance is outside [0, 1]"),
        (
            {"lessons": Lessons({"small": 0.0}, ("small",))},
            "a coin fell that had no chance to",
        ),
        ({"lessons": Lessons({}, ("full",))}, "a coin fell that had no chance to"),
        ({"start": Start("small", {"small": 0.0})}, "the chance of a start is outside (0, 1]"),
        (
            {"start": believing(1.2, 1.0)},
            "an estimate is no probability, or its evidence weighs less than nothing",
        ),
        (
            {"start": believing(0.5, -1.0)},
            "an estimate is no probability, or its evidence weighs less than nothing",
        ),
        (
            {
                "evidence": {
                    "e": Evidence("judge", valid=True, by="large", time_s=1.0, cost_usd=-1.0)
                }
            },
            "a cost is negative or no number",
        ),
        ({"served": 7}, "an answer was served that nobody gave"),
        ({"evidence": {"e": TWICE}}, "more answers came from lessons than were asked for"),
        (
            {"eligible": ("large",), "evidence": {"e": TWICE}},
            "more answers came from lessons than were asked for",
        ),
    ],
)
def test_what_cannot_be(changes: dict[str, object], why: str) -> None:
    record = world().record()
    assert list(impossibilities(record)) == []
    for name, changed in changes.items():
        setattr(record, name, changed)

    assert list(impossibilities(record)) == [why]


def test_a_coin_without_a_chance_that_did_not_fall_is_possible() -> None:
    record = replace(world().record(), lessons=Lessons(dict.fromkeys((*TIERS, "full"), 0.0)))

    assert list(impossibilities(record)) == []
