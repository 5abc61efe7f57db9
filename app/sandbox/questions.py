"""The questions the sandbox is asked: a seeded stream, each with its computed answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

import orjson

from app.sandbox import arithmetic, dates, extraction, units
from app.sandbox.templates import Difficulty, Solution, Template, Topic
from app.wire import Json

TOPICS: tuple[Topic, ...] = ("arithmetic", "units", "dates", "extraction")
DIFFICULTIES: tuple[Difficulty, ...] = (1, 2, 3, 4)

# Traffic is mostly easy: the share of each difficulty in a stream, easiest first.
DIFFICULTY_WEIGHTS = (0.35, 0.30, 0.20, 0.15)

TEMPLATES: tuple[Template, ...] = (
    *arithmetic.TEMPLATES,
    *units.TEMPLATES,
    *dates.TEMPLATES,
    *extraction.TEMPLATES,
)
_LONGEST = 8_000
_ISO_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_WEEKDAY = re.compile(rf"\b(?:{'|'.join(dates.WEEKDAYS)})\b", re.IGNORECASE)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Question:
    """One question, how hard it is, and its right answer.

    Units: `difficulty` from 1 (easy) to 4. `response_format` as the wire has it.
    """

    id: str
    topic: Topic
    difficulty: Difficulty
    text: str
    answer: str
    response_format: Json | None = None


@dataclass(frozen=True, slots=True)
class Solved:
    """What a text turned out to ask, and its solution."""

    topic: Topic
    difficulty: Difficulty
    solution: Solution
    strict: bool = False

    def is_right(self, answer_text: str) -> bool:
        return _same(self.solution.answer, answer_text, strict=self.strict)


def draw_questions(count: int, *, seed: int) -> list[Question]:
    """The first `count` questions of this seed's stream; no text comes twice."""
    return list(islice(_stream(seed), count))


def solve(text: str) -> Solved | None:
    """The solution of a question, from its text alone; None where no template fits."""
    for template in TEMPLATES:
        if solution := template.read(text[:_LONGEST]):
            strict = template.schema is not None
            return Solved(template.topic, template.difficulty, solution, strict)
    return None


def is_right(question: Question, answer_text: str) -> bool:
    """Whether the text's final answer is the question's.

    What counts is the last number, date or weekday in it, or the JSON object; where the question
    has a response format the whole text must be that object.
    """
    return _same(question.answer, answer_text, strict=question.response_format is not None)


def _stream(seed: int) -> Iterator[Question]:
    rng = Random(seed)  # noqa: S311 - a simulation, repeatable on purpose
    seen: set[str] = set()
    while True:
        topic = rng.choice(TOPICS)
        difficulty = rng.choices(DIFFICULTIES, DIFFICULTY_WEIGHTS)[0]
        template = rng.choice(_templates(topic, difficulty))
        text, solution = template.write(rng)
        if text in seen:
            continue
        seen.add(text)
        identity = f"{seed}-{len(seen)}"
        yield Question(identity, topic, difficulty, text, solution.answer, template.schema)


def _templates(topic: Topic, difficulty: Difficulty) -> list[Template]:
    return [t for t in TEMPLATES if t.topic == topic and t.difficulty == difficulty]


def _same(right: str, answer_text: str, *, strict: bool) -> bool:
    if right.startswith("{"):
        return bool(_parsed(answer_text, strict=strict) == orjson.loads(right))
    for kind in (_ISO_DATE, _WEEKDAY):
        if kind.fullmatch(right):
            return _last(kind, answer_text).casefold() == right.casefold()
    final = _last(_NUMBER, answer_text.replace(",", ""))
    return bool(final) and float(final) == float(right)


def _parsed(text: str, *, strict: bool) -> object:
    found = None if strict else _OBJECT.search(text)
    try:
        return orjson.loads(found[0] if found else text)
    except orjson.JSONDecodeError:
        return None


def _last(kind: re.Pattern[str], text: str) -> str:
    found = kind.findall(text)
    return found[-1] if found else ""
