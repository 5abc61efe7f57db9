"""Short answers that are values: a number, or a list, set or mapping of numbers and strings."""

import json
import re

from app.judge.arithmetic import evaluate
from app.judge.numbers import written

CHARACTERS = 600
DEPTH = 6
SIDES = 8

_INTEGER = re.compile(r"[-+]?(?:0|[1-9]\d{0,17})", re.ASCII)
_WORTH_A_LOOK = re.compile(r"""[\d'"\[{(√]|pi(?![a-z])""", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z]\s*+=(?!=)")
_UNIT = re.compile(r"(?:(?P<percent>%|percent)|°|degrees?|dollars?|usd)$", re.IGNORECASE)
_STRING = re.compile(r"""[uU]?(?:'((?:[^'\\]|\\.)*+)'|"((?:[^"\\]|\\.)*+)")""", re.DOTALL)
_STRUCTURE = re.compile(
    r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[()\[\]{}:]|,\d{3}(?!\d)|,""", re.DOTALL
)
_MATRIX = re.compile(r"(?:Matrix|array)\((\[.*\])\)", re.DOTALL)
_PRINTED_ARRAY = re.compile(r"[-+.\deE\s\[\]]++", re.ASCII)
_ARRAY_GAP = re.compile(r"(?<=[\d.\]])\s+(?=[-+.\d\[])")
_WORDS = {"True": "true", "False": "false", "None": "none"} | {
    word: word for word in ("true", "false", "null")
}
_ENDLESS = {
    sign + word: sign.strip("+") + "∞" for sign in ("", "+", "-") for word in ("oo", "∞", "inf")
}
_KINDS = frozenset({"()", "[]", "{}", "(]", "[)"})
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_COLUMN = re.compile(r"\[(?:\[[^\[\],]++\],?)++\]")
_INNER = re.compile(r"(?<=[\[,])\[|\](?=[,\]])")


def value_of(text: str) -> str:
    """The value in one spelling; empty where the text is none.

    Numbers are equal to about six digits. A single letter before "=" is left out, and so are
    dollars, degrees, and the percent sign of more than 1%: 1% could be meant for 1.
    """
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return str(int(text))
    if len(text) > CHARACTERS or not _WORTH_A_LOOK.search(text):
        return ""
    if variable := _VARIABLE.match(text):
        text = text[variable.end() :].strip()
    return _number(text) or _quantity(text) or _equal_sides(text) or _collection(text)


def unquoted(text: str) -> str:
    """What is between the quotes of a string; any other text as it is."""
    string = _STRING.fullmatch(text)
    return text if string is None else _content(string)


def _number(text: str) -> str:
    # In brackets a comma separates, whatever digits follow.
    value = None if text[:1] in "([{" and "," in text else evaluate(text)
    return "" if value is None else written(value)


def _quantity(text: str) -> str:
    if text.count("$") == 1:
        text = text.replace("$", "")
        return _number(text) or _quantity(text)
    unit = _UNIT.search(text)
    if unit is None:
        return ""
    amount = evaluate(text[: unit.start()])
    if amount is None:
        return ""
    small = amount != 0 and -1 <= amount.real <= 1
    return written(amount) + ("%" if unit["percent"] and small else "")


def _equal_sides(text: str) -> str:
    """Of a calculation with its result: 5 - 3 = 2, where it is no range either."""
    if "=" not in text:
        return ""
    values = [evaluate(side, surely=True) for side in text.split("=", SIDES)]
    sides = {"" if value is None else written(value) for value in values}
    return sides.pop() if len(sides) == 1 else ""


def _collection(text: str) -> str:
    if matrix := _MATRIX.fullmatch(text):
        rows = _element(matrix[1], DEPTH) or ""
        return f"[{_INNER.sub('', rows)[1:-1]}]" if _COLUMN.fullmatch(rows) else rows
    value = _element(text, DEPTH)
    if value is None and "," in text:
        value = _element(f"({text})", DEPTH)
    return value or ""


def _element(text: str, depth: int) -> str | None:
    """One spelling of a string, a word, a collection or a number."""
    text = text.strip()
    if string := _STRING.fullmatch(text):
        return json.dumps(_content(string), ensure_ascii=False)
    if word := _WORDS.get(text) or _ENDLESS.get(text):
        return word
    if text[:1] + text[-1:] in _KINDS and (parts := _parts(text, depth)) is not None:
        return f"{text[0]}{','.join(parts)}{text[-1]}"
    return _number(text) or None


def _parts(text: str, depth: int) -> list[str] | None:
    """What stands between the brackets, sorted where it has no order; None for anything else."""
    if "," not in text and _PRINTED_ARRAY.fullmatch(text) and "- " not in text:
        text = _ARRAY_GAP.sub(",", text)
    inner = text[1:-1].strip()
    if not inner:
        return []
    parts = _split(inner, ",") if depth else None
    if parts is None or (text[0] == "(" and len(parts) == 1):
        return None
    if not parts[-1].strip():
        parts.pop()
    read = [
        _pair(part, depth - 1) if text[0] == "{" else _element(part, depth - 1) for part in parts
    ]
    found = [part for part in read if part is not None]
    if len(found) < len(read):
        return None
    return sorted(found) if text[0] == "{" else found


def _pair(text: str, depth: int) -> str | None:
    """A key and its value, or the element of a set."""
    parts = _split(text, ":")
    if parts is None or len(parts) != 2:  # noqa: PLR2004 - a pair
        return _element(text, depth)
    key, value = (_element(part, depth) for part in parts)
    return None if key is None or value is None else f"{key}:{value}"


def _split(text: str, at: str) -> list[str] | None:
    """The parts between separators outside of brackets and strings; None where brackets do not fit.

    Where some commas have a space behind them, one between digits without it groups them.
    """
    grouped = ", " in text
    parts: list[str] = []
    start = depth = 0
    for found in _STRUCTURE.finditer(text):
        sign = found[0]
        if sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
        elif sign[0] == at and not depth and not (grouped and len(sign) > 1):
            parts.append(text[start : found.start()])
            start = found.start() + 1
        if depth < 0:
            return None
    return None if depth else [*parts, text[start:]]


def _content(string: re.Match[str]) -> str:
    content: str = string[1] if string[1] is not None else string[2]
    return content.replace("\\'", "'").replace('\\"', '"')
