"""What a report says of some requests: spend, savings, where accuracies come from, and groups."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

import numpy as np

from app.jsontext import Json
from app.learning.labels import SOURCES
from app.records import PURPOSES
from app.reporting.book import NOBODY, OTHERS, OUTCOMES, Excerpt
from app.reporting.counterfactual import Figure, Quantity, Sums
from app.reporting.sightings import SERVED
from app.reporting.standing import PER, Standing, standing_of
from app.reporting.window import WATCHED

GROUPS = 20
_UNNAMED = {NOBODY: None, OTHERS: "(others)"}
Point: TypeAlias = tuple[float, float]
By: TypeAlias = Literal["task", "tenant", "tier"]


@dataclass(frozen=True, slots=True)
class Against:
    """What was served beside one tier alone, on the same requests.

    Units: `saved_usd_per_1000` is positive where the tier alone would have cost more, `saved` its
    share of that cost; `accuracy` is what was served less the tier's. `harm`: it is lower for sure.
    """

    saved_usd_per_1000: Figure
    saved: Figure
    accuracy: Figure
    harm: bool


def standing_in(excerpt: Excerpt, sums: Sums | None = None) -> Standing:
    """How things stand on these requests alone, none of them faded."""
    routed = excerpt.rows["routed"]
    left_out = float((routed & ~excerpt.rows["comparable"]).sum())
    return standing_of(sums or excerpt.sums(), left_out, margin=WATCHED)


def against(sums: Sums, tier: str) -> Against:
    """Signed: whoever saves by it loses nothing by saying so where it costs more."""
    saved = _money(sums, tier, {("usd", tier): 1.0, ("usd", SERVED): -1.0}, per=PER)
    fixed_usd, served_usd = sums.mean(("usd", tier)), sums.mean(("usd", SERVED))
    share = Figure(saved.n_eff, why=saved.why)
    if saved.value is not None and fixed_usd > 0:
        slopes: dict[Quantity, float] = {
            ("usd", tier): served_usd / fixed_usd**2,
            ("usd", SERVED): -1 / fixed_usd,
        }
        share = sums.combined(slopes, value=1 - served_usd / fixed_usd)
    accuracy = sums.combined({("accuracy", SERVED): 1.0, ("accuracy", tier): -1.0})
    return Against(saved, share, accuracy, _is_sure_loss(accuracy))


def hull_of(standing: Standing) -> list[str]:
    """The tiers that no coin between two others beats, the cheapest first."""
    known = {
        tier: (way.usd_per_1000.value, way.accuracy.value)
        for tier, way in standing.fixed.items()
        if way.usd_per_1000.value is not None and way.accuracy.value is not None
    }
    hull: list[str] = []
    for tier in sorted(known, key=lambda tier: (known[tier][0], -known[tier][1])):
        if hull and known[tier][1] <= known[hull[-1]][1]:
            continue
        while len(hull) > 1 and _is_under(known[hull[-1]], known[hull[-2]], known[tier]):
            hull.pop()
        hull.append(tier)
    return hull


def counts_of(excerpt: Excerpt) -> Json:
    """How many requests there were, of which kind, and who answered.

    `trials` are no requests: they were tried beside one. `served_by` has them all the same.
    """
    rows, tiers = excerpt.rows, excerpt.tiers
    routed, trials = rows[rows["routed"]], int(rows["trial"].sum())
    return {
        "all": len(rows) - trials,
        "routed": len(routed) - trials,
        "pinned": len(rows) - len(routed),
        "trials": trials,
        "failed": int((rows["outcome"] == OUTCOMES.index("failed")).sum()),
        "abandoned": int((rows["outcome"] == OUTCOMES.index("abandoned")).sum()),
        "degraded": int(rows["degraded"].sum()),
        "served_by": {t: int((routed["served"] == at).sum()) for at, t in enumerate(tiers)},
    }


def spend_of(excerpt: Excerpt) -> Json:
    """All that was spent on these requests, comparable or not, and of how many it is unknown."""
    usd = excerpt.rows["usd"]
    unknown = np.isnan(usd)
    by_purpose = dict(zip(PURPOSES, np.nansum(usd, axis=0).tolist(), strict=True))
    return {
        "usd": float(np.nansum(usd)),
        "by_purpose_usd": by_purpose,
        "requests_of_unknown_cost": int(unknown.any(axis=1).sum()),
        "unknown_by_purpose": dict(zip(PURPOSES, unknown.sum(axis=0).tolist(), strict=True)),
    }


def sources_of(excerpt: Excerpt) -> Json:
    """Where the accuracy of what was served comes from.

    `labels` are requests, `weight` is the source's share of the estimate, `mean` its labels' own;
    `unused` labels are on requests that no coin chose, so they would be a biased sample.
    """
    rows = excerpt.rows[excerpt.rows["comparable"]]
    weight = rows["vector"][:, Sums.columns(excerpt.tiers)["accuracy", SERVED] + 1]
    total = float(weight.sum())
    found: Json = {}
    for at, source in enumerate(SOURCES):
        mine = rows["source"] == at
        used = mine & (weight > 0)
        mean = float(np.average(rows["label"][used], weights=weight[used])) if used.any() else None
        found[source] = {
            "labels": int(used.sum()),
            "weight": float(weight[used].sum()) / total if total else 0.0,
            "mean": mean,
            "unused": int((mine & ~used).sum()),
        }
    return found


def groups_of(excerpt: Excerpt, by: By, baseline: str) -> list[Json]:
    """The same by task, tenant or tier that answered, the largest group first."""
    routed = excerpt.where(excerpt.rows["routed"])
    found = list(_parts(routed, by))
    found.sort(key=lambda part: len(part[1].rows), reverse=True)
    return [_group(name, part, baseline) for name, part in found[:GROUPS]]


def _parts(excerpt: Excerpt, by: By) -> Iterator[tuple[str | None, Excerpt]]:
    numbers = excerpt.rows["served" if by == "tier" else by]
    names = excerpt.tiers if by == "tier" else excerpt.names[by]
    for number in np.unique(numbers).tolist():
        name = names[number] if number >= 0 else _UNNAMED[number]
        yield name, excerpt.where(numbers == number)


def _group(name: str | None, part: Excerpt, baseline: str) -> Json:
    sums = part.sums()
    standing = standing_in(part, sums)
    return {
        "name": name,
        "requests": len(part.rows),
        "compared": int(sums.rows),
        "served": asdict(standing.served),
        "against": asdict(against(sums, baseline)),
        "state": standing.state,
        "sentence": standing.sentence,
    }


def _is_under(point: Point, left: Point, right: Point) -> bool:
    """Whether it lies on the line between the other two, or under it."""
    run, rise = right[0] - left[0], right[1] - left[1]
    return (point[1] - left[1]) * run <= rise * (point[0] - left[0])


def _money(sums: Sums, tier: str, parts: dict[Quantity, float], per: float) -> Figure:
    for name in (tier, SERVED):
        if sums.is_unpriced(name):
            return Figure(sums.n_eff(("usd", name)), why=f"a price of {name} is unknown")
    return sums.combined(parts, per=per)


def _is_sure_loss(accuracy: Figure) -> bool:
    """By three standard errors: among many groups one is worse by chance."""
    if accuracy.value is None or accuracy.low is None:
        return False
    return accuracy.value + WATCHED * (accuracy.value - accuracy.low) < 0
