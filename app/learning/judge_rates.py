"""How far judges err, by how their verdicts fit everything else that is known of the answers.

Verdicts that a coin set against a better answer are few. Every verdict says something, though: how
often a judge accepts, and what agrees with what it accepts, fit some error rates better than
others. What the policy chose to have judged does no harm: it chose by what was seen, and all that
was seen is in the likelihood.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from app.learning.belief import Array, Rates, Relation, World, after_attempts, chance_right, joint
from app.records import Attempt, Record, Verdict

OF_RIGHT: Array = np.array((0.75, 0.85, 0.92, 0.97))[:, None]
OF_WRONG: Array = np.array((0.1, 0.2, 0.35, 0.5, 0.65, 0.8))[None, :]
"""The error rates that are weighed: P(valid | right) by P(valid | wrong)."""
USUAL_RATES: Rates = (0.9, 0.4)
"""A judge's, where nothing is known of it."""
SPREADS: Rates = (0.06, 0.2)
"""Give or take so much, one standard deviation."""
SAID = 0.5
"""What is left of that where the configuration says how well judges judge."""
DECAY = 0.999
POOLED = 0.3
"""What a verdict on another tier's answer counts for."""
POWER = 0.3
"""What a verdict counts for: chances that others' likelihoods make are not quite independent."""


def prior_of(said: Rates | None = None) -> Array:
    """The logarithm of how likely each pair of rates is before any verdict, up to a constant.

    `said` is what the configuration says of judges. Shape: (rights, wrongs).
    """
    right, wrong = said or USUAL_RATES
    of_right, of_wrong = (spread * (SAID if said else 1.0) for spread in SPREADS)
    prior: Array = -0.5 * (
        ((OF_RIGHT - right) / of_right) ** 2 + ((OF_WRONG - wrong) / of_wrong) ** 2
    )
    return prior


PRIOR = prior_of()


@dataclass(slots=True)
class JudgeRates:
    """Weighs error rates, by tier whose answers are judged; `prior` as `prior_of` has it.

    What is said of judges fades as verdicts come, as older verdicts do. Source: Dawid and Skene
    1979, with the true answer's probability taken from the belief, which never knows the verdict in
    question.
    """

    prior: Array = field(default_factory=lambda: PRIOR)
    _heard: dict[str, Array] = field(default_factory=dict)
    _known: dict[str, Rates] = field(default_factory=dict)
    _pooled: Array = field(default_factory=lambda: np.zeros(PRIOR.shape))

    def add(self, tier: str, chance: float, *, valid: bool) -> None:
        """One verdict on an answer that, all else considered, is right with this chance."""
        accepted = chance * OF_RIGHT + (1 - chance) * OF_WRONG
        seen = np.log(accepted if valid else 1 - accepted)
        self._heard[tier] = DECAY * self._heard.get(tier, np.zeros(PRIOR.shape)) + seen
        self._pooled = DECAY * self._pooled + seen
        self.prior = PRIOR + DECAY * (self.prior - PRIOR)
        self._known.clear()

    def rates(self, tier: str) -> Rates:
        """The mean of the rates as weighed."""
        known = self._known.get(tier)
        if known is None:
            known = self._known[tier] = self._rates(tier)
        return known

    def _rates(self, tier: str) -> Rates:
        heard = POOLED * self._pooled + (1 - POOLED) * self._heard.get(tier, 0.0)
        weighed = POWER * heard + self.prior
        likely = np.exp(weighed - weighed.max())
        likely /= likely.sum()
        return float((likely * OF_RIGHT).sum()), float((likely * OF_WRONG).sum())


def judged_words(
    record: Record,
    believed: Mapping[str, float],
    world: World,
    rates: Callable[[str, Relation], Rates],
) -> Iterator[tuple[str, float, bool]]:
    """Every judge's verdict on the path: the tier, how likely its answer is right, the word.

    `believed` is each tier's accuracy before anything ran.
    """
    tiers = tuple(tier for tier in record.ladder if tier in believed)
    for at, attempt in enumerate(record.attempts):
        words = [verdict.valid for verdict in attempt.verdicts if _counts(verdict)]
        if words and words[-1] is not None and attempt.tier in tiers:
            unheard = _without_verdict(record.attempts, at)
            before = joint([believed[tier] for tier in tiers], world)
            belief, _ = after_attempts(before, tiers, unheard, rates, world.agreement)
            yield attempt.tier, float(chance_right(belief)[tiers.index(attempt.tier)]), words[-1]


def _without_verdict(attempts: list[Attempt], at: int) -> list[Attempt]:
    kept = [verdict for verdict in attempts[at].verdicts if not _counts(verdict)]
    return [*attempts[:at], replace(attempts[at], verdicts=kept), *attempts[at + 1 :]]


def _counts(verdict: Verdict) -> bool:
    return not verdict.exact and verdict.against is None and verdict.valid is not None
