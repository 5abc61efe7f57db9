"""What every set of tiers is worth that holds those already asked: the best of their answers.

Source: Dekoninck, Baader and Vechev 2024, "A Unified Approach to Routing and Cascading for LLMs"
(ICML 2025, arXiv 2410.10347).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from math import sqrt
from statistics import NormalDist

import numpy as np

from app.learning.belief import Array, Belief, Ran, Rates, chance_right, space

MOST = 4
"""Of more tiers that could be asked only so many are looked at: at most 15 sets of them."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Situation:
    """A request as it stands. Units: USD, one a tier of the ladder.

    `judgeable` are the tiers whose answers are judged, at these `rates`; `comparable`: whether
    answers can be told to agree.
    """

    belief: Belief
    ran: tuple[Ran, ...]
    askable: tuple[int, ...]
    judgeable: frozenset[int]
    rates: Sequence[Rates]
    comparable: bool
    agreement: float
    ask_usd: Sequence[float]
    judge_usd: Sequence[float]


@dataclass(frozen=True, slots=True)
class Superset:
    """The tiers still to be asked, what the best answer is then worth, and what that costs."""

    new: tuple[int, ...]
    quality: float
    usd: float


def supersets(here: Situation, rate: float, *, alone: bool = False) -> list[Superset]:
    """Every set; the one without new tiers first, where there is an answer.

    Of more than `MOST` tiers those are looked at that are worth most by themselves at this rate,
    in accuracy per USD. `alone`: no more than one more tier can be asked.
    """
    chances = chance_right(here.belief)
    worth = sorted(here.askable, key=lambda at: rate * here.ask_usd[at] - chances[at])
    askable = sorted(worth[:MOST])
    sizes = range(0 if here.ran else 1, 1 + (min(1, len(askable)) if alone else len(askable)))
    sets = chain.from_iterable(combinations(askable, size) for size in sizes)
    return [_superset(here, chances, new) for new in sets]


def best_of(sets: Iterable[Superset], rate: float) -> Superset | None:
    """The set of the highest quality, less its price; of ties the cheapest. None: there is none."""
    ranked = ((each.quality - rate * each.usd, -each.usd, each) for each in sets)
    found = max(ranked, key=lambda entry: entry[:2], default=None)
    return None if found is None else found[2]


def value_of(sets: Iterable[Superset], rate: float) -> float:
    """What the best set is worth, less its price."""
    return max((each.quality - rate * each.usd for each in sets), default=0.0)


def _superset(here: Situation, chances: Array, new: tuple[int, ...]) -> Superset:
    members = sorted({*new, *(ran.tier for ran in here.ran)})
    # What the last of them is judged to be would change nothing: none follows.
    judged = [at for at in new if at in here.judgeable and at != members[-1]]
    usd = sum(here.ask_usd[at] for at in new) + sum(here.judge_usd[at] for at in judged)
    if len(members) == 1:
        return Superset(new, float(chances[members[0]]), usd)
    moved = np.zeros((len(chances), len(chances)))
    for likely in _looks(here, new, judged):
        moved += movement(here.belief, chances, likely)
    quality = expected_max(chances[members], moved[np.ix_(members, members)])
    return Superset(new, quality, usd)


def _looks(here: Situation, new: tuple[int, ...], judged: Sequence[int]) -> Iterator[list[Array]]:
    """What will be seen when these are asked: of each, how likely its outcomes are, by state."""
    states = space(len(here.ask_usd), here.agreement)
    for at in judged:
        rates = here.rates[at]
        yield [states.verdict(at, rates, valid=valid) for valid in (True, False)]
    if here.comparable:
        before = here.ran or (Ran(new[0], 0),) if new else ()
        for at in new:
            if at not in {ran.tier for ran in before}:
                yield [likely for _, likely in states.groups(before, at)]


def movement(belief: Belief, chances: Array, outcomes: Sequence[Array]) -> Array:
    """How far what is believed of each tier will move, by what will be seen.

    Shape: (tiers, tiers), a covariance. The paper fits it to questions that all models answered;
    here the belief itself says it.
    """
    moved = np.zeros((len(chances), len(chances)))
    total = belief.sum()
    for likely in outcomes:
        after = belief * likely
        weight = after.sum() / total
        if weight > 0:
            step = chance_right(after) - chances
            moved += weight * np.outer(step, step)
    return moved


def expected_max(means: Sequence[float] | Array, covariance: Array) -> float:
    """The mean of the highest of normal variables: exact for two, Clark's recursion for more.

    Source: Clark 1961, "The greatest of a finite set of random variables".
    """
    mean, variance = float(means[0]), float(covariance[0][0])
    with_rest = [float(each) for each in covariance[0]]
    for at in range(1, len(means)):
        other, own = float(means[at]), float(covariance[at][at])
        theta = sqrt(max(0.0, variance + own - 2 * with_rest[at]))
        if theta <= 0:
            if other > mean:
                mean, variance = other, own
                with_rest = [float(each) for each in covariance[at]]
            continue
        d = (mean - other) / theta
        left, right, peak = _NORMAL.cdf(d), _NORMAL.cdf(-d), _NORMAL.pdf(d)
        highest = mean * left + other * right + theta * peak
        square = (mean**2 + variance) * left + (other**2 + own) * right
        square += (mean + other) * theta * peak
        mean, variance = highest, max(0.0, square - highest**2)
        with_rest = [
            left * mine + right * float(its)
            for mine, its in zip(with_rest, covariance[at], strict=True)
        ]
    return mean
