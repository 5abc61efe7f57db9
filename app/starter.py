"""The Starter: from similar records to an accuracy for every tier, and to the first tier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.learning.influence import toned_down
from app.neighbours import Neighbour
from app.records import Estimate, Labels, Record
from app.tiers import TierLadder


@dataclass(frozen=True, slots=True)
class AccuracyEstimator:
    """How likely each tier is to answer a question well, judged by its neighbours.

    Source: Na et al. 2025 (LLM-AT), accuracy estimator: P = (n_T + λ·Acc) / (n_T + n_F + λ), with
    n_T and n_F the summed similarities of neighbours labelled right and wrong, λ `prior_weight`.
    """

    prior_weight: float

    def estimate(
        self,
        ladder: TierLadder,
        neighbours: Sequence[Neighbour],
        label: Callable[[Record], Labels],
        asker: str | None = None,
    ) -> dict[str, Estimate]:
        """Expected accuracy of every tier, to whom asks with the key `asker`.

        Shape: one Estimate a tier of the ladder, lowest first.
        Units: similarity is a cosine; a negative one counts as 0. A label is a probability.
        Errors: none; without neighbours the estimate is the prior.
        """
        similar = np.array([max(0.0, n.similarity) for n in neighbours])
        weights = toned_down(similar, neighbours, asker).tolist()
        labelled = [(w, label(n.record)) for w, n in zip(weights, neighbours, strict=True)]
        return {tier.name: self._one(tier.name, tier.prior, labelled) for tier in ladder}

    def _one(self, tier: str, prior: float, labelled: Sequence[tuple[float, Labels]]) -> Estimate:
        weights = [(weight, labels[tier]) for weight, labels in labelled if tier in labels]
        right = sum(weight * label for weight, label in weights)
        wrong = sum(weight * (1 - label) for weight, label in weights)
        evidence = right + wrong + self.prior_weight
        accuracy = (right + self.prior_weight * prior) / evidence if evidence else prior
        return Estimate(accuracy, prior, right, wrong)


@dataclass(frozen=True, slots=True)
class Starter:
    """The first tier by a threshold on accuracy.

    Source: LLM-AT: the lowest tier whose accuracy reaches θ; where none does, or fewer than k
    records are known yet, the lowest tier of all.
    """

    threshold: float
    neighbours: int

    def start(self, ladder: TierLadder, estimates: Mapping[str, Estimate], known: int) -> str:
        """The tier to begin with; `known` is how many neighbours were found."""
        if known >= self.neighbours:
            for tier in ladder:
                if estimates[tier.name].accuracy >= self.threshold:
                    return tier.name
        return ladder.lowest.name
