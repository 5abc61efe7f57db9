"""Estimates what was not done from what was: doubly robust means, from sums that can be undone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import sqrt
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.reporting.sightings import SERVED, Kind, Row, Sighting

Array: TypeAlias = npt.NDArray[np.float64]
Quantity: TypeAlias = tuple[Kind, str]

N_EFF_MIN = 50.0
"""Below this effective sample nothing is said."""
WEIGHT_MAX = 1000.0
Z_95 = NormalDist().inv_cdf(0.975)
RULE_OF_THREE = 1.5
"""Where all labels are alike, twice this over their number bounds what was not seen."""
UNPRICED_MAX = 0.01


@dataclass(frozen=True, slots=True)
class Figure:
    """An estimate with its 95 % interval, and how many equal observations it is worth.

    `value` is None where it cannot be had, and `why` says so.
    """

    n_eff: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Mixture:
    """A coin between two fixed tiers; `share` goes to the dearer. Of one tier alone it is 1.

    Units: USD of one request.
    """

    cheaper: str
    dearer: str
    share: float
    usd: float
    accuracy: float


class Sums:
    """Running sums over rows: enough for every mean, difference and interval there is to show.

    A row is a vector: 1, and of each quantity its prediction m, the weight w = 1 / chance where it
    was seen, and w (y - m). All rows' sum and the sum of their outer products are kept, so a row is
    taken back by adding it with a negative sign.
    Shape: (1 + 3 quantities,), and that squared.
    """

    def __init__(self, tiers: tuple[str, ...]) -> None:
        self.tiers = tiers
        self._at = self.columns(tiers)
        size = 1 + 3 * len(self._at)
        self._first: Array = np.zeros(size)
        self._second: Array = np.zeros((size, size))
        self._unpriced = dict.fromkeys((*tiers, SERVED), 0.0)

    def vector(self, row: Row) -> Array:
        """The row as it is summed."""
        vector = np.zeros(len(self._first))
        vector[0] = 1.0
        for (kind, name), at in self._at.items():
            vector[at : at + 3] = _parts(row.figures[kind][name])
        return vector

    def predicted_usd(self, vector: Array) -> dict[str, float]:
        """The predicted costs in a row's vector."""
        return {tier: float(vector[self._at["usd", tier]]) for tier in self.tiers}

    def saw(self, quantity: Quantity, vector: Array | None) -> bool:
        """Whether the quantity was seen in this row, if there is one."""
        return vector is not None and bool(vector[self._at[quantity] + 1] > 0)

    def add(self, vector: Array, unpriced: frozenset[str], age: float = 1.0, sign: int = 1) -> None:
        """Add a row, or take it back; `age` is what forgetting has left of it."""
        self._first += sign * age * vector
        self._second += sign * age**2 * np.outer(vector, vector)
        for name in unpriced:
            self._unpriced[name] += sign * age

    def add_all(self, vectors: Array, unpriced: Mapping[str, float]) -> None:
        """Add many rows at once. Shape of `vectors`: (rows, the size of one)."""
        vectors = np.ascontiguousarray(vectors)
        self._first += vectors.sum(axis=0)
        # Not as a product of matrices: its threads would wait for each other on a busy machine.
        self._second += np.einsum("ij,ik->jk", vectors, vectors)
        for name, count in unpriced.items():
            self._unpriced[name] += count

    def fade(self, decay: float) -> None:
        """Let every row so far count for this much less."""
        self._first *= decay
        self._second *= decay**2
        for name in self._unpriced:
            self._unpriced[name] *= decay

    @staticmethod
    def columns(tiers: tuple[str, ...]) -> dict[Quantity, int]:
        """Where in a row's vector each quantity begins."""
        kinds: tuple[Kind, ...] = ("accuracy", "tied", "usd")
        return {q: 1 + 3 * at for at, q in enumerate(product(kinds, (*tiers, SERVED)))}

    @property
    def rows(self) -> float:
        """How many rows there are, those that fade in part."""
        return float(self._first[0])

    def n_eff(self, quantity: Quantity) -> float:
        """The effective sample behind a quantity: its weights' sum squared, over their squares'."""
        at = self._at[quantity] + 1
        weights, squares = float(self._first[at]), float(self._second[at, at])
        return weights**2 / squares if squares > 0 else 0.0

    def mean(self, quantity: Quantity) -> float:
        """The doubly robust mean; with nothing seen, the predictions'.

        Source: Robins, Rotnitzky and Zhao 1994, self-normalised as by Hájek 1971. It is right if
        either the chances or the predictions are, and the chances are known. What was to be seen
        and got lost does no harm as long as chance loses it.
        """
        return self._predicted(quantity) + self.correction(quantity)

    def correction(self, quantity: Quantity) -> float:
        """What was seen less what was predicted, where it was seen."""
        at = self._at[quantity]
        weights = float(self._first[at + 1])
        return float(self._first[at + 2]) / weights if weights > 0 else 0.0

    def figure(self, quantity: Quantity, per: float = 1.0) -> Figure:
        """The mean times `per`, or why there is none."""
        kind, name = quantity
        if kind == "usd" and self.is_unpriced(name):
            return Figure(self.n_eff(quantity), why=f"a price of {name} is unknown")
        return self.combined({quantity: 1.0}, per=per)

    def combined(
        self, parts: Mapping[Quantity, float], *, per: float = 1.0, value: float | None = None
    ) -> Figure:
        """The sum of these quantities, each times its factor, or why there is none.

        What is compared within requests is paired: the interval knows. `value` is the figure
        where it is not the sum itself but moves with it.
        """
        n_eff = min(self.n_eff(quantity) for quantity in parts)
        if n_eff < N_EFF_MIN:
            return Figure(n_eff, why=f"effective sample {n_eff:.0f} of {N_EFF_MIN:.0f}")
        total = value
        if total is None:
            total = sum(factor * self.mean(quantity) for quantity, factor in parts.items())
        half = Z_95 * self._error(parts, n_eff)
        return Figure(n_eff, per * total, per * (total - half), per * (total + half))

    def is_unpriced(self, name: str) -> bool:
        """Whether too many of its costs are unknown."""
        return self._unpriced[name] > UNPRICED_MAX * self.rows

    def _predicted(self, quantity: Quantity) -> float:
        return float(self._first[self._at[quantity]]) / max(self.rows, 1e-9)

    def _error(self, parts: Mapping[Quantity, float], n_eff: float) -> float:
        """The standard error by the influence function, which is linear in a row's vector."""
        slope = np.zeros(len(self._first))
        for quantity, factor in parts.items():
            at, weights = self._at[quantity], float(self._first[self._at[quantity] + 1])
            scale = self.rows / weights
            slope[0] -= factor * self._predicted(quantity)
            slope[at : at + 3] += factor * np.array(
                [1.0, -scale * self.correction(quantity), scale]
            )
        variance = float(slope @ self._second @ slope) / self.rows**2
        labelled = any(kind != "usd" for kind, _ in parts)
        least = RULE_OF_THREE / n_eff if labelled else 0.0
        return max(sqrt(max(0.0, variance)), least)


def best_fixed(sums: Sums, tiers: tuple[str, ...], kind: Kind = "accuracy") -> Mixture | None:
    """The most accurate coin between these tiers that costs no more than what was served.

    Where each of them costs more it is the cheapest; None where there are none.
    """
    usd = {tier: sums.mean(("usd", tier)) for tier in tiers}
    spent_usd = sums.mean(("usd", SERVED))
    accuracy = {tier: sums.mean((kind, tier)) for tier in tiers}
    found = list(_affordable(usd, accuracy, spent_usd))
    if not found and tiers:
        cheapest = min(tiers, key=lambda tier: usd[tier])
        return Mixture(cheapest, cheapest, 1.0, usd[cheapest], accuracy[cheapest])
    return max(found, key=lambda mixture: (mixture.accuracy, -mixture.usd), default=None)


def gain_over(sums: Sums, mixture: Mixture, kind: Kind = "accuracy") -> Figure:
    """The accuracy of what was served, less the mixture's at the same cost."""
    low, high = mixture.cheaper, mixture.dearer
    parts: dict[Quantity, float] = {(kind, SERVED): 1.0}
    if low == high:
        parts[kind, low] = -1.0
        return sums.combined(parts)
    parts[kind, low], parts[kind, high] = mixture.share - 1, -mixture.share
    per_usd = (sums.mean((kind, high)) - sums.mean((kind, low))) / (
        sums.mean(("usd", high)) - sums.mean(("usd", low))
    )
    # Where the share is chosen for equal cost, an error in a cost is one in accuracy.
    costs = {SERVED: -1.0, low: 1 - mixture.share, high: mixture.share}
    for name, factor in costs.items():
        parts["usd", name] = factor * per_usd
    value = sums.mean((kind, SERVED)) - mixture.accuracy
    return sums.combined(parts, value=value)


def _affordable(
    usd: Mapping[str, float], accuracy: Mapping[str, float], spent_usd: float
) -> Iterator[Mixture]:
    for low, high in product(usd, repeat=2):
        if low == high and usd[low] <= spent_usd:
            yield Mixture(low, low, 1.0, usd[low], accuracy[low])
        elif usd[low] <= spent_usd < usd[high]:
            share = (spent_usd - usd[low]) / (usd[high] - usd[low])
            mixed = (1 - share) * accuracy[low] + share * accuracy[high]
            yield Mixture(low, high, share, spent_usd, mixed)


def _parts(sighting: Sighting) -> tuple[float, float, float]:
    """The prediction, the weight, and the weighted surprise."""
    if sighting.seen is None or sighting.chance <= 0:
        return sighting.predicted, 0.0, 0.0
    weight = min(WEIGHT_MAX, 1 / sighting.chance)
    return sighting.predicted, weight, weight * (sighting.seen - sighting.predicted)
