"""How good the policies' estimates are: every tier's, before anything ran, beside the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.replay.baselines import Truth
from app.replay.bootstrap import Floats
from app.replay.figures import Runs, calibration_error

SETTLED = 500
"""From so many questions on, estimates are also looked at by themselves."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Estimates of every tier's accuracy against what its answers were, over all orders.

    `skill` is 1 - Brier / Brier of the running rate, which knows of a tier only how often it was
    right so far in the stream, and that for every question; over 0 is better. `ece` is the expected
    calibration error over ten bins of equal width, all tiers together; `ece_by_tier` apart. `auc`
    is the chance that a question which the tier gets right has the higher estimate of two; None
    where all are alike. Shape of `comparisons`: one a question and tier with an estimate.
    """

    comparisons: int
    brier: float
    skill: float | None
    ece: float
    ece_by_tier: dict[str, float]
    auc: dict[str, float | None]


def reliability(
    runs: Runs, truth: Truth, priors: Mapping[str, float], *, after: int = 0
) -> Reliability | None:
    """Of the estimates from question `after` on; None where there are none.

    `priors` names the tiers, lowest first; the running rate starts from them as from one answer.
    """
    tiers = tuple(priors)
    believed = runs.streams["estimates"][:, after:, : len(tiers)]
    right = np.moveaxis(truth.correct[:, runs.streams["query"]], 0, -1).astype(np.float64)
    rates = running_rates(right, np.array(list(priors.values())))[:, after:]
    right = right[:, after:]
    known = ~np.isnan(believed)
    if not known.any():
        return None
    brier = float(((believed - right)[known] ** 2).mean())
    usual = float(((rates - right)[known] ** 2).mean())
    each = [known[..., at] for at in range(len(tiers))]
    return Reliability(
        comparisons=int(known.sum()),
        brier=brier,
        skill=1 - brier / usual if usual else None,
        ece=calibration_error(believed[known], right[known]),
        ece_by_tier={
            tier: calibration_error(believed[..., at][each[at]], right[..., at][each[at]])
            for at, tier in enumerate(tiers)
            if each[at].any()
        },
        auc={tier: _mean_auc(believed[..., at], right[..., at]) for at, tier in enumerate(tiers)},
    )


def running_rates(right: Floats, priors: Floats) -> Floats:
    """How often each tier was right before every question. Shape: (orders, queries, tiers)."""
    before = np.cumsum(right, axis=1) - right
    seen = np.arange(right.shape[1], dtype=np.float64)[None, :, None]
    rates: Floats = (before + priors) / (seen + 1)
    return rates


def auc(scores: Floats, right: Floats) -> float | None:
    """The chance that of two questions the one that is right has the higher score; ties are half.

    Source: the Mann-Whitney statistic.
    """
    values, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    if not values.size:
        return None
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positives = float(right.sum())
    negatives = right.size - positives
    if not positives or not negatives:
        return None
    above = float(ranks[right > 0].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def _mean_auc(believed: Floats, right: Floats) -> float | None:
    """Order by order, since estimates of one order cannot be ranked among another's."""
    found: Sequence[float | None] = [
        auc(scores[~np.isnan(scores)], truth[~np.isnan(scores)])
        for scores, truth in zip(believed, right, strict=True)
    ]
    each = [value for value in found if value is not None]
    return sum(each) / len(each) if each else None
