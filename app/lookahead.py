"""The best next step under a belief: serve an answer, have the last one judged, ask another tier.

Beliefs are never normalised while looking ahead, so every value is linear in the belief, and all
of them are one product with a matrix that is made once a situation.

Source: cascade routing (Dekoninck et al. 2025) for the exchange of accuracy against money.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from app.belief import RELATIONS, USUAL, Array, Belief, Ran, Rates, Space, relation_of, space

Indices: TypeAlias = npt.NDArray[np.intp]

TIE = 0.01
"""What is better by less than this is not worth its price."""

DISCERNMENT_MIN = 0.1
"""P(valid | right) - P(valid | wrong): a judge that tells them apart no better is not asked."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a request stands. A tier is its position on the ladder of `tiers` rungs.

    `ran` is in the order of asking. `askable` are the tiers that may be asked, `judgeable` those
    whose answers somebody can judge, `rates` how well: by tier, then as in `RELATIONS`. `judged`:
    the last answer was. `comparable`: answers to come can be compared.
    """

    tiers: int
    ran: tuple[Ran, ...]
    askable: tuple[int, ...]
    judgeable: frozenset[int]
    rates: tuple[tuple[Rates, ...], ...]
    judged: bool = False
    comparable: bool = True
    agreement: float = USUAL.agreement

    def can_judge(self) -> bool:
        """Whether a verdict on the last answer is to be had, and would tell something."""
        if self.judged or self.ran[-1].tier not in self.judgeable:
            return False
        of_right, of_wrong = self.last_rates()
        return of_right - of_wrong >= DISCERNMENT_MIN

    def last_rates(self) -> Rates:
        """How well the last answer would be judged."""
        relation = relation_of(self.ran[-1].group, [ran.group for ran in self.ran[:-1]])
        return self.rates[self.ran[-1].tier][RELATIONS.index(relation)]


@dataclass(frozen=True, slots=True)
class Step:
    """What to do with which tier. `final`: whatever it answers will be served.

    Units: `value` is the expected accuracy of what is served in the end, less all that is still to
    be spent, at its exchange rate.
    """

    do: Literal["serve", "judge", "ask"]
    tier: int
    value: float
    final: bool = False


def steps(
    belief: Belief,
    situation: Situation,
    *,
    ask_costs: Sequence[float],
    judge_costs: Sequence[float],
    depth: int,
) -> list[tuple[float, Step]]:
    """Every step open now and what it costs by itself, looking `depth` steps ahead.

    Units: a cost is in accuracy: its price in USD times the accuracy that one USD must buy. Shape:
    one cost a tier.
    """
    plan = _plan(situation, depth)
    costs = [*ask_costs, *judge_costs]
    return list(plan.under(belief / belief.sum(), costs).steps())


def best(open_steps: Sequence[tuple[float, Step]]) -> Step | None:
    """The step of the highest value, ties going to the cheapest; None where there is none.

    So what a judge may add beyond the horizon is tried before a dearer tier.
    """
    bound = max((step.value for _, step in open_steps), default=0.0) - TIE
    good = [(cost, step) for cost, step in open_steps if step.value >= bound]
    return min(good, key=lambda entry: entry[0])[1] if good else None


@dataclass(frozen=True, slots=True)
class _Choice:
    """A step from a node, and the points it may lead to; `cost` is its position among the costs."""

    do: Literal["judge", "ask"]
    tier: int
    cost: int
    outcomes: tuple["_Node", ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """A point that may be reached, and the tiers that could be served there."""

    index: int
    served: tuple[int, ...]
    choices: tuple[_Choice, ...]


@dataclass(frozen=True, slots=True)
class _Level:
    """The nodes with choices that are equally far ahead.

    Shapes: `node` (nodes,); `cost` and `owner` (choices,), the place of its cost and of its node;
    `outcome` (outcomes,), nodes of the next level; `of_choice` where each choice's outcomes begin,
    `of_node` where each node's choices begin.
    """

    node: Indices
    cost: Indices
    owner: Indices
    outcome: Indices
    of_choice: Indices
    of_node: Indices


@dataclass(frozen=True, slots=True)
class _Plan:
    """All that can happen from a situation.

    Shapes: `reached` (nodes, states), how likely each state leads to the node; `rights` (rows,
    states), the same where a tier served there is right. A node's rows begin at `first[node]`.
    """

    root: _Node
    reached: Array
    rights: Array
    first: Indices
    levels: tuple[_Level, ...]

    def under(self, belief: Belief, costs: Sequence[float]) -> "_Outlook":
        """Every node's value under this belief, from the farthest to the root."""
        rights = self.rights @ belief
        served = np.maximum.reduceat(rights, self.first)
        reached = self.reached @ belief
        values, price = served.copy(), np.array(costs)
        after: Array = np.zeros(0)
        for level in self.levels:
            won = np.add.reduceat(values[level.outcome], level.of_choice)
            after = won - reached[level.owner] * price[level.cost]
            best_after = np.maximum.reduceat(after, level.of_node)
            values[level.node] = np.maximum(values[level.node], best_after)
        return _Outlook(self, costs, rights, served, reached, values, after)


@dataclass(frozen=True, slots=True)
class _Outlook:
    """A plan under one belief. `after` is what each choice at the root leads to.

    Units: `Step.value`, times the probability of getting there.
    """

    plan: _Plan
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

    def _serves(self, node: _Node, tier: int) -> bool:
        enough = self.values[node.index] - TIE * self.reached[node.index]
        return bool(self.served[node.index] >= enough) and self._tier_served(node) == tier

    def _tier_served(self, node: _Node) -> int:
        first = self.plan.first[node.index]
        return node.served[int(self.rights[first : first + len(node.served)].argmax())]


@lru_cache(maxsize=4096)
def _plan(situation: Situation, depth: int) -> _Plan:
    planner = _Planner(space(situation.tiers, situation.agreement))
    root = planner.node(situation, np.ones(2 ** (situation.tiers + 1)), depth)
    first = np.cumsum([0, *(len(rows) for rows in planner.rights[:-1])])
    levels = tuple(_levels([root]))
    return _Plan(root, np.array(planner.reached), np.concatenate(planner.rights), first, levels)


def _levels(nodes: Sequence[_Node]) -> list[_Level]:
    """The levels from these nodes on, the farthest first."""
    open_nodes = [node for node in nodes if node.choices]
    if not open_nodes:
        return []
    choices = [choice for node in open_nodes for choice in node.choices]
    outcomes = [outcome for choice in choices for outcome in choice.outcomes]
    level = _Level(
        node=np.array([node.index for node in open_nodes]),
        cost=np.array([choice.cost for choice in choices]),
        owner=np.array([node.index for node in open_nodes for _ in node.choices]),
        outcome=np.array([outcome.index for outcome in outcomes]),
        of_choice=_starts([len(choice.outcomes) for choice in choices]),
        of_node=_starts([len(node.choices) for node in open_nodes]),
    )
    return [*_levels(outcomes), level]


def _starts(lengths: Sequence[int]) -> Indices:
    """Where each of some runs begins, laid end to end."""
    return np.cumsum([0, *lengths[:-1]])


@dataclass(frozen=True, slots=True)
class _Planner:
    """Lays out a plan, node by node."""

    space: Space
    reached: list[Array] = field(default_factory=list)
    rights: list[Array] = field(default_factory=list)

    def node(self, situation: Situation, likely: Array, depth: int) -> _Node:
        """The node for this situation and, before it returns, all that follow."""
        index = len(self.reached)
        served = tuple(ran.tier for ran in situation.ran)
        self.reached.append(likely)
        # Where nothing can be served yet, a row of zeros keeps its place.
        self.rights.append(self.space.right[list(served)] * likely if served else likely[None] * 0)
        choices = tuple(self._choices(situation, likely, depth - 1)) if depth else ()
        return _Node(index, served, choices)

    def _choices(self, situation: Situation, likely: Array, depth: int) -> Iterator[_Choice]:
        ran = situation.ran
        if ran and situation.can_judge():
            tier, rates = ran[-1].tier, situation.last_rates()
            after = replace(situation, judged=True)
            verdicts = [self.space.verdict(tier, rates, valid=valid) for valid in (True, False)]
            outcomes = tuple(self.node(after, likely * verdict, depth) for verdict in verdicts)
            yield _Choice("judge", tier, situation.tiers + tier, outcomes)
        for tier in situation.askable:
            outcomes = tuple(
                self.node(_asked(situation, Ran(tier, group)), likely * joins, depth)
                for group, joins in self._answers(situation, tier)
            )
            yield _Choice("ask", tier, tier, outcomes)

    def _answers(self, situation: Situation, tier: int) -> Iterator[tuple[int | None, Array]]:
        if situation.comparable:
            yield from self.space.groups(situation.ran, tier)
        else:
            yield None, np.ones(self.space.right.shape[1])


def _asked(situation: Situation, ran: Ran) -> Situation:
    """The situation once this tier has answered; from then on only higher ones are asked."""
    return replace(
        situation,
        ran=(*situation.ran, ran),
        askable=tuple(tier for tier in situation.askable if tier > ran.tier),
        judged=False,
    )
