"""What a simulated model says as a judge."""

import json
import re

from app.jsontext import Json
from app.sandbox.asked import asked_picture, asked_text
from app.sandbox.calls import said_of
from app.sandbox.models import SimModel
from app.sandbox.questions import solve
from app.wire import ChatRequest, text_of

_DATA = re.compile(r'\{\s*"(?:question|answer)"\s*:')


def judged(request: ChatRequest) -> Json | None:
    """The question and answer to be judged, if that is what is asked."""
    wanted = (request.body.get("response_format") or {}).get("json_schema") or {}
    instructions = [text_of(m) for m in request.messages if m["role"] in {"system", "developer"}]
    if wanted.get("name") != "verdict" and "verdict" not in " ".join(instructions).lower():
        return None
    text = asked_text(request)
    for start in _DATA.finditer(text):
        try:
            data, _ = json.JSONDecoder().raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict) and {"question", "answer"} <= set(data):
            return data
    return None


def verdict(data: Json, request: ChatRequest, model: SimModel, seed: int) -> str:
    """A verdict with the model's own error rates; what it cannot check it takes for right."""
    question, answer = _last_turn(data["question"]), _answer(data["answer"])
    picture = asked_picture(request) if model.sees else None
    solved = solve(question, picture)
    right = solved is None or solved.is_right(answer)
    valid = model.calls_valid(seed, question, answer, right=right)
    return '{"verdict":"VALID"}' if valid else '{"verdict":"INVALID"}'


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
