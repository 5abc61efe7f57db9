"""Value: at every step whatever has the best expected accuracy, less its price in accuracy.

A joint belief says which tiers are right. It starts from similar records; answers that agree or
disagree, exact checks and verdicts move it.
"""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from app.dials import Dial
from app.learning.audits import Kept
from app.learning.belief import Rates
from app.learning.learner import LESSON_SHARE
from app.planning.affinity import goes_live
from app.planning.climb import best_ended
from app.planning.exchange import Stake, Trader
from app.planning.learned import NEIGHBOURS, Learned, askable, is_judged, stands, start_of
from app.planning.lookahead import Step, best
from app.planning.nearby import View
from app.planning.plans import Situation
from app.planning.weighing import Weighing, seen
from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import Arrival, Attempt, Record
from app.tiers import TierLadder

DEPTH_FIRST, DEPTH = 4, 3
VOUCH_ACCURACY = 0.7
"""How good answers must be, as audits bound it, that go out before anything was held against them.
"""


class Value(Learned):
    """The policy. `quality_per_dollar` is the accuracy (of 1) that one more USD must buy.

    None: as `dial` says, else a mean call of the top tier must buy ten points. `usd_per_second` is
    what a second of waiting is worth. `judge` None: whom `frugal_judge` names; `judged` is how well
    judges are said to judge, None: nothing is known of them. What it learns online is its own:
    whoever starts afresh, in replay say, makes a new policy, and whoever starts again shows it the
    records in order.
    """

    def __init__(
        self,
        *,
        quality_per_dollar: float | None = None,
        dial: Dial | None = None,
        usd_per_second: float = 0.0,
        judge: str | None = None,
        judged: Rates | None = None,
        vouch_accuracy: float = VOUCH_ACCURACY,
        lessons: float = LESSON_SHARE,
        frozen: bool = False,
        neighbours: int = NEIGHBOURS,
        name: str = "value",
    ) -> None:
        super().__init__(name, judge=judge, judged=judged, lessons=0.0 if frozen else lessons)
        self.neighbours = neighbours
        if quality_per_dollar is not None:
            dial = Dial("quality_per_dollar", quality_per_dollar)
        self._vouch_accuracy = vouch_accuracy
        self._trader = Trader(self._judge, dial, usd_per_second, DEPTH_FIRST)
        told = "quality_per_dollar=auto" if dial is None else f"{dial.name}={dial.value:g}"
        waiting = f",usd_per_second={usd_per_second:g}" if usd_per_second else ""
        said = f",judged={judged[0]:g}-{judged[1]:g}" if judged else ""
        self.version = f"1,{told}{waiting},judge={judge or 'frugal'}{said}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """The step of the highest value, where there is a choice."""
        if attempts and stands(context, attempts[-1]):
            return Accept(len(attempts) - 1)
        view = self._nearby.view(context)
        step = best(self.weigh(context, attempts).steps())
        if step is None:
            return Stop(best_ended(context.ladder, attempts))
        tier = context.ladder.names[step.tier]
        if step.do == "ask":
            return self._ask(context, view, attempts, step)
        attempt = max(i for i, a in enumerate(attempts) if a.tier == tier and a.ended)
        if step.do == "compare":
            return Judge(attempt, by=context.ladder.lowest.name, against=_rival(context, attempts))
        by = self._judge(context.ladder, tier)
        if step.do == "judge" and by is not None:
            return Judge(attempt, by=by)
        # Refused, and served all the same: whatever might be better is not worth its price.
        return Stop(attempt) if attempts[attempt].refused else Accept(attempt)

    @override
    def observe(self, record: Record) -> None:
        """Learn from a record that is complete, its lessons over.

        If it is frozen, it is shown only what was known at the start.
        """
        self._nearby.observe(record)
        self._trader.observe(record, self.ledger(record))

    def kept(self, tenant: str) -> dict[float, Kept]:
        """What audits find of the shares of quality that were to be kept, by share."""
        return self._trader.kept(tenant)

    def rates(self, tenant: str, ladder: TierLadder) -> dict[str, float]:
        """How often each tier is right on the tenant's questions, as it is believed now."""
        ledger = self._nearby.learner.ledger(tenant)
        priors = [tier.prior for tier in ladder]
        return dict(zip(ladder.names, ledger.accuracies(ladder.names, priors), strict=True))

    def changes(self, tenant: str) -> Mapping[str, float]:
        """The tiers that have changed, and the Unix time since when."""
        return self._nearby.learner.ledger(tenant).changed_s

    def weigh(self, context: Context, attempts: Sequence[Attempt] = ()) -> Weighing:
        """What the next step is chosen by."""
        view, names = self._nearby.view(context), context.ladder.names
        belief, ran = seen(view.belief, names, view, attempts)
        last = attempts[-1] if attempts else None
        complete = [attempt for attempt in attempts if attempt.outcome == "complete"]
        moves = not context.single and not context.tool_turn
        situation = Situation(
            tiers=len(names),
            ran=ran,
            askable=askable(context, attempts),
            judgeable=view.judgeable if moves else frozenset(),
            rates=view.rates,
            judged=last is not None and (is_judged(last) or not last.ended),
            comparable=complete[-1].comparable if complete else view.comparable,
            compares=moves and not context.tools and not (last and _is_compared(last)),
            agreement=view.world.agreement,
        )
        return Weighing(
            tiers=names,
            view=view,
            stake=self._stake(context, view),
            attempts=attempts,
            belief=belief,
            situation=situation,
            depth=1 if not moves else DEPTH if attempts else DEPTH_FIRST,
        )

    def _stake(self, context: Context, view: View) -> Stake:
        return self._trader.stake(context, view, self.ledger(context))

    def _ask(self, context: Context, view: View, attempts: Sequence[Attempt], step: Step) -> Ask:
        tier = context.ladder.names[step.tier]
        # A later answer may be served in its place, so not even the top one streams at once.
        certain = step.final or context.single or context.mode == "direct"
        audited = view.errors[step.tier] <= 1 - self._vouch_accuracy
        live = certain and goes_live(context, tier, vouched=step.final and audited)
        if attempts:
            arrived: Arrival = "after_reject" if attempts[-1].ended else "after_failure"
            return Ask(tier, arrived, live=live)
        start = start_of(context, view, tier, trade=self._stake(context, view).trade)
        return Ask(tier, "direct", live=live, start=start)


def _is_compared(attempt: Attempt) -> bool:
    return any(verdict.against is not None for verdict in attempt.verdicts)


def _rival(context: Context, attempts: Sequence[Attempt]) -> int:
    """The answer of the highest tier before the last one."""
    names = context.ladder.names
    earlier = [i for i, a in enumerate(attempts[:-1]) if a.ended and a.tier in names]
    return max(earlier, key=lambda i: names.index(attempts[i].tier))
