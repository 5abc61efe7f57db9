"""What requests would cost, and how well they would be answered, at every exchange rate."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.belief import Array, Belief, chance_right
from app.plans import Plan, Situation, plan_of

RATES: Array = np.logspace(-2, 6, 33)
"""The rates looked at, in accuracy (of 1) for one USD; what lies between is interpolated."""
NUDGE = 0.02
"""By how much prices are raised to see what is spent."""
KEPT = 64
"""Of so many requests the mean is taken."""
SAMPLED = 4
"""One request in so many is kept."""
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


@dataclass(frozen=True, slots=True)
class Curve:
    """What requests cost, and how often their answers are right, at each of `RATES`.

    `top` is how often the top tier's would be. Shapes: (rates,).
    """

    usd: Array
    right: Array
    top: float

    def usd_at(self, rate: float) -> float:
        return float(np.interp(np.log(rate), np.log(RATES), self.usd))

    def quality_at(self, rate: float) -> float:
        """As a share of the top tier's."""
        return float(np.interp(np.log(rate), np.log(RATES), self.right)) / self.top

    def rate_for_usd(self, usd: float) -> float:
        """At which rate a request costs this much, or as little as it can."""
        return _highest(-self.usd, -usd)

    def rate_for_loss(self, lost: float) -> float:
        """The highest rate at which no larger share of the top tier's accuracy is lost."""
        return _highest(np.maximum(0.0, 1 - self.right / self.top), lost)


def curve_of(prospect: Prospect) -> Curve:
    """The curve of one request.

    Source: the envelope theorem. The value of the best plan is what is expected to be right, less
    what is expected to be spent at its rate; so its slope in the rate, or in prices, is the spend.
    """
    situation, belief = prospect.situation, prospect.belief / prospect.belief.sum()
    usd, waits = np.array(prospect.usd)[:, None], np.array(prospect.waits_usd)[:, None]
    costs = [RATES * (usd + waits), RATES * ((1 + NUDGE) * usd + waits)]
    if waits.any():
        costs.append((1 + NUDGE) * RATES * (usd + waits))
    plan = plan_of(situation, prospect.depth)
    values = worth(plan, belief, np.concatenate(costs, axis=1)).reshape(len(costs), len(RATES))
    spent, paid = (values[0] - values[1]) / NUDGE, (values[0] - values[-1]) / NUDGE
    return Curve(spent / RATES, values[0] + paid, float(chance_right(belief)[-1]))


def worth(plan: Plan, belief: Belief, costs: Array) -> Array:
    """The value of the best plan under each of many cost vectors.

    Shapes: costs (costs of the plan, vectors); the result (vectors,).
    """
    served = np.maximum.reduceat(plan.rights @ belief, plan.first)
    values = np.repeat(served[:, None], costs.shape[1], axis=1)
    reached = plan.reached @ belief
    for level in plan.levels:
        won = np.add.reduceat(values[level.outcome], level.of_choice)
        after = won - reached[level.owner][:, None] * costs[level.cost]
        best_after = np.maximum.reduceat(after, level.of_node)
        values[level.node] = np.maximum(values[level.node], best_after)
    root: Array = values[plan.root.index]
    return root


@dataclass(slots=True)
class Forecast:
    """The mean curve of recent requests, each of which is looked at once, when it is wanted."""

    _noted: int = 0
    _open: deque[Question] = field(default_factory=lambda: deque(maxlen=KEPT))
    _curves: deque[Curve] = field(default_factory=lambda: deque(maxlen=KEPT))
    _mean: Curve | None = None

    def note(self, question: Question) -> None:
        """Take note of a request; of some it is kept what was believed."""
        if self._noted % SAMPLED == 0:
            self._open.append(question)
        self._noted += 1

    def curve(self, look: Callable[[Question], Prospect | None]) -> Curve | None:
        """The mean curve; None before there is any. `look` says how a request would begin now."""
        count = 1 if len(self._curves) >= CATCH_UP else CATCH_UP
        opened = [self._open.popleft() for _ in range(min(count, len(self._open)))]
        found = [curve_of(prospect) for prospect in map(look, opened) if prospect is not None]
        if found:
            self._curves.extend(found)
            self._mean = _mean_of(self._curves)
        return self._mean


def _mean_of(curves: Iterable[Curve]) -> Curve:
    told = list(curves)
    return Curve(
        usd=np.mean([curve.usd for curve in told], axis=0),
        right=np.mean([curve.right for curve in told], axis=0),
        top=sum(curve.top for curve in told) / len(told),
    )


def _highest(rising: Array, bound: float) -> float:
    """The highest rate at which what rises with it is not over the bound; the lowest if all are."""
    ordered = np.maximum.accumulate(rising)
    above = int(np.searchsorted(ordered, bound, side="right"))
    if above in {0, len(RATES)}:
        return float(RATES[max(0, above - 1)])
    low, high = ordered[above - 1], ordered[above]
    part = (bound - low) / (high - low)
    return float(RATES[above - 1] * (RATES[above] / RATES[above - 1]) ** part)
