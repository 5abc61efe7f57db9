"""The climb that cascading policies share: ask, have it judged, accept it or go one tier up."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import Arrival, Attempt
from app.tiers import Tier, TierLadder

JUDGE_DEARER_MAX = 3.0
"""How much dearer than the tier itself whoever judges its answers may be."""

JudgeRule: TypeAlias = Callable[[TierLadder, str], str | None]
"""Which tier judges the answers of this one; None: nobody does."""


def climb(
    context: Context,
    attempts: Sequence[Attempt],
    *,
    first: Callable[[], Ask],
    judged_by: JudgeRule,
    trusted: Callable[[Attempt], bool] = lambda _: False,
) -> Action:
    """The next action of a climb.

    `trusted` says whether an answer may be served though its judge gave no verdict.
    """
    if not attempts:
        return first()
    last, attempt = len(attempts) - 1, attempts[-1]
    if not attempt.ended:
        return go_on(context, attempts, "after_failure")
    if attempt.live or attempt.valid or attempt.outcome == "censored" or context.single:
        return Accept(last, judge_later=_late_judge(context, attempt, judged_by))
    # With nothing left above it, no verdict could change what is served.
    is_last = not _untried_above(context, attempts)
    unjudged = is_last or context.tool_turn
    judge = None if unjudged else judged_by(context.ladder, attempt.tier)
    if judge is not None and not attempt.verdicts:
        return Judge(last, by=judge)
    if not attempt.refused and (judge is None or trusted(attempt)):
        return Accept(last)
    return go_on(context, attempts, "after_reject")


def _late_judge(context: Context, attempt: Attempt, judged_by: JudgeRule) -> str | None:
    """Who judges a live answer afterwards; nobody where nothing could be learned from it."""
    if (
        not attempt.live
        or context.single
        or context.tool_turn
        or attempt.refused
        or attempt.outcome != "complete"
    ):
        return None
    return judged_by(context.ladder, attempt.tier)


def go_on(context: Context, attempts: Sequence[Attempt], arrived: Arrival) -> Action:
    """The nearest tier above that was not tried; with none left, the best that can be had.

    Availability is not quality: where the tiers above are down, an earlier answer is served, or a
    lower tier asked, rather than nothing.
    """
    above = _untried_above(context, attempts)
    if above:
        return Ask(above[0].name, arrived, live=len(above) == 1)
    served = best_ended(context.ladder, attempts)
    if served is None:
        tried = {attempt.tier for attempt in attempts}
        untried = [tier for tier in reversed(context.ladder.tiers) if tier.name not in tried]
        if untried:
            return Ask(untried[0].name, "after_failure", live=True)
    return Stop(served)


def _untried_above(context: Context, attempts: Sequence[Attempt]) -> list[Tier]:
    """The tiers over the last attempt's that were not asked yet, nearest first."""
    tried = {attempt.tier for attempt in attempts}
    return [tier for tier in context.ladder.above(attempts[-1].tier) if tier.name not in tried]


def best_ended(ladder: TierLadder, attempts: Sequence[Attempt]) -> int | None:
    """The attempt of the highest tier that has an answer; None where none has."""
    ended = [index for index, attempt in enumerate(attempts) if attempt.ended]
    return max(ended, key=lambda index: ladder.names.index(attempts[index].tier), default=None)


def frugal_judge(ladder: TierLadder, tier: str) -> str | None:
    """The next tier up; the tier itself where that one is much dearer, unless it is the lowest.

    A dear verdict costs what asking the dear tier does, and is worth less. The lowest tier judges
    worst, and itself most of all.
    """
    if tier == ladder.top.name:
        return None
    following = ladder.above(tier)[0]
    own, other = ladder[tier].price, following.price
    if tier == ladder.lowest.name or own is None or other is None:
        return following.name
    return following.name if other.output <= JUDGE_DEARER_MAX * own.output else tier


def judge_rule(by: str) -> JudgeRule:
    """The rule that `judge.by` names; whatever it says, the top tier is not judged.

    `next` is the tier above, `self` the tier itself, `none` nobody, else that tier always.
    """

    def rule(ladder: TierLadder, tier: str) -> str | None:
        if tier == ladder.top.name or by == "none":
            return None
        match by:
            case "next":
                return ladder.above(tier)[0].name
            case "self":
                return tier
            case _:
                return by

    return rule
