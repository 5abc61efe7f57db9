"""What metrics tell beyond counts: calibration, judges, savings, quality kept, a loop that lags."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from anyio import to_thread

from app.learning.audits import Kept
from app.policies.target_error import TargetError
from app.policies.value import Value
from app.policy import Policy
from app.recorder import Recorder
from app.reporting.book import Excerpt
from app.reporting.survey import against
from app.reporting.tracker import Tracker
from app.reporting.trends import calibration_of, judges_of
from app.store import Outbox
from app.telemetry.gauges import Figures, StandingGauge
from app.telemetry.metrics import Metrics

LOOK_S = 2.0
"""However often metrics are fetched, the records are looked through no more often than this."""
LAG_S = 0.02
"""A loop that is blocked for longer is certain to be late by the rest."""


@dataclass(slots=True)
class Vitals:
    """`kept` gives, by target, what a tenant's audits find; `target` is the one configured.

    `over` counts the tiers whose accepted answers were wrong too often for `target_error`; None:
    it is not in use. `lagged` is told how late the event loop was to come back. Units: seconds.
    """

    tracker: Tracker
    kept: Callable[[str], Mapping[float, Kept]]
    target: float | None
    over: Callable[[], int | None]
    lagged: Callable[[float], None]
    _figures: Figures = field(default_factory=dict)
    _looked_s: float = -LOOK_S

    async def look(self) -> None:
        """Look through the records, in a thread, unless that was done just now."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        excerpt = self.tracker.book.copy()
        self._figures = await to_thread.run_sync(_calibrated, excerpt)

    def figures(self) -> Figures:
        """All that is known by now."""
        told = {**self.tracker.gauges(), **self._figures, **self._savings(), **self._quality()}
        over = self.over()
        if over is None:
            return told
        return told | {"alarms": {**told.get("alarms", {}), "target_error": float(over)}}

    async def run(self) -> None:
        """Measure how late the loop is, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_S
            await asyncio.sleep(LAG_S)
            self.lagged(max(0.0, loop.time() - due_s))

    def _savings(self) -> Figures:
        sums = self.tracker.sums()
        if sums is None:
            return {}
        saved = {tier: against(sums, tier).saved_usd_per_1000.value for tier in sums.tiers}
        return {"saved_usd_per_1000": {t: usd for t, usd in saved.items() if usd is not None}}

    def _quality(self) -> Figures:
        if self.target is None:
            return {}
        found = [self.kept(tenant).get(self.target) for tenant in self.tracker.tenants]
        known = [kept for kept in found if kept is not None and kept.audits > 0]
        told: dict[StandingGauge, Mapping[str, float]] = {"quality_target": {"": self.target}}
        if known:
            told["quality_kept"] = {
                "share": _weighted([kept.share for kept in known], known),
                "low": _weighted([kept.low for kept in known], known),
                "high": _weighted([kept.high for kept in known], known),
            }
            told["quality_audits"] = {"": sum(kept.audits for kept in known)}
            told["rate_factor"] = {"": min(kept.factor for kept in known)}
        return told


def kept_by(policies: Mapping[str, Policy]) -> Callable[[str], Mapping[float, Kept]]:
    """Where to read what audits find."""

    def kept(tenant: str) -> Mapping[float, Kept]:
        value = policies.get("value")
        return value.kept(tenant) if isinstance(value, Value) else {}

    return kept


def over_by(policies: Mapping[str, Policy]) -> Callable[[], int | None]:
    """Where to read how many tiers miss their target error."""

    def over() -> int | None:
        policy = policies.get("target_error")
        return policy.alarmed if isinstance(policy, TargetError) else None

    return over


def watch(metrics: Metrics, recorder: Recorder, outbox: Outbox, vitals: Vitals) -> None:
    """Have metrics show all this whenever they are fetched."""
    metrics.watch("store_records", lambda: recorder.stored)
    metrics.watch("outbox_entries", lambda: outbox.depth)
    metrics.watch("outbox_bytes", lambda: outbox.bytes)
    metrics.watch("outbox_oldest_seconds", lambda: _ages_s(outbox)[0])
    metrics.watch("outbox_newest_seconds", lambda: _ages_s(outbox)[1])
    metrics.watch("worker_alive", lambda: recorder.alive)
    metrics.watch("tenants", lambda: len(vitals.tracker.tenants))
    metrics.watch_standing(vitals.figures)


def _ages_s(outbox: Outbox) -> list[float]:
    """Of the oldest and of the newest record that waits: their ids say when they were made."""
    ids = outbox.waiting() or ()
    made_s = [(UUID(record_id).int >> 80) / 1000 for record_id in ids]
    return [max(0.0, time.time() - at_s) for at_s in made_s] or [0.0, 0.0]


def _calibrated(excerpt: Excerpt) -> Figures:
    calibration, judges = calibration_of(excerpt), judges_of(excerpt)
    told = {tier: each for tier, each in calibration.items() if each["enough"]}
    found: dict[StandingGauge, Mapping[str, float]] = {
        "calibration_error": {tier: each["ece"] for tier, each in told.items()},
        "brier_score": {tier: each["brier"] for tier, each in told.items()},
    }
    named: dict[StandingGauge, str] = {
        "judge_accepts_right": "accepts_right",
        "judge_accepts_wrong": "accepts_wrong",
    }
    for gauge, name in named.items():
        shares = {tier: each[name] for tier, each in judges.items()}
        found[gauge] = {t: each["value"] for t, each in shares.items() if each["enough"]}
    return found


def _weighted(values: Sequence[float], known: Sequence[Kept]) -> float:
    """The mean, each tenant by its audits."""
    audits = [kept.audits for kept in known]
    return sum(v * a for v, a in zip(values, audits, strict=True)) / sum(audits)
