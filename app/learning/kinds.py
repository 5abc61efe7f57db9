"""Kinds of questions, as they show in a tenant's own records, and how good each tier is at them."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from app.learning.amounts import Key, Label
from app.learning.belief import lifted
from app.learning.discounting import Amount
from app.learning.means import Means
from app.learning.sketches import SKETCH, Array, Sketch

KINDS = 32
"""So many clusters at most; tasks that clients name are counted beside them."""
TASKS = 256
ALIKE = 0.6
"""The cosine of two sketches from which questions are of one kind; chance reaches 0.4."""
SHRINKAGE = 8.0
"""How many labels of a kind count as much as what is known of all questions."""
RATE_MIN, RATE_MAX = 0.02, 0.98
REMEMBERED = 20_000

Kind: TypeAlias = tuple[str, str]
"""A task that was named, or a cluster that was found."""


@dataclass(slots=True)
class Kinds:
    """One tenant's; shown the same records in order, they are the same again.

    Source: clusters are begun by the first question unlike all before, and follow their members'
    mean (MacQueen 1967): nothing is fitted again, so a kind keeps what was learned of it.
    """

    _centres: Array = field(default_factory=lambda: np.zeros((0, SKETCH)))
    _members: list[int] = field(default_factory=list)
    _tasks: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _means: Means = field(default_factory=Means)
    _kept: OrderedDict[str, tuple[Kind, ...]] = field(default_factory=OrderedDict)

    def kinds_of(self, task: str | None, sketch: Sketch) -> tuple[Kind, ...]:
        """What kinds of question this is, the widest first: the nearest cluster, then its task.

        Empty where it is like nothing before.
        """
        at, cosine = self._nearest(sketch)
        clusters = (("cluster", f"{at}"),) if cosine >= ALIKE else ()
        tasks = (("task", task),) if task is not None and task in self._tasks else ()
        return (*clusters, *tasks)

    def rates(self, kinds: Sequence[Kind], overall: Mapping[str, float]) -> dict[str, float]:
        """How often each tier is right on such questions; `overall` where nothing is known.

        What is known of a task is shrunk to what is known of its cluster, and that to `overall`.
        """
        known = dict(overall)
        for kind in kinds:
            keys = [("right", tier, *kind) for tier in known]
            found = [(self._means.total(key), self._means.weight(key)) for key in keys]
            moved = lifted(list(known.values()), found, SHRINKAGE)
            for tier, (right, weight), rate in zip(tuple(known), found, moved, strict=True):
                mean = (right + SHRINKAGE * rate) / (weight + SHRINKAGE)
                known[tier] = min(RATE_MAX, max(RATE_MIN, mean))
        return known

    def learn(
        self, record_id: str, task: str | None, sketch: Sketch, labels: Mapping[str, Label]
    ) -> None:
        """Take in what a record teaches; again with its labels when more is known of it."""
        kinds = self._kept.pop(record_id, None)
        if kinds is None:
            kinds = (*self._clustered(sketch), *self._named(task))
        self._kept[record_id] = kinds
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        self._means.take(record_id, dict(_amounts(kinds, labels)))

    def _named(self, task: str | None) -> tuple[Kind, ...]:
        """The task as a kind, known from now on."""
        if task is None:
            return ()
        self._tasks[task] = None
        self._tasks.move_to_end(task)
        if len(self._tasks) > TASKS:
            self._tasks.popitem(last=False)
        return (("task", task),)

    def _clustered(self, sketch: Sketch) -> tuple[Kind, ...]:
        """The question's cluster, which it may be the first of."""
        if len(sketch) != SKETCH or not any(sketch):
            return ()
        at, cosine = self._nearest(sketch)
        unit = _unit(sketch)
        if cosine < ALIKE and len(self._members) < KINDS:
            self._centres = np.vstack((self._centres, unit))
            self._members.append(1)
            return (("cluster", f"{len(self._members) - 1}"),)
        self._members[at] += 1
        self._centres[at] += (unit - self._centres[at]) / self._members[at]
        return (("cluster", f"{at}"),)

    def _nearest(self, sketch: Sequence[float]) -> tuple[int, float]:
        """The nearest cluster and its cosine; -1 where there is none to compare with."""
        if not len(self._members) or len(sketch) != SKETCH or not any(sketch):
            return 0, -1.0
        lengths = np.maximum(np.linalg.norm(self._centres, axis=1), 1e-9)
        cosines = self._centres @ _unit(sketch) / lengths
        at = int(np.argmax(cosines))
        return at, float(cosines[at])


def _amounts(kinds: Sequence[Kind], labels: Mapping[str, Label]) -> Iterator[tuple[Key, Amount]]:
    for tier, label in labels.items():
        for kind in kinds:
            yield ("right", tier, *kind), (label.weight * label.right, label.weight)


def _unit(sketch: Sequence[float]) -> Array:
    vector = np.asarray(sketch, dtype=np.float64)
    unit: Array = vector / np.linalg.norm(vector)
    return unit
