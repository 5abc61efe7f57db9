"""Winrate: the strong tier where it is likely to win against the weak one, as RouteLLM does.

Source: Ong et al. 2024, "RouteLLM: Learning to Route LLMs with Preference Data" (ICLR 2025, arXiv
2406.18665) and its released code.
"""

from collections import OrderedDict
from collections.abc import Sequence
from copy import copy

from typing_extensions import override

from app.latest import Latest
from app.learning.amounts import Label
from app.learning.belief import Rates
from app.learning.contests import chance_of_win, contest
from app.learning.influence import whose
from app.learning.learner import CHANGE_DISCOUNT
from app.planning.affinity import goes_live
from app.planning.climb import climb
from app.planning.learned import Learned, seated, start_of
from app.planning.nearby import SHRINKAGE, similar_weights
from app.policy import Action, Ask, Context
from app.quantiles import Running
from app.records import Attempt, Record
from app.tiers import TierLadder

TENANTS = 1_000
REMEMBERED = 50_000
DIGITS = 6
"""Scores that differ by less are equal."""


class Winrate(Learned):
    """The policy: strong iff P(strong wins | question) is among the highest `strong_share`.

    Or from `threshold` on. `weak` and `strong` None, or not able to serve the request: the lowest
    and the top tier of those that are.

    Departs: no router was trained beforehand on battles of the arena. The score is a similarity-
    weighted Beta count over records that label both tiers, its prior what is believed of both; the
    paper's `sw_ranking` fits a Bradley-Terry model for each request. The threshold is a quantile of
    the tenant's own last 2,000 scores, not of the arena's, and makes up for what it missed while
    scores moved. Ties on it are broken by a coin, so that
    the share holds where all scores are the same, as they are before anything was learned; with a
    fixed threshold they are strong, as in the paper. An answer that fails an exact check is not
    served if another can be had. While tools are under way the tier that called them goes on.
    """

    def __init__(
        self,
        *,
        strong_share: float = 0.5,
        threshold: float | None = None,
        weak: str | None = None,
        strong: str | None = None,
        judge: str | None = None,
        judged: Rates | None = None,
        lessons: float = 0.05,
        vouch_accuracy: float = 0.7,
    ) -> None:
        super().__init__("winrate", judge=judge, judged=judged, lessons=lessons)
        self._strong_share = strong_share
        self.threshold = threshold
        self._weak, self._strong = weak, strong
        self._vouch_accuracy = vouch_accuracy
        self._scores: Latest[str, Running] = Latest(TENANTS)
        self._contests: OrderedDict[tuple[str, int, str, str], Label | None] = OrderedDict()

    @property
    def version(self) -> str:
        pair = f"{self._weak or 'lowest'}:{self._strong or 'top'}"
        if self.threshold is not None:
            return f"1,{pair},threshold={self.threshold:g}"
        return f"1,{pair},strong_share={self._strong_share:g}"

    def at(self, threshold: float) -> "Winrate":
        """The same policy with a fixed threshold; what either learns, both know."""
        other = copy(self)
        other.threshold = threshold
        return other

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """The chosen tier's answer, unjudged; higher ones where it fails, or fails a check."""
        return climb(
            context, attempts, first=lambda: self._first(context), judged_by=lambda *_: None
        )

    @override
    def note(self, record: Record, *, first: bool) -> None:
        """Keep the score of a request that chose by one."""
        start = record.start
        if not first or start is None or start.score is None:
            return
        scores = self._scores_of(whose(record))
        scores.add(start.score)
        if record.policy_version == self.version and self.threshold is None:
            strong = self._strong if self._strong in record.eligible else record.eligible[-1]
            scores.chosen(start.propensities.get(strong or "", 0.0), self._strong_share)

    def score(self, context: Context) -> float:
        """P(strong wins | question): Beta counts over similar records, by what was believed."""
        names, view = context.ladder.names, self._nearby.view(context)
        weak, strong = self._pair(context.ladder)
        prior = chance_of_win(view.belief, names.index(weak), names.index(strong))
        won, total = SHRINKAGE * prior, SHRINKAGE
        weights = similar_weights(context.neighbours, context.principal)
        changed_s = self.ledger(context).changed_s
        since_s = max((changed_s[tier] for tier in (weak, strong) if tier in changed_s), default=0)
        for neighbour, similar in zip(context.neighbours, weights, strict=False):
            label = self._contest(neighbour.record, weak, strong)
            if label is not None:
                old = neighbour.record.time_s < since_s
                weight = float(similar) * label.weight * (CHANGE_DISCOUNT if old else 1.0)
                won, total = won + weight * label.right, total + weight
        return round(min(1.0, max(0.0, won / total)), DIGITS)

    def _first(self, context: Context) -> Ask:
        view = self._nearby.view(context)
        weak, strong = self._pair(context.ladder)
        score: float | None = None
        if (seat := seated(context)) is not None:
            chances = {seat: 1.0}
        elif weak == strong:
            chances = {weak: 1.0}
        else:
            score = self.score(context)
            chance = self._chance(context, score)
            both = {weak: 1 - chance, strong: chance}
            chances = {tier: chance for tier, chance in both.items() if chance > 0}
        (tier,) = context.rng.choices(list(chances), list(chances.values()))
        audited = view.errors[context.ladder.names.index(tier)] <= 1 - self._vouch_accuracy
        live = goes_live(context, tier, vouched=audited)
        return Ask(
            tier, "direct", live=live, start=start_of(context, view, tier, chances, score=score)
        )

    def _chance(self, context: Context, score: float) -> float:
        """How likely this score goes to the strong tier."""
        if self.threshold is not None:
            return float(score >= self.threshold)
        return self._scores_of(whose(context)).chance(score, self._strong_share)

    def _pair(self, ladder: TierLadder) -> tuple[str, str]:
        """The weak and the strong tier, of those that can serve the request."""
        weak, strong = self._weak, self._strong
        return (
            weak if weak is not None and weak in ladder else ladder.lowest.name,
            strong if strong is not None and strong in ladder else ladder.top.name,
        )

    def _contest(self, record: Record, weak: str, strong: str) -> Label | None:
        """What the record shows, looked at again only where evidence came in."""
        key = (record.id, len(record.evidence), weak, strong)
        if key not in self._contests:
            self._contests[key] = contest(record, weak, strong)
            if len(self._contests) > REMEMBERED:
                self._contests.popitem(last=False)
        return self._contests[key]

    def _scores_of(self, tenant: str) -> Running:
        return self._scores.of(tenant, Running)
