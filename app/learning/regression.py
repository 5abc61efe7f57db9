"""A ridge regression that forgets, and from which what was added can be taken away again."""

from dataclasses import dataclass, field
from math import sqrt
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

RIDGE = 1.0
REFRESH = 128
"""After so many changes the inverse is computed anew: discounting has worn its ridge away."""
SINGULAR = 0.01


@dataclass(slots=True)
class Regression:
    """Expected value of a target, linear in features of which the first is always 1.

    `discount` is what one round leaves of the weight of those before it. Source: Sherman and
    Morrison 1950 for the inverse; discounted LinUCB (Russac et al. 2019). Departs: the ridge is not
    discounted, so that features not seen for long become uncertain but not infinitely so.
    """

    dimension: int
    discount: float = 1.0
    _data: Array = field(init=False, repr=False)
    _moments: Array = field(init=False, repr=False)
    _inverse: Array = field(init=False, repr=False)
    _changes: int = 0

    def __post_init__(self) -> None:
        self._data = np.zeros((self.dimension, self.dimension))
        self._moments = np.zeros(self.dimension)
        self._refresh()

    def age(self, rounds: int) -> None:
        """Let so many rounds pass."""
        if rounds <= 0 or self.discount == 1:
            return
        left = self.discount**rounds
        self._data *= left
        self._moments *= left
        self._changes += rounds
        if self._changes >= REFRESH:
            self._refresh()
        else:
            self._inverse /= left

    def add(self, features: Array, target: float, weight: float) -> None:
        """Take in one observation; with a negative weight one is taken away."""
        self._data += weight * np.outer(features, features)
        self._moments += weight * target * features
        along = self._inverse @ features
        base = 1 + weight * float(features @ along)
        self._changes += 1
        if base < SINGULAR or self._changes >= REFRESH:
            self._refresh()
        else:
            self._inverse -= (weight / base) * np.outer(along, along)

    def predict(self, features: Array, prior: float) -> tuple[float, float]:
        """The expected target, and its standard deviation in units of the noise's.

        Without observations it is the prior; the deviation then is the features' length.
        """
        # The first feature is 1, so the first column is the weighted sum of all features seen.
        moments = self._moments - prior * self._data[:, 0]
        mean = prior + float(features @ self._inverse @ moments)
        variance = float(features @ self._inverse @ features)
        return mean, sqrt(min(max(variance, 0.0), float(features @ features) / RIDGE))

    def _refresh(self) -> None:
        ridge = RIDGE * np.eye(self.dimension)
        self._inverse = np.asarray(np.linalg.inv(self._data + ridge), dtype=np.float64)
        self._changes = 0
