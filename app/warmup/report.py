"""What a warm-up has shown of every tier, by the labels of its records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from statistics import fmean, stdev

from app.jsontext import Json
from app.learning.labels import judged_by_coin
from app.records import Attempt, Record
from app.reporting.counterfactual import Z_95
from app.reporting.sightings import quality_of
from app.warmup.prompts import Prompts
from app.warmup.quote import Quote
from app.warmup.run import Outcome, attempts_of, costs_usd, verdicts_of

PER = 1000
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Mean:
    """With its 95 % interval, where there is more than one value."""

    value: float
    count: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class TierReport:
    """One tier.

    `accuracy` is what the records' labels say: answers were judged and compared, nobody knows the
    truth. `agreement` is how often the judge of this tier's answers said what the comparison with
    a better answer did. `failed` and `cut_off` answers are in neither. Units: USD.
    """

    tier: str
    answers: int
    failed: int
    cut_off: int
    accuracy: Mean | None
    agreement: Mean | None
    no_verdict: int
    usd_per_1000: float | None


@dataclass(frozen=True, slots=True)
class WarmupReport:
    """All of it; `already` is how many prompts were answered by earlier warm-ups.

    `unpriced` counts calls, `arbiter` what was said where answers differed.
    """

    outcome: Outcome
    prompts: Prompts
    quotes: tuple[Quote, Quote, Quote]
    tiers: tuple[TierReport, ...]
    already: int
    unpriced: int
    errors: Counter[str] = field(default_factory=Counter)
    arbiter: Counter[str] = field(default_factory=Counter)

    @property
    def asked(self) -> int:
        return len(self.outcome.records)

    @property
    def answered(self) -> int:
        return sum(record.outcome == "answered" for record in self.outcome.records)

    def to_json(self) -> Json:
        """The figures, without records and prompts."""
        low, expected, high = (quote.known_usd for quote in self.quotes)
        return {
            "ended": self.outcome.ended,
            "prompts": {
                "lines": self.prompts.lines,
                "distinct": self.prompts.distinct,
                "left_out": dict(self.prompts.left_out),
                "already": self.already,
                "asked": self.asked,
                "answered": self.answered,
            },
            "estimate_usd": {
                "expected": expected,
                "low": low,
                "high": high,
                "unpriced_tiers": list(self.quotes[1].unpriced),
            },
            "spent_usd": self.outcome.spent_usd,
            "unpriced_calls": self.unpriced,
            "tiers": {tier.tier: asdict(tier) for tier in self.tiers},
            "errors": dict(self.errors),
            "arbiter": dict(self.arbiter),
        }


def report_of(
    outcome: Outcome,
    prompts: Prompts,
    quotes: tuple[Quote, Quote, Quote],
    *,
    tiers: Sequence[str],
    earlier: Sequence[Record],
) -> WarmupReport:
    """What was spent is of now; what it shows, also of records of earlier warm-ups."""
    records = outcome.records
    shown = [*earlier, *records]
    return WarmupReport(
        outcome,
        prompts,
        quotes,
        tuple(_tier(tier, shown) for tier in tiers),
        already=len(earlier),
        unpriced=sum(usd is None for record in records for usd in costs_usd(record)),
        errors=Counter(
            f"{attempt.tier}: {attempt.error}"
            for record in records
            for attempt in attempts_of(record)
            if attempt.outcome == "failed"
        ),
        arbiter=Counter(
            {True: "as good", False: "worse", None: "undecided"}[evidence.valid]
            for record in shown
            for evidence in record.evidence.values()
            if evidence.source == "arbiter"
        ),
    )


def _tier(tier: str, records: Sequence[Record]) -> TierReport:
    tried = [a for record in records for a in attempts_of(record) if a.tier == tier]
    judged = [one for record in records for one in judged_by_coin(record) if one.tier == tier]
    verdicts = [v for record in records for by, v in verdicts_of(record) if by == tier]
    return TierReport(
        tier=tier,
        answers=sum(attempt.ended for attempt in tried),
        failed=sum(attempt.outcome == "failed" for attempt in tried),
        cut_off=sum(attempt.outcome in {"censored", "truncated"} for attempt in tried),
        accuracy=_mean([q[tier] for q in map(quality_of, records) if tier in q]),
        agreement=_mean([float(one.valid == (one.right > HALF)) for one in judged]),
        no_verdict=sum(verdict.valid is None for verdict in verdicts),
        usd_per_1000=_usd_per_1000([attempt for attempt in tried if attempt.ended]),
    )


def _mean(values: Sequence[float]) -> Mean | None:
    """A single label may leave [0, 1]; a mean that does is cut off there."""
    if not values:
        return None
    value = fmean(values)
    if len(values) == 1:
        return Mean(_cut(value), 1)
    half = Z_95 * stdev(values) / sqrt(len(values))
    return Mean(_cut(value), len(values), _cut(value - half), _cut(value + half))


def _usd_per_1000(answers: Sequence[Attempt]) -> float | None:
    known = [attempt.cost_usd for attempt in answers if attempt.cost_usd is not None]
    return PER * fmean(known) if known else None


def _cut(share: float) -> float:
    return min(1.0, max(0.0, share))
