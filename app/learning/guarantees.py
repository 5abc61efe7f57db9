"""From which score on a tier's answers may be accepted, so that few of them are wrong.

Source: Jung, Brahman and Choi 2024, "Trust or Escalate" (ICLR 2025, arXiv 2407.18370): fixed-
sequence testing with exact binomial bounds.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf

from app.intervals import binomial_cdf, upper_bound
from app.learning.belief import after_attempts, chance_right, joint
from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import lessons_of, taught
from app.learning.learner import FULL
from app.records import Attempt, Estimate, Record

logger = logging.getLogger(__name__)

WINDOW, AUDITS_MIN, EVERY = 500, 60, 25
"""Of a tier: how many audits are looked back on, with how few it is not calibrated, and after how
many new ones it is again."""
TESTED_MIN = 30
"""No bound is looked at where fewer answers have such a score."""
RECENT, ALARM_CHANCE = 100, 0.01
"""An alarm: so many accepted answers held errors that were less likely, had the target been met."""
RECENT_MIN = 20


@dataclass(frozen=True, slots=True)
class Audit:
    """An answer, its score, and whether the top tier's answer showed it to be wrong.

    `coin`: it was looked at by chance, and not because it was escalated.
    """

    score: float
    wrong: bool
    coin: bool = True
    accepted: bool = False


def threshold_for(audits: Sequence[Audit], error: float, doubt: float) -> float | None:
    """The lowest score from which on at most `error` of answers are wrong, but for `doubt`.

    Thresholds are tested from the highest down, until one fails: so however many are tested, the
    chance that any that passed is too low is `doubt`. None: not even the first one passed. That the
    upper bound is at most the error is asked of the distribution itself: P(so few wrong | error).
    """
    found, count, wrong = None, 0, 0
    ordered = sorted(audits, key=lambda audit: -audit.score)
    for score, group in groupby(ordered, key=lambda audit: audit.score):
        for audit in group:
            count, wrong = count + 1, wrong + audit.wrong
        if count < TESTED_MIN:
            continue
        if binomial_cdf(wrong, count, error) > doubt:
            return found
        found = score
    return found


@dataclass(slots=True)
class Guard:
    """Which answers of one tier may be accepted, by its audits.

    Until there are enough, only those believed to be wrong half as often as the target allows.
    After an alarm none are, until new audits say from where on they may be.
    """

    tier: str
    error: float
    doubt: float
    alarmed: bool = False
    alarms: int = 0
    _audits: OrderedDict[str, Audit] = field(default_factory=OrderedDict)
    _threshold: float | None = None
    _new: int = 0

    @property
    def calibrated(self) -> bool:
        return len(self._audits) >= AUDITS_MIN

    @property
    def threshold(self) -> float:
        """From which score on answers are accepted; infinite: none is."""
        if self.alarmed:
            return inf
        if not self.calibrated:
            return 1 - self.error / 2
        return inf if self._threshold is None else self._threshold

    def bound(self) -> tuple[float, int]:
        """The upper bound for the errors of what is accepted, and of how many audits."""
        accepted = [a for a in self._counted() if a.score >= self.threshold]
        wrong = sum(audit.wrong for audit in accepted)
        return upper_bound(wrong, len(accepted), self.doubt), len(accepted)

    def note(self, record_id: str, audit: Audit) -> None:
        """Take in an audit; of one that is known already, what has changed."""
        is_new = record_id not in self._audits
        self._audits[record_id] = audit
        if len(self._audits) > WINDOW:
            self._audits.popitem(last=False)
        self._new += is_new
        if self._new >= EVERY or (is_new and len(self._audits) == AUDITS_MIN):
            self._calibrate()
        if audit.accepted and not self.alarmed:
            self._watch()

    def _calibrate(self) -> None:
        self._new = 0
        if self.calibrated:
            self._threshold = threshold_for(self._counted(), self.error, self.doubt)
            if self.alarmed and self._threshold is not None:
                self.alarmed = False
                logger.info("the error target can be met again", extra={"tier": self.tier})

    def _counted(self) -> list[Audit]:
        """Those that a coin chose; all, while these are too few.

        Escalated answers are worse than others, so where they count as well the bound errs on the
        safe side.
        """
        by_coin = [audit for audit in self._audits.values() if audit.coin]
        return by_coin if len(by_coin) >= AUDITS_MIN else list(self._audits.values())

    def _watch(self) -> None:
        """Raise the alarm where what was accepted lately cannot be chance."""
        recent = [a for a in self._audits.values() if a.accepted and a.coin][-RECENT:]
        wrong, count = sum(audit.wrong for audit in recent), len(recent)
        if count < RECENT_MIN or not wrong:
            return
        chance = 1 - binomial_cdf(wrong - 1, count, self.error)
        if chance < ALARM_CHANCE:
            self.alarmed = True
            self.alarms += 1
            self._audits.clear()
            self._threshold, self._new = None, 0
            logger.warning(
                "more accepted answers are wrong than the target allows: a tier is passed over",
                extra={"tier": self.tier, "wrong": wrong, "audits": count, "target": self.error},
            )


def score_of(
    estimates: dict[str, Estimate], tiers: Sequence[str], attempts: Sequence[Attempt]
) -> float:
    """How likely the last of these answers is right: a fixed function of what is in the record.

    It goes by what is usual of judges and agreement, not by what was learned of them meanwhile: so
    it is the same when it is decided by and when it is audited. What a judge refused scores 0.
    """
    last = attempts[-1]
    if last.refused or last.tier not in tiers:
        return 0.0
    before = joint([estimates[tier].accuracy for tier in tiers])
    belief, _ = after_attempts(before, tiers, attempts, lambda *_: USUAL_RATES)
    return round(float(chance_right(belief)[tiers.index(last.tier)]), 6)


def audits_of(record: Record) -> Iterator[tuple[str, Audit]]:
    """The answers below the top tier that its own answer shows to be right or wrong, by tier.

    On the path, or of tiers below it that were asked and judged as a lesson.
    """
    estimates = record.start.estimates if record.start else {}
    tiers = [tier for tier in record.eligible if tier in estimates]
    top, drawn = record.ladder[-1], set(record.lessons.drawn) if record.lessons else set()
    if top not in tiers or not record.attempts or record.attempts[0].tier not in tiers:
        return
    lessons = [attempt for lesson in lessons_of(record) for attempt in lesson.attempts]
    if not any(a.tier == top and a.outcome == "complete" for a in (*record.attempts, *lessons)):
        return
    verdicts = dict(_found(record))
    coin = bool({FULL, top} & drawn)
    for at, attempt in enumerate(record.attempts):
        if attempt.tier in tiers[:-1] and attempt.tier in verdicts:
            score = score_of(estimates, tiers, record.attempts[: at + 1])
            audit = Audit(score, verdicts[attempt.tier], coin, accepted=at == record.served)
            yield attempt.tier, audit
    below = tiers[: tiers.index(record.attempts[0].tier)]
    for attempt in lessons:
        if attempt.tier in below and attempt.verdicts and attempt.tier in verdicts:
            score = score_of(estimates, tiers, [attempt])
            yield attempt.tier, Audit(score, verdicts[attempt.tier], coin)


def _found(record: Record) -> Iterator[tuple[str, bool]]:
    """Which tiers' answers are wrong; where a better one came to something else, they are.

    Unless an arbiter, or somebody who knows, has said otherwise. A judge's word is no audit.
    """
    for one in taught(record):
        if one.source != "judge":
            label = replace(one, shift=0.0).label(USUAL_RATES)
            yield one.tier, label.right < 1 / 2
