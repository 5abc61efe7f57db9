"""What policies that go by similar records have in common: lessons, what is observed, the steps."""

from collections.abc import Mapping, Sequence

from app.dials import Trade
from app.learning.belief import Rates
from app.learning.influence import whose
from app.learning.learner import LESSON_SHARE, Learner, Ledger
from app.planning.climb import JudgeRule, frugal_judge, judge_rule
from app.planning.nearby import Nearby, View
from app.planning.tallies import usual_labels
from app.policy import Context
from app.records import Attempt, Labels, Lessons, Record, Start
from app.tiers import TierLadder

NEIGHBOURS = 50


class Learned:
    """A policy without its steps: a base for those that look at `Nearby.view`.

    `judge` None: whom `frugal_judge` names; `judged` is how well judges are said to judge.
    `lessons` is the share of all spend that lessons cost.
    What is learned comes from records alone: shown the same ones in order, it is the same again.
    """

    def __init__(
        self,
        name: str,
        *,
        judge: str | None = None,
        judged: Rates | None = None,
        lessons: float = LESSON_SHARE,
    ) -> None:
        self.name = name
        self.neighbours = NEIGHBOURS
        self._judge: JudgeRule = judge_rule(judge) if judge else frugal_judge
        self._nearby = Nearby(self._judge, Learner(judged))
        self._lessons = lessons

    def lessons(self, context: Context) -> Lessons | None:
        """What this request gets to teach, by coins; drawn before its first step."""
        if not self._lessons:
            return None
        view, names = self._nearby.view(context), context.ladder.names
        judge_usd = dict(zip(names, view.judge_usd, strict=True))
        return self.ledger(context).draw(
            dict(zip(names, view.ask_usd, strict=True)),
            {tier: usd for tier, usd in judge_usd.items() if self._judge(context.ladder, tier)},
            context.rng,
            share=self._lessons,
        )

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Whom the configuration names, else whom it pays to ask."""
        return self._judge(ladder, tier)

    def label(self, record: Record) -> Labels:
        """What the record teaches, if judges err as often as is usual."""
        return usual_labels(record)

    def observe(self, record: Record) -> None:
        """Learn from a record, and again when more is known of it."""
        first = not self.ledger(record).knows(record.id)
        self._nearby.observe(record)
        if record.policy == self.name:
            self.note(record, first=first)

    def note(self, record: Record, *, first: bool) -> None:
        """Take note of a record of this policy's own; `first`: it was not seen before."""

    def ledger(self, asked: Context | Record) -> Ledger:
        """The running figures of whoever asks, or asked."""
        return self._nearby.learner.ledger(whose(asked))


def start_of(
    context: Context,
    view: View,
    tier: str,
    propensities: Mapping[str, float] | None = None,
    *,
    score: float | None = None,
    trade: Trade | None = None,
) -> Start:
    """The start at this tier, and what was believed; without `propensities` it was certain."""
    return Start(
        tier=tier,
        propensities=dict(propensities or {tier: 1.0}),
        estimates=view.estimates,
        neighbours=len(context.neighbours),
        top_similarity=max((n.similarity for n in context.neighbours), default=None),
        trade=trade,
        score=score,
    )


def seated(context: Context) -> str | None:
    """The tier that called the tools that are under way, where it can go on; else None."""
    seat = context.seat
    bound = context.tool_turn and seat is not None and seat.tier in context.ladder
    return seat.tier if bound and seat is not None else None


def stands(context: Context, last: Attempt) -> bool:
    """Whether the last answer is served whatever is thought of it."""
    if not last.ended:
        return False
    settled = context.tool_turn and not last.refused
    return last.live or last.outcome == "censored" or context.single or settled


def askable(context: Context, attempts: Sequence[Attempt]) -> tuple[int, ...]:
    """The places of the tiers that may be asked: untried, and above every answer there is."""
    names, tier = context.ladder.names, seated(context)
    if tier is not None and not attempts:
        return (names.index(tier),)
    tried = {attempt.tier for attempt in attempts}
    highest = max((names.index(a.tier) for a in attempts if a.ended), default=-1)
    return tuple(at for at, name in enumerate(names) if at > highest and name not in tried)


def is_judged(attempt: Attempt) -> bool:
    """Whether a judge was asked about it, or an exact check refused it."""
    return any(verdict.against is None for verdict in attempt.verdicts)
