"""What a swept dial comes to beside others: areas between curves, cost at equal accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.replay.baselines import PER, Truth
from app.replay.bootstrap import Bootstrap, Estimated, Floats, estimated
from app.replay.curves import Point, accuracy_at, aiq, span_of, upper_hull
from app.replay.figures import Runs


@dataclass(frozen=True, slots=True)
class Spent:
    """A way to answer, question by question. Shape: (orders, queries) or (queries,). Units: USD."""

    usd: Floats
    correct: Floats

    @property
    def point(self) -> Point:
        return Point(PER * float(self.usd.mean()), float(self.correct.mean()))


@dataclass(frozen=True, slots=True)
class Parity:
    """The cheapest setting that is not worse than the first policy by the margin, if there is one.

    `gain` is its accuracy minus the first policy's, paired, the lower end of its interval above
    minus the margin; `cost` its cost over the first policy's. It is chosen on the questions it is
    measured on, so where many settings are tried the cheapest one is a little flattered.
    """

    setting: str
    point: Point
    gain: Estimated
    cost: Estimated | None


def spent_by(runs: Runs) -> Spent:
    """What the runs cost and got right."""
    return Spent(runs.usd, runs.correct)


def parity(
    settings: Mapping[str, Spent], first: Spent, bootstrap: Bootstrap, margin: float
) -> Parity | None:
    """The first of these settings by cost that is not worse than `first` by `margin` (of 1)."""
    for name, spent in sorted(settings.items(), key=lambda named: named[1].point.usd):
        gain = bootstrap.mean(spent.correct - first.correct)
        if gain.interval.low > -margin:
            return Parity(name, spent.point, gain, bootstrap.ratio(spent.usd, first.usd))
    return None


class Areas:
    """Areas under curves of cost and accuracy, in every draw over the same range of costs.

    The range and the definition are `aiq`'s; a draw's cheapest tier is its own.
    """

    def __init__(self, truth: Truth, bootstrap: Bootstrap) -> None:
        tiers = zip(truth.usd, truth.correct.astype(np.float64), strict=True)
        self._bootstrap = bootstrap
        self._tiers = [Spent(usd, correct) for usd, correct in tiers]
        self._fixed = [tier.point for tier in self._tiers]
        self._span = span_of(self._fixed)
        self._drawn = self._draw(self._tiers)
        self._areas: dict[str, tuple[float, Floats]] = {}
        self._over_tiers = self._area(self._fixed, self._drawn)

    def add(self, name: str, curve: Sequence[Spent]) -> None:
        """Take in a policy's curve under this name."""
        points = [spent.point for spent in curve]
        area = self._area(points, self._draw(curve))
        if area is not None:
            self._areas[name] = area

    def over_mixtures(self, name: str) -> Estimated | None:
        """The curve's AIQ minus that of the hull of fixed tiers; None without a range."""
        return _difference(self._areas.get(name), self._over_tiers)

    def over_others(self, name: str) -> dict[str, Estimated]:
        """The curve's AIQ minus that of every other curve, which is the mean gap between them."""
        gaps = {
            other: _difference(self._areas.get(name), area)
            for other, area in self._areas.items()
            if other != name
        }
        return {other: gap for other, gap in gaps.items() if gap is not None}

    def gain_over_mixtures(self, spent: Spent) -> Estimated:
        """Accuracy minus that of the best mixture of fixed tiers at the same cost, paired."""
        drawn = [
            _gap(point, fixed)
            for (point,), fixed in zip(self._draw([spent]), self._drawn, strict=True)
        ]
        return estimated(_gap(spent.point, self._fixed), np.array(drawn))

    def _draw(self, curve: Sequence[Spent]) -> list[list[Point]]:
        """The curve's points in every draw."""
        usd = np.stack([PER * self._bootstrap.means(spent.usd) for spent in curve], axis=1)
        accuracy = np.stack([self._bootstrap.means(spent.correct) for spent in curve], axis=1)
        return [
            [Point(*point) for point in zip(*row, strict=True)]
            for row in zip(usd.tolist(), accuracy.tolist(), strict=True)
        ]

    def _area(
        self, points: Sequence[Point], drawn: Sequence[Sequence[Point]]
    ) -> tuple[float, Floats] | None:
        area = aiq(points, self._fixed, self._span)
        if area is None:
            return None
        areas = [
            aiq(each, fixed, self._span) or 0.0
            for each, fixed in zip(drawn, self._drawn, strict=True)
        ]
        return area, np.array(areas)


def _difference(
    one: tuple[float, Floats] | None, other: tuple[float, Floats] | None
) -> Estimated | None:
    if one is None or other is None:
        return None
    return estimated(one[0] - other[0], one[1] - other[1])


def _gap(point: Point, fixed: Sequence[Point]) -> float:
    return point.accuracy - accuracy_at(upper_hull(fixed), point.usd)
