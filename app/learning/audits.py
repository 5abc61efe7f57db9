"""What coins find of the quality kept, and how far a dial retreats from what it falls short of."""

import logging
from dataclasses import dataclass

from app.intervals import wilson
from app.learning.amounts import Key, Label
from app.learning.discounting import Amount
from app.learning.gists import failed_check
from app.learning.labels import LOWER_DISAGREES, lessons_of, ruled, taught
from app.learning.learner import FULL, Ledger
from app.learning.means import Means
from app.records import Attempt, Record

logger = logging.getLogger(__name__)

RETREAT, RECOVER = 0.5, 1.25
"""What a rate is multiplied by when the audits fall short, and when they are sure not to."""
RETREAT_MAX = RETREAT**10
AUDITS_MIN = 10.0
"""With fewer nobody retreats: one bad answer among three is no news."""
DOUBT, AUDITS_USUAL = 2.0, 20.0
"""Losses are taken to be so many times what is believed, until as many audits tell."""
SCALE_MIN, SCALE_MAX = 0.5, 10.0
LOSS_MIN = 0.002
ROWS_AFTER = 20.0
"""Of so many requests it is kept how they were served when a retreat starts the audits afresh."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The share of the top tier's accuracy that was kept, and its 95 % interval.

    `audits` is how many answers of lower tiers stand behind it, `factor` by how much the rate is
    held back because of them.
    """

    share: float
    low: float
    high: float
    audits: float
    factor: float


@dataclass(slots=True)
class Audits:
    """Whether one target, a share of the top tier's accuracy, is met; `name` tells it from others.

    What the top tier answered is as good as itself. Of the rest only what coins chose is counted:
    a climb asks the top tier because it doubts the answer.
    """

    target: float
    name: str
    factor: float = 1.0

    def amounts(self, record: Record, ledger: Ledger) -> dict[Key, Amount]:
        """What the record says, to be added to the means."""
        served, start = record.served_attempt, record.start
        if served is None or start is None or start.trade is None:
            return {}
        top = record.eligible[-1]
        found = {self._key("below"): (float(served.tier != top), 1.0)}
        expected = start.trade.expected_quality
        if expected is not None:
            found[self._key("believed")] = (max(0.0, 1 - expected), 1.0)
        best = _by_coin(record, top)
        if served.tier != top and best is not None:
            lost = _lost(record, served, best, ledger)
            if lost is not None:
                found[self._key("lost")] = lost
        return found

    def kept(self, means: Means) -> Kept:
        """How much is kept, as far as the audits tell."""
        audits = means.weight(self._key("lost"))
        below = means.mean(self._key("below"), usual=1.0)
        lost = means.mean(self._key("lost"))
        low, high = wilson(min(1.0, max(0.0, lost)), audits)
        return Kept(1 - below * lost, 1 - below * high, 1 - below * low, audits, self.factor)

    def scale(self, means: Means) -> float:
        """By how much losses are greater than they were believed to be."""
        kept = self.kept(means)
        believed = max(LOSS_MIN, means.mean(self._key("believed"), usual=1 - self.target))
        found = kept.audits * (1 - kept.share) + AUDITS_USUAL * DOUBT * believed
        scale = found / (believed * (kept.audits + AUDITS_USUAL))
        return min(SCALE_MAX, max(SCALE_MIN, scale))

    def watch(self, means: Means, new: set[Key]) -> None:
        """Retreat, or go back a little, where a new audit says so."""
        if self._key("lost") not in new and self._key("below") not in new:
            return
        kept = self.kept(means)
        facts = {"target": self.target, "kept": kept.share, "low": kept.low, "high": kept.high}
        if kept.high < self.target and kept.audits >= AUDITS_MIN:
            if self.factor >= 1:
                logger.warning("too little quality is kept: more is spent", extra=facts)
            self.factor = max(RETREAT_MAX, RETREAT * self.factor)
            below = means.mean(self._key("below"), usual=1.0)
            means.restart(self._key("below"), (ROWS_AFTER * below, ROWS_AFTER))
            means.restart(self._key("lost"), (0.0, 0.0))
        elif kept.low > self.target and self.factor < 1 and self._key("lost") in new:
            self.factor = min(1.0, RECOVER * self.factor)
            if self.factor >= 1:
                logger.info("quality is kept again", extra=facts)

    def _key(self, what: str) -> Key:
        return (what, self.name)


def _by_coin(record: Record, tier: str) -> Attempt | None:
    """The tier's whole answer, where a coin wanted it."""
    drawn = record.lessons.drawn if record.lessons else ()
    if tier not in drawn and FULL not in drawn:
        return None
    lessons = [attempt for lesson in lessons_of(record) for attempt in lesson.attempts]
    there = [a for a in (*lessons, *record.attempts) if a.tier == tier and a.outcome == "complete"]
    return there[-1] if there else None


def _lost(record: Record, served: Attempt, best: Attempt, ledger: Ledger) -> Amount | None:
    """How much less likely the served answer is to be right, of how likely the top tier's is.

    None where nobody knows.
    """
    same = served.final_answer is not None and served.final_answer == best.final_answer
    if same and not failed_check(served):
        return (0.0, 1.0)
    labels = {one.tier: one.label(ledger.rates(one.tier, one.relation)) for one in taught(record)}
    mine, its = labels.get(served.tier), labels.get(best.tier)
    if its is None and served.tier in dict(ruled(record)):
        its = Label(LOWER_DISAGREES, 1.0)
    if mine is None or its is None:
        return None
    return (its.right - mine.right, max(0.0, its.right))
