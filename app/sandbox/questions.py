"""The questions the sandbox is asked: a seeded stream, each with its computed answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

from app.jsontext import Json
from app.sandbox import arithmetic, dates, extraction, programs, structured, tools, units, vision
from app.sandbox.marking import is_same
from app.sandbox.pictures import data_url
from app.sandbox.templates import Difficulty, Drawn, Solution, Template, Topic

TOPICS: tuple[Topic, ...] = (
    *("arithmetic", "units", "dates", "extraction"),
    *("tools", "structured", "programs", "vision"),
)
DIFFICULTIES: tuple[Difficulty, ...] = (1, 2, 3, 4)

# Traffic is mostly easy: the share of each difficulty in a stream, easiest first.
DIFFICULTY_WEIGHTS = (0.35, 0.30, 0.20, 0.15)

TEMPLATES: tuple[Template, ...] = (
    *arithmetic.TEMPLATES,
    *units.TEMPLATES,
    *dates.TEMPLATES,
    *extraction.TEMPLATES,
    *tools.TEMPLATES,
    *structured.TEMPLATES,
    *programs.TEMPLATES,
    *vision.TEMPLATES,
)
_LONGEST = 8_000


@dataclass(frozen=True, slots=True)
class Question:
    """One question, how hard it is, and its right answer.

    Units: `difficulty` from 1 (easy) to 4. `response_format` and `tools` as the wire has them;
    `picture` as `pictures.py` writes it; of a question with tools the answer is the calls.
    """

    id: str
    topic: Topic
    difficulty: Difficulty
    text: str
    answer: str
    response_format: Json | None = None
    tools: tuple[Json, ...] = ()
    picture: str | None = None

    def body(self, model: str) -> Json:
        """The chat request that asks it."""
        body: Json = {"model": model, "messages": [{"role": "user", "content": self._content()}]}
        if self.response_format:
            body["response_format"] = self.response_format
        if self.tools:
            body["tools"] = list(self.tools)
        return body

    def _content(self) -> str | list[Json]:
        if self.picture is None:
            return self.text
        image: Json = {"type": "image_url", "image_url": {"url": data_url(self.picture)}}
        return [{"type": "text", "text": self.text}, image]


@dataclass(frozen=True, slots=True)
class Solved:
    """What a text turned out to ask, and its solution.

    `strict`: the answer is JSON and nothing else. `tools`: the answer is calls of some of these.
    """

    topic: Topic
    difficulty: Difficulty
    solution: Solution
    strict: bool = False
    tools: tuple[Json, ...] = ()

    def is_right(self, answer_text: str) -> bool:
        return is_same(self.solution.answer, answer_text, strict=self.strict)


def draw_questions(count: int, *, seed: int) -> list[Question]:
    """The first `count` questions of this seed's stream; none comes twice."""
    return list(islice(_stream(seed), count))


def solve(text: str, picture: str | None = None) -> Solved | None:
    """The solution of a question, from its text and picture; None where no template fits."""
    for template in TEMPLATES:
        if solution := template.read(text[:_LONGEST], picture):
            strict = bool(template.schema or template.tools)
            return Solved(template.topic, template.difficulty, solution, strict, template.tools)
    return None


def is_right(question: Question, answer_text: str) -> bool:
    """Whether the text's final answer is the question's; calls are given as JSON, as in `answer`.

    What counts is the end of the text, or the JSON object in it; where the question has tools or a
    response format the whole text must be that JSON.
    """
    strict = bool(question.response_format or question.tools)
    return is_same(question.answer, answer_text, strict=strict)


def _stream(seed: int) -> Iterator[Question]:
    """Plain questions and those that need more of the wire, half and half.

    Each half has a stream of its own, so that topics added to one leave the other as it was.
    """
    plain = _half(Random(seed), TOPICS[:4])  # noqa: S311 - a simulation, repeatable on purpose
    richer = _half(Random(f"{seed}/richer"), TOPICS[4:])  # noqa: S311 - the same
    mixing = Random(f"{seed}/mixing")  # noqa: S311 - the same
    number = 0
    while True:
        number += 1
        template, drawn = next(mixing.choice((plain, richer)))
        yield Question(
            id=f"{seed}-{number}",
            topic=template.topic,
            difficulty=template.difficulty,
            text=drawn.text,
            answer=drawn.solution.answer,
            response_format=template.schema,
            tools=template.tools,
            picture=drawn.picture,
        )


def _half(rng: Random, topics: Sequence[Topic]) -> Iterator[tuple[Template, Drawn]]:
    seen: set[tuple[str, str | None]] = set()
    while True:
        topic = rng.choice(topics)
        difficulty = rng.choices(DIFFICULTIES, DIFFICULTY_WEIGHTS)[0]
        template = rng.choice(_templates(topic, difficulty))
        drawn = template.write(rng)
        if (drawn.text, drawn.picture) in seen:
            continue
        seen.add((drawn.text, drawn.picture))
        yield template, drawn


def _templates(topic: Topic, difficulty: Difficulty) -> list[Template]:
    return [t for t in TEMPLATES if t.topic == topic and t.difficulty == difficulty]
