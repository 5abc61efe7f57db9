"""Inter-Cascade: a cascade whose strong tiers note how such questions are solved, for weaker ones.

Source: Wu et al. 2025, "Inter-Cascade" (arXiv 2509.22984), after the abstract and its reviews; the
body was not read.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from app.latest import Latest
from app.learning.influence import Asked, whose
from app.learning.labels import is_refuted
from app.planning.affinity import goes_live
from app.planning.climb import climb, judge_rule
from app.planning.learned import seated
from app.planning.tallies import usual_labels
from app.policy import Action, Ask, Context
from app.records import Attempt, Labels, Record, Start
from app.tiers import TierLadder

SHOWN = 2
"""How many strategies a tier is shown."""
LOOKED_AT = 8
TENANTS = 1_000
REMEMBERED = 20_000
USES_MIN = 10
"""After so many uses a strategy must have shown that it helps."""
USUAL_WEIGHT = 4.0
"""How many withheld uses the rate over all strategies counts for."""

Use = tuple[tuple[str, ...], bool, bool]
"""Strategies of one attempt, whether a coin withheld them, and whether its answer was right."""


@dataclass(slots=True)
class Tally:
    """How often answers were right, of how many: with strategies, and where they were withheld."""

    right: int = 0
    uses: int = 0
    right_without: int = 0
    uses_without: int = 0

    def add(self, withheld: bool, right: bool, sign: int = 1) -> None:
        """Take in one use; `sign` -1 takes it out again."""
        if withheld:
            self.right_without += sign * right
            self.uses_without += sign
        else:
            self.right += sign * right
            self.uses += sign


@dataclass(slots=True)
class _Known:
    """What one's records say: each strategy's tally and everyone's, and what was spent."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    all: Tally = field(default_factory=Tally)
    spent_usd: float = 0.0
    writing_usd: float = 0.0
    taken: OrderedDict[str, tuple[list[Use], float, float]] = field(default_factory=OrderedDict)

    def take_in(self, record: Record) -> None:
        """Count what this record says."""
        writing = [e.cost_usd or 0.0 for e in record.evidence.values() if e.source == "strategy"]
        costs_usd = [usd or 0.0 for usd in record.costs_usd().values()]
        taken = list(_uses(record)), sum(costs_usd), sum(writing)
        self.taken[record.id] = taken
        self._count(*taken)
        if len(self.taken) > REMEMBERED:
            self.taken.popitem(last=False)  # it stays counted

    def take_out(self, record_id: str) -> None:
        """Count it no more, where it was."""
        taken = self.taken.pop(record_id, None)
        if taken is not None:
            self._count(*taken, sign=-1)

    def _count(self, uses: list[Use], spent_usd: float, writing_usd: float, sign: int = 1) -> None:
        self.spent_usd += sign * spent_usd
        self.writing_usd += sign * writing_usd
        for strategies, withheld, right in uses:
            self.all.add(withheld, right, sign)
            for strategy in strategies:
                self.tallies.setdefault(strategy, Tally()).add(withheld, right, sign)


class InterCascade:
    """The policy: the cascade, in which weaker tiers are shown the two most similar strategies.

    `writes`: a tier that resolves what a weaker one could not writes one down in the background,
    while no more than `budget` of all spend goes into that. Of requests that have strategies,
    `held_out` get none, by a coin that the record keeps: so what they are worth is measured. One
    that after ten uses does no better than none is dropped. Without `writes` it is the plain
    cascade.

    Departs: a judge accepts, not a threshold calibrated offline on labelled questions. Strategies
    come from one key's own questions, since such a text could be a way to instruct the models of
    others; tiers get them as fenced data, and judges never see them. A tier that was shown some is
    an arm of its own in what records teach.
    """

    name = "inter_cascade"
    neighbours = 0

    def __init__(
        self,
        judge: str,
        *,
        writes: bool = False,
        similarity: float = 0.6,
        held_out: float = 0.1,
        budget: float = 0.1,
    ) -> None:
        self.strategies = LOOKED_AT if writes else 0
        self._judge = judge_rule(judge)
        self._similarity, self._held_out, self._budget = similarity, held_out, budget
        self._known: Latest[str, _Known] = Latest(TENANTS)
        told = f"similarity={similarity:g},held_out={held_out:g},budget={budget:g}"
        self.version = f"1,judge={judge},strategies={told if writes else 'off'}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Climb from the lowest tier; strategies go to those below the tier that wrote them."""
        action = climb(
            context, attempts, first=lambda: self._first(context), judged_by=self.judged_by
        )
        return self._advised(action, context, attempts) if isinstance(action, Ask) else action

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """As configured."""
        return self._judge(ladder, tier)

    def lessons(self, context: Context) -> None:
        """None: what is learned besides is in the strategies."""

    def label(self, record: Record) -> Labels:
        """What the record teaches, if judges err as often as is usual."""
        return usual_labels(record)

    def observe(self, record: Record) -> None:
        """Count what strategies came to in a record of this policy's own, or count it anew."""
        if record.policy != self.name:
            return
        known = self._of(record)
        known.take_out(record.id)
        known.take_in(record)

    def written_by(self, record: Record) -> str | None:
        """The tier whose answer was accepted after another one's was refused.

        Nobody where both came to the same, where it could not be paid for, or where strategies
        were there but withheld: those may have helped.
        """
        served = record.served_attempt
        mine = record.policy == self.name and record.trial_of is None and record.learn
        if not (self.strategies and mine) or served is None or served.outcome != "complete":
            return None
        top = served.tier == record.ladder[-1]
        if served.refused or not (record.verified or top) or is_refuted(record):
            return None
        unresolved = [attempt for attempt in record.attempts if _unresolved(attempt, served)]
        if not unresolved or any(attempt.withheld for attempt in record.attempts):
            return None
        return served.tier if self._can_pay(record, served) else None

    def helps(self, asked: Record, strategy: str) -> bool:
        """Whether it does better than none, or has not been used ten times yet.

        What none comes to is known from where a coin withheld it, and where it seldom did, from
        what withholding any of them came to.
        """
        known = self._of(asked)
        tally, every = known.tallies.get(strategy), known.all
        if tally is None or tally.uses < USES_MIN or not every.uses_without:
            return True
        usual = every.right_without / every.uses_without
        without = (tally.right_without + USUAL_WEIGHT * usual) / (tally.uses_without + USUAL_WEIGHT)
        return tally.right / tally.uses > without

    def tally(self, asked: Asked) -> Tally:
        """How often answers were right with strategies, and without, for whoever asks."""
        return self._of(asked).all

    def _first(self, context: Context) -> Ask:
        tier = seated(context) or context.ladder.lowest.name
        return Ask(tier, "direct", live=goes_live(context, tier), start=Start(tier, {tier: 1.0}))

    def _advised(self, ask: Ask, context: Context, attempts: Sequence[Attempt]) -> Ask:
        """With what stronger tiers noted; one coin a request has it withheld."""
        if context.single or context.tool_turn or context.tools:
            return ask
        above = {tier.name for tier in context.ladder.above(ask.tier)}
        found = tuple(
            each
            for each in context.strategies
            if each.tier in above and each.similarity >= self._similarity
        )[:SHOWN]
        if not found:
            return ask
        flipped = [attempt.withheld for attempt in attempts if attempt.strategies]
        withheld = flipped[0] if flipped else context.rng.random() < self._held_out
        return replace(ask, strategies=found, withheld=withheld)

    def _can_pay(self, record: Record, served: Attempt) -> bool:
        """Whether one more, at the price of the answer it is about, is within the budget."""
        known, cost_usd = self._of(record), record.cost_usd
        if served.cost_usd is None or cost_usd is None:
            return False
        spent_usd = known.spent_usd + (0.0 if record.id in known.taken else cost_usd)
        return known.writing_usd + served.cost_usd <= self._budget * spent_usd

    def _of(self, asked: Asked) -> _Known:
        return self._known.of(whose(asked), _Known)


def _uses(record: Record) -> Iterator[Use]:
    """What came of every attempt that had strategies, where a judge or somebody else knows."""
    for attempt in record.attempts:
        right = attempt.valid
        if attempt is record.served_attempt and is_refuted(record):
            right = False
        if attempt.strategies and right is not None and attempt.outcome == "complete":
            yield attempt.strategies, attempt.withheld, right


def _unresolved(attempt: Attempt, served: Attempt) -> bool:
    """Whether this answer was refused, and is not what was then accepted."""
    same = attempt.final_answer is not None and attempt.final_answer == served.final_answer
    return attempt.outcome == "complete" and attempt.refused and not same
