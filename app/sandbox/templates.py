"""Question templates: wordings with slots, and the answer worked out from the slots alone."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from random import Random
from typing import Literal, TypeAlias

import orjson

from app.jsontext import Json

Topic = Literal[
    "arithmetic", "units", "dates", "extraction", "tools", "structured", "programs", "vision"
]
Difficulty = Literal[1, 2, 3, 4]
Slots: TypeAlias = Mapping[str, str]
Draw: TypeAlias = Callable[[Random], Slots]

PICTURE = "picture"
"""The slot that stands in no wording: the picture sent along, as `pictures.py` writes it."""

# A slot's first letter says what may stand in it: `{n1}` is a number, `{d2}` an ISO date.
_SLOT_PATTERNS = {
    "n": r"\d+(?:\.\d+)?",
    "d": r"\d{4}-\d\d-\d\d",
    "s": r"\d\d/\d\d/\d{4}",
    "l": r"\d{1,2} [A-Z][a-z]+ \d{4}",
    "w": r"[A-Z]\w+(?: [A-Z]\w+)*",
    "u": r"[a-z]+",
    "p": r"[a-z]+(?: [a-z]+)*",
    "t": r"\d\d:\d\d",
    "c": r"[^`]{1,600}",
}
_SLOT = re.compile(r"\\\{(([a-z])\d)\\\}")


@dataclass(frozen=True, slots=True)
class Solution:
    """The right answer, and the slips: wrong answers that a hurried reader might give."""

    answer: str
    slips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A question as drawn: its text, the picture that goes with it, and its solution."""

    text: str
    picture: str | None
    solution: Solution


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of question. Every wording uses every slot, and ends in a literal.

    `schema`: the answer is asked for as JSON that fits it. `tools`: these are offered, and the
    answer is a JSON array of calls, each with `name` and `arguments`.
    """

    topic: Topic
    difficulty: Difficulty
    wordings: tuple[str, ...]
    draw: Draw
    solve: Callable[[Slots], Solution]
    schema: Json | None = None
    tools: tuple[Json, ...] = ()

    def write(self, rng: Random) -> Drawn:
        """A question of this kind."""
        slots = self.draw(rng)
        text = rng.choice(self.wordings).format(**slots)
        return Drawn(text, slots.get(PICTURE), self.solve(slots))

    def read(self, text: str, picture: str | None = None) -> Solution | None:
        """The solution of a question of this kind, from its text; None where it is another kind."""
        seen = {} if picture is None else {PICTURE: picture}
        for wording in self.wordings:
            if found := _pattern(wording).search(text):
                try:
                    return self.solve(found.groupdict() | seen)
                except (ValueError, KeyError, ZeroDivisionError, OverflowError):
                    return None  # asked by hand, with values that no drawn question has
        return None


def solution(answer: str, slips: Sequence[str]) -> Solution:
    """The solution without those slips that happen to be right."""
    wrong = tuple(dict.fromkeys(slip for slip in slips if slip != answer))
    return Solution(answer, wrong)


def json_solution(right: object, *wrong: object) -> Solution:
    """The solution whose answers are JSON."""
    return solution(_json(right), [_json(value) for value in wrong])


def response_format(name: str, schema: Json) -> Json:
    """A strict response format, as the wire has it."""
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": True, "schema": schema},
    }


def strict_object(properties: Json) -> Json:
    """The schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def number(value: Fraction | int, decimals: int = 0) -> str:
    """The number as written in an answer, halves rounded up."""
    scale = 10**decimals
    scaled = (Fraction(value) * scale + Fraction(1, 2)) // 1
    whole, rest = divmod(abs(scaled), scale)
    sign = "-" if scaled < 0 else ""
    return f"{sign}{whole}.{rest:0{decimals}d}" if decimals else f"{sign}{whole}"


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    """The wording turned round: finds its slots in a text."""
    pattern = _SLOT.sub(
        lambda slot: f"(?P<{slot[1]}>{_SLOT_PATTERNS[slot[2]]})", re.escape(wording)
    )
    return re.compile(pattern)
