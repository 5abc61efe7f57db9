"""What a policy's runs come to: accuracy, cost, calibration, and how sure all of it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.replay.baselines import PER
from app.replay.bootstrap import Floats
from app.replay.curves import Point
from app.replay.run import Outcomes

BINS = 10
MILESTONES = (100, 500)
PURPOSES = ("answer", "draft", "judge", "lesson")


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
    """One policy's runs over several orders of the same questions.

    `changes` are those the policy made out, as (position, tier), order by order.
    """

    def __init__(
        self, streams: Sequence[Outcomes], changes: Sequence[Sequence[tuple[int, str]]] = ()
    ) -> None:
        self.changes = changes
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
        return Calibration(
            brier=float(((believed - true) ** 2).mean()),
            ece=calibration_error(believed, true),
            believed=float(believed.mean()),
            true=float(true.mean()),
        )

    def latency_s(self, percentile: float) -> float:
        return float(np.percentile(self.by_query["latency_s"], percentile))


def calibration_error(believed: Floats, right: Floats) -> float:
    """The gap between belief and truth in a bin, averaged over the bins by their size."""
    bins = np.minimum((believed * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, weights=believed - right, minlength=BINS)
    return float(np.abs(gaps).sum()) / believed.size


def _usd(outcomes: Outcomes) -> Floats:
    total: Floats = sum(
        (outcomes[f"{purpose}_usd"] for purpose in PURPOSES), np.zeros(outcomes.shape)
    )
    return total
