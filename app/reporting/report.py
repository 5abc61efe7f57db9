"""The report: what was spent and saved, and whether routing pays, as JSON to read or to show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf

import numpy as np

from app.errors import RequestError
from app.jsontext import Json
from app.records import PURPOSES, Purpose
from app.reporting.alarms import Alarm
from app.reporting.book import Excerpt
from app.reporting.counterfactual import Sums
from app.reporting.sightings import SERVED
from app.reporting.standing import PER, Standing
from app.reporting.survey import (
    Against,
    against,
    counts_of,
    groups_of,
    hull_of,
    sources_of,
    spend_of,
    standing_in,
)
from app.reporting.tracker import Tracker

OBJECT = "autoshift.report"
NOTHING = "nothing to compare yet: no request was routed"


@dataclass(frozen=True, slots=True)
class Stands:
    """How things stand, over all requests with the older ones fading, or over some."""

    standing: Standing | None
    savings: Mapping[str, Against]
    spend_usd_per_1000: Mapping[Purpose, float] | None


@dataclass(frozen=True, slots=True)
class Told:
    """What a report is about. `tenant` None: everybody's."""

    tenant: str | None
    since_s: float | None
    excerpt: Excerpt
    standing: Standing | None
    savings: Mapping[str, Against]
    spend_usd_per_1000: Mapping[Purpose, float] | None
    alarms: Sequence[Alarm]
    simulated: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a report needs, as it was at one moment; `told` may take its time, in a thread."""

    tenant: str | None
    since_s: float | None
    book: Excerpt
    fading: Stands | None
    alarms: Sequence[Alarm]
    simulated: bool

    def told(self) -> Told:
        excerpt = self.book.of(self.tenant, -inf if self.since_s is None else self.since_s)
        stands = self.fading or _stands_in(excerpt)
        return Told(
            tenant=self.tenant,
            since_s=self.since_s,
            excerpt=excerpt,
            standing=stands.standing,
            savings=stands.savings,
            spend_usd_per_1000=stands.spend_usd_per_1000,
            alarms=self.alarms,
            simulated=self.simulated,
        )


def snapshot_of(
    tracker: Tracker,
    tenant: str | None = None,
    *,
    since_s: float | None = None,
    simulated: bool = False,
) -> Snapshot:
    """Of one tenant, or over all; without `since_s`, older requests fade.

    `simulated`: the tiers are.
    """
    fading = None
    if since_s is None:
        savings = _savings(tracker.sums(tenant))
        fading = Stands(tracker.standing(tenant), savings, tracker.spend(tenant))
    return Snapshot(tenant, since_s, tracker.book.copy(), fading, tracker.alarms, simulated)


def told_by(
    tracker: Tracker,
    tenant: str | None = None,
    *,
    since_s: float | None = None,
    simulated: bool = False,
) -> Told:
    """The same, told at once."""
    return snapshot_of(tracker, tenant, since_s=since_s, simulated=simulated).told()


def _stands_in(excerpt: Excerpt) -> Stands:
    if not excerpt.rows["routed"].any():
        return Stands(None, {}, None)
    sums = excerpt.sums()
    return Stands(standing_in(excerpt, sums), _savings(sums), _spend_usd_per_1000(excerpt, sums))


def _savings(sums: Sums | None) -> dict[str, Against]:
    return {} if sums is None else {tier: against(sums, tier) for tier in sums.tiers}


def report_of(told: Told, baseline: str | None = None) -> Json:
    """The report, its savings told against `baseline`; left out: the dearest tier.

    Units: USD; USD per 1,000 requests. Errors: RequestError for a baseline that is no tier.
    """
    tiers = told.excerpt.tiers
    if baseline is not None and tiers and baseline not in tiers:
        raise RequestError(
            f"baseline must be one of the tiers {', '.join(tiers)}", param="baseline"
        )
    chosen = baseline or (tiers[-1] if tiers else None)
    return {
        "object": OBJECT,
        "simulated": told.simulated,
        "since_s": told.since_s,
        "complete_since_s": told.excerpt.complete_since_s,
        "tiers": list(tiers),
        **(_nothing() if told.standing is None else _stands(told.standing)),
        "hull": [] if told.standing is None else hull_of(told.standing),
        "baseline": chosen,
        "savings": {tier: asdict(one) for tier, one in told.savings.items()},
        "saving_sentence": _saving(told, chosen),
        "spend_usd_per_1000": told.spend_usd_per_1000,
        "counts": counts_of(told.excerpt),
        "spend": spend_of(told.excerpt),
        "accuracy_from": sources_of(told.excerpt),
        **_groups(told, chosen),
        "alarms": [asdict(alarm) for alarm in told.alarms],
    }


def _groups(told: Told, baseline: str | None) -> Json:
    """Where averages hide harm. Tenants are told apart only for whoever may see them all."""
    if baseline is None:
        return {"by_task": [], "by_tier": []}
    found: Json = {
        "by_task": groups_of(told.excerpt, "task", baseline),
        "by_tier": groups_of(told.excerpt, "tier", baseline),
    }
    if told.tenant is None:
        found["by_tenant"] = groups_of(told.excerpt, "tenant", baseline)
    return found


def _saving(told: Told, baseline: str | None) -> str:
    """Signed, with what it did to accuracy beside it."""
    if baseline is None or baseline not in told.savings or told.standing is None:
        return "nothing to compare yet"
    one = told.savings[baseline]
    saved, accuracy = one.saved_usd_per_1000, one.accuracy
    if saved.value is None:
        return f"what was saved against {baseline} alone is unknown: {saved.why}"
    share, part = one.saved.value, ""
    if share is not None:
        part = (
            f", {abs(share):.0%} of its cost"
            if share > -1
            else f", {1 - share:,.1f} times its cost"
        )
    word = "saved" if saved.value >= 0 else "spent more:"
    kept = f"its accuracy beside that is unknown: {accuracy.why}"
    if accuracy.value is not None and accuracy.low is not None and accuracy.high is not None:
        low, value, high = (100 * end for end in (accuracy.low, accuracy.value, accuracy.high))
        kept = f"at {value:+.1f} points of accuracy [{low:+.1f}, {high:+.1f}]"
    return (
        f"against {baseline} alone, routing {word} ${_usd(abs(saved.value))} per 1,000 requests"
        f"{part}; {kept}"
    )


def _usd(usd: float) -> str:
    return f"{usd:,.2f}" if usd >= 1 else f"{usd:.3g}"


def _spend_usd_per_1000(excerpt: Excerpt, sums: Sums) -> dict[Purpose, float] | None:
    """What was spent on what by the requests that can be compared; None where it is unknown."""
    rows = excerpt.rows[excerpt.rows["comparable"]]
    if not len(rows) or sums.is_unpriced(SERVED):
        return None
    usd = PER * np.nansum(rows["usd"], axis=0) / len(rows)
    return dict(zip(PURPOSES, usd.tolist(), strict=True))


def _stands(standing: Standing) -> Json:
    told: Json = asdict(standing)
    best = told["best"]
    if best is not None:
        best["usd_per_1000"] = PER * best.pop("usd")
    return told


def _nothing() -> Json:
    return {
        "requests": 0.0,
        "left_out": 0.0,
        "served": None,
        "fixed": {},
        "best": None,
        "gain": None,
        "tied": None,
        "state": "unknown",
        "sentence": NOTHING,
    }
