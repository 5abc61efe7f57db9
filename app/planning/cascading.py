"""Where a judged climb pays: each tier's value as a start, with all that may follow it."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.learning.belief import Rates

HARDER = 0.8
"""What is left of the higher tiers' chances by each rejection: tiers fail on the same questions."""
TIE = 0.01
"""Values so near are taken as equal, and the lower tier is begun with: else routers drift up."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A tier as it is believed to be. Units: prices in accuracy; `judge` None: nobody judges it."""

    accuracy: float
    rates: Rates
    ask: float
    judge: float | None


@dataclass(frozen=True, slots=True)
class Worth:
    """What beginning at a tier is worth, and whether its answer had better be judged.

    `chance` is how likely it is right.
    """

    value: float
    judged: bool
    chance: float


def worths(rungs: Sequence[Rung], rejected: int = 0) -> list[Worth]:
    """Each tier's worth once so many answers were rejected, lowest tier first.

    V_i = p·TPR - λ(C + J) + (1 - a)·V_{i+1} with a = p·TPR + (1 - p)·FPR; unjudged p - λC. A single
    tier's p - λC alone would start too high: it leaves out that a bad answer can be caught.
    """
    found: list[Worth] = []
    for at in range(len(rungs)):
        rung = rungs[at]
        chance = rung.accuracy * HARDER**rejected
        served = chance - rung.ask
        if rung.judge is None or at + 1 == len(rungs):
            found.append(Worth(served, judged=False, chance=chance))
            continue
        of_right, of_wrong = rung.rates
        accepted = chance * of_right + (1 - chance) * of_wrong
        above = worths(rungs[at + 1 :], rejected + 1)[0].value
        caught = chance * of_right - rung.ask - rung.judge + (1 - accepted) * above
        found.append(Worth(max(served, caught), judged=caught > served, chance=chance))
    return found


def start_of(found: Sequence[Worth]) -> int:
    """Where to begin: at the lowest tier whose worth is near the highest."""
    best = max(worth.value for worth in found)
    return next(at for at, worth in enumerate(found) if worth.value >= best - TIE)


def believed(accuracy: float, rates: Rates, *, valid: bool) -> float:
    """How likely an answer is right after this verdict. Source: Bayes."""
    of_right, of_wrong = rates if valid else (1 - rates[0], 1 - rates[1])
    right, wrong = accuracy * of_right, (1 - accuracy) * of_wrong
    return right / (right + wrong) if right + wrong > 0 else accuracy
