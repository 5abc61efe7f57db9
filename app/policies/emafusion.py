"""EMAFusion: what is usual of a task, fused with near records; a second judge where one is unsure.

Source: after the abstract of EMAFusion (Shah and Shridhar 2025, arXiv 2504.10681) and of its sequel
Select-then-Route (EMNLP 2025, industry track); neither prompts nor thresholds are published.
"""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from app.judge.arbiter import family_of
from app.latest import Latest
from app.learning.belief import Rates
from app.learning.influence import whose
from app.learning.kinds import Kinds
from app.learning.sketches import sketch_of
from app.planning.climber import Climber, Climbing
from app.planning.fusion import fused
from app.policy import Accept, Action, Context, Judge
from app.records import Attempt, Estimate, Record
from app.tiers import TierLadder

TENANTS = 1_000
GREY = (0.35, 0.75)


class EmaFusion(Climbing):
    """The policy. `grey`: how likely an accepted answer is right when a second judge is asked too.

    Departs: the taxonomy is no classifier but the task that a client names (or its system prompt
    and tools make up), within the nearest of clusters found in the own records. The learned router
    is no regression but the near records, which count the more, the more they amount to. There are
    two judges at most: nine of seven families are worth some two votes, and the best one alone is
    as good as the panel. The second is another tier, and is asked only where the first accepts and
    yet the answer is not likely enough to be right; both must accept, or the next tier is asked.
    """

    def __init__(
        self,
        *,
        quality_per_dollar: float | None = None,
        prior_weight: float = 8.0,
        grey: tuple[float, float] = GREY,
        lessons: float = 0.05,
        judge: str | None = None,
        judged: Rates | None = None,
        vouch_accuracy: float = 0.7,
        name: str = "emafusion",
    ) -> None:
        self._prior_weight = prior_weight
        self._grey = grey
        self._kinds: Latest[str, Kinds] = Latest(TENANTS)
        climber = Climber(
            self.estimates,
            quality_per_dollar=quality_per_dollar,
            judge=judge,
            judged=judged,
            vouch_accuracy=vouch_accuracy,
        )
        super().__init__(name, climber, lessons)
        told = "auto" if quality_per_dollar is None else f"{quality_per_dollar:g}"
        self.version = (
            f"1,grey={grey[0]:g}-{grey[1]:g},prior_weight={prior_weight:g}"
            f",quality_per_dollar={told},judge={judge or 'frugal'}"
        )

    @override
    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """A judged climb, and a second opinion on what was accepted with little reason."""
        action = self._climber.next(context, attempts)
        if isinstance(action, Accept) and self._is_grey(context, attempts):
            by = second_judge(context.ladder, attempts[-1])
            return action if by is None else Judge(len(attempts) - 1, by=by)
        return action

    @override
    def observe(self, record: Record) -> None:
        """Learn rates, costs, and what is usual of the record's kind of question."""
        labels = self._climber.tallies.observe(record)
        self._of(whose(record)).learn(record.id, record.task, record.sketch, labels)

    def estimates(self, context: Context) -> Mapping[str, Estimate]:
        """Each tier's accuracy: near records, and what is usual of the kind where these are few."""
        tallies = self._climber.tallies
        return fused(context, self.priors(context), tallies.labels, self._prior_weight)

    def priors(self, context: Context) -> dict[str, float]:
        """Each tier's accuracy on this kind of question."""
        overall = self._climber.tallies.accuracies(
            context, {tier.name: tier.prior for tier in context.ladder}
        )
        kinds = self._of(whose(context))
        return kinds.rates(kinds.kinds_of(context.task, sketch_of(context.vector)), overall)

    def _is_grey(self, context: Context, attempts: Sequence[Attempt]) -> bool:
        """Whether one judge accepted the last answer, and there is reason to doubt it."""
        last = attempts[-1]
        said = [v for v in last.verdicts if not v.exact and v.against is None]
        if len(said) != 1 or not said[0].valid or last.live:
            return False
        low, high = self._grey
        return low <= self._climber.belief(context, attempts, valid=True) <= high

    def _of(self, tenant: str) -> Kinds:
        return self._kinds.of(tenant, Kinds)


def second_judge(ladder: TierLadder, attempt: Attempt) -> str | None:
    """Another tier than the one that judged and the one that answered, of another model family.

    Of those above the answering tier the nearest, else of those below; where all are of one family,
    any will do. None where there is no other tier.
    """
    heard = {attempt.tier, *(verdict.by for verdict in attempt.verdicts)}
    above = [tier for tier in ladder.above(attempt.tier) if tier.name not in heard]
    below = [
        tier for tier in reversed(ladder.tiers) if tier.name not in heard and tier not in above
    ]
    known = {family_of(ladder[tier]) for tier in heard if tier in ladder}
    able = [*above, *below]
    strangers = [tier for tier in able if family_of(tier) not in known]
    return next((tier.name for tier in strangers or able), None)
