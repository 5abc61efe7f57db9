"""A logistic regression over several classes that learns one example after the other."""

from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.records import Vector

Array: TypeAlias = npt.NDArray[np.float64]

REMEMBERED = 500
BATCH = 16
"""Each step looks at the newest example and so many drawn from those remembered."""
STEPS = 4
CATCH_UP = 16
"""So many that are to be learned anew go with each new one: all at once would hold others up."""
RATE = 0.5
RIDGE = 1e-3
SEED = 7


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A question's vector, its class, and the record it is from."""

    record: str
    vector: Vector
    label: str


@dataclass(slots=True)
class Softmax:
    """P(class | vector). Classes join as they are met; with none there is nothing to say.

    Source: Online Cascade Learning (Nie et al. 2024, arXiv 2402.04513), whose smallest models are
    such regressions, learned by online gradient steps over a cache of examples; the steps are
    AdaGrad's (Duchi et al. 2011). The last `REMEMBERED` examples are all that it is made of once it
    was built anew, so that one can be taken away.
    """

    dimension: int
    labels: list[str] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    updates: int = 0
    _learned: int = 0
    _weights: Array = field(init=False, repr=False)
    _squares: Array = field(init=False, repr=False)
    _rng: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._reset()

    def predict(self, vector: Vector) -> tuple[str, float] | None:
        """The likeliest class, and how likely it is; None before there are two."""
        behind = self._learned < len(self.examples)
        if behind or len(self.labels) < 2:  # noqa: PLR2004 - one class says nothing of the others
            return None
        chances = _chances(self._weights, _features([vector]))[0]
        best = int(chances.argmax())
        return self.labels[best], float(chances[best])

    def learn(self, example: Example) -> None:
        """Take in one more."""
        self.examples.append(example)
        if len(self.examples) > REMEMBERED:
            self.examples.pop(0)
            self._learned = max(0, self._learned - 1)
        for _ in range(CATCH_UP):
            if self._learned < len(self.examples):
                self._step(self._learned)
                self._learned += 1

    def forget(self, records: set[str]) -> bool:
        """Be as if the examples of these records had never been there; whether any was.

        The others are learned anew, some with each that comes; until then there is no prediction.
        """
        kept = [example for example in self.examples if example.record not in records]
        if len(kept) == len(self.examples):
            return False
        self.examples = kept
        self._reset()
        return True

    def _reset(self) -> None:
        self.labels, self.updates, self._learned = [], 0, 0
        self._weights = np.zeros((0, self.dimension + 1))
        self._squares = np.zeros((0, self.dimension + 1))
        self._rng = Random(SEED)  # noqa: S311 - draws examples

    def _step(self, newest: int) -> None:
        """Gradient steps on the example at this place, and on some before it."""
        self.updates += 1
        if self.examples[newest].label not in self.labels:
            self.labels.append(self.examples[newest].label)
            row = np.zeros((1, self.dimension + 1))
            self._weights = np.concatenate([self._weights, row])
            self._squares = np.concatenate([self._squares, row])
        for _ in range(STEPS):
            drawn = self._rng.sample(range(newest), min(BATCH, newest))
            batch = [self.examples[at] for at in (newest, *drawn)]
            features = _features([example.vector for example in batch])
            target = np.zeros((len(batch), len(self.labels)))
            for at, example in enumerate(batch):
                target[at, self.labels.index(example.label)] = 1.0
            wrong = _chances(self._weights, features) - target
            gradient = wrong.T @ features / len(batch) + RIDGE * self._weights
            self._squares += gradient**2
            self._weights -= RATE * gradient / (np.sqrt(self._squares) + 1e-8)


def _features(vectors: list[Vector]) -> Array:
    """The vectors behind a constant 1. Shape: (vectors, dimension + 1)."""
    stacked = np.asarray(vectors, dtype=np.float64)
    return np.concatenate([np.ones((len(vectors), 1)), stacked], axis=1)


def _chances(weights: Array, features: Array) -> Array:
    """Shape: (vectors, classes); each row's sum is 1."""
    scores = features @ weights.T
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: Array = powers / powers.sum(axis=1, keepdims=True)
    return chances
