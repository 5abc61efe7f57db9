"""A judged climb that begins where it is worth most, by whatever estimates a policy has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from app.dials import Trade
from app.learning.belief import Rates
from app.learning.influence import whose
from app.learning.learner import Learner
from app.planning.affinity import goes_live
from app.planning.cascading import Rung, Worth, believed, start_of, worths
from app.planning.climb import climb, frugal_judge, judge_rule
from app.planning.per_request import PerRequest
from app.planning.tallies import Tallies, usual_labels
from app.policy import Accept, Action, Ask, Context
from app.records import Attempt, Estimate, Labels, Lessons, Record, Start
from app.tiers import TierLadder

NEIGHBOURS = 50
VERDICTS = 0.1
"""Of answers served unjudged, how many are judged afterwards: else a wrong belief would stay."""

Estimates: TypeAlias = Callable[[Context], Mapping[str, Estimate]]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request before anything ran: what is believed of each tier, and what calls are worth."""

    estimates: Mapping[str, Estimate]
    rungs: Sequence[Rung]
    trade: Trade

    def worths(self, attempts: Sequence[Attempt] = ()) -> list[Worth]:
        """Each tier's worth after these attempts, lowest first."""
        return worths(self.rungs, sum(attempt.refused for attempt in attempts))


class Climber:
    """Drives such a climb. `judge` None: whom it pays to ask; `estimates` is the policy's own.

    A request keeps its plan: what others teach meanwhile does not change its path.
    """

    def __init__(
        self,
        estimates: Estimates,
        *,
        quality_per_dollar: float | None,
        judge: str | None,
        judged: Rates | None = None,
        vouch_accuracy: float,
    ) -> None:
        self.judge = judge_rule(judge) if judge else frugal_judge
        self.tallies = Tallies(self.judge, quality_per_dollar, Learner(judged))
        self._estimates = estimates
        self._vouch_accuracy = vouch_accuracy
        self._plans: PerRequest[Plan] = PerRequest()

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Begin where it is worth most; judge where that pays; one tier up from what is refused."""
        plan = self.plan(context)

        def judged_by(ladder: TierLadder, tier: str) -> str | None:
            judged = plan.worths(attempts[:-1])[ladder.names.index(tier)].judged
            return self.judge(ladder, tier) if judged or attempts[-1].live else None

        action = climb(
            context, attempts, first=lambda: self._first(context, plan), judged_by=judged_by
        )
        if isinstance(action, Accept) and action.judge_later is None:
            return replace(action, judge_later=self._late(context, attempts[action.attempt]))
        return action

    def plan(self, context: Context) -> Plan:
        """What is believed of this request."""
        return self._plans.of(context, lambda: self._plan(context))

    def belief(self, context: Context, attempts: Sequence[Attempt], *, valid: bool) -> float:
        """How likely the last answer is right after this first verdict on it."""
        plan, at = self.plan(context), context.ladder.names.index(attempts[-1].tier)
        # The same as `worths` has it: what was refused before makes the question a harder one.
        before = plan.worths(attempts[:-1])
        rung = plan.rungs[at]
        return believed(before[at].chance, rung.rates, valid=valid)

    def _late(self, context: Context, attempt: Attempt) -> str | None:
        """Who judges an answer afterwards that nobody judged, as a coin has it."""
        settled = context.single or context.tool_turn or attempt.verdicts
        if settled or attempt.outcome != "complete" or attempt.tier not in context.ladder:
            return None
        by = self.judge(context.ladder, attempt.tier)
        return by if context.rng.random() < VERDICTS else None

    def _plan(self, context: Context) -> Plan:
        estimates, prices = self._estimates(context), self.tallies.prices(context)
        trade = self.tallies.trade(context, prices)
        ledger = self.tallies.learner.ledger(whose(context))
        rate = trade.quality_per_dollar
        rungs = [
            Rung(
                accuracy=estimates[tier].accuracy,
                rates=ledger.rates(tier, "unknown"),
                ask=rate * prices.ask_usd[tier],
                judge=rate * prices.judge_usd[tier] if tier in prices.judge_usd else None,
            )
            for tier in context.ladder.names
        ]
        return Plan(estimates, rungs, trade)

    def _first(self, context: Context, plan: Plan) -> Ask:
        names, seat, found = context.ladder.names, context.seat, plan.worths()
        at = start_of(found)
        if context.tool_turn and seat is not None and seat.tier in names:
            at = names.index(seat.tier)
        vouched = not found[at].judged and found[at].chance >= self._vouch_accuracy
        start = Start(
            tier=names[at],
            propensities={names[at]: 1.0},
            estimates=dict(plan.estimates),
            neighbours=len(context.neighbours),
            top_similarity=max((n.similarity for n in context.neighbours), default=None),
            trade=plan.trade,
        )
        return Ask(
            names[at], "direct", live=goes_live(context, names[at], vouched=vouched), start=start
        )


class Climbing:
    """A policy that is such a climb; what it estimates is its own.

    `lessons` is the share of all spend that lessons cost.
    """

    neighbours = NEIGHBOURS

    def __init__(self, name: str, climber: Climber, lessons: float) -> None:
        self.name = name
        self._climber = climber
        self._lessons = lessons

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """A judged climb from where it is worth most."""
        return self._climber.next(context, attempts)

    def lessons(self, context: Context) -> Lessons | None:
        """What other tiers would have said, as often as the budget for lessons buys it."""
        return self._climber.tallies.lessons(context, self._lessons)

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Whom the configuration names, else whom it pays to ask."""
        return self._climber.judge(ladder, tier)

    def label(self, record: Record) -> Labels:
        """What the record teaches, if judges err as often as is usual."""
        return usual_labels(record)

    def observe(self, record: Record) -> None:
        """Learn rates and costs; neighbours are looked up."""
        self._climber.tallies.observe(record)
