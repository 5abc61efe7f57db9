"""All that can happen to a request from where it stands, laid out once a situation.

Beliefs are never normalised while looking ahead, so every value is linear in the belief, and all
of them are one product with a matrix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from app.belief import RELATIONS, USUAL, Array, Ran, Rates, Space, relation_of, space

Indices: TypeAlias = npt.NDArray[np.intp]

DISCERNMENT_MIN = 0.1
"""P(valid | right) - P(valid | wrong): a judge that tells them apart no better is not asked."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where a request stands. A tier is its position on the ladder of `tiers` rungs.

    `ran` is in the order of asking. `askable` are the tiers that may be asked, `judgeable` those
    whose answers somebody can judge, `rates` how well: by tier, then as in `RELATIONS`. `judged`:
    the last answer was. `comparable`: answers to come can be compared for free; `compares`: by
    asking. `agreement` is how likely two right answers are to agree.
    """

    tiers: int
    ran: tuple[Ran, ...]
    askable: tuple[int, ...]
    judgeable: frozenset[int]
    rates: tuple[tuple[Rates, ...], ...]
    judged: bool = False
    comparable: bool = True
    compares: bool = False
    agreement: float = USUAL.agreement

    def can_judge(self) -> bool:
        """Whether a verdict on the last answer is to be had, and would tell something."""
        if self.judged or self.ran[-1].tier not in self.judgeable:
            return False
        of_right, of_wrong = self.last_rates()
        return of_right - of_wrong >= DISCERNMENT_MIN

    def rival(self) -> int | None:
        """The answer that the last one may be compared with, by its place; None where that is none.

        It is the one of the highest tier.
        """
        if not self.compares or len(self.ran) < 2 or self.ran[-1].group is not None:  # noqa: PLR2004
            return None
        return max(range(len(self.ran) - 1), key=lambda at: self.ran[at].tier)

    def last_rates(self) -> Rates:
        """How well the last answer would be judged."""
        relation = relation_of(self.ran[-1].group, [ran.group for ran in self.ran[:-1]])
        return self.rates[self.ran[-1].tier][RELATIONS.index(relation)]


@dataclass(frozen=True, slots=True)
class Choice:
    """A step from a node, and the points it may lead to; `cost` is its position among the costs."""

    do: Literal["judge", "compare", "ask"]
    tier: int
    cost: int
    outcomes: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A point that may be reached, and the tiers that could be served there."""

    index: int
    served: tuple[int, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Level:
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
class Plan:
    """All that can happen from a situation.

    Shapes: `reached` (nodes, states), how likely each state leads to the node; `rights` (rows,
    states), the same where a tier served there is right. A node's rows begin at `first[node]`.
    """

    root: Node
    reached: Array
    rights: Array
    first: Indices
    levels: tuple[Level, ...]


@lru_cache(maxsize=4096)
def plan_of(situation: Situation, depth: int) -> Plan:
    planner = _Planner(space(situation.tiers, situation.agreement))
    root = planner.node(situation, np.ones(2 ** (situation.tiers + 1)), depth)
    first = np.cumsum([0, *(len(rows) for rows in planner.rights[:-1])])
    levels = tuple(_levels([root]))
    return Plan(root, np.array(planner.reached), np.concatenate(planner.rights), first, levels)


def _levels(nodes: Sequence[Node]) -> list[Level]:
    """The levels from these nodes on, the farthest first."""
    open_nodes = [node for node in nodes if node.choices]
    if not open_nodes:
        return []
    choices = [choice for node in open_nodes for choice in node.choices]
    outcomes = [outcome for choice in choices for outcome in choice.outcomes]
    level = Level(
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

    def node(self, situation: Situation, likely: Array, depth: int) -> Node:
        """The node for this situation and, before it returns, all that follow."""
        index = len(self.reached)
        served = tuple(ran.tier for ran in situation.ran)
        self.reached.append(likely)
        # Where nothing can be served yet, a row of zeros keeps its place.
        self.rights.append(self.space.right[list(served)] * likely if served else likely[None] * 0)
        choices = tuple(self._choices(situation, likely, depth - 1)) if depth else ()
        return Node(index, served, choices)

    def _choices(self, situation: Situation, likely: Array, depth: int) -> Iterator[Choice]:
        ran = situation.ran
        if ran and situation.can_judge():
            tier, rates = ran[-1].tier, situation.last_rates()
            after = replace(situation, judged=True)
            verdicts = [self.space.verdict(tier, rates, valid=valid) for valid in (True, False)]
            outcomes = tuple(self.node(after, likely * verdict, depth) for verdict in verdicts)
            yield Choice("judge", tier, situation.tiers + tier, outcomes)
        rival = situation.rival()
        if rival is not None:
            outcomes = tuple(
                self.node(after, likely * chance, depth)
                for after, chance in self._compared(situation, rival)
            )
            yield Choice("compare", ran[-1].tier, 2 * situation.tiers, outcomes)
        for tier in situation.askable:
            outcomes = tuple(
                self.node(_asked(situation, Ran(tier, group)), likely * joins, depth)
                for group, joins in self._answers(situation, tier)
            )
            yield Choice("ask", tier, tier, outcomes)

    def _compared(self, situation: Situation, rival: int) -> Iterator[tuple[Situation, Array]]:
        """The last answer comes to the same as its rival's, or not."""
        ran, last = list(situation.ran), situation.ran[-1]
        group = ran[rival].group
        if group is None:
            group = max((each.group for each in ran if each.group is not None), default=-1) + 1
            ran[rival] = replace(ran[rival], group=group)
        same = self.space.agree[last.tier, ran[rival].tier]
        new = max(each.group for each in ran if each.group is not None) + 1
        for joined, chance in ((group, same), (new, 1 - same)):
            ran[-1] = replace(last, group=joined)
            yield replace(situation, ran=tuple(ran)), chance

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
