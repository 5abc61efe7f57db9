"""What similar questions could tell if every tier's answer to each of them were graded.

An upper bound that nobody can run: it knows the truth of all other questions, later ones included.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.planning.nearby import SHARPNESS
from app.replay.baselines import Truth
from app.replay.bootstrap import Floats
from app.replay.estimates import auc
from app.replay.sweeps import Spent

NEIGHBOURS = 50
NEAR_DUPLICATE = 0.98
"""Questions more similar than this are taken for the same one, and do not vouch for it."""
MARGINS = (0.0, *np.geomspace(0.003, 30, 25).tolist())
"""The accuracy (of 1) that a mean call of the dearest tier must buy: the dial that is swept."""


@dataclass(frozen=True, slots=True)
class FullLabels:
    """Each tier's accuracy and cost near every question, the question itself left out.

    Shape: (tiers, queries) each. Units: USD of one answer.
    """

    accuracy: Floats
    usd: Floats


def full_labels(vectors: Floats, truth: Truth) -> FullLabels:
    """Means over the nearest questions, near-duplicates left out.

    A question counts by its similarity to the power that `value` has it count by. Where no other
    is similar, the tier's mean stands in.
    Shape of `vectors`: (queries, dimension), each of length 1, or 0 where it has none.
    Source: kNN router, RouterBench (Hu et al. 2024).
    """
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, np.inf)
    similar[similar > NEAR_DUPLICATE] = -np.inf
    wanted = min(NEIGHBOURS, len(vectors) - 1)
    nearest = np.argsort(-similar, axis=1, kind="stable")[:, :wanted]
    found = np.take_along_axis(similar, nearest, axis=1)
    weights = np.maximum(np.where(np.isfinite(found), found, 0.0), 0.0) ** SHARPNESS
    total = weights.sum(axis=1)

    def near(values: Floats) -> Floats:
        means = values.mean(axis=1, keepdims=True)
        summed = (values[:, nearest] * weights).sum(axis=2)
        known: Floats = np.where(total > 0, summed / np.maximum(total, 1e-12), means)
        return known

    return FullLabels(near(truth.correct.astype(np.float64)), near(truth.usd))


def swept(labels: FullLabels, truth: Truth) -> list[Spent]:
    """One tier a question, of the highest accuracy less λ times its cost; at every λ.

    Equals go to the lower tier.
    """
    top_usd = max(float(truth.usd.mean(axis=1).max()), 1e-12)
    every = np.arange(truth.correct.shape[1])
    found = []
    for margin in MARGINS:
        chosen = (labels.accuracy - margin / top_usd * labels.usd).argmax(axis=0)
        correct = truth.correct[chosen, every].astype(np.float64)
        found.append(Spent(truth.usd[chosen, every], correct))
    return found


def auc_by_tier(labels: FullLabels, truth: Truth, tiers: Sequence[str]) -> dict[str, float | None]:
    """How well each tier's leave-one-out accuracy tells questions it gets right from others."""
    right = truth.correct.astype(np.float64)
    return {tier: auc(labels.accuracy[at], right[at]) for at, tier in enumerate(tiers)}
