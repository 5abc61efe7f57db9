"""Whether an answer's text gives the right answer."""

import re

import orjson

from app.sandbox.dates import WEEKDAYS
from app.sandbox.pictures import COLOURS

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_LIST = re.compile(r"\[[^\[\]]*\]")
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_WORDS = (
    re.compile(r"\b\d{4}-\d\d-\d\d\b"),
    re.compile(rf"\b(?:{'|'.join(WEEKDAYS)})\b", re.IGNORECASE),
    re.compile(rf"\b(?:{'|'.join(COLOURS.values())})\b", re.IGNORECASE),
)


def is_same(right: str, answer_text: str, *, strict: bool = False) -> bool:
    """Whether the text's final answer is the right one.

    What counts is the last number, date, weekday, colour, quoted text or list in it, or the JSON;
    where it is strict the whole text must be that JSON.
    """
    if right.startswith(("{", "[")):
        kind = _OBJECT if right.startswith("{") else _LIST
        return _same_json(right, answer_text if strict else _last(kind, answer_text))
    if right.startswith("'"):
        return _last(_QUOTED, answer_text)[1:-1] == right[1:-1]
    for word in _WORDS:
        if word.fullmatch(right):
            return _last(word, answer_text).casefold() == right.casefold()
    final = _last(_NUMBER, answer_text.replace(",", ""))
    return bool(final) and float(final) == float(right)


def _same_json(right: str, text: str) -> bool:
    try:
        return _canonical(orjson.loads(text)) == _canonical(orjson.loads(right))
    except (orjson.JSONDecodeError, RecursionError):
        return False


def _canonical(value: object) -> object:
    """The value with its booleans told apart from 0 and 1, to which Python holds them equal."""
    match value:
        case bool():
            return (value,)
        case dict():
            return {key: _canonical(inner) for key, inner in value.items()}
        case list():
            return [_canonical(inner) for inner in value]
        case _:
            return value


def _last(kind: re.Pattern[str], text: str) -> str:
    found = kind.findall(text)
    return found[-1] if found else ""
