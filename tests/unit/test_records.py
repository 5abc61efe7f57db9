"""What a record says about itself: costs, verdicts, and the same again after storage."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records import (
    Attempt,
    Evidence,
    Record,
    Usage,
    Verdict,
    record_from_json,
    record_from_payload,
    total_usd,
)
from tests.support.records import record

finite = st.floats(allow_nan=False, allow_infinity=False)
costs = st.none() | st.floats(0, 10)
verdicts = st.builds(
    Verdict,
    valid=st.sampled_from([True, False, None]),
    by=st.sampled_from(["large", "check:json"]),
    reason=st.text(max_size=5),
    confidence=st.none() | finite,
    usage=st.none() | st.builds(Usage, st.integers(0, 99), st.integers(0, 99)),
    cost_usd=costs,
)
attempts_made = st.builds(
    Attempt,
    tier=st.sampled_from(["small", "large"]),
    arrived=st.sampled_from(["direct", "after_reject", "after_failure", "lesson"]),
    model=st.none() | st.text(max_size=5),
    outcome=st.sampled_from(["complete", "censored", "truncated", "failed", "cancelled"]),
    final_answer=st.none() | st.text(max_size=5),
    verdicts=st.lists(verdicts, max_size=3),
    usage=st.none() | st.builds(Usage, st.integers(0, 99), st.integers(0, 99)),
    cost_usd=costs,
    first_byte_s=st.none() | finite,
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    made = record(learn=draw(st.booleans()), task=draw(st.none() | st.text(max_size=5)))
    made.attempts = draw(st.lists(attempts_made, max_size=4))
    made.served = (
        draw(st.none() | st.integers(0, len(made.attempts) - 1)) if made.attempts else None
    )
    made.outcome = draw(st.sampled_from(["answered", "failed", "abandoned"]))
    made.degraded = tuple(draw(st.lists(st.text(max_size=5), max_size=2)))
    made.features = draw(st.dictionaries(st.text(max_size=3), finite, max_size=2))
    return made


@given(records())
def test_a_record_is_the_same_after_it_was_written_down(made: Record) -> None:
    assert record_from_json(made.to_json()) == made
    assert record_from_payload(orjson.loads(made.to_json())) == made


@given(records())
def test_costs_by_purpose_add_up_to_the_whole(made: Record) -> None:
    parts = made.costs_usd()
    attempts = [attempt.cost_usd for attempt in made.attempts]
    judging = [v.cost_usd for attempt in made.attempts for v in attempt.verdicts]
    if None in attempts + judging:
        assert made.cost_usd is None
        assert None in parts.values()
    else:
        whole = sum(cost for cost in attempts + judging if cost is not None)
        assert made.cost_usd == pytest.approx(whole)


def test_the_served_answer_a_draft_and_judging_are_told_apart() -> None:
    made = record()
    made.attempts = [
        Attempt("small", "direct", cost_usd=1.0, verdicts=[Verdict(False, "large", cost_usd=0.1)]),
        Attempt("large", "after_reject", cost_usd=5.0, verdicts=[Verdict(True, "x", cost_usd=0.2)]),
    ]
    made.served = 1
    other = {"judge": pytest.approx(0.3), "lesson": 0}
    assert made.costs_usd() == {"answer": 5.0, "draft": 1.0, **other}
    made.served = None
    assert made.costs_usd() == {"answer": 0, "draft": 6.0, **other}


@pytest.mark.parametrize("unknown", ["answer", "draft", "judge"])
def test_an_unknown_part_makes_its_sum_unknown_all_the_way_up(unknown: str) -> None:
    made = record()
    verdict = Verdict(False, "large", cost_usd=None if unknown == "judge" else 0.1)
    made.attempts = [
        Attempt(
            "small", "direct", cost_usd=None if unknown == "draft" else 1.0, verdicts=[verdict]
        ),
        Attempt("large", "after_reject", cost_usd=None if unknown == "answer" else 5.0),
    ]
    made.served = 1
    known = {"answer": 5.0, "draft": 1.0, "judge": 0.1, "lesson": 0}
    assert made.costs_usd() == {**known, unknown: None}
    assert made.cost_usd is None


def test_a_sum_with_an_unknown_part_is_unknown_and_an_empty_one_is_nothing() -> None:
    assert total_usd([1.0, None]) is None
    assert total_usd([1.0, 0.5]) == 1.5
    assert total_usd([]) == 0


@pytest.mark.parametrize(
    ("verdicts_given", "valid", "refused", "verified"),
    [
        ([], None, False, False),
        ([Verdict(True, "large")], True, False, True),
        ([Verdict(False, "large")], False, True, False),
        ([Verdict(None, "large")], None, False, False),
        ([Verdict(True, "check:json")], True, False, False),
        ([Verdict(None, "large"), Verdict(True, "large")], True, False, True),
    ],
)
def test_only_a_judge_makes_an_answer_verified(
    verdicts_given: list[Verdict], valid: bool | None, refused: bool, verified: bool
) -> None:
    made = record()
    made.attempts = [Attempt("small", "direct", outcome="complete", verdicts=verdicts_given)]
    assert (made.attempts[0].valid, made.attempts[0].refused) == (valid, refused)
    assert made.verified is verified
    made.served = None
    assert made.verified is False
    assert made.served_attempt is None


def changed(**more: object) -> bytes:
    facts = orjson.loads(record().to_json())
    return json.dumps(facts | more).encode()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"\xff",
        b'{"id": "x"}',
        changed(outcome="maybe"),
        changed(kind=5),
        changed(attempts=[{"tier": "small"}]),
        changed(attempts=[], served=0),
        changed(served=1),
        changed(served=-1),
        changed(time_s="yesterday"),
        record().to_json()[:-1],
    ],
)
def test_what_is_not_a_record_is_none(junk: bytes) -> None:
    assert record_from_json(junk) is None


@pytest.mark.parametrize("junk", [None, 5, "x", [], {}, {"id": "x"}, {"body": b"x"}])
def test_a_payload_that_is_no_record_is_none(junk: object) -> None:
    assert record_from_payload(junk) is None


@given(st.binary())
def test_reading_never_fails(data: bytes) -> None:
    assert record_from_json(data) is None


def test_a_record_of_a_later_version_can_still_be_read() -> None:
    read = record_from_json(changed(invented_later={"x": 1}))
    assert read is not None
    assert read.attempts[0].tier == "small"


def test_whether_two_answers_are_the_same_says_nothing_of_right_or_wrong() -> None:
    made = record()
    same = Verdict(True, "same:large", against=0)
    made.attempts = [Attempt("large", "after_reject", outcome="complete", verdicts=[same])]
    made.served = 0
    assert (made.attempts[0].valid, made.verified) == (None, False)
    made.attempts[0].verdicts = [Verdict(False, "large"), same]
    assert made.attempts[0].refused
    different = Verdict(False, "same:large", against=0)
    made.attempts[0].verdicts = [Verdict(True, "large"), different]
    assert (made.attempts[0].valid, made.verified) == (True, True)


def test_what_was_paid_to_learn_is_told_apart() -> None:
    made = record()
    made.evidence = {
        "1": Evidence("judge", True, "large", 0.0, cost_usd=0.1),
        "2": Evidence("lesson", None, "lesson", 0.0, cost_usd=2.0),
        "3": Evidence("arbiter", True, "large", 0.0, cost_usd=0.5),
    }
    spent = made.costs_usd()
    assert spent["judge"] == pytest.approx(0.1)
    assert spent["lesson"] == pytest.approx(2.5)
