"""What a simulated model says as a judge, of one answer or of two."""

import json
import re

from app.canaries import PAIRS
from app.jsontext import Json
from app.sandbox.asked import asked_picture, asked_text
from app.sandbox.calls import said_of
from app.sandbox.marking import is_same
from app.sandbox.models import SimModel
from app.sandbox.questions import Solved, solve
from app.wire import ChatRequest, text_of

_DATA = re.compile(r'\{\s*"(?:question|answer|first|second)"\s*:')
_NAMES = ("verdict", "verification", "comparison")
_BETTER = {(True, False): "FIRST", (False, True): "SECOND"}


def judged(request: ChatRequest) -> Json | None:
    """The question and the answer, or two, to be judged, if that is what is asked."""
    wanted = (request.body.get("response_format") or {}).get("json_schema") or {}
    instructions = [text_of(m) for m in request.messages if m["role"] in {"system", "developer"}]
    if wanted.get("name") not in _NAMES and "verdict" not in " ".join(instructions).lower():
        return None
    text = asked_text(request)
    for start in _DATA.finditer(text):
        try:
            data, _ = json.JSONDecoder().raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and (
            {"question", "answer"} <= set(data) or {"question", "first", "second"} <= set(data)
        ):
            return data
    return None


def verdict(data: Json, request: ChatRequest, model: SimModel, seed: int) -> str:
    """A verdict with the model's own error rates; what it cannot check it takes for right."""
    question = _last_turn(data["question"])
    solved = solve(question, asked_picture(request) if model.sees else None)

    def accepts(answer: str) -> bool:
        if (question, answer) in PAIRS:
            return False
        right = solved is None or solved.is_right(answer)
        return model.calls_valid(seed, question, answer, right=right)

    if "answer" in data:
        return _said(verdict="VALID" if accepts(_answer(data["answer"])) else "INVALID")
    pair = _answer(data["first"]), _answer(data["second"])
    same = model.calls_same(seed, question, pair, same=_same(solved, *pair))
    if same:
        return _said(verdict="TIE", same=True)
    alike = "FIRST" if model.prefers_first(seed, question, pair) else "TIE"
    better = _BETTER.get((accepts(pair[0]), accepts(pair[1])), alike)
    return _said(verdict=better, same=False)


def _said(**values: str | bool) -> str:
    return json.dumps(values, separators=(",", ":"))


def _same(solved: Solved | None, first: str, second: str) -> bool:
    """Whether two answers come to the same: both right, or the same slip."""
    if solved is None:
        return first.strip() == second.strip()
    known = [solved.solution.answer, *solved.solution.slips]
    return any(
        is_same(answer, first, strict=solved.strict)
        and is_same(answer, second, strict=solved.strict)
        for answer in known
    )


def _answer(value: object) -> str:
    """What was answered: the calls where tools were called, else the text."""
    match value:
        case {"tool_calls": [*calls]} if calls:
            return said_of(calls)
        case _:
            return _last_turn(value)


def _last_turn(value: object) -> str:
    """The text in what is judged: a string, the last of several turns, or a turn with tools."""
    match value:
        case str():
            return value
        case [*_, last]:
            return _last_turn(last)
        case {"conversation": inner} | {"text": inner} | {"content": inner}:
            return _last_turn(inner)
        case _:
            return ""
