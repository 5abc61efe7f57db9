"""A policy of one's own: long prompts go to the top tier at once, others climb from the lowest."""

from collections.abc import Sequence

from app.planning.climb import climb, judge_rule
from app.policy import Action, Ask, Context, Policy
from app.records import Attempt, Labels, Lessons, Record, Start
from app.settings import Settings

LONG_TOKENS = 1000


class ByLength:
    name, version, neighbours = "by_length", "1", 0

    def __init__(self, judge: str) -> None:
        self.judged_by = judge_rule(judge)  # who judges a tier's answers; nobody the top one's

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        long = context.prompt_tokens > LONG_TOKENS
        tier = context.ladder.top.name if long else context.ladder.lowest.name
        first = Ask(tier, "direct", live=context.single or long, start=Start(tier, {tier: 1.0}))
        return climb(context, attempts, first=lambda: first, judged_by=self.judged_by)

    def lessons(self, context: Context) -> Lessons | None:
        return None  # ask no other tier afterwards, to learn

    def label(self, record: Record) -> Labels:
        return {}  # from a tier to how likely its answer was right, if it learned from records

    def observe(self, record: Record) -> None:
        pass  # every record since it was first asked for, and again when more is known of one


def build(settings: Settings) -> Policy:
    return ByLength(settings.judge.by or "next")
