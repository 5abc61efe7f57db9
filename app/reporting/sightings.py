"""What a record shows of every tier, and how likely its coins made it to be shown.

The path a request takes does not depend on its coins. So whatever the path saw was certain to be
seen there, and what a coin adds was added with a known chance: together they can be weighted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Literal

from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import HIGHER_DISAGREES, LOWER_DISAGREES, lessons_of, taught
from app.records import Attempt, Purpose, Record, total_usd

SERVED = "what was served"
"""Stands among the tiers' names; none can be called so."""
FULL = "full"
UNKNOWN_ACCURACY = 0.5
"""Predicted of a tier of which the policy believed nothing."""
TIE = (HIGHER_DISAGREES + LOWER_DISAGREES) / 2

Kind = Literal["accuracy", "tied", "usd"]
"""A row's figures. `tied` is accuracy too, read with doubt: where two answers differ and nobody
has decided, `accuracy` has it that the higher tier is more likely right, `tied` that neither is."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One figure of one request: predicted without looking, seen with this chance, and what was.

    `seen` is None where no coin showed it, or the answer never came.
    """

    predicted: float
    chance: float
    seen: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One request's figures by tier, and those of what was served under `SERVED`.

    Units: accuracy of 1, though a label may leave [0, 1]; USD of one request. `unpriced` names
    what was there, at a cost that is unknown; `spent_usd` is what is known.
    """

    figures: Mapping[Kind, Mapping[str, Sighting]]
    unpriced: frozenset[str] = frozenset()
    spent_usd: Mapping[Purpose, float] = field(default_factory=dict)

    @property
    def due(self) -> float:
        """The chance that a coin shows something of this request that its path did not."""
        chances = (sighting.chance for sighting in self.figures["accuracy"].values())
        return max((chance for chance in chances if chance < 1), default=0.0)

    @property
    def taught(self) -> bool:
        """Whether a coin did."""
        return any(s.seen is not None and s.chance < 1 for s in self.figures["accuracy"].values())


def row_of(record: Record, predicted_usd: Mapping[str, float]) -> Row | None:
    """The record's row; None where it can say nothing of every tier.

    That is where not every tier could have served the request, no coins were flipped for it, or
    its answer was none or cut off.
    """
    served = record.served_attempt
    if served is None or served.outcome != "complete" or record.lessons is None:
        return None
    if not record.learn or record.kind != "routed" or record.eligible != record.ladder:
        return None
    view, qualities = _View(record), quality_of(record)
    figures: dict[Kind, dict[str, Sighting]] = {
        "accuracy": {t: view.accuracy(t, qualities.get(t)) for t in record.ladder},
        "usd": {t: view.usd(t, predicted_usd.get(t, 0.0)) for t in record.ladder},
    }
    figures["tied"] = {tier: _tied(sighting) for tier, sighting in figures["accuracy"].items()}
    for kind in ("accuracy", "tied"):
        figures[kind][SERVED] = figures[kind][served.tier]
    unpriced = {tier for tier, answer in view.answers.items() if answer.cost_usd is None}
    costs_usd = record.costs_usd()
    paid_usd = total_usd(list(costs_usd.values()))
    if paid_usd is None:
        unpriced.add(SERVED)
    figures["usd"][SERVED] = Sighting(paid_usd or 0.0, 1.0, paid_usd)
    spent_usd = {purpose: usd for purpose, usd in costs_usd.items() if usd is not None}
    return Row(figures, frozenset(unpriced), spent_usd)


def quality_of(record: Record) -> dict[str, float]:
    """How good every tier's answer was by the best evidence there is, where there is any.

    As it is: how the tier came to be asked is in the weights, so the labels make up for nothing.
    """
    labels = ((one.tier, one.label(USUAL_RATES)) for one in taught(replace(record, start=None)))
    return {tier: label.right for tier, label in labels if label.weight > 0}


class _View:
    """Which answers there are, and which coins fell."""

    def __init__(self, record: Record) -> None:
        lessons = [attempt for lesson in lessons_of(record) for attempt in lesson.attempts]
        self._path = _complete(record.attempts)
        self.answers = {**_complete(lessons), **self._path}
        self._ladder = record.ladder
        self._estimates = record.start.estimates if record.start else {}
        drawn = record.lessons.drawn if record.lessons else ()
        self._chances = record.lessons.propensities if record.lessons else {}
        self._fell = frozenset(record.ladder if FULL in drawn else drawn)
        self._full = self._chances.get(FULL, 0.0)

    def accuracy(self, tier: str, quality: float | None) -> Sighting:
        """The tier's accuracy: seen where its answer stands beside one that a coin chose.

        That is a higher tier's; of the top tier, the next lower one's. What the path compared
        counts only if it went to the top, or the tier was not on it: the policy may have stopped
        for the very reason that two answers agree.
        """
        at = self._ladder.index(tier)
        is_top, on_path = at == len(self._ladder) - 1, tier in self._path
        beside = self._ladder[at - 1 : at] if is_top else self._ladder[at + 1 :]
        trusted = self._ladder[-1:] if on_path and not is_top else beside
        certain = any(other in self._path for other in trusted)
        compared = 1.0 if certain else self._any(beside)
        own = 1.0 if on_path else self._chances.get(tier, 0.0)
        there = tier in self.answers and (on_path or tier in self._fell)
        met = certain or any(o in self._fell and o in self.answers for o in beside)
        estimate = self._estimates.get(tier)
        return Sighting(
            predicted=UNKNOWN_ACCURACY if estimate is None else estimate.accuracy,
            chance=1 - (1 - self._full) * (1 - own * compared),
            seen=quality if there and met else None,
        )

    def usd(self, tier: str, predicted_usd: float) -> Sighting:
        """What the tier's answer cost: seen where there is one."""
        answer = self.answers.get(tier)
        own = 1.0 if tier in self._path else self._chances.get(tier, 0.0)
        chance = 1 - (1 - self._full) * (1 - own)
        return Sighting(predicted_usd, chance, answer.cost_usd if answer else None)

    def _any(self, tiers: Sequence[str]) -> float:
        return 1 - prod(1 - self._chances.get(tier, 0.0) for tier in tiers)


def _tied(sighting: Sighting) -> Sighting:
    """The same, but for a difference that nobody decided."""
    contested = sighting.seen in {HIGHER_DISAGREES, LOWER_DISAGREES}
    return replace(sighting, seen=TIE) if contested else sighting


def _complete(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    return {attempt.tier: attempt for attempt in attempts if attempt.outcome == "complete"}
