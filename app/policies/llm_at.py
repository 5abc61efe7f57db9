"""LLM-AT: start where similar records promise enough accuracy, judge, escalate, remember.

Source: Na et al. 2025, "LLM-AT: Automatic Transmission for LLM tiers" (ACL Findings, arXiv
2505.20921) and its released code.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from app.learning.influence import is_hearsay
from app.learning.labels import arm_of
from app.planning.affinity import Voucher, goes_live, settled
from app.planning.climb import climb, judge_rule
from app.planning.levers import Choice, Lever
from app.policy import Action, Ask, Context
from app.records import Attempt, Estimate, Labels, Lessons, Record, Start
from app.starter import AccuracyEstimator, Starter
from app.tiers import TierLadder

LOOKED_AT = tuple(at / 50 for at in range(51))


def paper_judge(ladder: TierLadder, tier: str) -> str | None:
    """The lowest tier is judged by the second, the others by themselves, the top by nobody."""
    if tier == ladder.top.name:
        return None
    return ladder.above(tier)[0].name if tier == ladder.lowest.name else tier


@dataclass(frozen=True, slots=True)
class LlmAt:
    """The published policy; `judge` None is its own rule of who judges.

    Departs: the verdict is constrained JSON in a fenced prompt, not the word "yes" in a text. An
    answer without a verdict is served unverified where its tier's accuracy reaches θ, else the
    next tier is asked (the paper has no failing judge). A record whose answer nobody vouched for
    (served unjudged below the top, or because higher tiers were down) teaches nothing. The lowest
    tier gets no special "abstain when in doubt" prompt: a gateway does not edit prompts. A
    conversation keeps its tier unless moving pays. Where the records vouch for a tier its answer
    may stream live, and is judged afterwards.
    """

    starter: Starter
    estimator: AccuracyEstimator
    voucher: Voucher
    judge: str | None = None
    name: str = "llm_at"

    @property
    def version(self) -> str:
        return (
            f"1,threshold={self.starter.threshold:g},neighbours={self.starter.neighbours}"
            f",prior_weight={self.estimator.prior_weight:g},judge={self.judge or 'paper'}"
        )

    def at(self, threshold: float) -> "LlmAt":
        """The same policy with another threshold."""
        return replace(self, starter=replace(self.starter, threshold=threshold))

    @property
    def neighbours(self) -> int:
        return self.starter.neighbours

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Start by the records, then climb."""
        return climb(
            context,
            attempts,
            first=lambda: self._first(context),
            judged_by=self.judged_by,
            trusted=lambda attempt: self._trusted(context, attempt),
        )

    def lessons(self, context: Context) -> Lessons | None:
        """None: the paper has none."""
        return None

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Whom the configuration names, else whom the paper does."""
        rule = paper_judge if self.judge is None else judge_rule(self.judge)
        return rule(ladder, tier)

    def label(self, record: Record) -> Labels:
        """The paper's rule.

        The final tier and every tier above it are right, asked or not; a tried lower tier is right
        if its answer equals the final one; an untried one has no label.

        Units: 1 is right, 0 is wrong. Departs: only a final answer that was judged valid, before or
        after it was sent, or came from the top and passed the exact checks, counts; one that was
        found wrong later teaches just that; attempts that were cut off or failed teach nothing.
        """
        final = record.served_attempt
        if final is None or final.outcome != "complete" or final.tier not in record.ladder:
            return {}
        words = (word for word in record.evidence.values() if not is_hearsay(word, record))
        later = {word.valid for word in words}
        if False in later:
            return {} if arm_of(final) != final.tier else {final.tier: 0.0}
        vouched_for = record.verified or True in later or final.tier == record.ladder[-1]
        if final.refused or not vouched_for:
            return {}
        position = record.ladder.index(final.tier)
        labels = dict.fromkeys(record.ladder[position:], 1.0)
        for attempt in record.attempts:
            if attempt.outcome == "complete" and attempt.tier in record.ladder[:position]:
                labels[attempt.tier] = float(attempt.final_answer == final.final_answer)
        # What a tier can do that was shown strategies says little of the bare one.
        advised = {a.tier for a in record.attempts if arm_of(a) != a.tier}
        return {tier: right for tier, right in labels.items() if tier not in advised}

    def observe(self, record: Record) -> None:
        """Nothing: its neighbours are all it goes by."""

    def estimates(self, context: Context) -> dict[str, Estimate]:
        """What similar records say of each tier."""
        return self.estimator.estimate(
            context.ladder, context.neighbours, self.label, context.principal
        )

    def levers(self, context: Context) -> Iterator[Lever]:
        """The threshold, and the accuracy of the tier that is chosen."""
        estimates, known = self.estimates(context), len(context.neighbours)

        def start(threshold: float, believed: dict[str, Estimate]) -> Choice:
            starter = replace(self.starter, threshold=threshold)
            chosen = starter.start(context.ladder, believed, known)
            return Choice("ask", settled(context, believed, chosen))

        now = self.starter.threshold
        tier = start(now, estimates).tier
        own = estimates[tier]
        yield Lever("threshold", now, LOOKED_AT, lambda value: start(value, estimates))
        yield Lever(
            "accuracy",
            own.accuracy,
            LOOKED_AT,
            lambda value: start(now, {**estimates, tier: replace(own, accuracy=value)}),
            tier,
        )

    def _first(self, context: Context) -> Ask:
        estimates = self.estimates(context)
        chosen = self.starter.start(context.ladder, estimates, len(context.neighbours))
        tier = settled(context, estimates, chosen)
        start = Start(
            tier=tier,
            propensities={tier: 1.0},
            estimates=estimates,
            neighbours=len(context.neighbours),
            top_similarity=max((n.similarity for n in context.neighbours), default=None),
        )
        vouched = self.voucher.vouches(estimates[tier])
        return Ask(tier, "direct", live=goes_live(context, tier, vouched=vouched), start=start)

    def _trusted(self, context: Context, attempt: Attempt) -> bool:
        return self.estimates(context)[attempt.tier].accuracy >= self.starter.threshold
