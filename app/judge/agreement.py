"""When two answers say the same: what an answer boils down to, in a form that can be compared."""

import hashlib
import re
import unicodedata

import orjson

from app.answers import Answer

_MARKED = re.compile(
    r"(?:\\boxed\{(?P<boxed>[^{}]*)\}|####\s*(?P<hashes>.+)"
    r"|(?:final\s+)?answer\s*(?:is|:)\s*(?P<said>.+))",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_NOISE = re.compile(r"[^\w.\-+/%:]+")
LAST_LINE_CHARACTERS = 200


def final_answer(answer: Answer) -> str:
    """A digest of the answer's gist: equal for two answers that agree.

    Numbers lose grouping and trailing zeros; JSON loses key order and spacing; prose loses case,
    punctuation and everything before "the answer is", "####" or a box.
    """
    return hashlib.blake2b(_gist(answer).encode(), digest_size=12).hexdigest()


def _gist(answer: Answer) -> str:
    if answer.tool_calls:
        calls = [[call.name, _canonical_json(call.arguments)] for call in answer.tool_calls]
        return orjson.dumps(calls).decode()
    text = answer.text or answer.refusal
    return _canonical_json(text) or _words(_marked(text) or _last_line(text))


def _canonical_json(text: str) -> str:
    """Objects and arrays with sorted keys; empty where the text is neither."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(value, dict | list):
        return ""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _marked(text: str) -> str | None:
    found = list(_MARKED.finditer(text))
    return next((part for part in found[-1].groups() if part), None) if found else None


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    return last if len(last) <= LAST_LINE_CHARACTERS else text


def _words(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _NUMBER.sub(lambda number: _plain_number(number[0]), text)
    return _NOISE.sub(" ", text).strip(" .:")


def _plain_number(number: str) -> str:
    digits = number.replace(",", "").removeprefix("+")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
