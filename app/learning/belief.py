"""What is believed about which tiers are right about a question, from what was seen so far.

A belief is a vector over all combinations of "tier i is right", times "the question is a trap".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from app.learning.gists import gists
from app.records import Attempt

Array: TypeAlias = npt.NDArray[np.float64]
Belief: TypeAlias = Array
"""Shape: (2 ** (tiers + 1),), float64. Its sum is the probability of what was seen."""

Rates: TypeAlias = tuple[float, float]
"""A judge's P(valid | right) and P(valid | wrong)."""

Relation = Literal["unknown", "agree", "disagree"]
CORRELATION = 0.7
"""Of the tiers' successes: what is hard for one is hard for all."""
TRAPS = (0.1, 0.3, 0.6, 0.9)
"""The share of questions that lead wrong answers to the same mistake."""
AGREEMENTS = (0.85, 0.93, 0.98)
"""How likely two right answers are to agree, in form as well."""


@dataclass(frozen=True, slots=True)
class World:
    """What is believed of how tiers' answers hang together.

    `weights` is the probability of each share of traps; `agreement` how likely two right answers
    are to agree. Both are rounded, so that plans can be kept.
    """

    weights: tuple[float, ...]
    agreement: float


USUAL = World((1 / 4,) * 4, 0.96)

RELATIONS: tuple[Relation, ...] = ("unknown", "agree", "disagree")
"""How an answer stands to those before it."""

ONE_RIGHT, BOTH_WRONG, BOTH_TRAPPED = 0.01, 0.10, 0.75
"""How likely two answers are to agree, if not both are right."""
LIFT_WEIGHT_MAX = 50.0
AGREES_AT_MOST = 0.99
SUREST = 0.999
CHECK_FAILS_RIGHT = 0.01
"""How likely a right answer is to fail an exact check, where a wrong one's chance is 1."""

_NORMAL = NormalDist()
_NODES = [_NORMAL.inv_cdf((node + 0.5) / 16) for node in range(16)]


@dataclass(frozen=True, slots=True)
class Ran:
    """An answer that is there; answers of one `group` agree. None: it cannot be compared."""

    tier: int
    group: int | None


def relation_of(group: object, others: Sequence[object]) -> Relation:
    """How an answer stands to others; None is one that cannot be compared."""
    compared = [other for other in others if other is not None]
    if group is None or not compared:
        return "unknown"
    return "agree" if group in compared else "disagree"


def lifted(
    usual: Sequence[float], found: Sequence[tuple[float, float]], weight_min: float
) -> list[float]:
    """What is usual of each tier, moved by what they have shown in common.

    Easy questions are easy for all: what some tiers have shown says something of the others.
    `found` is (weight right, weight) a tier. Source: a shared offset in the probit of accuracy,
    shrunk to 0 by `weight_min`.
    """
    total = offset = 0.0
    for accuracy, (right, weight) in zip(usual, found, strict=True):
        if weight > 0:
            mean = (right + weight_min * accuracy) / (weight + weight_min)
            mean = min(0.98, max(0.02, mean))
            counted = min(weight, LIFT_WEIGHT_MAX)
            offset += counted * (_NORMAL.inv_cdf(mean) - _NORMAL.inv_cdf(accuracy))
            total += counted
    moved = offset / (total + weight_min)
    return [_NORMAL.cdf(_NORMAL.inv_cdf(accuracy) + moved) for accuracy in usual]


def joint(accuracies: Sequence[float], world: World = USUAL) -> Belief:
    """The belief before anything ran, from each tier's accuracy alone.

    The tiers' successes share a normal variable, taken at equally likely values.
    """
    return _joint(tuple(round(accuracy, 3) for accuracy in accuracies), world.weights)


@lru_cache(maxsize=256)
def _joint(accuracies: tuple[float, ...], weights: tuple[float, ...]) -> Belief:
    total = sum(weights)
    trapped = sum(weight * share for weight, share in zip(weights, TRAPS, strict=True))
    states = _states(accuracies)
    belief = np.concatenate(((total - trapped) * states, trapped * states))
    belief.flags.writeable = False
    return belief


@lru_cache(maxsize=256)
def _states(accuracies: tuple[float, ...]) -> Array:
    """How likely the tiers are right in each combination. Shape: (2 ** tiers,)."""
    likely = np.ones((1, len(_NODES)))
    for accuracy in accuracies:
        right = _rights(accuracy)
        likely = np.concatenate((likely * (1 - right), likely * right))
    states: Array = likely.mean(axis=1)
    return states


@lru_cache(maxsize=8192)
def _rights(accuracy: float) -> Array:
    """How likely a tier of this accuracy is right at each value of the shared variable."""
    # Whatever anybody says, no tier is certain to be right, or wrong.
    ease = _NORMAL.inv_cdf(min(SUREST, max(1 - SUREST, accuracy)))
    rest = (1 - CORRELATION) ** 0.5
    return np.array([_NORMAL.cdf((ease + CORRELATION**0.5 * node) / rest) for node in _NODES])


def evidence(
    accuracies: Sequence[float], tiers: Sequence[str], attempts: Sequence[Attempt]
) -> Array | None:
    """How likely it was that these answers agree as they do, in each world; None where none could.

    Shape: (traps, agreements).
    """
    groups: dict[str, int] = {}
    ran: list[Ran] = []
    spaces = [space(len(tiers), agreement) for agreement in AGREEMENTS]
    likely = np.ones((len(AGREEMENTS), 2 ** (len(tiers) + 1)))
    for attempt, gist in zip(attempts, gists(attempts), strict=True):
        if gist is None or attempt.tier not in tiers:
            continue
        new = Ran(tiers.index(attempt.tier), groups.setdefault(gist, len(groups)))
        for row, of in enumerate(spaces):
            likely[row] *= dict(of.groups(ran, new.tier))[new.group or 0]
        ran.append(new)
    if len(ran) < 2:  # noqa: PLR2004 - one alone agrees with nobody
        return None
    states = _states(tuple(round(accuracy, 3) for accuracy in accuracies))
    half = len(states)
    free, trapped = likely[:, :half] @ states, likely[:, half:] @ states
    traps = np.array(TRAPS)[:, None]
    found: Array = (1 - traps) * free + traps * trapped
    return found


def chance_right(belief: Belief) -> Array:
    """How likely each tier is to be right. Shape: (tiers,)."""
    chance: Array = _space_of(belief).right @ belief / belief.sum()
    return chance


def after_answer(
    belief: Belief, before: Sequence[Ran], new: Ran, agreement: float = USUAL.agreement
) -> Belief:
    """The belief once this answer is seen to agree or disagree with those before it."""
    if new.group is None:
        return belief
    return belief * dict(_space_of(belief, agreement).groups(before, new.tier))[new.group]


def after_verdict(belief: Belief, tier: int, rates: Rates, *, valid: bool) -> Belief:
    """The belief once a judge has spoken about this tier's answer."""
    return belief * _space_of(belief).verdict(tier, rates, valid=valid)


def after_failed_check(belief: Belief, tier: int) -> Belief:
    """The belief once an exact check has refused this tier's answer."""
    passed: Array = 1 - (1 - CHECK_FAILS_RIGHT) * _space_of(belief).right[tier]
    return belief * passed


def after_attempts(
    belief: Belief,
    tiers: Sequence[str],
    attempts: Sequence[Attempt],
    rates: Callable[[str, Relation], Rates],
    agreement: float = USUAL.agreement,
) -> tuple[Belief, tuple[Ran, ...]]:
    """The belief about these tiers after all of these attempts, and what ran."""
    ran: list[Ran] = []
    groups: dict[str, int] = {}
    for attempt, gist in zip(attempts, gists(attempts), strict=True):
        if not attempt.ended or attempt.tier not in tiers:
            continue
        tier = tiers.index(attempt.tier)
        group = None if gist is None else groups.setdefault(gist, len(groups))
        relation = relation_of(group, [earlier.group for earlier in ran])
        belief = after_answer(belief, ran, Ran(tier, group), agreement)
        ran.append(Ran(tier, group))
        for verdict in attempt.verdicts:
            if verdict.exact and verdict.valid is False:
                belief = after_failed_check(belief, tier)
            elif verdict.valid is not None and verdict.against is None:
                judged = rates(attempt.tier, relation)
                belief = after_verdict(belief, tier, judged, valid=verdict.valid)
    return belief, tuple(ran)


@dataclass(frozen=True, slots=True)
class Space:
    """The states for a number of tiers, and what each makes likely.

    Shapes: right (tiers, states), 0 or 1; agree (tiers, tiers, states), how likely two tiers'
    answers agree. `joins` keeps what `groups` has found: there are few ways to have answered.
    """

    right: Array
    agree: Array
    joins: dict[tuple[tuple[Ran, ...], int], tuple[tuple[int, Array], ...]] = field(
        default_factory=dict, repr=False
    )

    def groups(self, before: Sequence[Ran], tier: int) -> tuple[tuple[int, Array], ...]:
        """Which answers the tier's answer may agree with, and how likely in each state.

        A group is known by its first member. The last one is new: it agrees with none.
        """
        kept = self.joins.get((tuple(before), tier))
        if kept is None:
            kept = self.joins[tuple(before), tier] = tuple(self._groups(before, tier))
        return kept

    def _groups(self, before: Sequence[Ran], tier: int) -> Iterator[tuple[int, Array]]:
        first = {ran.group: ran.tier for ran in reversed(before) if ran.group is not None}
        states = self.right.shape[1]
        joins = np.array([self.agree[tier, first[group]] for group in sorted(first)])
        joins = joins.reshape(len(first), states)
        joins *= np.minimum(1.0, AGREES_AT_MOST / np.maximum(joins.sum(axis=0), AGREES_AT_MOST))
        yield from zip(sorted(first), joins, strict=True)
        yield len(first), 1 - joins.sum(axis=0)

    def verdict(self, tier: int, rates: Rates, *, valid: bool) -> Array:
        """How likely this verdict is in each state."""
        of_right, of_wrong = rates
        accepted: Array = of_wrong + (of_right - of_wrong) * self.right[tier]
        return accepted if valid else 1 - accepted


@lru_cache(maxsize=256)
def space(tiers: int, agreement: float = USUAL.agreement) -> Space:
    """The states for this many tiers: the first in the lowest bit, the trap in the highest."""
    states = np.arange(2 ** (tiers + 1))
    right = np.array([(states >> tier) & 1 for tier in range(tiers)], dtype=np.float64)
    both_wrong = np.where(states >> tiers, BOTH_TRAPPED, BOTH_WRONG)
    count = right[:, None] + right[None, :]
    agree = np.choose(count.astype(int), [both_wrong, ONE_RIGHT, agreement])
    return Space(right, agree)


def _space_of(belief: Belief, agreement: float = USUAL.agreement) -> Space:
    return space(len(belief).bit_length() - 2, agreement)
