"""What `value` chooses a step by, kept so that it can be weighed again: at other prices, say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.learning.belief import RELATIONS, Belief, Ran, after_attempts, joint
from app.planning.exchange import Stake
from app.planning.levers import Choice, Lever
from app.planning.lookahead import Step, best, steps
from app.planning.nearby import ACCURACY_MAX, ACCURACY_MIN, View
from app.planning.plans import Situation
from app.records import Attempt

RATE_DECADES, LOOKS_A_DECADE, LOOKS = 3, 8, 48


@dataclass(frozen=True, slots=True)
class Weighing:
    """One point of a request's path. It depends on nothing that changes later.

    Shapes: `tiers` are the ladder's, lowest first.
    """

    tiers: tuple[str, ...]
    view: View
    stake: Stake
    attempts: Sequence[Attempt]
    belief: Belief
    situation: Situation
    depth: int

    def steps(
        self, *, rate: float | None = None, belief: Belief | None = None
    ) -> list[tuple[float, Step]]:
        """Every step open now, after what it will have cost in the end; see `lookahead.steps`."""
        costs = self.stake.costs(rate)
        count = len(self.tiers)
        return steps(
            self.belief if belief is None else belief,
            self.situation,
            ask_costs=costs[:count],
            judge_costs=costs[count:-1],
            compare_cost=costs[-1],
            depth=self.depth,
        )

    def choice(self, step: Step | None) -> Choice | None:
        """The step, with its tier's name."""
        return None if step is None else Choice(step.do, self.tiers[step.tier])

    def levers(self) -> Iterator[Lever]:
        """The rate at which money is traded, and the accuracy of the tier that is chosen."""
        rate = self.stake.trade.quality_per_dollar
        span = RATE_DECADES * LOOKS_A_DECADE
        rates = [rate * 10 ** (at / LOOKS_A_DECADE) for at in range(-span, span + 1)]
        yield Lever("quality_per_dollar", rate, rates, self._at_rate)
        step = best(self.steps())
        if step is not None:
            tier = self.tiers[step.tier]
            width = ACCURACY_MAX - ACCURACY_MIN
            values = [ACCURACY_MIN + width * at / LOOKS for at in range(LOOKS + 1)]
            now = self.view.estimates[tier].accuracy
            yield Lever("accuracy", now, values, lambda a: self._if_right(step.tier, a), tier)

    def _at_rate(self, rate: float) -> Choice | None:
        return self.choice(best(self.steps(rate=rate)))

    def _if_right(self, at: int, accuracy: float) -> Choice | None:
        believed = [self.view.estimates[tier].accuracy for tier in self.tiers]
        believed[at] = accuracy
        before = joint(believed, self.view.world)
        belief, _ = seen(before, self.tiers, self.view, self.attempts)
        return self.choice(best(self.steps(belief=belief)))


def seen(
    before: Belief, tiers: tuple[str, ...], view: View, attempts: Sequence[Attempt]
) -> tuple[Belief, tuple[Ran, ...]]:
    """What is believed after these attempts, and what ran."""
    return after_attempts(
        before,
        tiers,
        attempts,
        lambda tier, relation: view.rates[tiers.index(tier)][RELATIONS.index(relation)],
        view.world.agreement,
    )
