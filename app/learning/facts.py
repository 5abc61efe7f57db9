"""What a record says of each tier, in figures that can be summed over many records."""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.learning.amounts import Bill, Label
from app.learning.belief import RELATIONS
from app.learning.labels import Opinion, Taught, lessons_of
from app.records import Attempt, Record, Usage, Verdict

Facts: TypeAlias = npt.NDArray[np.float64]
"""What a record says of each tier. Shape: (tiers, columns); a column is one of `Fact`."""


class Fact(IntEnum):
    """A column of the facts. All are linear, so neighbours can be summed before they are read.

    `RIGHT` is a label's weight times how likely it is right. The judges' words are counted apart
    by how the answer stood to others, as in `RELATIONS`: that there is one (`JUDGED`), that it was
    valid (`VALID`), what undoes selection (`SHIFT`).
    """

    WEIGHT = 0
    RIGHT = 1
    JUDGED = 2
    VALID = 5
    SHIFT = 8
    ASKED = 11
    ASKED_USD = 12
    COUNTED = 13
    INPUT_TOKENS = 14
    OUTPUT_TOKENS = 15
    VERDICTS = 16
    VERDICTS_USD = 17


COLUMNS = 18


def facts_of(record: Record, names: Sequence[str], told: Sequence[Taught]) -> Facts:
    """The record's facts about these tiers; `told` is what it teaches."""
    facts = np.zeros((len(names), COLUMNS))
    for one in told:
        if one.tier in names:
            _note_label(facts[names.index(one.tier)], one)
    for attempt in asked(record):
        if attempt.tier in names and attempt.cost_usd is not None:
            _note_cost(facts[names.index(attempt.tier)], attempt.cost_usd, attempt.usage)
    for tier, verdict in judged(record):
        if tier in names and verdict.cost_usd is not None:
            facts[names.index(tier), Fact.VERDICTS] += 1
            facts[names.index(tier), Fact.VERDICTS_USD] += verdict.cost_usd
    return facts


def _note_label(row: npt.NDArray[np.float64], one: Taught) -> None:
    match one.evidence:
        case Label(right, weight):
            row[Fact.WEIGHT] += weight
            row[Fact.RIGHT] += weight * (right + one.shift)
        case Opinion(valid, relation):
            at = RELATIONS.index(relation)
            row[Fact.JUDGED + at] += 1
            row[Fact.VALID + at] += valid
            row[Fact.SHIFT + at] += one.shift


def _note_cost(row: npt.NDArray[np.float64], cost_usd: float, usage: Usage | None) -> None:
    row[Fact.ASKED] += 1
    row[Fact.ASKED_USD] += cost_usd
    if usage is not None:
        row[Fact.COUNTED] += 1
        row[Fact.INPUT_TOKENS] += usage.input_tokens
        row[Fact.OUTPUT_TOKENS] += usage.output_tokens


def asked(record: Record) -> list[Attempt]:
    """The answers there are, of the path and of lessons."""
    lessons = [attempt for lesson in lessons_of(record) for attempt in lesson.attempts]
    return [attempt for attempt in (*record.attempts, *lessons) if attempt.ended]


def judged(record: Record) -> list[tuple[str, Verdict]]:
    """What judges said on the way and in lessons, and about whose answer."""
    lessons = list(lessons_of(record))
    asked = [*record.attempts, *(attempt for lesson in lessons for attempt in lesson.attempts)]
    said = [(attempt.tier, verdict) for attempt in asked for verdict in attempt.verdicts]
    said += [each for lesson in lessons for each in lesson.verdicts.items()]
    return [
        (tier, verdict) for tier, verdict in said if not verdict.exact and verdict.against is None
    ]


def bill_of(record: Record) -> Bill:
    """What it cost, call by call; what is unknown is left out."""
    costs_usd = record.costs_usd()
    lessons_usd = costs_usd.pop("lesson") or 0.0
    request_usd = sum(usd or 0.0 for usd in costs_usd.values())
    calls = ((attempt.tier, attempt.cost_usd) for attempt in asked(record))
    verdicts = ((tier, verdict.cost_usd) for tier, verdict in judged(record))
    compared = (v.cost_usd for a in record.attempts for v in a.verdicts if v.against is not None)
    # What was agreed to beforehand, on the whole, is no request and not of the lessons' budget.
    prepaid = record.lessons is not None and record.lessons.certain
    return Bill(
        asked=tuple((tier, usd) for tier, usd in calls if usd is not None),
        judged=tuple((tier, usd) for tier, usd in verdicts if usd is not None),
        compared=tuple(usd for usd in compared if usd is not None),
        request_usd=0.0 if prepaid else request_usd,
        lessons_usd=0.0 if prepaid else lessons_usd,
    )
