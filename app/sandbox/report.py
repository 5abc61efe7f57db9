"""What the demo found: accuracy and cost of `auto` beside those of every fixed tier."""

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import permutations
from math import sqrt

import orjson

from app.records import total_usd
from app.sandbox.runs import PURPOSES, Interval, Run, Served, Z


@dataclass(frozen=True, slots=True)
class Mixture:
    """Each question to `high` with probability `share_high`, else to `low`."""

    low: str
    high: str
    share_high: float
    usd_per_1000: float

    def in_words(self) -> str:
        shares = ((self.high, self.share_high), (self.low, 1 - self.share_high))
        parts = [f"{share:.0%} {tier}" for tier, share in shares if share > 0]
        return f"{', '.join(parts)}: ${self.usd_per_1000:.2f} per 1,000"


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
        """Accuracy of auto minus the top tier's, on the same questions, with its 95 % interval.

        Source: Agresti and Min 2005: half a question is added to each cell of the paired table.
        """
        pairs = list(zip(self.auto.served, self.fixed[-1].served, strict=True))
        won = sum(ours.right and not theirs.right for ours, theirs in pairs)
        lost = sum(theirs.right and not ours.right for ours, theirs in pairs)
        n = len(pairs) + 2
        middle = (won - lost) / n
        half = Z * sqrt(won + lost + 1 - (won - lost) ** 2 / n) / n
        interval = Interval(max(middle - half, -1.0), min(middle + half, 1.0))
        return (won - lost) / len(pairs), interval

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
        for run in as_good:
            saving = self.saving(run.usd_per_1000)
            if saving is not None and saving <= 0:
                return run
        return None

    def hindsight_usd_per_1000(self) -> float | None:
        """What the cheapest right tier costs, question by question.

        Where none is right, the lowest that answered; questions that nobody answered are left out.
        """
        costs: list[float | None] = []
        for row in zip(*(run.served for run in self.fixed), strict=True):
            if answered := [served for served in row if not served.failed]:
                cheapest = next((served for served in answered if served.right), answered[0])
                costs.append(cheapest.cost_usd)
        total = total_usd(costs)
        return None if total is None or not costs else total / len(costs) * 1000

    def sentences(self) -> list[str]:
        """The verdict in words, good or bad."""
        return [
            self._against_top(),
            self._against_mixtures(),
            *self._against_hindsight(),
            *self._trouble(),
        ]

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
            "hindsight_usd_per_1000": self.hindsight_usd_per_1000(),
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
            return (
                "No fixed tier, nor any mixture of two, was as accurate as auto here; the interval "
                "above says how much of that may be chance."
            )
        saving = self.saving(way.usd_per_1000) or 0.0
        mixed = f"the cheapest blind mixture of fixed tiers that is as accurate ({way.in_words()})"
        if saving < 0:
            return f"A coin would have been better: auto cost {-saving:.0%} more than {mixed}."
        return f"Auto cost {saving:.0%} less than {mixed}."

    def _against_hindsight(self) -> list[str]:
        usd = self.hindsight_usd_per_1000()
        if usd is None:
            return []
        return [
            f"With hindsight (each question to the cheapest tier that gets it right) ${usd:.2f} "
            "per 1,000 would have done: nobody knows that beforehand; it is what is left to learn."
        ]

    def _trouble(self) -> list[str]:
        failed = [f"{run.failed} of {run.name}" for run in self.runs if run.failed]
        what = "Requests that failed, or that the tier cannot take, counted as not right"
        return [f"{what}: {', '.join(failed)}."] * bool(failed)


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
