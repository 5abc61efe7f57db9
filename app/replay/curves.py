"""Curves of cost and accuracy: hulls, the area under them, and the two-tier measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

TWO = 2
REGIONS = 5


@dataclass(frozen=True, slots=True)
class Point:
    """A way to answer. Units: USD per 1,000 questions; accuracy in [0, 1]."""

    usd: float
    accuracy: float


@dataclass(frozen=True, slots=True, order=True)
class Share:
    """A two-tier router: the share of questions its strong tier is asked, and the accuracy."""

    strong: float
    accuracy: float


def upper_hull(points: Sequence[Point]) -> list[Point]:
    """The best accuracies for the money that coins between these points can reach.

    Shape: rising in cost and accuracy, concave between; ends at the most accurate point.
    """
    hull: list[Point] = []
    for point in sorted(points, key=lambda p: (p.usd, -p.accuracy)):
        if hull and point.accuracy <= hull[-1].accuracy:
            continue
        while len(hull) >= TWO and _slope(hull[-2], point) >= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def accuracy_at(hull: Sequence[Point], usd: float) -> float:
    """The hull's accuracy at this cost; flat beyond either end."""
    if usd <= hull[0].usd:
        return hull[0].accuracy
    for low, high in pairwise(hull):
        if usd <= high.usd:
            return low.accuracy + _slope(low, high) * (usd - low.usd)
    return hull[-1].accuracy


@dataclass(frozen=True, slots=True)
class Span:
    """The range of costs over which accuracies are averaged, the same for all that is compared."""

    low_usd: float
    high_usd: float


def span_of(fixed: Sequence[Point]) -> Span | None:
    """From the cheapest fixed tier that is not free to the dearest; None where that is no range."""
    low_usd = min((p.usd for p in fixed if p.usd > 0), default=0.0)
    high_usd = max(p.usd for p in fixed)
    return None if low_usd == high_usd else Span(low_usd, high_usd)


def aiq(points: Sequence[Point], fixed: Sequence[Point], span: Span | None = None) -> float | None:
    """The mean accuracy of the points' hull over a fixed range of costs, on a log axis.

    The range is `span`, else that of these tiers; None where there is none. Coins may mix the
    cheapest tier in: whoever cannot do without judging still can by not routing at all.
    Source: RouterBench (Hu et al. 2024), average improvement in quality. Departs: the axis is
    logarithmic, since on a linear one most of the area lies where nobody wants to pay; the range
    is the same for all.
    """
    span = span or span_of(fixed)
    if span is None:
        return None
    hull = upper_hull([*points, min(fixed, key=lambda p: p.usd)])
    inside = [p.usd for p in hull if span.low_usd < p.usd < span.high_usd]
    area = sum(_area(hull, *ends) for ends in pairwise([span.low_usd, *inside, span.high_usd]))
    return area / log(span.high_usd / span.low_usd)


def _area(hull: Sequence[Point], low_usd: float, high_usd: float) -> float:
    """The integral of accuracy over log cost, where the hull is straight in cost."""
    low, high = accuracy_at(hull, low_usd), accuracy_at(hull, high_usd)
    slope = (high - low) / (high_usd - low_usd)
    return (low - slope * low_usd) * log(high_usd / low_usd) + slope * (high_usd - low_usd)


def apgr(shares: Sequence[Share], weak: float, strong: float) -> float | None:
    """The average performance gap recovered: the mean of PGR over shares of the strong tier.

    PGR is (accuracy - weak) / (strong - weak). None where the strong tier is not better.
    Source: RouteLLM (Ong et al. 2024). A random router has 0.5.
    """
    if strong <= weak:
        return None
    line = _recovered(shares, weak, strong)
    return sum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(line))


def cpt(shares: Sequence[Share], weak: float, strong: float, wanted: float) -> float | None:
    """The least share of strong calls that recovers `wanted` of the gap; as `apgr` otherwise."""
    if strong <= weak:
        return None
    for (x0, y0), (x1, y1) in pairwise(_recovered(shares, weak, strong)):
        if max(y0, y1) >= wanted:
            return x0 if y0 >= wanted else x0 + (x1 - x0) * (wanted - y0) / (y1 - y0)
    return None


def delta_ibc(points: Sequence[Point], weak: Point, strong: Point) -> float | None:
    """By how many percent a USD spent buys more accuracy than on the way from weak to strong.

    IBC is (accuracy - weak) / (cost - weak); the result is 100·(IBC - base) / base, base being the
    strong tier's, as a mean over five equal regions of cost between the two: those with points in
    them. None where no point lies between, or the strong tier is not better or not dearer. It blows
    up towards the weak tier's cost, so it says nothing by itself.
    Source: AutoMix (Aggarwal, Madaan et al. 2024), incremental benefit per cost.
    """
    if strong.accuracy <= weak.accuracy or strong.usd <= weak.usd:
        return None
    base = _slope(weak, strong)
    regions: dict[int, list[float]] = {}
    for point in points:
        along = (point.usd - weak.usd) / (strong.usd - weak.usd)
        if 0 < along <= 1:
            gained = 100 * (_slope(weak, point) - base) / base
            regions.setdefault(min(REGIONS - 1, int(along * REGIONS)), []).append(gained)
    means = [sum(found) / len(found) for found in regions.values()]
    return sum(means) / len(means) if means else None


def _recovered(shares: Sequence[Share], weak: float, strong: float) -> list[tuple[float, float]]:
    """Share and PGR from neither tier's help to the strong tier alone, by rising share."""
    inner = sorted(share for share in shares if 0 < share.strong < 1)
    ends = (Share(0.0, weak), Share(1.0, strong))
    line = [ends[0], *inner, ends[1]]
    return [(s.strong, (s.accuracy - weak) / (strong - weak)) for s in line]


def _slope(low: Point, high: Point) -> float:
    return (high.accuracy - low.accuracy) / max(high.usd - low.usd, 1e-12)
