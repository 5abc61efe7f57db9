"""Best of n: a cheap tier is asked again before a dearer one; agreement, or a judge, picks.

Source: BEST-Route (Ding et al. 2025, arXiv 2506.22716); accepting what agrees, and another prompt
before a dearer tier: Adaptive-Solver (Zhou et al. 2023, arXiv 2310.01446).
"""

from collections import Counter
from collections.abc import Sequence

from app.learning.gists import gists
from app.planning.affinity import goes_live
from app.planning.climb import best_ended, frugal_judge, go_on, judge_rule
from app.planning.learned import is_judged, seated, stands
from app.planning.unlearning import Unlearning
from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import Arrival, Attempt, Start
from app.tiers import TierLadder


class BestOfN(Unlearning):
    """The policy: up to `samples` answers of a tier, where the next is `dearer` times its price.

    Short answers are accepted once most of `samples` agree, and are asked for only until then; the
    last one is asked for with another prompt. What does not agree, or is prose, is judged, and the
    first valid one is served. Else one tier up: its answer stands where it agrees with an earlier
    one. A request that is the same every time (a seed, a temperature of 0) gets the other prompt
    only.

    Departs: which of the samples is best a judge says, not a reward model trained on 10,000
    prompts; how many are drawn does not come from a trained router but from how they agree. Samples
    come one after the other, so that none is paid for in vain; that takes the time of as many.
    """

    name = "best_of_n"
    neighbours = 0

    def __init__(self, *, samples: int = 3, dearer: float = 8.0, judge: str | None = None) -> None:
        self._samples, self._dearer = samples, dearer
        self._judge = judge_rule(judge) if judge else frugal_judge
        self.version = f"1,samples={samples},dearer={dearer:g},judge={judge or 'frugal'}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Ask, ask again, have judged, or go up."""
        if not attempts:
            tier = seated(context) or context.ladder.lowest.name
            live = goes_live(context, tier)
            return Ask(tier, "direct", live=live, start=Start(tier, {tier: 1.0}))
        at, last = len(attempts) - 1, attempts[-1]
        if not last.ended:
            return self._after_failure(context, attempts)
        is_top = last.tier == context.ladder.top.name
        agreed = not last.refused and self._agrees(context, attempts)
        if stands(context, last) or agreed or (is_top and not last.refused):
            return Accept(at)
        if last.valid and last.verdicts:
            return Accept(at)
        return self._more(context, attempts)

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Whom the configuration names, else whom it pays to ask."""
        return self._judge(ladder, tier)

    def _more(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Prose is judged at once; short answers are once no more are to come that could agree."""
        last, by = attempts[-1], self._judge(context.ladder, attempts[-1].tier)
        again = self._again(context, attempts)
        if by is not None and (again is None or not last.comparable):
            for at, attempt in enumerate(attempts):
                same = attempt.tier == last.tier and attempt.outcome == "complete"
                if same and not is_judged(attempt) and not attempt.refused:
                    return Judge(at, by=by)
            valid = [at for at, attempt in enumerate(attempts) if attempt.valid]
            if valid:
                return Accept(valid[0])
        if again is not None:
            return Ask(last.tier, again)
        if last.tier == context.ladder.top.name:
            return Stop(best_ended(context.ladder, attempts))
        return go_on(context, attempts, "after_reject")

    def _after_failure(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """A sample that failed is not asked for again; what is there goes on as if it were last."""
        ended = [attempt for attempt in attempts if attempt.ended]
        if ended and ended[-1].tier == attempts[-1].tier:
            by = self._judge(context.ladder, ended[-1].tier)
            at = attempts.index(ended[-1])
            if by is not None and not is_judged(ended[-1]):
                return Judge(at, by=by)
            if not ended[-1].refused:
                return Accept(at)
        return go_on(context, attempts, "after_failure")

    def _again(self, context: Context, attempts: Sequence[Attempt]) -> Arrival | None:
        """How the last tier is asked once more; None: it is not."""
        last = attempts[-1]
        drawn = [attempt for attempt in attempts if attempt.tier == last.tier]
        left = self._wanted(context.ladder, last.tier, context) - len(drawn)
        if left <= 0 or any(attempt.arrived == "reprompt" for attempt in drawn):
            return None
        return "reprompt" if left == 1 or not context.varies else "resample"

    def _wanted(self, ladder: TierLadder, tier: str, context: Context) -> int:
        """How many answers of this tier are worth it: one, where the next costs little more."""
        above = ladder.above(tier)
        if not above or context.tool_turn or context.tools:
            return 1
        own, other = ladder[tier].price, above[0].price
        if own is None or other is None:
            return 1
        return self._samples if other.output >= self._dearer * own.output else 1

    def _agrees(self, context: Context, attempts: Sequence[Attempt]) -> bool:
        """Whether the last answer is what most of its tier's samples are, or another tier's."""
        last, found = attempts[-1], gists(attempts)
        gist = found[-1]
        if gist is None or last.outcome != "complete":
            return False
        alike = [
            attempt.tier for attempt, other in zip(attempts, found, strict=True) if other == gist
        ]
        most = self._samples // 2 + 1
        return Counter(alike)[last.tier] >= max(2, most) or len(set(alike)) > 1
