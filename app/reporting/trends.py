"""How things went over time, and how well they were foreseen: what the dashboard draws."""

from dataclasses import asdict
from math import floor, isnan
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.intervals import wilson
from app.jsontext import Json
from app.learning.labels import SOURCES
from app.records import PURPOSES
from app.reporting.book import NOBODY, OTHERS, OUTCOMES, PHASES, Excerpt
from app.reporting.counterfactual import N_EFF_MIN, Sums
from app.reporting.sightings import SERVED

Floats: TypeAlias = npt.NDArray[np.float64]

BUCKETS, BUCKETS_MOST = 48, 200
LONGEST_S = 90 * 86_400.0
STEPS_S = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 604_800)
TRAIL = 3000
"""An accuracy over time is of the newest so many requests by then."""
BINS = 10
NEWEST = 50
_PERCENTILES = (50, 95, 99)


def timeline_of(excerpt: Excerpt, since_s: float | None, now_s: float) -> Json:
    """Step by step who answered, what it cost, and the accuracy of the requests before.

    From `since_s` to `now_s`; without it, and where that is long ago, from the first request to the
    last. Units: USD by purpose
    of the routed requests in a step. Shape: each list has a figure a step.
    """
    rows, tiers = excerpt.rows, excerpt.tiers
    starts_s, step_s, at = _steps(rows["time_s"], since_s, now_s)
    count = len(starts_s)

    def counted(mask: npt.NDArray[np.bool_]) -> list[int]:
        return np.bincount(at[mask], minlength=count).tolist() if count else []

    def summed(values: Floats) -> list[float]:
        return np.bincount(at, weights=values, minlength=count).tolist() if count else []

    routed, served = rows["routed"], rows["served"]
    usd = np.nan_to_num(rows["usd"]) * routed[:, None]
    return {
        "step_s": step_s,
        "starts_s": starts_s,
        "requests": counted(np.ones(len(rows), np.bool_)),
        "routed": counted(routed),
        "served_by": {t: counted(routed & (served == i)) for i, t in enumerate(tiers)},
        "pinned": counted(~routed),
        "unanswered": counted(rows["outcome"] != OUTCOMES.index("answered")),
        "usd": {purpose: summed(usd[:, i]) for i, purpose in enumerate(PURPOSES)},
        "unknown_cost": counted(routed & np.isnan(rows["usd"]).any(axis=1)),
        "accuracy": _accuracies(excerpt, at, count),
    }


def calibration_of(excerpt: Excerpt) -> Json:
    """By tier, what was believed beside what coins found, in ten bins of equal width.

    Weighted as the report is, so requests that nobody chose to look at count through those that a
    coin did. `brier` is the mean squared error, `ece` the expected calibration error.
    """
    rows = excerpt.rows[excerpt.rows["comparable"]]
    columns = Sums.columns(excerpt.tiers)
    return {
        tier: _calibration(rows["vector"][:, columns["accuracy", tier] :][:, :3])
        for tier in excerpt.tiers
    }


def judges_of(excerpt: Excerpt) -> Json:
    """By tier whose answers were judged: how often right ones and wrong ones were accepted.

    From verdicts that a coin set against a better tier's answer, which makes each right with some
    probability: `n_eff` are such counts, not whole answers.
    """
    found: Json = {}
    for at, tier in enumerate(excerpt.tiers):
        right, valid = excerpt.rows["judged"][:, at].T.astype(np.float64)
        known = ~np.isnan(right)
        right, valid = right[known], valid[known]
        found[tier] = {
            "verdicts": int(known.sum()),
            "accepts_right": _share(float(right @ valid), float(right.sum())),
            "accepts_wrong": _share(float((1 - right) @ valid), float((1 - right).sum())),
        }
    return found


def latency_of(excerpt: Excerpt) -> Json:
    """By phase, how long it took. Units: seconds; `count` requests had the phase."""
    found: Json = {}
    for at, phase in enumerate(PHASES):
        seconds = excerpt.rows["seconds"][:, at]
        seconds = seconds[~np.isnan(seconds)]
        cuts = np.percentile(seconds, _PERCENTILES).tolist() if len(seconds) else [None] * 3
        named = {f"p{percent}_s": cut for percent, cut in zip(_PERCENTILES, cuts, strict=True)}
        found[phase] = {"count": len(seconds), **named}
    return found


def newest_of(excerpt: Excerpt, *, tenants: bool) -> list[Json]:
    """The last requests, as many routed as pinned ones, the newest first."""
    routed, tiers = excerpt.rows["routed"], excerpt.tiers
    last = np.sort(np.concatenate([np.flatnonzero(mask)[-NEWEST:] for mask in (routed, ~routed)]))
    found = []
    for row in excerpt.rows[last[::-1]]:
        usd = float(row["usd"].sum())
        whole_s = float(row["seconds"][PHASES.index("whole")])
        told = {
            "id": row["id"].decode(),
            "time_s": float(row["time_s"]),
            "task": _named(excerpt.names["task"], int(row["task"])),
            "kind": "routed" if row["routed"] else "pinned",
            "trial": bool(row["trial"]),
            "outcome": OUTCOMES[row["outcome"]],
            "first": _named(tiers, int(row["first"])),
            "served": _named(tiers, int(row["served"])),
            "attempts": int(row["attempts"]),
            "verified": bool(row["verified"]),
            "degraded": bool(row["degraded"]),
            "usd": None if isnan(usd) else usd,
            "seconds": whole_s,
            "label": None if row["source"] == NOBODY else float(row["label"]),
            "source": None if row["source"] == NOBODY else SOURCES[row["source"]],
        }
        if tenants:
            told["tenant"] = _named(excerpt.names["tenant"], int(row["tenant"]))
        found.append(told)
    return found


def _steps(
    times_s: Floats, since_s: float | None, now_s: float
) -> tuple[list[float], int, npt.NDArray[np.int64]]:
    """Where the steps begin, how long they are, and in which one each request is."""
    if since_s is not None and now_s - LONGEST_S <= since_s <= now_s:
        first_s, last_s = since_s, now_s
    elif len(times_s):
        first_s, last_s = float(times_s.min()), float(times_s.max())
    else:
        return [], STEPS_S[0], np.zeros(0, np.int64)
    step_s = next((s for s in STEPS_S if last_s - first_s <= s * (BUCKETS - 1)), STEPS_S[-1])
    begin_s = floor(first_s / step_s) * step_s
    count = min(floor((last_s - begin_s) / step_s) + 1, BUCKETS_MOST)
    at = np.clip((times_s - begin_s) // step_s, 0, count - 1).astype(np.int64)
    return [float(begin_s + step_s * number) for number in range(count)], step_s, at


def _accuracies(excerpt: Excerpt, at: npt.NDArray[np.int64], count: int) -> list[Json]:
    """Of what was served, of the `TRAIL` newest requests by the end of each step."""
    comparable = excerpt.rows["comparable"]
    rows, steps = excerpt.rows[comparable], at[comparable]
    ends = np.searchsorted(np.maximum.accumulate(steps), np.arange(count), side="right")
    told: dict[int, Json] = {}
    for end in np.unique(ends).tolist():
        some = Excerpt(excerpt.tiers, rows[max(0, end - TRAIL) : end], {})
        told[end] = asdict(some.sums().figure(("accuracy", SERVED)))
    return [told[end] for end in ends.tolist()]


def _calibration(parts: Floats) -> Json:
    """Of one tier, from each row's prediction, weight and weighted surprise."""
    believed, weight, surprise = parts[parts[:, 1] > 0].T
    total = float(weight.sum())
    if not total:
        return {"n_eff": 0.0, "enough": False, "brier": None, "ece": None, "bins": []}
    found = believed + surprise / weight
    at = np.clip((believed * BINS).astype(np.int64), 0, BINS - 1)
    bins = [
        _bin(number, believed, found, weight, at == number) for number in np.unique(at).tolist()
    ]
    n_eff = _n_eff(weight)
    return {
        "n_eff": n_eff,
        "enough": n_eff >= N_EFF_MIN,
        "brier": float(np.average((believed - found) ** 2, weights=weight)),
        "ece": sum(one["weight"] / total * abs(one["believed"] - one["found"]) for one in bins),
        "bins": bins,
    }


def _bin(
    number: int, believed: Floats, found: Floats, weight: Floats, mask: npt.NDArray[np.bool_]
) -> Json:
    n_eff, share = _n_eff(weight[mask]), float(np.average(found[mask], weights=weight[mask]))
    low, high = wilson(min(1.0, max(0.0, share)), n_eff)
    return {
        "from": number / BINS,
        "to": (number + 1) / BINS,
        "believed": float(np.average(believed[mask], weights=weight[mask])),
        "found": share,
        "low": low,
        "high": high,
        "n_eff": n_eff,
        "weight": float(weight[mask].sum()),
    }


def _n_eff(weight: Floats) -> float:
    return float(weight.sum() ** 2 / (weight**2).sum())


def _share(hits: float, count: float) -> Json:
    if count <= 0:
        return {"n_eff": 0.0, "enough": False, "value": None, "low": None, "high": None}
    low, high = wilson(hits / count, count)
    return {
        "n_eff": count,
        "enough": count >= N_EFF_MIN,
        "value": hits / count,
        "low": low,
        "high": high,
    }


def _named(names: tuple[str, ...], number: int) -> str | None:
    if number == OTHERS:
        return "(others)"
    return names[number] if number >= 0 else None
