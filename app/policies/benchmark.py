"""Benchmark: begins from an evaluation file, by the kind of question, and goes on from records.

Source: accuracies by cluster as UniRoute (Jitkrittum et al. 2025, arXiv 2502.08773); believed less
the further off a question is, as S3 of Shnitzer et al. 2023 (arXiv 2309.15789); labels relative to
the strong tier's, where asked for, as Hybrid LLM (Ding et al. 2024, arXiv 2404.14618).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from app.errors import SettingsError
from app.learning.belief import Rates, lifted
from app.learning.clusters import Array, Clusters, cluster
from app.learning.evaluations import Evaluation, good_enough
from app.planning.climber import Climber, Climbing
from app.planning.fusion import fused
from app.policy import Context
from app.records import Estimate
from app.tiers import TierLadder

CLUSTERS_MAX, CLUSTER_SIZE = 32, 40
FILE_SHRINKAGE = 4.0
"""How many graded questions a tier's prior counts for beside the whole file."""
CLUSTER_SHRINKAGE = 6.0
"""How many a tier's rate counts for beside those of a cluster."""
RATE_MIN, RATE_MAX = 0.02, 0.98
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Graded:
    """What an evaluation file says: each tier's rate over all of it, and by cluster."""

    clusters: Clusters
    overall: Mapping[str, float]
    rates: Sequence[Mapping[str, float]]


def graded(
    evaluations: Sequence[Evaluation],
    vectors: Array,
    ladder: TierLadder,
    *,
    within: float | None = None,
) -> Graded:
    """What these evaluations say of the ladder's tiers. Shape: `vectors` is one a question.

    Errors: SettingsError where no question has a vector.

    A tier that was graded on few questions takes the cluster's difficulty from the others, and
    sets itself apart by what it has: so a new one is taken up from a few dozen.
    """
    usable = np.linalg.norm(vectors, axis=1) > 0
    asked = [one for one, use in zip(evaluations, usable, strict=True) if use]
    if not asked:
        raise SettingsError("benchmark.file: none of its questions has words to go by")
    strong = ladder.top.name
    scores = [good_enough(one, strong, within) for one in asked]
    count = max(1, min(CLUSTERS_MAX, len(asked) // CLUSTER_SIZE))
    clusters, member = cluster(vectors[usable], count)
    names, priors = ladder.names, [tier.prior for tier in ladder]
    whole = _rates(scores, names, priors, FILE_SHRINKAGE)
    rates = []
    for at in range(len(clusters.centres)):
        of_it = [each for each, where in zip(scores, member, strict=True) if where == at]
        rates.append(dict(zip(names, _rates(of_it, names, whole, CLUSTER_SHRINKAGE), strict=True)))
    return Graded(clusters, dict(zip(names, whole, strict=True)), rates)


class Benchmark(Climbing):
    """The policy; `known` None: there is no file, and the tiers' priors stand for it.

    Departs: the papers pick one model and stop. Here it is where a judged climb begins, since what
    a benchmark says of a question is a guess; and the guess is fused with the own records near the
    question as these come in. The overall rates too move from the file's to what records say.
    """

    def __init__(
        self,
        known: Graded | None = None,
        *,
        quality_per_dollar: float | None = None,
        prior_weight: float = 8.0,
        lessons: float = 0.05,
        judge: str | None = None,
        judged: Rates | None = None,
        vouch_accuracy: float = 0.7,
        name: str = "benchmark",
    ) -> None:
        self._known = known
        self._prior_weight = prior_weight
        climber = Climber(
            self.estimates,
            quality_per_dollar=quality_per_dollar,
            judge=judge,
            judged=judged,
            vouch_accuracy=vouch_accuracy,
        )
        super().__init__(name, climber, lessons)
        told = "auto" if quality_per_dollar is None else f"{quality_per_dollar:g}"
        places = 0 if known is None else len(known.rates)
        self.version = (
            f"1,clusters={places},prior_weight={prior_weight:g},quality_per_dollar={told}"
            f",judge={judge or 'frugal'}"
        )

    def estimates(self, context: Context) -> Mapping[str, Estimate]:
        """Each tier's accuracy, from the file and from near records."""
        return fused(
            context, self.priors(context), self._climber.tallies.labels, self._prior_weight
        )

    def priors(self, context: Context) -> dict[str, float]:
        """Each tier's accuracy on this kind of question, before the records near it.

        Where the question lies far from all that was graded, it is the tier's overall rate.
        """
        known, ladder = self._known, context.ladder
        before = {tier.name: tier.prior for tier in ladder}
        if known is not None:
            before |= {tier: rate for tier, rate in known.overall.items() if tier in before}
        overall = self._climber.tallies.accuracies(context, before)
        if known is None or context.vector is None:
            return overall
        at, trust = known.clusters.place(context.vector)
        rates = known.rates[at]
        return {
            tier: _moved(rate, known.overall[tier], rates[tier], trust) if tier in rates else rate
            for tier, rate in overall.items()
        }


def _rates(
    scores: Sequence[Mapping[str, float]],
    names: Sequence[str],
    usual: Sequence[float],
    shrinkage: float,
) -> list[float]:
    """Each tier's mean score, shrunk to what is usual as moved by all tiers in common."""
    found = [
        (sum(s[name] for s in scores if name in s), float(sum(name in s for s in scores)))
        for name in names
    ]
    moved = lifted(usual, found, shrinkage)
    means = (
        (right + shrinkage * rate) / (weight + shrinkage)
        for (right, weight), rate in zip(found, moved, strict=True)
    )
    return [min(RATE_MAX, max(RATE_MIN, mean)) for mean in means]


def _moved(rate: float, usual: float, here: float, trust: float) -> float:
    """A tier's rate, moved as far as its cluster is from the whole file, in so far as trusted."""
    offset = _NORMAL.inv_cdf(here) - _NORMAL.inv_cdf(usual)
    return _NORMAL.cdf(_NORMAL.inv_cdf(rate) + trust * offset)
