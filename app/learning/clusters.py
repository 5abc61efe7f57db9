"""Clusters of questions, by k-means over their vectors, and how near a question is to them."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.records import Vector

Array: TypeAlias = npt.NDArray[np.float64]

ROUNDS = 30
SEED = 7
LOW = 25
"""The percentile of members that counts as fully inside: the outer quarter is a border."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """Centres of length 1. Shape: (clusters, dimension).

    `inside` is the cosine from which a question is as one of its cluster's own; `outside` that of
    questions that have nothing to do with it.
    """

    centres: Array
    inside: float
    outside: float

    def place(self, vector: Vector) -> tuple[int, float]:
        """The nearest cluster, and how far it may be believed: from 0 to 1.

        Source: S3 of Shnitzer et al. 2023 (arXiv 2309.15789): what was measured elsewhere counts
        less, the further off it was measured.
        """
        cosines = self.centres @ np.asarray(vector, dtype=np.float64)
        nearest = int(np.argmax(cosines))
        width = max(self.inside - self.outside, 1e-6)
        trust = (float(cosines[nearest]) - self.outside) / width
        return nearest, min(1.0, max(0.0, trust))


def cluster(vectors: Array, count: int) -> tuple[Clusters, npt.NDArray[np.int64]]:
    """At most `count` clusters, and each vector's; the same ones for the same vectors.

    Shape: `vectors` is (questions, dimension), each of length 1.
    Source: k-means on the sphere (Dhillon and Modha 2001), begun as k-means++ has it.
    """
    rng = np.random.default_rng(SEED)
    centres = _seeds(vectors, count, rng)
    member = np.argmax(vectors @ centres.T, axis=1)
    for _ in range(ROUNDS):
        sums = np.array([vectors[member == at].sum(axis=0) for at in range(len(centres))])
        lengths = np.linalg.norm(sums, axis=1)
        alive = lengths > 1e-9  # noqa: PLR2004 - nothing belongs to it, or its members cancel out
        centres = sums[alive] / lengths[alive, None]
        moved = np.argmax(vectors @ centres.T, axis=1)
        if alive.all() and np.array_equal(moved, member):
            break
        member = moved
    cosines = vectors @ centres.T
    own = cosines[np.arange(len(vectors)), member]
    others = cosines.sum(axis=1) - own
    outside = float(others.mean()) / (len(centres) - 1) if len(centres) > 1 else 0.0
    return Clusters(centres, float(np.percentile(own, LOW)), outside), member


def _seeds(vectors: Array, count: int, rng: np.random.Generator) -> Array:
    """Vectors far from each other to begin with; fewer where there are not so many kinds."""
    chosen = [vectors[rng.integers(len(vectors))]]
    while len(chosen) < count:
        gaps = 1 - (vectors @ np.array(chosen).T).max(axis=1)
        gaps = np.maximum(gaps, 0.0)
        if gaps.max() < 1e-6:  # noqa: PLR2004 - all that is left are copies
            break
        chosen.append(vectors[rng.choice(len(vectors), p=gaps / gaps.sum())])
    return np.array(chosen)
