"""The best next step under a belief: serve an answer, have the last one judged, ask another tier.

Source: cascade routing (Dekoninck et al. 2025) for the exchange of accuracy against money.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.belief import Array, Belief
from app.plans import Node, Plan, Situation, plan_of

TIE = 0.01
"""What is better by less than this is not worth its price."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with which tier. `final`: whatever it answers will be served.

    Units: `value` is the expected accuracy of what is served in the end, less all that is still to
    be spent, at its exchange rate.
    """

    do: Literal["serve", "judge", "compare", "ask"]
    tier: int
    value: float
    final: bool = False


def steps(
    belief: Belief,
    situation: Situation,
    *,
    ask_costs: Sequence[float],
    judge_costs: Sequence[float],
    compare_cost: float = 0.0,
    depth: int,
) -> list[tuple[float, Step]]:
    """Every step open now and what it costs by itself, looking `depth` steps ahead.

    Units: a cost is in accuracy: its price in USD times the accuracy that one USD must buy. Shape:
    one cost a tier, and one for comparing two answers.
    """
    plan = plan_of(situation, depth)
    costs = [*ask_costs, *judge_costs, compare_cost]
    return list(_under(plan, belief / belief.sum(), costs).steps())


def best(open_steps: Sequence[tuple[float, Step]]) -> Step | None:
    """The step of the highest value, ties going to the cheapest; None where there is none.

    So what a judge may add beyond the horizon is tried before a dearer tier.
    """
    bound = max((step.value for _, step in open_steps), default=0.0) - TIE
    good = [(cost, step) for cost, step in open_steps if step.value >= bound]
    return min(good, key=lambda entry: entry[0])[1] if good else None


def _under(plan: Plan, belief: Belief, costs: Sequence[float]) -> "_Outlook":
    """Every node's value under this belief, from the farthest to the root."""
    rights = plan.rights @ belief
    served = np.maximum.reduceat(rights, plan.first)
    reached = plan.reached @ belief
    values, price = served.copy(), np.array(costs)
    after: Array = np.zeros(0)
    for level in plan.levels:
        won = np.add.reduceat(values[level.outcome], level.of_choice)
        after = won - reached[level.owner] * price[level.cost]
        best_after = np.maximum.reduceat(after, level.of_node)
        values[level.node] = np.maximum(values[level.node], best_after)
    return _Outlook(plan, costs, rights, served, reached, values, after)


@dataclass(frozen=True, slots=True)
class _Outlook:
    """A plan under one belief. `after` is what each choice at the root leads to.

    Units: `Step.value`, times the probability of getting there.
    """

    plan: Plan
    costs: Sequence[float]
    rights: Array
    served: Array
    reached: Array
    values: Array
    after: Array

    def steps(self) -> Iterator[tuple[float, Step]]:
        """The steps open at the root."""
        root = self.plan.root
        if root.served:
            yield 0.0, Step("serve", self._tier_served(root), float(self.served[0]))
        for choice, value in zip(root.choices, self.after.tolist(), strict=True):
            final = choice.do == "ask" and all(
                self._serves(outcome, choice.tier) for outcome in choice.outcomes
            )
            yield self.costs[choice.cost], Step(choice.do, choice.tier, value, final)

    def _serves(self, node: Node, tier: int) -> bool:
        enough = self.values[node.index] - TIE * self.reached[node.index]
        return bool(self.served[node.index] >= enough) and self._tier_served(node) == tier

    def _tier_served(self, node: Node) -> int:
        first = self.plan.first[node.index]
        return node.served[int(self.rights[first : first + len(node.served)].argmax())]
