"""What the gateway counts, read off finished records, in its own Prometheus registry."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    Summary,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from app.records import Attempt, Purpose, Record, Usage, Verdict
from app.telemetry.gauges import Figures, OneOf, StandingGauges
from app.telemetry.traffic import Traffic

Watched: TypeAlias = Literal[
    "store_records",
    "outbox_entries",
    "outbox_bytes",
    "outbox_oldest_seconds",
    "outbox_newest_seconds",
    "worker_alive",
    "tenants",
]

Spent: TypeAlias = Purpose | Literal["trial"]

OTHER = "other"
TRIAL: Literal["trial"] = "trial"
_BESIDE = ("lesson", TRIAL)
MODES = ("route", "shadow", "canary", "returned")
PHASES = frozenset({"embed", "search", "judge"})
REASONS = frozenset(
    {"store", "embedder", "judge", "outbox", "tier", "deadline", "max_calls", "shed"}
    | {"budget", "limits", "limiter", "escalations", "abstained"}
)

_WATCHED: dict[Watched, str] = {
    "store_records": "Records in the store.",
    "outbox_entries": "Entries that wait in the outbox.",
    "outbox_bytes": "Size of what waits in the outbox.",
    "outbox_oldest_seconds": "Age of the oldest record that waits for the store; 0: none does.",
    "outbox_newest_seconds": "Age of the newest record that waits for the store; 0: none does.",
    "tenants": "Tenants of whom something is remembered in this process.",
    "worker_alive": "1 while the worker that delivers records runs.",
}
_ANSWER_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_PHASE_BUCKETS_S = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 20, 60)


class Metrics:
    """Every series the gateway has. Label values come from configuration; others become `other`.

    `checks` are the names of the exact checks, without `check:`.
    """

    def __init__(
        self, *, tiers: Iterable[str], policies: Iterable[str], checks: Iterable[str], version: str
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.traffic = Traffic(self._registry)
        self._tiers = frozenset(tiers)
        self._policies = frozenset(policies)
        roles = {f"{role}:{tier}" for role in ("same", "arbiter") for tier in self._tiers}
        self._judges = self._tiers | roles | {f"check:{name}" for name in checks}
        self._make_requests(version)
        self._make_attempts()
        self._make_spend()
        self._make_start()

    def observe(self, record: Record, acknowledged: bool) -> None:
        """Count a finished record; `acknowledged`: it was written down."""
        kind = record.kind if record.trial_of is None else TRIAL
        self._requests.labels(self._policy(record.policy), kind, record.outcome).inc()
        self._request_duration_s.labels(kind).observe(record.latency_s)
        self._refused.inc(0 if acknowledged else 1)
        for reason in {_known(reason.partition(":")[0], REASONS) for reason in record.degraded}:
            self._degraded.labels(reason).inc()
        if record.stream and (served := record.served_attempt) is not None:
            self._streams.labels("live" if served.live else "held").inc()
        for phase, duration_s in record.phases_s.items():
            self._phase_duration_s.labels(_known(phase, PHASES)).observe(duration_s)
        for index, attempt in enumerate(record.attempts):
            purpose: Spent = "answer" if index == record.served else "draft"
            self._observe_attempt(attempt, purpose if record.trial_of is None else TRIAL)
        self._observe_escalations(record.attempts)
        self._observe_start(record)

    def observe_lesson(
        self,
        outcome: str,
        attempts: Iterable[Attempt] = (),
        verdicts: Iterable[tuple[str, Verdict]] = (),
    ) -> None:
        """Count a lesson: the answers it asked for, and what was said of others, by their tier."""
        self._lessons.labels(outcome).inc()
        for attempt in attempts:
            self._observe_attempt(attempt, "lesson")
        for tier, verdict in verdicts:
            self.observe_verdict(tier, verdict, "lesson")

    def watch(self, name: Watched, read: Callable[[], float]) -> None:
        """Show what `read` returns whenever the metrics are fetched; NaN where it fails."""

        def guarded() -> float:
            try:
                return float(read())
            except Exception:  # noqa: BLE001 - one broken part must not hide all the others
                return math.nan

        gauge = Gauge(f"autoshift_{name}", _WATCHED[name], registry=self._registry)
        gauge.set_function(guarded)

    def refuse_row(self) -> None:
        """A row of the store was passed over."""
        self._rows_refused.inc()

    def observe_lag(self, lag_s: float) -> None:
        """How late the event loop came back to somebody who slept."""
        self._lag_s.observe(lag_s)

    def watch_standing(self, read: Callable[[], Figures]) -> None:
        """Show whether routing pays, as far as it is known."""
        self._registry.register(StandingGauges(read))

    def watch_mode(self, read: Callable[[], str]) -> None:
        """Show who really serves."""
        self._registry.register(OneOf("mode", "Who really serves: 1 for the mode.", MODES, read))

    def render(self) -> tuple[bytes, str]:
        """All series in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def _make_requests(self, version: str) -> None:
        self._requests = self._counter(
            "requests", "Requests, by how they ended.", "policy", "kind", "outcome"
        )
        self._request_duration_s = self._histogram(
            "request_duration_seconds", "A whole request.", _ANSWER_BUCKETS_S, "kind"
        )
        self._phase_duration_s = self._histogram(
            "phase_duration_seconds", "A request's parts.", _PHASE_BUCKETS_S, "phase"
        )
        self._lag_s = self._histogram(
            "event_loop_lag_seconds", "How late the event loop wakes sleepers.", _LAG_BUCKETS_S
        )
        self._streams = self._counter("streams", "Streams, by whether they were held.", "sent")
        self._degraded = self._counter(
            "degraded_requests", "Requests served though a part was down.", "reason"
        )
        self._refused = self._counter(
            "records_refused", "Records not written down: the outbox was full or failed."
        )
        self._rows_refused = self._counter(
            "store_rows_refused", "Rows of the store that were no answer to what was asked."
        )
        self._gauge("build_info", "Always 1; the version is in the label.", "version").labels(
            version
        ).set(1)

    def _make_attempts(self) -> None:
        self._attempts = self._counter(
            "attempts", "Upstream calls for an answer.", "tier", "arrived", "outcome"
        )
        self._attempt_duration_s = self._histogram(
            "attempt_duration_seconds", "One tier's answer.", _ANSWER_BUCKETS_S, "tier"
        )
        self._first_byte_s = self._histogram(
            "first_byte_seconds", "From asking a tier to its first byte.", _ANSWER_BUCKETS_S, "tier"
        )
        self._verdicts = self._counter(
            "verdicts", "Judgements of a tier's answers.", "tier", "by", "verdict"
        )
        self._escalations = self._counter(
            "escalations", "Refused answers that sent a request up.", "from_tier", "to_tier"
        )
        self._lessons = self._counter("lessons", "Lessons, by how they ended.", "outcome")
        self._advised = self._counter(
            "advised", "Judged answers for which there were strategies.", "tier", "shown", "verdict"
        )

    def _make_spend(self) -> None:
        self._tokens = self._counter(
            "tokens", "Tokens as the providers counted them.", "tier", "direction"
        )
        self._cost_usd = self._counter("cost_usd", "Spend in US dollars.", "tier", "purpose")
        self._unknown_costs = self._counter(
            "unknown_costs", "Calls whose price or usage is unknown.", "tier", "purpose"
        )

    def _make_start(self) -> None:
        self._start_estimate = self._summary(
            "start_estimate", "Estimated accuracy of a first tier, where a judge ruled.", "tier"
        )
        self._start_valid = self._counter(
            "start_valid", "First answers that their judge accepted.", "tier"
        )
        self._start_squared_error = self._summary(
            "start_squared_error", "Estimate against verdict; its mean is the Brier score.", "tier"
        )

    def _observe_attempt(self, attempt: Attempt, purpose: Spent) -> None:
        if attempt.reused:
            return  # it was counted where it was paid
        tier = self._tier(attempt.tier)
        self._attempts.labels(tier, attempt.arrived, attempt.outcome).inc()
        if attempt.ended:
            self._attempt_duration_s.labels(tier).observe(attempt.latency_s)
        if attempt.first_byte_s is not None:
            self._first_byte_s.labels(tier).observe(attempt.first_byte_s)
        self._observe_tokens(tier, attempt.usage)
        if attempt.outcome != "failed" or attempt.usage is not None:
            self._observe_cost(tier, purpose, attempt.cost_usd)
        if attempt.strategies and (valid := attempt.valid) is not None:
            shown = "no" if attempt.withheld else "yes"
            self._advised.labels(tier, shown, "valid" if valid else "invalid").inc()
        for verdict in attempt.verdicts:
            self.observe_verdict(tier, verdict, purpose if purpose in _BESIDE else "judge")

    def observe_verdict(self, tier: str, verdict: Verdict, purpose: Spent = "judge") -> None:
        """Count a verdict on an answer of this tier, and what it cost."""
        by = _known(verdict.by, self._judges)
        word = {True: "valid", False: "invalid", None: "none"}[verdict.valid]
        self._verdicts.labels(tier, by, word).inc()
        if not verdict.exact:
            judge = self._tier(verdict.by.rpartition(":")[2])
            self._observe_tokens(judge, verdict.usage)
            self._observe_cost(judge, purpose, verdict.cost_usd)

    def _observe_tokens(self, tier: str, usage: Usage | None) -> None:
        """Cached input apart from fresh input, so that the directions add up."""
        if usage is None:
            return
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        self._tokens.labels(tier, "input").inc(fresh_tokens)
        self._tokens.labels(tier, "cached_input").inc(usage.cached_tokens)
        self._tokens.labels(tier, "output").inc(usage.output_tokens)

    def _observe_cost(self, tier: str, purpose: Spent, cost_usd: float | None) -> None:
        if cost_usd is None:
            self._unknown_costs.labels(tier, purpose).inc()
        else:
            self._cost_usd.labels(tier, purpose).inc(cost_usd)

    def _observe_escalations(self, attempts: list[Attempt]) -> None:
        for lower, upper in pairwise(attempts):
            if upper.arrived == "after_reject":
                self._escalations.labels(self._tier(lower.tier), self._tier(upper.tier)).inc()

    def _observe_start(self, record: Record) -> None:
        """Estimate against outcome, where there was an estimate and a judge ruled on the answer."""
        first = record.attempts[0] if record.attempts else None
        if record.start is None or first is None or first.outcome != "complete":
            return
        estimate = record.start.estimates.get(first.tier)
        if estimate is None or first.valid is None:
            return
        tier = self._tier(first.tier)
        self._start_estimate.labels(tier).observe(estimate.accuracy)
        self._start_valid.labels(tier).inc(first.valid)
        self._start_squared_error.labels(tier).observe((estimate.accuracy - first.valid) ** 2)

    def _tier(self, name: str) -> str:
        return _known(name, self._tiers)

    def _policy(self, name: str) -> str:
        return _known(name, self._policies)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"autoshift_{name}", help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"autoshift_{name}", help_text, labels, registry=self._registry)

    def _summary(self, name: str, help_text: str, *labels: str) -> Summary:
        return Summary(f"autoshift_{name}", help_text, labels, registry=self._registry)

    def _histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"autoshift_{name}", help_text, labels, registry=self._registry, buckets=buckets
        )


def _known(value: str, allowed: frozenset[str]) -> str:
    return value if value in allowed else OTHER
