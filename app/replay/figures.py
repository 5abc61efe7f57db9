"""What a policy's runs come to: accuracy, cost, calibration, and how sure all of it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.replay.baselines import PER, Truth
from app.replay.curves import Point, accuracy_at, upper_hull
from app.replay.run import Outcomes

Floats = npt.NDArray[np.float64]

DRAWS = 1000
TAILS = (2.5, 97.5)
BINS = 10
MILESTONES = (100, 500)
PURPOSES = ("answer", "draft", "judge", "lesson")


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimated:
    """A figure with its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Milestone:
    """Where a run stands after so many questions, its learning paid for."""

    questions: int
    accuracy: float
    usd_per_1000: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the starting tier's estimates are from what its answers were.

    `brier` is the mean squared error; `ece` the expected calibration error over ten bins of equal
    width; `believed` and `true` the means of both.
    """

    brier: float
    ece: float
    believed: float
    true: float


class Runs:
    """One policy's runs over several orders of the same questions."""

    def __init__(self, streams: Sequence[Outcomes]) -> None:
        self.streams = np.stack(streams)
        self.by_query = np.stack([stream[np.argsort(stream["query"])] for stream in streams])

    @property
    def correct(self) -> Floats:
        """Shape: (orders, queries), queries as in the file."""
        return self.by_query["correct"].astype(np.float64)

    @property
    def usd(self) -> Floats:
        """Everything paid for each question. Shape: as `correct`."""
        return _usd(self.by_query)

    @property
    def point(self) -> Point:
        return Point(PER * float(self.usd.mean()), float(self.correct.mean()))

    def usd_per_1000(self, purpose: str) -> float:
        return PER * float(self.by_query[f"{purpose}_usd"].mean())

    def shares(self, what: str, tiers: int) -> list[float]:
        """How the `start`s or `final`s are spread over the tiers."""
        counted = np.bincount(self.by_query[what].ravel(), minlength=tiers)
        return [float(count) / self.by_query.size for count in counted]

    def mean(self, what: str) -> float:
        return float(self.by_query[what].mean())

    def milestones(self) -> list[Milestone]:
        """After 100 and 500 questions and at the end, from the first on."""
        total = self.streams.shape[1]
        stops = [stop for stop in MILESTONES if stop < total]
        return [self._milestone(stop) for stop in (*stops, total)]

    def _milestone(self, questions: int) -> Milestone:
        first = self.streams[:, :questions]
        usd_per_1000 = PER * float(_usd(first).mean())
        return Milestone(questions, float(first["correct"].mean()), usd_per_1000)

    def calibration(self) -> Calibration | None:
        """Of all starts that came with an estimate; None where no start did."""
        known = self.by_query[~np.isnan(self.by_query["believed"])]
        if not known.size:
            return None
        believed, true = known["believed"], known["start_correct"].astype(np.float64)
        bins = np.minimum((believed * BINS).astype(int), BINS - 1)
        gaps = np.bincount(bins, weights=believed - true, minlength=BINS)
        return Calibration(
            brier=float(((believed - true) ** 2).mean()),
            ece=float(np.abs(gaps).sum()) / known.size,
            believed=float(believed.mean()),
            true=float(true.mean()),
        )

    def latency_s(self, percentile: float) -> float:
        return float(np.percentile(self.by_query["latency_s"], percentile))


def _usd(outcomes: Outcomes) -> Floats:
    total: Floats = sum(
        (outcomes[f"{purpose}_usd"] for purpose in PURPOSES), np.zeros(outcomes.shape)
    )
    return total


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
        return Estimated(float(values.mean()), _interval(self.means(values)))

    def ratio(self, above: Floats, below: Floats) -> Estimated | None:
        """The ratio of two means with its interval; None where it would be over nothing."""
        if not self.means(below).all():
            return None
        drawn = self.means(above) / self.means(below)
        return Estimated(float(above.mean() / below.mean()), _interval(drawn))

    def over_mixtures(self, runs: Runs, truth: Truth) -> Estimated:
        """Accuracy minus that of the best mixture of fixed tiers at the same cost, paired."""

        def gap(point: Point, usd: Sequence[float], accuracy: Sequence[float]) -> float:
            fixed = [Point(*pair) for pair in zip(usd, accuracy, strict=True)]
            return point.accuracy - accuracy_at(upper_hull(fixed), point.usd)

        usd = PER * np.stack([self.means(tier) for tier in truth.usd], axis=1)
        accuracy = np.stack([self.means(t.astype(np.float64)) for t in truth.correct], axis=1)
        ours = zip(PER * self.means(runs.usd), self.means(runs.correct), strict=True)
        drawn = [
            gap(Point(*point), *fixed)
            for point, *fixed in zip(ours, usd.tolist(), accuracy.tolist(), strict=True)
        ]
        value = gap(
            runs.point,
            (PER * truth.usd.mean(axis=1)).tolist(),
            truth.correct.mean(axis=1).tolist(),
        )
        return Estimated(value, _interval(np.array(drawn)))


def _interval(drawn: Floats) -> Interval:
    low, high = np.percentile(drawn, TAILS)
    return Interval(float(low), float(high))
