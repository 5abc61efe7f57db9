"""Margin: a tier's answer stands where the model was sure of its own words; nobody judges.

Source: Ramírez, Birch and Titov 2024, "Optimising Calls to Large Language Models with Uncertainty-
Based Two-Tier Selection" (COLM 2024, arXiv 2405.02134).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from app.latest import Latest
from app.planning.affinity import goes_live
from app.planning.climb import go_on
from app.planning.learned import seated, stands
from app.planning.unlearning import Unlearning
from app.policy import Accept, Action, Ask, Context
from app.quantiles import KEPT, Running
from app.records import Attempt, Record, Start
from app.tiers import TierLadder

TENANTS = 1_000


class Margin(Unlearning):
    """The policy: from the lowest tier up; of each tier's answers the least sure are passed on.

    `escalate_share` of them, by a running quantile of the tenant's own last 2,000 margins: the
    budget is the dial. A margin is the gap between the two likeliest tokens: of the first token in
    a short answer, the 10 % quantile in a longer one, where the mean would be of tokens that any
    model is sure of.

    Departs: any number of tiers, each with a quantile of its own. Where a tier tells no token
    probabilities (`supports` must list `logprobs`), how sure it is is not known: its answers are
    passed on. Equal margins share what is left to them by a coin, as all are before any was seen.
    Only what exact checks refuse is refused; a conversation's tools stay with the tier that called
    them.
    """

    name = "margin"
    neighbours = 0

    def __init__(self, *, escalate_share: float = 0.3) -> None:
        self._share = escalate_share
        self.version = f"1,escalate_share={escalate_share:g}"
        self._margins: Latest[tuple[str, str], Running] = Latest(TENANTS)
        self._seen: OrderedDict[str, None] = OrderedDict()

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Ask; accept where it was sure, else ask one tier up."""
        if not attempts:
            return self._first(context)
        at, last = len(attempts) - 1, attempts[-1]
        if not last.ended:
            return self._scored(go_on(context, attempts, "after_failure"))
        sure = not last.refused and self._is_sure(context, last)
        if stands(context, last) or sure:
            return Accept(at)
        if last.tier == context.ladder.top.name and not last.refused:
            return Accept(at)
        return self._scored(go_on(context, attempts, "after_reject"))

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Nobody."""
        return None

    @override
    def observe(self, record: Record) -> None:
        """Take in the margins of a record of this policy's own."""
        if record.policy != self.name or record.id in self._seen:
            return
        self._seen[record.id] = None
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        for attempt in record.attempts:
            if attempt.margin is not None and attempt.outcome == "complete":
                self._of(record.tenant, attempt.tier).add(-attempt.margin)

    def _is_sure(self, context: Context, attempt: Attempt) -> bool:
        """Whether its margin is not among the lowest that are passed on."""
        if attempt.margin is None or attempt.outcome != "complete":
            return False
        passed_on = self._of(context.tenant, attempt.tier).chance(-attempt.margin, self._share)
        return context.rng.random() >= passed_on

    def _first(self, context: Context) -> Action:
        tier = seated(context) or context.ladder.lowest.name
        live = goes_live(context, tier)
        return self._scored(Ask(tier, "direct", live=live, start=Start(tier, {tier: 1.0})))

    def _of(self, tenant: str, tier: str) -> Running:
        return self._margins.of((tenant, tier), Running)

    @staticmethod
    def _scored(action: Action) -> Action:
        return replace(action, scored=True) if isinstance(action, Ask) else action
