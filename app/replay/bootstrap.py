"""Intervals: draws of questions and orders, the same ones for all that is compared."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DRAWS = 1000
TAILS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimated:
    """A figure with its 95 % interval.

    `error` is the standard deviation of the draws: independent sets are pooled with it.
    """

    value: float
    interval: Interval
    error: float


def estimated(value: float, drawn: Floats) -> Estimated:
    """The figure with what the draws say of it."""
    low, high = np.percentile(drawn, TAILS)
    return Estimated(float(value), Interval(float(low), float(high)), float(drawn.std()))


class Bootstrap:
    """Draws questions and orders with replacement, the same ones for all that is compared.

    Orders are not samples: the questions in them are the same. So one draw of questions serves all
    orders, and orders are drawn beside it only to let their differences show.
    """

    def __init__(self, *, orders: int, queries: int, seed: int, draws: int = DRAWS) -> None:
        rng = np.random.default_rng(seed)
        self._queries = rng.multinomial(queries, np.full(queries, 1 / queries), draws) / queries
        self._orders = rng.multinomial(orders, np.full(orders, 1 / orders), draws) / orders

    def means(self, values: Floats) -> Floats:
        """The mean in every draw. Shape: of `values` (orders, queries) or (queries,); (draws,)."""
        if values.ndim == 1:
            return self._queries @ values
        means: Floats = ((self._orders @ values) * self._queries).sum(axis=1)
        return means

    def mean(self, values: Floats) -> Estimated:
        """The mean with its interval."""
        return estimated(values.mean(), self.means(values))

    def ratio(self, above: Floats, below: Floats) -> Estimated | None:
        """The ratio of two means with its interval; None where it would be over nothing."""
        if not self.means(below).all():
            return None
        drawn = self.means(above) / self.means(below)
        return estimated(above.mean() / below.mean(), drawn)
