"""Fuses what is known of a kind of question with what the nearest records say of this one."""

from collections.abc import Callable, Mapping

import numpy as np

from app.learning.amounts import Label
from app.learning.influence import toned_down
from app.policy import Context
from app.records import Estimate, Record

SHARPNESS = 4
"""A neighbour counts by its similarity to this power: what is far says next to nothing."""
ACCURACY_MIN, ACCURACY_MAX = 0.02, 0.98


def fused(
    context: Context,
    priors: Mapping[str, float],
    label: Callable[[Record], Mapping[str, Label]],
    prior_weight: float,
) -> dict[str, Estimate]:
    """Each tier's accuracy: the neighbours' mean by how many they amount to, the prior else.

    How many: n_eff = (Σw)² / Σw² (Kish 1965), and never more than Σw, so that many that are all far
    off do not amount to much.
    Shape: one Estimate a tier of the ladder. Units: `prior_weight` in neighbours.
    """
    near = context.neighbours
    similar = np.array([max(0.0, n.similarity) for n in near]) ** SHARPNESS
    weights = toned_down(similar, near, context.principal).tolist()
    labelled = [(w, label(n.record)) for w, n in zip(weights, near, strict=True) if w > 0]
    found = {}
    for tier in context.ladder.names:
        told = [(w * of[tier].weight, of[tier].right) for w, of in labelled if tier in of]
        total = sum(weight for weight, _ in told)
        squares = sum(weight**2 for weight, _ in told)
        count = min(total, total**2 / squares) if squares > 0 else 0.0
        right = count * sum(weight * one for weight, one in told) / total if total > 0 else 0.0
        evidence = count + prior_weight
        mean = (right + prior_weight * priors[tier]) / evidence if evidence else priors[tier]
        accuracy = min(ACCURACY_MAX, max(ACCURACY_MIN, mean))
        found[tier] = Estimate(accuracy, priors[tier], right, count - right)
    return found
