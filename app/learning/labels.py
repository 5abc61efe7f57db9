"""What a record teaches about each tier, as a fixed function of the evidence in it.

Never of what is believed now: labels that follow beliefs confirm themselves, and drift.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from app.learning.amounts import Judged, Label
from app.learning.belief import Rates, Relation, after_attempts, chance_right, joint, relation_of
from app.learning.gists import failed_check, gists
from app.learning.influence import is_hearsay
from app.learning.judge_rates import USUAL_RATES
from app.learning.learner import FULL
from app.records import Attempt, Evidence, Record

FAILED_CHECK = 0.03
HIGHER_AGREES = 0.95
LOWER_AGREES, LOWER_DISAGREES, LOWER_WEIGHT = 0.96, 0.70, 0.5
AS_GOOD, WORSE = 0.90, 0.10
"""What an arbiter's word makes of an answer beside a better tier's."""
TIES = 0.15
"""Of answers that a better tier contradicts, how many are as good.

It is not learned: arbiters see only what was served, which was accepted before, and find far more
of those as good than there are among all.
"""
HIGHER_DISAGREES = WORSE + (AS_GOOD - WORSE) * TIES
HEARSAY_WEIGHT = 0.25
ADVISED = "+strategies"
EVEN = 0.5
DISCERNMENT_MIN = 0.2
"""Of a judge: P(valid | right) - P(valid | wrong). Under it, dividing would blow up noise."""

Source: TypeAlias = Literal["feedback", "check", "arbiter", "comparison", "judge"]
"""Where a label comes from: someone who knows, an exact check, an arbiter, another tier's answer,
or a judge's word corrected for its errors."""
SOURCES: tuple[Source, ...] = get_args(Source)

_TOLD = frozenset({"tool_result", "feedback", "outcome"})


@dataclass(frozen=True, slots=True)
class Opinion:
    """A judge's word, which counts by how well its like are judged."""

    valid: bool
    relation: Relation

    def label(self, rates: Rates) -> Label:
        """The verdict, corrected for the judge's errors.

        Source: Rogan and Gladen 1978. The mean over many verdicts is the accuracy, so a single one
        lies outside [0, 1]; its weight is the inverse of the variance that the division adds.
        """
        of_right, of_wrong = rates
        discernment = of_right - of_wrong
        right = (self.valid - of_wrong) / max(discernment, DISCERNMENT_MIN)
        return Label(right, max(0.0, discernment) ** 2)


@dataclass(frozen=True, slots=True)
class Taught:
    """What a record teaches about one tier. `shift` undoes how the tier came to be asked.

    A tier reached by rejection gets harder questions: `shift` is its accuracy as believed before
    the path, less that on the path when it was asked.
    """

    tier: str
    source: Source
    evidence: Label | Opinion
    shift: float = 0.0

    def label(self, rates: Rates) -> Label:
        """The label, where answers of this tier are judged at these rates."""
        evidence = self.evidence
        plain = evidence if isinstance(evidence, Label) else evidence.label(rates)
        return Label(plain.right + self.shift, plain.weight)

    @property
    def relation(self) -> Relation:
        return self.evidence.relation if isinstance(self.evidence, Opinion) else "unknown"


def taught(record: Record) -> tuple[Taught, ...]:
    """What the record teaches, a tier at a time; attempts that were cut off or failed: nothing."""
    if not record.learn:
        return ()
    answers = _answers(record)
    found = ((a.attempt, _evidence(record, at, answers)) for at, a in enumerate(answers))
    return tuple(
        Taught(arm_of(attempt), *evidence, _shift(record, attempt))
        for attempt, evidence in found
        if evidence is not None
    )


def arm_of(attempt: Attempt) -> str:
    """Its tier; with strategies before the question that is another arm, of which less is asked."""
    advised = attempt.strategies and not attempt.withheld
    return attempt.tier + ADVISED if advised else attempt.tier


def judged_by_coin(record: Record) -> Iterator[Judged]:
    """Verdicts on answers that a better one, asked as a lesson, shows to be right or wrong.

    A climb asks the better tier because of the verdict, so what it finds says little of the others.
    Where a coin had the better tier answer, that it is there depends on nothing, even if the path
    asked it too.
    """
    drawn = set(record.lessons.drawn) if record.lessons else set()
    answers = _answers(record)
    for at, answer in enumerate(answers):
        above = _compared(answers[at + 1 :])
        by_coin = [a for a in above if FULL in drawn or a.attempt.tier in drawn]
        opinion = _opinion(record, at, answers)
        if opinion is not None and answer.gist is not None and by_coin:
            right = HIGHER_AGREES if answer.gist == by_coin[-1].gist else HIGHER_DISAGREES
            yield Judged(answer.attempt.tier, opinion.relation, right, opinion.valid)


def audited_by_coin(record: Record) -> Iterator[tuple[str, float]]:
    """A tier whose answer was served as it came, and how good a coin's look at it found it.

    Nothing but the tier's own answer was on the path, and nobody judged it: as when it streams.
    """
    drawn = set(record.lessons.drawn) if record.lessons else set()
    served, alone = record.served_attempt, len(record.attempts) == 1
    if (
        served is None
        or served.tier not in record.ladder
        or not alone
        or any(not verdict.exact for verdict in served.verdicts)
    ):
        return
    above = record.ladder[record.ladder.index(served.tier) + 1 :]
    if FULL in drawn or drawn & set(above):
        labels = {one.tier: one.label(USUAL_RATES) for one in taught(record)}
        if served.tier in labels:
            yield served.tier, min(1.0, max(0.0, labels[served.tier].right))


def ruled(record: Record) -> Iterator[tuple[str, bool]]:
    """Whose answer an arbiter held against a better tier's, and whether it was as good.

    Only lessons are arbitrated, so coins chose them.
    """
    for evidence in record.evidence.values():
        if evidence.source == "arbiter" and evidence.valid is not None and evidence.tier:
            yield evidence.tier, evidence.valid


def lessons_of(record: Record) -> Iterator[Evidence]:
    """What came of the record's lessons."""
    return (evidence for evidence in record.evidence.values() if evidence.source == "lesson")


def judged_served(record: Record) -> bool | None:
    """The latest judge's word on the served answer, before or after it was served."""
    answers = _answers(record)
    served = (at for at, one in enumerate(answers) if one.attempt is record.served_attempt)
    opinions = (_opinion(record, at, answers) for at in served)
    return next((opinion.valid for opinion in opinions if opinion is not None), None)


def is_refuted(record: Record) -> bool:
    """Whether anybody's last word is that the served answer was wrong, whatever key they used."""
    served = record.served_attempt
    words = sorted(record.evidence.values(), key=lambda evidence: evidence.time_s)
    told = {(w.source, w.by, w.principal): _good(w) for w in words if w.source in _TOLD}
    correct = {word.correct for word in words} - {None}
    return served is not None and (
        any(good is not None and good < EVEN for good in told.values())
        or (bool(correct) and served.final_answer not in correct)
        or any(tier == served.tier and not as_good for tier, as_good in ruled(record))
        or judged_served(record) is False
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """A whole answer, and what it boils down to; None where that cannot be compared."""

    attempt: Attempt
    gist: str | None


def _answers(record: Record) -> list[_Answer]:
    """The whole answers, of the path and of lessons, lowest tier first; of one tier, its first.

    Further ones were asked for because of what the first was, so they say less of the tier.
    """
    lessons = [attempt for evidence in lessons_of(record) for attempt in evidence.attempts]
    attempts = [*record.attempts, *lessons]
    known = zip(attempts, gists(attempts), strict=True)
    answers = [_Answer(attempt, gist) for attempt, gist in known if attempt.outcome == "complete"]
    # The path's own answers come first, and so win over a lesson's.
    whole = {arm_of(a.attempt): a for a in reversed(answers)}
    arms = (arm for tier in record.ladder for arm in (tier, tier + ADVISED))
    return [whole[arm] for arm in arms if arm in whole]


def _evidence(
    record: Record, at: int, answers: Sequence[_Answer]
) -> tuple[Source, Label | Opinion] | None:
    """The strongest there is about the answer at this place, and where it is from."""
    attempt, gist = answers[at].attempt, answers[at].gist
    told = _told(record, attempt)
    if told is not None:
        return "feedback", told
    if failed_check(attempt):
        return "check", Label(FAILED_CHECK, 1.0)
    as_good = dict(ruled(record)).get(attempt.tier)
    if as_good is not None:
        return "arbiter", Label(AS_GOOD if as_good else WORSE, 1.0)
    above, below = _compared(answers[at + 1 :]), _compared(answers[:at])
    if gist is not None and above:
        agrees = gist == above[-1].gist
        return "comparison", Label(HIGHER_AGREES if agrees else HIGHER_DISAGREES, 1.0)
    if gist is not None and below:
        agrees = gist == below[-1].gist
        return "comparison", Label(LOWER_AGREES if agrees else LOWER_DISAGREES, LOWER_WEIGHT)
    return _said(record, at, answers)


def _said(
    record: Record, at: int, answers: Sequence[_Answer]
) -> tuple[Source, Label | Opinion] | None:
    """What a judge said of it; where none did, what was said with other keys."""
    opinion = _opinion(record, at, answers)
    if opinion is not None:
        return "judge", opinion
    hearsay = _told(record, answers[at].attempt, hearsay=True)
    return None if hearsay is None else ("feedback", hearsay)


def _told(record: Record, attempt: Attempt, *, hearsay: bool = False) -> Label | None:
    """What somebody who knows has said: the right answer, or how good the served one was.

    Of each author the last word counts. What was said with other keys than the one that asked is
    `hearsay`: it counts for a quarter, and only where nothing else is known.
    """
    weight = HEARSAY_WEIGHT if hearsay else 1.0
    words = sorted(record.evidence.values(), key=lambda evidence: evidence.time_s)
    words = [word for word in words if is_hearsay(word, record) == hearsay]
    correct = {word.correct for word in words} - {None}
    if correct:
        return Label(float(attempt.final_answer in correct), weight)
    if record.served_attempt is not attempt:
        return None
    last = {(w.source, w.by): _good(w) for w in words if w.source in _TOLD}
    said = [good for good in last.values() if good is not None]
    return Label(sum(said) / len(said), weight) if said else None


def _good(word: Evidence) -> float | None:
    """How good the served answer is by this word; a tool that worked says little of that."""
    if word.source == "tool_result" and word.valid:
        return None
    return word.score if word.valid is None else float(word.valid)


def _opinion(record: Record, at: int, answers: Sequence[_Answer]) -> Opinion | None:
    """The latest judge's word on this answer, before or after it was served."""
    attempt = answers[at].attempt
    lessons = (evidence.verdicts.get(attempt.tier) for evidence in lessons_of(record))
    verdicts = (*attempt.verdicts, *(verdict for verdict in lessons if verdict is not None))
    words = [v.valid for v in verdicts if not v.exact and v.against is None and v.valid is not None]
    if record.served_attempt is attempt:
        late = [e for e in record.evidence.values() if e.source == "judge" and e.valid is not None]
        words += [e.valid for e in sorted(late, key=lambda e: e.time_s) if e.valid is not None]
    if not words:
        return None
    return Opinion(words[-1], relation_of(answers[at].gist, [a.gist for a in answers[:at]]))


def _compared(answers: Sequence[_Answer]) -> list[_Answer]:
    return [answer for answer in answers if answer.gist is not None]


def _shift(record: Record, attempt: Attempt) -> float:
    """Accuracy as believed at the start, less that when the tier was asked because of others."""
    start = record.start
    if attempt.arrived != "after_reject" or start is None:
        return 0.0
    tiers = [tier for tier in record.eligible if tier in start.estimates]
    if attempt.tier not in tiers:
        return 0.0
    asked = next(index for index, other in enumerate(record.attempts) if other is attempt)
    before = joint([start.estimates[tier].accuracy for tier in tiers])
    there, _ = after_attempts(before, tiers, record.attempts[:asked], lambda *_: USUAL_RATES)
    chance = chance_right(before) - chance_right(there)
    return float(chance[tiers.index(attempt.tier)])
