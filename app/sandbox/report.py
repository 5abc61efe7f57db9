"""What the demo found: accuracy and cost of `auto` beside those of every fixed tier."""

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import permutations
from math import sqrt
from statistics import fmean, stdev

import orjson

from app.records import total_usd

AUTO = "auto"
PURPOSES = ("answer", "draft", "judge")
BLOCKS = 10
_Z = 1.96


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
        middle = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
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
        """The run in at most ten stretches of equal length, in the order asked."""
        size = -(-len(self.served) // BLOCKS)
        starts = range(0, len(self.served), size)
        return [Run(self.name, self.served[start : start + size]) for start in starts]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Each question to `high` with probability `share_high`, else to `low`."""

    low: str
    high: str
    share_high: float
    usd_per_1000: float


@dataclass(frozen=True, slots=True)
class DemoReport:
    """Everything is simulated. `fixed` are the tiers, cheapest first."""

    seed: int
    auto: Run
    fixed: tuple[Run, ...]

    @property
    def questions(self) -> int:
        return len(self.auto.served)

    @property
    def runs(self) -> tuple[Run, ...]:
        return (self.auto, *self.fixed)

    @property
    def starts(self) -> dict[str, int]:
        """How often each tier was asked first."""
        counted = Counter(served.path[0] for served in self.auto.served if served.path)
        return {run.name: counted[run.name] for run in self.fixed}

    @property
    def served_by(self) -> dict[str, int]:
        counted = Counter(served.tier for served in self.auto.served if not served.failed)
        return {run.name: counted[run.name] for run in self.fixed}

    @property
    def direct_example(self) -> Served | None:
        """A late request that its first tier answered: routed by what was learned."""
        return self._latest(steps=1)

    @property
    def escalated_example(self) -> Served | None:
        return self._latest(steps=2)

    @property
    def accuracy_gap(self) -> tuple[float, Interval]:
        """Accuracy of auto minus the top tier's, question by question, with its 95 % interval."""
        pairs = zip(self.auto.served, self.fixed[-1].served, strict=True)
        gaps = [float(ours.right) - float(theirs.right) for ours, theirs in pairs]
        gap = fmean(gaps)
        half = _Z * stdev(gaps) / sqrt(len(gaps)) if len(gaps) > 1 else 1.0
        return gap, Interval(gap - half, gap + half)

    def saving(self, against_usd_per_1000: float | None) -> float | None:
        """The share of that cost which auto saved; negative where auto cost more."""
        ours = self.auto.usd_per_1000
        return None if ours is None or not against_usd_per_1000 else 1 - ours / against_usd_per_1000

    def mixture(self) -> Mixture | None:
        """The cheapest way to auto's accuracy by a coin between two fixed tiers; None: no way."""
        wanted = self.auto.accuracy
        ways = [
            Mixture(low.name, high.name, share, cost_low + share * (cost_high - cost_low))
            for low, high in permutations(self.fixed, 2)
            if (cost_low := low.usd_per_1000) is not None
            and (cost_high := high.usd_per_1000) is not None
            and (share := _share(low.accuracy, high.accuracy, wanted)) is not None
        ]
        return min(ways, key=lambda way: way.usd_per_1000, default=None)

    def better_fixed(self) -> Run | None:
        """A fixed tier that was at least as accurate and at most as expensive."""
        as_good = [run for run in self.fixed if run.accuracy >= self.auto.accuracy]
        return next((run for run in as_good if (self.saving(run.usd_per_1000) or 1.0) <= 0), None)

    def sentences(self) -> list[str]:
        """The verdict in words, good or bad."""
        return [self._against_top(), self._against_mixtures(), *self._trouble()]

    def to_json(self) -> str:
        """The report for programs; every run adds up to `questions`."""
        gap, interval = self.accuracy_gap
        top = self.fixed[-1]
        report = {
            "simulated": True,
            "seed": self.seed,
            "questions": self.questions,
            "tiers": [run.name for run in self.fixed],
            "runs": {run.name: _figures(run) for run in self.runs},
            "starts": self.starts,
            "served_by": self.served_by,
            "blocks": [
                {run.name: _figures(run) for run in block}
                for block in zip(*(run.blocks() for run in self.runs), strict=True)
            ],
            "accuracy_gap_to_top": {"mean": gap, **asdict(interval)},
            "saving_against_top": self.saving(top.usd_per_1000),
            "cheapest_mixture": None if (way := self.mixture()) is None else asdict(way),
            "saving_against_mixture": self.saving(way.usd_per_1000) if way else None,
            "examples": {
                "direct": _example(self.direct_example),
                "escalated": _example(self.escalated_example),
            },
            "verdict": self.sentences(),
        }
        return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()

    def _latest(self, *, steps: int) -> Served | None:
        fits = (s for s in reversed(self.auto.served) if s.decision_url and not s.failed)
        return next((s for s in fits if min(len(set(s.path)), 2) == steps), None)

    def _against_top(self) -> str:
        top = self.fixed[-1]
        gap, interval = self.accuracy_gap
        points = (
            f"{100 * gap:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
        )
        saving = self.saving(top.usd_per_1000)
        cost = "an unknown cost" if saving is None else f"{percent(-saving)} cost"
        return f"Simulated, auto against always {top.name}: {cost}, {points} of accuracy."

    def _against_mixtures(self) -> str:
        if (run := self.better_fixed()) is not None:
            return (
                f"A fixed tier would have been better: always {run.name} was at least as accurate "
                f"({run.accuracy:.3f}) and cost no more (${run.usd_per_1000:.2f} per 1,000)."
            )
        way = self.mixture()
        if way is None:
            return "No fixed tier, nor any mixture of two, was as accurate as auto."
        saving = self.saving(way.usd_per_1000) or 0.0
        mixed = (
            f"the cheapest mixture of fixed tiers that is as accurate ({way.share_high:.0%} "
            f"{way.high}, else {way.low}, chosen blindly: ${way.usd_per_1000:.2f} per 1,000)"
        )
        if saving < 0:
            return (
                f"Mixing blindly would have been better: auto cost {-saving:.0%} more than {mixed}."
            )
        return f"Auto cost {saving:.0%} less than {mixed}."

    def _trouble(self) -> list[str]:
        failed = [f"{run.failed} of {run.name}" for run in self.runs if run.failed]
        return [f"Requests that failed, counted as not right: {', '.join(failed)}."] * bool(failed)


def percent(share: float) -> str:
    return f"{100 * share:+.0f} %"


def _share(low: float, high: float, wanted: float) -> float | None:
    """How much of the more accurate tier reaches the wanted accuracy; None where it cannot."""
    if high < wanted or low > high:
        return None
    return 0.0 if low >= wanted else (wanted - low) / (high - low)


def _figures(run: Run) -> dict[str, object]:
    return {
        "asked": len(run.served),
        "right": run.right,
        "wrong": len(run.served) - run.right - run.failed,
        "failed": run.failed,
        "accuracy": run.accuracy,
        "accuracy_95": asdict(run.interval),
        "usd_per_1000": run.usd_per_1000,
        "usd_per_1000_by_purpose": {p: run.purpose_usd_per_1000(p) for p in PURPOSES},
        "calls_per_question": run.calls_per_question,
        "latency_mean_s": run.latency_mean_s,
    }


def _example(served: Served | None) -> dict[str, object] | None:
    if served is None:
        return None
    return {"url": served.decision_url, "path": served.path, "cost_usd": served.cost_usd}
