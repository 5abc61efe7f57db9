"""The rate that keeps a budget: the one at which recent requests would have cost as much."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.planning.supersets import Superset, best_of

QUESTIONS, DUE = 200, 25
"""How many requests are looked back on, and after how many new ones."""
BISECTIONS, DOUBLINGS = 20, 60
PRIOR_WEIGHT = 20.0
"""So many requests count as much as those of which it is known what they cost."""
DEARER_MIN, DEARER_MAX = 0.2, 5.0
PAY_BACK, OWED_MAX = 50.0, 0.75
"""Over how many requests it is made up for what was spent beside the budget; at most this share."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Two rates, and how often to take the lower one, the dearer, so that the budget is met."""

    low: float
    high: float
    share: float


@dataclass(slots=True)
class Budget:
    """One tenant's, for a mean cost of `usd` a request."""

    usd: float
    _left_usd: float = 0.0
    _questions: deque[Sequence[Superset]] = field(default_factory=lambda: deque(maxlen=QUESTIONS))
    _paid: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=QUESTIONS))
    _kept: Mixture | None = None
    _new: int = 0

    def note(self, question: Sequence[Superset], paid_usd: float, expected_usd: float) -> None:
        """Take in a request: what it could have done at first, what it cost, what it should."""
        self._questions.append(question)
        self._paid.append((paid_usd, expected_usd))
        most = OWED_MAX * PAY_BACK * self.usd
        self._left_usd = min(most, max(-most, self._left_usd + self.usd - paid_usd))
        self._new += 1
        if self._new >= DUE:
            self._kept = None

    def mixture(self, here: Sequence[Superset]) -> Mixture:
        """The rates for now; before there were any requests, by this one alone."""
        if not self._questions:
            return mixed([here], self.usd)
        if self._kept is None:
            usd = (self.usd + self._left_usd / PAY_BACK) / self.dearer
            self._kept, self._new = mixed(self._questions, usd), 0
        return self._kept

    @property
    def dearer(self) -> float:
        """How many times what was expected requests cost: some stop early, lessons come on top."""
        prior = PRIOR_WEIGHT * self.usd
        paid = sum(paid for paid, _ in self._paid) + prior
        expected = sum(expected for _, expected in self._paid) + prior
        return min(DEARER_MAX, max(DEARER_MIN, paid / expected))


def mean_usd(questions: Sequence[Sequence[Superset]], rate: float) -> float:
    """What these requests' best sets cost at this rate."""
    chosen = [best_of(question, rate) for question in questions]
    return sum(each.usd for each in chosen if each is not None) / len(chosen)


def mixed(questions: Sequence[Sequence[Superset]], usd: float) -> Mixture:
    """The rates around this mean cost.

    The higher is doubled until it is cheap enough, then both are bisected. Cost leaps where sets
    tie; a mixture of both sides meets the budget.
    """
    low, high = 0.0, 1.0 / max(usd, 1e-12)
    dear = mean_usd(questions, low)
    if dear <= usd:
        return Mixture(low, low, 1.0)
    for _ in range(DOUBLINGS):
        if mean_usd(questions, high) <= usd:
            break
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_usd(questions, middle) <= usd else (middle, high)
    dear, cheap = mean_usd(questions, low), mean_usd(questions, high)
    share = (usd - cheap) / (dear - cheap) if dear > cheap else 0.0
    return Mixture(low, high, min(1.0, max(0.0, share)))
