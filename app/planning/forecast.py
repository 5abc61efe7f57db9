"""What requests would cost, and how well they would be answered, at every exchange rate."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log

import numpy as np

from app.learning.belief import Array, Belief, chance_right
from app.planning.lookahead import TIE
from app.planning.plans import Plan, Situation, plan_of

RATES: Array = np.logspace(-2, 6, 49)
"""The rates looked at, in accuracy (of 1) for one USD."""
SAVING_MIN, CHEAPEST_USD = 0.01, 1e-12
SLIP = 0.01
"""Of the top tier's accuracy, what is lost where next to nothing is spent, beside what is believed.
"""
_LOG_RATES, _NONE = np.log(RATES), np.zeros(len(RATES))
KEPT = 32
"""Of so many requests the mean is taken."""
SAMPLED = 16
"""One request in so many is kept; of the first ones, all."""
CATCH_UP = 8
"""So many are looked at for one request, until there are as many; then one."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was believed of a request before anything ran: each tier's accuracy."""

    tiers: tuple[str, ...]
    accuracies: tuple[float, ...]
    comparable: bool


@dataclass(frozen=True, slots=True)
class Prospect:
    """A request that could begin. `usd` are the costs as a plan counts them, `waits_usd` likewise.

    What is waited for counts in decisions, but is not spent.
    """

    belief: Belief
    situation: Situation
    usd: Sequence[float]
    waits_usd: Sequence[float]
    depth: int


@dataclass(frozen=True)
class Curve:
    """What requests cost, and how often their answers are right, at each of `RATES`.

    `top` is how often the top tier's would be. Shapes: (rates,).
    """

    usd: Array
    right: Array
    top: float

    @cached_property
    def quality(self) -> Array:
        """What is kept of the top tier's accuracy at each rate, at most all of it.

        However good tiers are believed to be, where little is spent a little is taken to be lost.
        """
        slip = SLIP * (1 - self.usd / max(float(self.usd.max()), CHEAPEST_USD))
        kept: Array = np.minimum(1.0, self.right / self.top) - slip
        return kept

    @cached_property
    def _saved(self) -> Array:
        return np.maximum.accumulate(-self.usd)

    @cached_property
    def _lost(self) -> Array:
        return np.maximum.accumulate(1 - self.quality)

    def usd_at(self, rate: float) -> float:
        return float(np.interp(log(rate), _LOG_RATES, self.usd))

    def quality_at(self, rate: float) -> float:
        return float(np.interp(log(rate), _LOG_RATES, self.quality))

    def rate_for_usd(self, usd: float) -> float:
        """At which rate a request costs this much, or as little as it can."""
        saved, above = self._saved, int(self._saved.searchsorted(-usd, side="right"))
        if above in {0, len(RATES)}:
            return float(RATES[max(0, above - 1)])
        # Between two rates of which one costs too much: what was spent so far decides.
        part = (-usd - saved[above - 1]) / (saved[above] - saved[above - 1])
        return float(RATES[above - 1] * (RATES[above] / RATES[above - 1]) ** part)

    def rate_for_loss(self, lost: float) -> float:
        """The highest rate at which no larger share of the top tier's accuracy is lost."""
        found = max(0, int(self._lost.searchsorted(lost, side="right")) - 1)
        # Of rates at which nothing more is saved the lowest: it is safe for unusual requests.
        cheap = self.usd <= self.usd[found] * (1 + SAVING_MIN)
        return float(RATES[int(cheap.argmax())])


def curve_of(prospect: Prospect) -> Curve:
    """The curve of one request, if it is served as `best` would have it."""
    usd, waits_usd = np.array(prospect.usd), np.array(prospect.waits_usd)
    belief = prospect.belief / prospect.belief.sum()
    plan = plan_of(prospect.situation, prospect.depth)
    right, spent = outcomes(plan, belief, usd, RATES * (usd + waits_usd)[:, None])
    return Curve(spent, right, float(chance_right(belief)[-1]))


def outcomes(plan: Plan, belief: Belief, usd: Array, costs: Array) -> tuple[Array, Array]:
    """How likely what is served will be right, and what is spent until then, under many costs.

    Shapes: usd (costs of the plan,), costs (costs of the plan, ways); both results (ways,).
    """
    nodes, ways = len(plan.first), costs.shape[1]
    reached = (plan.reached @ belief)[:, None]
    served = np.maximum.reduceat(plan.rights @ belief, plan.first)[:, None]
    if not plan.root.served:
        served[plan.root.index] = -np.inf
    value, right = np.repeat(served, ways, axis=1), np.repeat(served, ways, axis=1)
    spent, due, bound, least = np.zeros((4, nodes, ways))
    for level in plan.levels:
        node, owner, price = level.node, level.owner, costs[level.cost]
        after = np.add.reduceat(value[level.outcome], level.of_choice) - reached[owner] * price
        value[node] = np.maximum(served[node], np.maximum.reduceat(after, level.of_node))
        won = np.add.reduceat(right[level.outcome], level.of_choice)
        paid = np.add.reduceat(spent[level.outcome], level.of_choice)
        paid += reached[owner] * usd[level.cost][:, None]
        owed = np.add.reduceat(due[level.outcome], level.of_choice) + reached[owner] * price
        # As `best` does: of what is as good as the best that after which least will be due.
        bound[node] = value[node] - TIE * reached[node]
        offered = np.where(after >= bound[owner], owed, np.inf)
        least[node] = np.where(
            served[node] >= bound[node], -1.0, np.minimum.reduceat(offered, level.of_node)
        )
        due[node] = np.maximum(least[node], 0.0)
        taken = offered == least[owner]
        goes_on = np.add.reduceat(taken, level.of_node, dtype=np.float64)
        count = np.maximum(goes_on, 1)
        chosen = np.add.reduceat(taken * won, level.of_node) / count
        right[node] = np.where(goes_on > 0, chosen, served[node])
        spent[node] = np.add.reduceat(taken * paid, level.of_node) / count
    return right[plan.root.index], spent[plan.root.index]


@dataclass(slots=True)
class Forecast:
    """The mean curve of recent requests, each of which is looked at once, when it is wanted."""

    _noted: int = 0
    _open: deque[Question] = field(default_factory=lambda: deque(maxlen=KEPT))
    _curves: deque[Curve] = field(default_factory=lambda: deque(maxlen=KEPT))
    _sums: tuple[Array, Array, float] = (_NONE, _NONE, 0.0)
    _mean: Curve | None = None

    def note(self, question: Question) -> None:
        """Take note of a request; of some it is kept what was believed."""
        if self._noted < KEPT or self._noted % SAMPLED == 0:
            self._open.append(question)
        self._noted += 1

    @property
    def due(self) -> bool:
        """Whether there is a request to be looked at."""
        return bool(self._open)

    def curve(self, look: Callable[[Question], Prospect | None]) -> Curve | None:
        """The mean curve; None before there is any. `look` says how a request would begin now."""
        count = 1 if len(self._curves) >= CATCH_UP else CATCH_UP
        opened = [self._open.popleft() for _ in range(min(count, len(self._open)))]
        found = [curve_of(prospect) for prospect in map(look, opened) if prospect is not None]
        for curve in found:
            self._add(curve)
        return self._mean

    def _add(self, curve: Curve) -> None:
        """The newest in the place of the oldest."""
        usd, right, top = self._sums
        if len(self._curves) == KEPT:
            old = self._curves[0]
            usd, right, top = usd - old.usd, right - old.right, top - old.top
        self._curves.append(curve)
        self._sums = (usd + curve.usd, right + curve.right, top + curve.top)
        usd, right, top = self._sums
        count = len(self._curves)
        self._mean = Curve(usd / count, right / count, top / count)
