"""Warm-up: every tier answers, whatever it costs, so that there is something to start from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.learning.learner import FULL
from app.planning.climb import climb
from app.policy import Action, Ask, Context, Policy
from app.records import Attempt, Estimate, Labels, Lessons, Record, Start
from app.tiers import TierLadder

NAME = "warmup"


@dataclass(frozen=True, slots=True)
class Warmup:
    """Serves whatever the lowest tier says; a full lesson is certain, so the others follow.

    `like` is the policy that is warmed up: it says who judges, and what a record teaches. No client
    can ask for this one, since whoever does spends the operator's money on every tier at once.
    """

    like: Policy
    name: str = NAME
    neighbours: int = 0

    @property
    def version(self) -> str:
        return f"1,{self.like.name}={self.like.version}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Ask the lowest tier and accept; the next one up where it is down."""
        return climb(
            replace(context, single=True),  # whatever is said of it comes with the lesson
            attempts,
            first=lambda: _ask(context.ladder),
            judged_by=self.judged_by,
        )

    def lessons(self, context: Context) -> Lessons:
        """All of them, certainly."""
        return Lessons({**dict.fromkeys(context.ladder.names, 0.0), FULL: 1.0}, (FULL,))

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """As in the policy that is warmed up."""
        return self.like.judged_by(ladder, tier)

    def label(self, record: Record) -> Labels:
        """As in the policy that is warmed up."""
        return self.like.label(record)

    def observe(self, record: Record) -> None:
        """Nothing: it chooses nothing."""


def _ask(ladder: TierLadder) -> Ask:
    lowest = ladder.lowest.name
    believed = {tier.name: Estimate(tier.prior, tier.prior) for tier in ladder}
    return Ask(lowest, "direct", start=Start(lowest, {lowest: 1.0}, believed))
