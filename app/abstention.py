"""Abstaining: where no tier that is left is likely to be right, none of them is asked."""

from dataclasses import dataclass

from app.errors import AbstainedError
from app.learning.belief import after_attempts, chance_right, joint
from app.learning.judge_rates import USUAL_RATES
from app.planning.climb import best_ended
from app.policy import Action, Ask, Context, Stop
from app.underway import Run

ABSTAINED = "abstained"


@dataclass(frozen=True, slots=True)
class Abstainer:
    """Stops a climb that is hopeless: the best answer goes out flagged, or none with `refuse`.

    `below` is how likely the likeliest of the tiers that are left must be to be right; 0: it never
    abstains. In `explore` of such cases it goes on all the same: else nobody would ever learn that
    they are not hopeless. Works under every policy that notes what it believes of the tiers.

    Source: early abstention (Zellinger, Liu and Thomson 2025, arXiv 2502.09054). Departs: there
    each model has thresholds fitted beforehand; here a belief decides that is followed through the
    climb. It never abstains before one answer was refused: what is not asked teaches nothing.
    """

    below: float = 0.0
    refuse: bool = False
    explore: float = 0.05

    def heed(self, action: Action, run: Run, context: Context) -> Action:
        """The action, or the end of the climb."""
        record = run.record
        hopeless = self.below and isinstance(action, Ask) and action.arrived == "after_reject"
        if not hopeless or self._hope(run, context) >= self.below:
            return action
        if context.rng.random() < self.explore:
            return action
        run.degrade(ABSTAINED)
        if self.refuse:
            run.refusal = AbstainedError(
                "no tier is likely to answer this well, and the answers so far were refused; ask "
                "for a tier by its name, or set abstain.action to flag"
            )
            return Stop(None)
        return Stop(best_ended(context.ladder, record.attempts))

    def _hope(self, run: Run, context: Context) -> float:
        """How likely the likeliest tier that is left is right; 1 where nothing is believed."""
        record = run.record
        known = record.start.estimates if record.start else {}
        tiers = [tier for tier in record.ladder if tier in known]
        tried = {attempt.tier for attempt in record.attempts}
        left = [tier for tier in context.ladder.names if tier in known and tier not in tried]
        if not left or not tried <= set(tiers):
            return 1.0
        before = joint([known[tier].accuracy for tier in tiers])
        there, _ = after_attempts(before, tiers, record.attempts, lambda *_: USUAL_RATES)
        chances = dict(zip(tiers, chance_right(there), strict=True))
        return max(float(chances[tier]) for tier in left)


NEVER = Abstainer()
