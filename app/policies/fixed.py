"""The policies every comparison needs: one tier always, the whole cascade, a random start."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from app.planning.affinity import goes_live
from app.planning.climb import climb, go_on, judge_rule
from app.planning.unlearning import Unlearning
from app.policy import Accept, Action, Ask, Context
from app.records import Attempt, Start
from app.tiers import TierLadder


@dataclass(frozen=True, slots=True)
class Always(Unlearning):
    """One tier for everything, unjudged; others answer only while it is down."""

    tier: str
    version: str = "1"
    neighbours: int = 0

    @property
    def name(self) -> str:
        return f"always:{self.tier}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Ask the tier; where it cannot serve this request, the next one up that can."""
        if not attempts:
            names = context.ladder.names
            tier = self.tier if self.tier in names else names[-1]
            return Ask(tier, "direct", live=True, start=Start(tier, {tier: 1.0}))
        if attempts[-1].ended:
            return Accept(len(attempts) - 1)  # its answers flow live, so none can be taken back
        return go_on(context, attempts, "after_failure")

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Nobody."""
        return None


@dataclass(frozen=True, slots=True)
class Cascade(Unlearning):
    """Start at the bottom, have every answer judged, climb until one is valid (as FrugalGPT)."""

    judge: str
    name: str = "cascade"
    neighbours: int = 0

    @property
    def version(self) -> str:
        return f"1,judge={self.judge}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Start as `_first` says, then climb."""
        return climb(
            context, attempts, first=lambda: self._first(context), judged_by=self.judged_by
        )

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """As configured."""
        return judge_rule(self.judge)(ladder, tier)

    def _first(self, context: Context) -> Ask:
        lowest = context.ladder.lowest.name
        return _ask(context, lowest, {lowest: 1.0})


@dataclass(frozen=True, slots=True)
class RandomStart(Cascade):
    """Start at a tier drawn uniformly, then climb as the cascade does."""

    name: str = "random"

    @override
    def _first(self, context: Context) -> Ask:
        names = context.ladder.names
        tier = context.rng.choice(names)
        return _ask(context, tier, dict.fromkeys(names, 1 / len(names)))


def _ask(context: Context, tier: str, propensities: dict[str, float]) -> Ask:
    seat = context.seat
    if context.tool_turn and seat is not None and seat.tier in context.ladder:
        tier, propensities = seat.tier, {seat.tier: 1.0}
    live = goes_live(context, tier)
    return Ask(tier, "direct", live=live, start=Start(tier, propensities))
