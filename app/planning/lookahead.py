"""The best next step under a belief: serve an answer, have the last one judged, ask another tier.

Source: cascade routing (Dekoninck et al. 2025) for the exchange of accuracy against money.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.learning.belief import Array, Belief
from app.planning.plans import Node, Plan, Situation, plan_of

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
    """Every step open now and what it will have cost in the end, looking `depth` steps ahead.

    Units: a cost is in accuracy: its price in USD times the accuracy that one USD must buy. Shape:
    one cost a tier, and one for comparing two answers.
    """
    plan = plan_of(situation, depth)
    costs = [*ask_costs, *judge_costs, compare_cost]
    return list(_under(plan, belief / belief.sum(), costs).steps())


def best(open_steps: Sequence[tuple[float, Step]]) -> Step | None:
    """The step of the highest value; of ties that after which least will have been spent.

    None where there is none.
    """
    bound = max((step.value for _, step in open_steps), default=0.0) - TIE
    good = [(spent, step) for spent, step in open_steps if step.value >= bound]
    return min(good, key=lambda entry: entry[0])[1] if good else None


def _under(plan: Plan, belief: Belief, costs: Sequence[float]) -> "_Outlook":
    """Every node's value under this belief, from the farthest to the root."""
    # Not by BLAS: so small a product is not worth waking its threads.
    rights = np.einsum("rs,s->r", plan.rights, belief)
    reached = np.einsum("ns,s->n", plan.reached, belief)
    served = np.maximum.reduceat(rights, plan.first)
    values, price = served.copy(), np.array(costs)
    spent = np.zeros(len(values))
    after = paid = np.zeros(0)
    for level in plan.levels:
        due = reached[level.owner] * price[level.cost]
        after = np.add.reduceat(values[level.outcome], level.of_choice) - due
        paid = np.add.reduceat(spent[level.outcome], level.of_choice) + due
        values[level.node] = np.maximum(
            served[level.node], np.maximum.reduceat(after, level.of_node)
        )
        is_best = after >= values[level.owner]
        least = np.minimum.reduceat(np.where(is_best, paid, np.inf), level.of_node)
        spent[level.node] = np.where(values[level.node] > served[level.node], least, 0.0)
    return _Outlook(plan, rights, served, reached, values, after, paid)


@dataclass(frozen=True, slots=True)
class _Outlook:
    """A plan under one belief. `after` is what each choice at the root leads to, `paid` its price.

    Units: as `Step.value`, times the probability of getting there. What is `paid` includes all that
    follows.
    """

    plan: Plan
    rights: Array
    served: Array
    reached: Array
    values: Array
    after: Array
    paid: Array

    def steps(self) -> Iterator[tuple[float, Step]]:
        """The steps open at the root."""
        root = self.plan.root
        if root.served:
            yield 0.0, Step("serve", self._tier_served(root), float(self.served[0]))
        choices = zip(root.choices, self.after.tolist(), self.paid.tolist(), strict=True)
        for choice, value, paid in choices:
            final = choice.do == "ask" and all(
                self._serves(outcome, choice.tier) for outcome in choice.outcomes
            )
            yield paid, Step(choice.do, choice.tier, value, final)

    def _serves(self, node: Node, tier: int) -> bool:
        enough = self.values[node.index] - TIE * self.reached[node.index]
        return bool(self.served[node.index] >= enough) and self._tier_served(node) == tier

    def _tier_served(self, node: Node) -> int:
        first = self.plan.first[node.index]
        return node.served[int(self.rights[first : first + len(node.served)].argmax())]
