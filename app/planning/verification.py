"""When to keep an answer by how sure its own tier is of it: a table over bins of confidence.

Source: Aggarwal, Madaan et al. 2024, "AutoMix: Automatically Mixing Language Models" (NeurIPS 2024,
arXiv 2310.12963), appendix A.3: with a finite ladder and few observations the POMDP's solution is a
table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

from app.learning.amounts import Label
from app.learning.discounting import Amount

OF_RIGHT, OF_WRONG = 0.8, 0.4
"""How often a sample says that an answer is right, where it is and where it is not: beforehand."""
PRIOR_ROWS = 8.0
"""How many labelled rows that counts for."""
MONOTONE_ROWS = 500
"""With fewer rows of a tier, to be surer never makes an answer less likely to be right."""

Move = int | None
"""The place of the tier to ask next; None: keep the answer."""


def bin_of(confidence: float, samples: int) -> int:
    """Which of the `samples` + 1 bins a confidence falls into.

    Not `int(confidence // (1 / samples))`, as the released code has it: 0.6 of 5 is then in bin 2.
    """
    return min(samples, max(0, round(confidence * samples)))


@dataclass(slots=True)
class Counts:
    """Of one tier's answers, by bin: how many there were labels for, and how many were right.

    `above` has the same of a higher tier's answers to the same questions, by its name.
    """

    samples: int
    own: list[Amount] = field(default_factory=list)
    above: dict[str, list[Amount]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own = self.own or self._empty()

    @property
    def rows(self) -> float:
        return sum(weight for _, weight in self.own)

    def add(self, at: int, own: Label, above: Mapping[str, Label], sign: int = 1) -> None:
        """Take in one labelled row; `sign` -1 takes it out again."""
        self.own[at] = _plus(self.own[at], own, sign)
        for tier, label in above.items():
            rows = self.above.setdefault(tier, self._empty())
            rows[at] = _plus(rows[at], label, sign)

    def _empty(self) -> list[Amount]:
        return [(0.0, 0.0)] * (self.samples + 1)


@dataclass(frozen=True, slots=True)
class Rung:
    """A tier as it is known. `price` is what asking it and its own word cost, in accuracy."""

    name: str
    accuracy: float
    price: float
    counts: Counts


def table(rungs: Sequence[Rung]) -> list[tuple[Move, ...]]:
    """For each tier below the top, lowest first, and each bin: keep the answer, or whom to ask.

    V(b) = max(P(right | b), max over j of W_j(P(right_j | b))), where W_j is what asking tier j is
    worth: its own bins seen, and then the best of the same again.
    """
    known = [_Known(rung, at, rungs) for at, rung in enumerate(rungs)]
    return [
        tuple(_best(known, at, known[at].chances, bin_)[1] for bin_ in range(known[at].bins))
        for at in range(len(rungs) - 1)
    ]


class _Known:
    """A tier's bins, with what was believed beforehand in them."""

    def __init__(self, rung: Rung, at: int, rungs: Sequence[Rung]) -> None:
        counts, samples = rung.counts, rung.counts.samples
        self.bins = samples + 1
        self.price, self.is_top = rung.price, at == len(rungs) - 1
        self.of_right = [_binomial(samples, b, OF_RIGHT) for b in range(self.bins)]
        self.of_wrong = [_binomial(samples, b, OF_WRONG) for b in range(self.bins)]
        usual = self.after(rung.accuracy)
        self.chances = [
            (right + PRIOR_ROWS * likely * before) / (weight + PRIOR_ROWS * likely)
            for (right, weight), before, likely in zip(
                counts.own, usual, self.likely(rung.accuracy), strict=True
            )
        ]
        if counts.rows < MONOTONE_ROWS:
            self.chances = rising(self.chances, [weight + 1 for _, weight in counts.own])
        self._learn(counts, rung.accuracy)
        self.higher = {
            place: self._of_higher(counts.above.get(other.name), other.accuracy, rung.accuracy)
            for place, other in enumerate(rungs)
            if place > at
        }

    def likely(self, accuracy: float) -> list[float]:
        """How likely each bin is."""
        return [
            accuracy * r + (1 - accuracy) * w
            for r, w in zip(self.of_right, self.of_wrong, strict=True)
        ]

    def after(self, accuracy: float) -> list[float]:
        """How likely the answer is right in each bin. Source: Bayes."""
        return [
            accuracy * r / (accuracy * r + (1 - accuracy) * w)
            for r, w in zip(self.of_right, self.of_wrong, strict=True)
        ]

    def _learn(self, counts: Counts, accuracy: float) -> None:
        """The chances of bins as they were found."""
        rights = [right for right, _ in counts.own]
        wrongs = [weight - right for right, weight in counts.own]
        for found, usual in ((rights, self.of_right), (wrongs, self.of_wrong)):
            total = max(0.0, sum(found))
            for b in range(self.bins):
                usual[b] = (max(0.0, found[b]) + PRIOR_ROWS * usual[b]) / (total + PRIOR_ROWS)

    def _of_higher(self, rows: Sequence[Amount] | None, accuracy: float, own: float) -> list[float]:
        """How likely a higher tier is right, where this one was in a bin.

        Beforehand as much less as this tier is: what is hard for one is hard for all.
        """
        rows = rows or [(0.0, 0.0)] * self.bins
        found = []
        for (right, weight), chance in zip(rows, self.chances, strict=True):
            before = accuracy * (1 - 0.3 * max(0.0, own - chance))
            found.append(min(0.99, max(0.01, (right + 2 * before) / (weight + 2))))
        return found


def _best(
    known: Sequence[_Known], at: int, chances: Sequence[float], bin_: int
) -> tuple[float, Move]:
    """The value of this bin at this tier, and what to do; a tie keeps the answer."""
    best: tuple[float, Move] = chances[bin_], None
    for other, higher in known[at].higher.items():
        value = _asking(known, other, higher[bin_])
        if value > best[0]:
            best = value, other
    return best


def _asking(known: Sequence[_Known], at: int, chance: float) -> float:
    """What asking this tier is worth, where it is right with this chance."""
    tier = known[at]
    if tier.is_top:
        return chance - tier.price
    after, likely = tier.after(chance), tier.likely(chance)
    return sum(p * _best(known, at, after, b)[0] for b, p in enumerate(likely)) - tier.price


def rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest values that never fall. Source: pool adjacent violators (Ayer et al. 1955)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, m, i), (b, n, j) = pools[-2:]
            pools[-2:] = [((a * m + b * n) / (m + n), m + n, i + j)]
    return [value for value, _, count in pools for _ in range(count)]


def _binomial(count: int, at: int, chance: float) -> float:
    return float(comb(count, at) * chance**at * (1 - chance) ** (count - at))


def _plus(amount: Amount, label: Label, sign: int) -> Amount:
    weight = sign * label.weight
    return amount[0] + weight * min(1.0, max(0.0, label.right)), amount[1] + weight
