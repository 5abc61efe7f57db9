"""The simulated models: what each is good at, how it judges, how long it talks and takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import sqrt
from statistics import NormalDist

from app.sandbox.templates import Difficulty, Topic

# How much of the luck on a question all models share: what one finds hard, the others do too.
SHARED_LUCK = 0.5

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class SimModel:
    """One model with stated abilities.

    Units: `skill` is the accuracy at difficulties 1 to 4; `valid_if_right` and `valid_if_wrong`
    are the shares of right and wrong answers that it calls valid, `same_if_same` and
    `same_if_not` those of pairs of answers that it calls the same; of two that it holds equally
    good it prefers the first with `first_if_alike`, else it is a tie. `format_slips` is the share
    of replies in a demanded JSON format that break it; `reasoning_tokens` are per step of
    difficulty.
    """

    name: str
    skill: Mapping[Topic, tuple[float, float, float, float]]
    valid_if_right: float
    valid_if_wrong: float
    same_if_same: float
    same_if_not: float
    first_if_alike: float
    format_slips: float
    reasoning_tokens: int
    delay_s: float

    def accuracy(self, topic: Topic, difficulty: Difficulty) -> float:
        return self.skill[topic][difficulty - 1]

    @property
    def sees(self) -> bool:
        """Whether it takes pictures at all."""
        return any(self.skill["vision"])

    def knows(self, seed: int, text: str, accuracy: float) -> bool:
        """Whether it gets this question right: always the same for the same seed and text."""
        shared = _normal(seed, "question", text)
        own = _normal(seed, "model", self.name, text)
        luck = sqrt(SHARED_LUCK) * shared + sqrt(1 - SHARED_LUCK) * own
        return _NORMAL.cdf(luck) < accuracy

    def calls_valid(self, seed: int, question: str, answer: str, *, right: bool) -> bool:
        """Its verdict on an answer: always the same for the same seed, question and answer."""
        share = self.valid_if_right if right else self.valid_if_wrong
        return chance(seed, "judge", self.name, question, answer) < share

    def calls_same(self, seed: int, question: str, pair: tuple[str, str], *, same: bool) -> bool:
        """Whether it takes two answers for the same one, in whatever order it sees them."""
        share = self.same_if_same if same else self.same_if_not
        return chance(seed, "same", self.name, question, *sorted(pair)) < share

    def prefers_first(self, seed: int, question: str, pair: tuple[str, str]) -> bool:
        """Whether it takes the first of two answers that it holds equally good for the better."""
        return chance(seed, "first", self.name, question, *pair) < self.first_if_alike


MODELS = {
    model.name: model
    for model in (
        SimModel(
            name="sim-small",
            skill={
                "arithmetic": (0.98, 0.90, 0.50, 0.15),
                "units": (0.97, 0.88, 0.45, 0.15),
                "dates": (0.70, 0.40, 0.20, 0.08),
                "extraction": (0.95, 0.80, 0.50, 0.25),
                "tools": (0.95, 0.80, 0.45, 0.15),
                "structured": (0.93, 0.75, 0.50, 0.20),
                "programs": (0.92, 0.75, 0.35, 0.12),
                "vision": (0.0, 0.0, 0.0, 0.0),
            },
            valid_if_right=0.80,
            valid_if_wrong=0.40,
            same_if_same=0.85,
            same_if_not=0.15,
            first_if_alike=0.40,
            format_slips=0.06,
            reasoning_tokens=12,
            delay_s=0.002,
        ),
        SimModel(
            name="sim-medium",
            skill={
                "arithmetic": (0.99, 0.97, 0.85, 0.50),
                "units": (0.99, 0.97, 0.82, 0.45),
                "dates": (0.95, 0.85, 0.65, 0.35),
                "extraction": (0.99, 0.96, 0.85, 0.60),
                "tools": (0.98, 0.95, 0.80, 0.55),
                "structured": (0.98, 0.95, 0.85, 0.60),
                "programs": (0.98, 0.93, 0.75, 0.40),
                "vision": (0.97, 0.90, 0.70, 0.40),
            },
            valid_if_right=0.93,
            valid_if_wrong=0.15,
            same_if_same=0.95,
            same_if_not=0.05,
            first_if_alike=0.15,
            format_slips=0.01,
            reasoning_tokens=30,
            delay_s=0.004,
        ),
        SimModel(
            name="sim-large",
            skill={
                "arithmetic": (0.995, 0.99, 0.97, 0.92),
                "units": (0.995, 0.99, 0.97, 0.92),
                "dates": (0.99, 0.98, 0.95, 0.90),
                "extraction": (0.995, 0.99, 0.97, 0.93),
                "tools": (0.995, 0.99, 0.96, 0.91),
                "structured": (0.995, 0.99, 0.97, 0.93),
                "programs": (0.995, 0.98, 0.95, 0.90),
                "vision": (0.99, 0.97, 0.93, 0.85),
            },
            valid_if_right=0.98,
            valid_if_wrong=0.06,
            same_if_same=0.98,
            same_if_not=0.02,
            first_if_alike=0.05,
            format_slips=0.0,
            reasoning_tokens=120,
            delay_s=0.008,
        ),
    )
}


def chance(*parts: object) -> float:
    """A number in [0, 1) that looks random and is always the same for the same parts."""
    digest = blake2b("\x1f".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _normal(*parts: object) -> float:
    return _NORMAL.inv_cdf(min(max(chance(*parts), 1e-12), 1 - 1e-12))
