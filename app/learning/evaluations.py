"""An evaluation file: how well each tier did on questions that somebody has graded.

One JSON object a line: `{"question": "…", "scores": {"small": 0.0, "large": 1.0}}`. A score is from
0 (wrong) to 1 (right). A tier may be missing from lines: a new one from all but a few dozen.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from app.embedder import Embedder
from app.errors import SettingsError
from app.learning.clusters import Array

LINES_MIN, LINES_MAX = 20, 200_000
SETTING = "benchmark.file"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One graded question: by tier a score in [0, 1]."""

    question: str
    scores: Mapping[str, float]


def read_evaluations(path: Path, tiers: Sequence[str]) -> list[Evaluation]:
    """The file's lines. Errors: SettingsError, which names the line and what is wrong there."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as exc:
        raise SettingsError(f"{SETTING}: {path} cannot be read: {exc.strerror}") from None
    found = [
        _evaluation(line, tiers, f"{SETTING}: {path}, line {number}")
        for number, line in enumerate(lines[: LINES_MAX + 1], start=1)
        if line.strip()
    ]
    if not LINES_MIN <= len(found) <= LINES_MAX:
        raise SettingsError(
            f"{SETTING}: {path} has {len(found)} questions; it needs {LINES_MIN} at least, and "
            f"{LINES_MAX:,} at most"
        )
    return found


def good_enough(one: Evaluation, strong: str, within: float | None) -> Mapping[str, float]:
    """The scores; with `within`, 1 for a tier that comes so near to the strong one's, else 0.

    Source: Hybrid LLM (Ding et al. 2024, arXiv 2404.14618), the relaxed label. Where the strong
    tier was not graded there is nothing to compare with, and the scores stand.
    """
    if within is None or strong not in one.scores:
        return one.scores
    least = one.scores[strong] - within - 1e-9
    return {tier: float(score >= least) for tier, score in one.scores.items()}


def embed_all(embedder: Embedder, evaluations: Sequence[Evaluation]) -> Array:
    """The questions' vectors; zeros where one has none. Shape: (questions, dimension).

    In a thread with a loop of its own: settings are read where there may be a loop already.
    """

    async def embed() -> Array:
        found = np.zeros((len(evaluations), embedder.dimension))
        for at, one in enumerate(evaluations):
            vector = await embedder.embed(one.question)
            if vector is not None:
                found[at] = vector
        return found

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, embed()).result()


def _evaluation(line: bytes, tiers: Sequence[str], where: str) -> Evaluation:
    try:
        told: object = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise SettingsError(f"{where}: not JSON; one object a line is expected") from None
    if not isinstance(told, dict):
        raise SettingsError(f"{where}: not an object with question and scores")
    question, scores = told.get("question"), told.get("scores")
    if not isinstance(question, str) or not question.strip():
        raise SettingsError(f"{where}: question must be a text that is not empty")
    if not isinstance(scores, dict) or not scores:
        raise SettingsError(f"{where}: scores must be an object from a tier to its score")
    for tier, score in scores.items():
        if tier not in tiers:
            raise SettingsError(f"{where}: {tier[:64]!r} is no tier; known: {', '.join(tiers)}")
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise SettingsError(f"{where}: the score of {tier!r} must be a number from 0 to 1")
    return Evaluation(question, {tier: float(score) for tier, score in scores.items()})
