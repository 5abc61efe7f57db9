"""What a policy must beat: every fixed tier, their mixtures, the best program in hindsight, all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from app.policies.llm_at import paper_judge
from app.replay.curves import Point, aiq
from app.replay.run import Course
from app.replay.stand_ins import said
from app.tiers import TierLadder

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Gate = Literal["judge", "agreement", "both"]

PER = 1000


@dataclass(frozen=True, slots=True)
class Truth:
    """What every tier answers, costs and is told by its judge, question by question.

    Shape: (tiers, queries) each. `accepts` and `judge_usd` follow the paper's rule of who judges;
    the top tier has no judge. `final` numbers the different final answers of one question.
    """

    correct: Bools
    usd: Floats
    accepts: Bools
    judge_usd: Floats
    final: npt.NDArray[np.int16]


def truth_of(course: Course) -> Truth:
    """The course in figures; for baselines only, never for a policy."""
    ladder = TierLadder(course.tiers)
    shape = (len(course.tiers), len(course.recordings))
    truth = Truth(
        correct=np.zeros(shape, dtype=np.bool_),
        usd=np.zeros(shape),
        accepts=np.zeros(shape, dtype=np.bool_),
        judge_usd=np.zeros(shape),
        final=np.zeros(shape, dtype=np.int16),
    )
    for query, recording in enumerate(course.recordings):
        finals: dict[str, int] = {}
        for position, tier in enumerate(course.tiers):
            answer = recording.answers[tier.model]
            truth.correct[position, query] = answer.correct
            truth.usd[position, query] = answer.cost_usd
            final = (answer.answer or answer.text).strip()
            truth.final[position, query] = finals.setdefault(final, len(finals))
            by = paper_judge(ladder, tier.name)
            if by is not None and said(answer):
                verdict = course.verdicts.verdict(recording, tier.model, ladder[by])
                truth.accepts[position, query] = bool(verdict.valid)
                truth.judge_usd[position, query] = verdict.cost_usd or 0.0
    return truth


def fixed_points(truth: Truth) -> list[Point]:
    """Every tier by itself, unjudged."""
    return [
        Point(PER * float(usd.mean()), float(correct.mean()))
        for usd, correct in zip(truth.usd, truth.correct, strict=True)
    ]


def oracle_point(truth: Truth) -> Point:
    """Each question to the tier that gets it right for least; where none does, to the cheapest."""
    solvable = truth.correct.any(axis=0)
    usd = np.where(truth.correct | ~solvable, truth.usd, np.inf).min(axis=0)
    return Point(PER * float(usd.mean()), float(solvable.mean()))


@dataclass(frozen=True, slots=True)
class Program:
    """A cascade that treats all questions alike: these tiers, left as soon as the gate opens."""

    tiers: tuple[str, ...]
    gate: Gate | None
    point: Point

    @override
    def __str__(self) -> str:
        chain = " > ".join(self.tiers)
        return chain if self.gate is None else f"{chain} until {_GATES[self.gate]}"


_GATES: dict[Gate, str] = {
    "judge": "the judge accepts",
    "agreement": "two agree",
    "both": "two agree and the judge accepts",
}


def agreement_only(programs: Sequence[Program], fixed: Sequence[Point]) -> Program | None:
    """Of the programs that pay no judge and go by agreement, the one coins gain most from.

    None where the ladder is too short for one.
    """
    found = [program for program in programs if program.gate == "agreement"]
    return max(found, key=lambda p: aiq([p.point, *fixed], fixed) or 0.0, default=None)


def programs(course: Course, truth: Truth) -> list[Program]:
    """Every such cascade over rising tiers; which is best is known in hindsight only."""
    names = tuple(tier.name for tier in course.tiers)
    return [
        Program(tuple(names[step] for step in steps), gate, _point(truth, steps, gate))
        for steps, gate in _plans(len(names))
    ]


def _plans(tiers: int) -> Iterator[tuple[tuple[int, ...], Gate | None]]:
    for length in range(1, tiers + 1):
        for steps in combinations(range(tiers), length):
            if length == 1:
                yield steps, None
                continue
            yield steps, "judge"
            if length > 2:  # noqa: PLR2004 - two that agree, and one to ask if they do not
                yield steps, "agreement"
                yield steps, "both"


def _point(truth: Truth, steps: tuple[int, ...], gate: Gate | None) -> Point:
    """Cost and accuracy of climbing these steps."""
    queries = truth.correct.shape[1]
    climbing = np.ones(queries, dtype=np.bool_)
    correct = np.zeros(queries, dtype=np.bool_)
    usd = np.zeros(queries)
    for index, step in enumerate(steps):
        usd += np.where(climbing, truth.usd[step], 0.0)
        leaves = climbing.copy()
        if step != steps[-1] and gate is not None:
            agrees = (truth.final[list(steps[:index])] == truth.final[step]).any(axis=0)
            asks = climbing & agrees if gate == "both" else climbing
            if gate != "agreement":
                usd += np.where(asks, truth.judge_usd[step], 0.0)
            leaves = asks & (agrees if gate == "agreement" else truth.accepts[step])
        correct |= leaves & truth.correct[step]
        climbing &= ~leaves
    return Point(PER * float(usd.mean()), float(correct.mean()))
