"""When two answers say the same: what an answer boils down to, in a form that can be compared."""

import hashlib
import re
import unicodedata

import orjson

from app.answers import Answer

_MARKED = re.compile(
    r"(?:\\boxed\{(?P<boxed>(?:[^{}]|\{[^{}]*\})*)\}|####\s*(?P<hashes>.+)"
    r"|answer\**\s*(?:is\s*:?|:)\s*(?P<said>.+))",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:(?<![\w.)\]])\+)?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?")
_NOISE = re.compile(r"[^\w.\-+/%:<>=≤≥≠^*|&!~√]+")
_EMPHASIS = re.compile(r"(?<!\w)(?:\*\*+|__+)|(?:\*\*+|__+)(?!\w)|`+")
_OPERATOR = re.compile(r"\s*([-+/:<>=≤≥≠^*|&~])\s*")
LAST_LINE_WORDS = 4
DECIMALS = 6


def final_answer(answer: Answer) -> str:
    """A digest of the answer's gist: equal for two answers that agree.

    Numbers lose grouping and trailing zeros; JSON loses key order and spacing; prose loses case,
    punctuation and everything before "the answer is", "####" or a box.
    """
    return hashlib.blake2b(_gist(answer).encode(), digest_size=12).hexdigest()


def _gist(answer: Answer) -> str:
    if answer.tool_calls:
        calls = [
            [call.name, _canonical_json(call.arguments) or call.arguments]
            for call in answer.tool_calls
        ]
        return orjson.dumps(calls).decode()
    text = answer.text or answer.refusal
    return _canonical_json(text) or _words(_marked(text) or _last_line(text)) or text


def _canonical_json(text: str) -> str:
    """Objects and arrays with sorted keys; empty where the text is neither."""
    try:
        value = orjson.loads(text)
        if not isinstance(value, dict | list):
            return ""
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return ""


def _marked(text: str) -> str | None:
    found = list(_MARKED.finditer(text))
    return next((part for part in found[-1].groups() if part), None) if found else None


def _last_line(text: str) -> str:
    """The last line where it can be an answer by itself: a word, or a few with a number in them.

    Any other last line ("I hope this helps!", the end of a code block) many answers share.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    words = last.split()
    alone = len(words) == 1 or (len(words) <= LAST_LINE_WORDS and re.search(r"\d", last))
    return last if alone and _words(last) and "```" not in text else text


def _words(text: str) -> str:
    text = unicodedata.normalize("NFKC", _EMPHASIS.sub(" ", text)).casefold()
    text = _NUMBER.sub(lambda number: _plain_number(number[0]), text)
    return _OPERATOR.sub(r"\1", _NOISE.sub(" ", text)).strip(" .:!")


def _plain_number(number: str) -> str:
    """Without grouping, trailing zeros, and the noise of floating point: 49.9999999999 is 50."""
    digits = number.replace(",", "").removeprefix("+")
    whole, _, decimals = digits.partition(".")
    if len(decimals) > DECIMALS and whole.strip("-0"):
        digits = f"{float(digits):.{DECIMALS}f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
