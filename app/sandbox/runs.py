"""One way to serve all questions, `auto` or a fixed tier, and its figures."""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean

from app.records import total_usd

AUTO = "auto"
PURPOSES = ("answer", "draft", "judge", "lesson")
BLOCKS = 10
BLOCK_QUESTIONS = 10
Z = 1.96
"""Standard errors on either side of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Served:
    """How one question was served.

    `path` names the tiers that were asked, in order; `costs_usd` stands in the order of PURPOSES.
    Both are empty where the gateway did not tell.
    """

    right: bool
    failed: bool = False
    cost_usd: float | None = None
    costs_usd: tuple[float | None, ...] = ()
    latency_s: float = 0.0
    tier: str | None = None
    path: tuple[str, ...] = ()
    calls: int | None = None
    decision_url: str | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Run:
    """All questions, served in one way: `auto`, or always by the tier of that name."""

    name: str
    served: tuple[Served, ...]

    @property
    def right(self) -> int:
        return sum(served.right for served in self.served)

    @property
    def failed(self) -> int:
        return sum(served.failed for served in self.served)

    @property
    def accuracy(self) -> float:
        """A failed request counts as not right."""
        return self.right / len(self.served)

    @property
    def interval(self) -> Interval:
        """Source: Wilson score interval, 95 %."""
        n, p = len(self.served), self.accuracy
        middle = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z * sqrt(p * (1 - p) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
        return Interval(max(middle - half, 0.0), min(middle + half, 1.0))

    @property
    def usd_per_1000(self) -> float | None:
        """None where the cost of an answer is unknown."""
        answered = [served.cost_usd for served in self.served if not served.failed]
        total = total_usd(answered)
        return None if total is None or not answered else total / len(answered) * 1000

    @property
    def latency_mean_s(self) -> float:
        return fmean(served.latency_s for served in self.served)

    @property
    def calls_per_question(self) -> float | None:
        """Upstream calls, judges included; None where the gateway did not tell."""
        calls = [served.calls for served in self.served if served.calls is not None]
        return fmean(calls) if calls else None

    def purpose_usd_per_1000(self, purpose: str) -> float | None:
        known = [served.costs_usd for served in self.served if served.costs_usd]
        total = total_usd([costs[PURPOSES.index(purpose)] for costs in known])
        return None if total is None or not known else total / len(known) * 1000

    def blocks(self) -> list["Run"]:
        """The run in at most ten stretches of at least ten questions, in the order asked."""
        size = max(BLOCK_QUESTIONS, -(-len(self.served) // BLOCKS))
        starts = range(0, len(self.served), size)
        return [Run(self.name, self.served[start : start + size]) for start in starts]
