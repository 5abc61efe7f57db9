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

from app.learning.belief import (
    RELATIONS,
    USUAL,
    Array,
    Ran,
    Rates,
    Relation,
    Space,
    relation_of,
    space,
)

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
        of_right, of_wrong = self.rates[self.ran[-1].tier][RELATIONS.index(self.relation())]
        return of_right - of_wrong >= DISCERNMENT_MIN

    def rival(self) -> int | None:
        """The answer that the last one may be compared with, by its place; None where that is none.

        It is the one of the highest tier.
        """
        if not self.compares or len(self.ran) < 2 or self.ran[-1].group is not None:  # noqa: PLR2004
            return None
        return max(range(len(self.ran) - 1), key=lambda at: self.ran[at].tier)

    def relation(self) -> Relation:
        """How the last answer stands to those before it."""
        return relation_of(self.ran[-1].group, [ran.group for ran in self.ran[:-1]])


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


@lru_cache(maxsize=1024)
def plan_of(situation: Situation, depth: int) -> Plan:
    """The plan, `depth` steps ahead. Laying it out is dear, filling in judges' rates is not."""
    layout = _layout(replace(situation, rates=_discerned(situation.rates)), depth)
    of = space(situation.tiers, situation.agreement)
    rates = np.array(situation.rates)
    accepted = rates[..., 1:] + (rates[..., :1] - rates[..., 1:]) * of.right[:, None, :]
    verdicts = np.stack((accepted, 1 - accepted), axis=2).reshape(-1, accepted.shape[-1])
    factors = layout.factors.copy()
    factors[layout.judged] = verdicts[layout.words]
    reached = np.ones_like(factors)
    for nodes in layout.depths:
        reached[nodes] = reached[layout.parents[nodes]] * factors[nodes]
    # Where nothing can be served yet, a row of zeros keeps its place.
    right = np.concatenate((of.right, np.zeros_like(of.right[:1])))
    rights = reached[layout.rows] * right[layout.served]
    return Plan(layout.root, reached, rights, layout.first, layout.levels)


def _discerned(rates: Sequence[Sequence[Rates]]) -> tuple[tuple[Rates, ...], ...]:
    """The rates as far as the layout hangs on them: whether a judge tells right from wrong."""
    return tuple(
        tuple((float(right - wrong >= DISCERNMENT_MIN), 0.0) for right, wrong in of_tier)
        for of_tier in rates
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """A plan without its judges' rates.

    Shapes: `parents` and `factors` (nodes,) and (nodes, states), whence and how likely a node is
    reached; of those after a verdict, `judged` (nodes), the factor is `words`, a place among the
    verdicts by tier, relation and word. `depths` are the nodes by how far ahead they are, from 1
    on; `rows` and `served` (rows,) the node and the tier of each row of `rights`.
    """

    root: Node
    parents: Indices
    factors: Array
    judged: Indices
    words: Indices
    depths: tuple[Indices, ...]
    rows: Indices
    served: Indices
    first: Indices
    levels: tuple[Level, ...]


@lru_cache(maxsize=1024)
def _layout(situation: Situation, depth: int) -> _Layout:
    planner = _Planner(space(situation.tiers, situation.agreement), depth)
    root = planner.node(situation, 0, None, depth)
    lengths = [max(1, len(served)) for served in planner.served]
    return _Layout(
        root=root,
        parents=np.array(planner.parents),
        factors=np.array(planner.factors),
        judged=np.array(list(planner.words), dtype=np.intp),
        words=np.array(list(planner.words.values()), dtype=np.intp),
        depths=tuple(np.array(nodes, dtype=np.intp) for nodes in planner.depths[1:] if nodes),
        rows=np.repeat(np.arange(len(lengths)), lengths),
        served=np.array([tier for served in planner.served for tier in served or (-1,)]),
        first=_starts(lengths),
        levels=tuple(_levels([root])),
    )


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


@dataclass(slots=True)
class _Planner:
    """Lays out a plan, node by node."""

    space: Space
    depth: int
    parents: list[int] = field(default_factory=list)
    factors: list[Array] = field(default_factory=list)
    served: list[tuple[int, ...]] = field(default_factory=list)
    words: dict[int, int] = field(default_factory=dict)
    depths: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.depths = [[] for _ in range(self.depth + 1)]

    def node(self, situation: Situation, parent: int, factor: Array | None, depth: int) -> Node:
        """The node for this situation and, before it returns, all that follow."""
        index = len(self.parents)
        self.parents.append(parent)
        self.factors.append(np.ones(self.space.right.shape[1]) if factor is None else factor)
        self.served.append(tuple(ran.tier for ran in situation.ran))
        self.depths[self.depth - depth].append(index)
        choices = tuple(self._choices(situation, index, depth - 1)) if depth else ()
        return Node(index, self.served[index], choices)

    def _choices(self, situation: Situation, parent: int, depth: int) -> Iterator[Choice]:
        ran = situation.ran
        if ran and situation.can_judge():
            tier = ran[-1].tier
            outcomes = tuple(self._judged(situation, parent, word, depth) for word in (0, 1))
            yield Choice("judge", tier, situation.tiers + tier, outcomes)
        rival = situation.rival()
        if rival is not None:
            outcomes = tuple(
                self.node(after, parent, chance, depth)
                for after, chance in self._compared(situation, rival)
            )
            yield Choice("compare", ran[-1].tier, 2 * situation.tiers, outcomes)
        for tier in situation.askable:
            outcomes = tuple(
                self.node(_asked(situation, Ran(tier, group)), parent, joins, depth)
                for group, joins in self._answers(situation, tier)
            )
            yield Choice("ask", tier, tier, outcomes)

    def _judged(self, situation: Situation, parent: int, word: int, depth: int) -> Node:
        """The last answer is judged valid (word 0) or not."""
        kind = situation.ran[-1].tier * len(RELATIONS) + RELATIONS.index(situation.relation())
        self.words[len(self.parents)] = 2 * kind + word
        return self.node(replace(situation, judged=True), parent, None, depth)

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
