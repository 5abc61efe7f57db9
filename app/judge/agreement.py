"""When two answers say the same: what an answer boils down to, in a form that can be compared."""

import hashlib
import json
import re
import unicodedata

import orjson

from app.answers import Answer
from app.judge.arithmetic import evaluate
from app.judge.notation import plain_notation
from app.judge.numbers import written
from app.judge.values import CHARACTERS, unquoted, value_of
from app.records import PROSE

_BOXED = r"\\boxed\{(?P<boxed>(?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\})*+)\}"
_BOX = re.compile(_BOXED)
_MARKED = re.compile(
    rf"(?:{_BOXED}|####\s*+(?P<hashes>.+)|answer\**+\s*+(?:is\s*+:?+|:)[*\s]*+(?P<said>.+))",
    re.IGNORECASE,
)
# A chain of dots is a version or an address: its zeros count.
_NUMBER = re.compile(
    r"\d++(?:\.\d++){2,}+"
    r"|(?<!\w)(?:(?<![\w.)\]])\+)?(?:\d{1,3}(?:,\d{3}){1,20}+(?![\d,])|\d++)(?:\.\d++)?"
)
_NOISE = re.compile(r"[^\w.\-+/%:<>=≤≥≠^*|&!~√±∞\u222a\u2229]+")
_EMPHASIS = re.compile(r"(?<!\w)(?:\*\*+|__+)|(?:\*\*+|__+)(?!\w)|`+")
_OPERATOR = re.compile(r"\s*([-+/:<>=≤≥≠^*|&~])\s*")
_INNER_CAPITAL = re.compile(r"[^\W\d_][A-Z]")
_LETTERS = re.compile(r"[^\W\d_]++")
_ONCE = re.compile(r"(?<![\w.)])1\*(?=[a-z(])")
_WRAPPING = " \t\r\n*`$="
_ENDING = " .,:;!"
LAST_LINE_WORDS = 4
SHORT_WORDS = 6
"""So few words are an answer by themselves."""
DECIMALS = 6


def final_answer(answer: Answer) -> str:
    """A digest of the answer's gist: equal for two answers that agree.

    It begins with `PROSE` where no short answer stands out: of such, only equal ones are known to
    agree, and different ones are not known to differ.

    What stands in a box, after "the answer is" or "####", or alone on the last line counts. Numbers
    and lists of them count by value, JSON without its order and spacing, prose without case and
    punctuation.
    """
    gist, whole = _gist(answer), answer.text or answer.refusal
    said = gist or _plain(whole) or whole
    digest = hashlib.blake2b(said.encode(errors="surrogatepass"), digest_size=12).hexdigest()
    return digest if gist else PROSE + digest


def _gist(answer: Answer) -> str:
    """What stands out; empty where nothing does."""
    if answer.tool_calls:
        calls = [
            [call.name, _canonical_json(call.arguments) or call.arguments]
            for call in answer.tool_calls
        ]
        return json.dumps(calls)
    text = answer.text or answer.refusal
    short = text if len(text.split()) <= SHORT_WORDS else ""
    return _canonical_json(text) or _marked(text) or _last_line(text) or _words(short)


def _canonical_json(text: str) -> str:
    """Objects and arrays with sorted keys; empty where the text is neither."""
    try:
        value = orjson.loads(text)
        if not isinstance(value, dict | list):
            return ""
        plain = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return ""
    return (value_of(plain) if plain[0] == "[" else "") or plain


def _marked(text: str) -> str:
    marks = list(_MARKED.finditer(text))
    if not marks:
        return ""
    last = marks[-1]
    part = last["boxed"] or last["hashes"] or last["said"] or ""
    box = _BOX.search(part)
    return _spelled(box["boxed"] if box else part)


def _last_line(text: str) -> str:
    """The last line where it can be an answer by itself: a word, or a few with a number in them.

    Any other last line ("I hope this helps!", the end of a code block) many answers share.
    """
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    if "```" in text:
        return ""
    words = last.split()
    alone = len(words) == 1 or (len(words) <= LAST_LINE_WORDS and re.search(r"\d", last))
    return _spelled(last) if (alone and _words(last)) or _value(last) else ""


def _value(text: str) -> str:
    if len(text) > CHARACTERS:
        return ""
    return value_of(plain_notation(text).strip(_WRAPPING).rstrip(_ENDING))


def _spelled(part: str) -> str:
    """A string without its quotes, a value in its one spelling, or words; symbols as they are."""
    whole = plain_notation(part).strip(_WRAPPING)
    bare = whole.rstrip(_ENDING)
    inner = unquoted(unquoted(bare))
    if inner != bare:
        whole = bare = inner.strip(_WRAPPING) or inner or bare
    return value_of(bare) or _words(bare) or whole


def _words(text: str) -> str:
    text = _EMPHASIS.sub(" ", plain_notation(text))
    text = unicodedata.normalize("NFKC", text)
    text = _folded(text)
    text = _NUMBER.sub(lambda number: _plain_number(number[0]), text)
    return _ONCE.sub("", _OPERATOR.sub(r"\1", _NOISE.sub(" ", text)).strip(" .:!"))


def _plain(text: str) -> str:
    """Prose without case, emphasis and punctuation. It may be long, so nothing cleverer is done."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_MARKUP)
    return _NOISE.sub(" ", plain).strip(" .:!")


_MARKUP = str.maketrans("*_`", "   ")


def _folded(text: str) -> str:
    """Without case, but for words with capitals inside: werC is not werc."""
    if not _INNER_CAPITAL.search(text):
        return text.casefold()
    return _LETTERS.sub(lambda word: word[0] if _is_mixed(word[0]) else word[0].casefold(), text)


def _is_mixed(word: str) -> bool:
    return not (word.islower() or word.isupper() or word.istitle())


def _plain_number(number: str) -> str:
    """Without grouping, trailing zeros, and the noise of floating point: 49.9999999999 is 50."""
    if number.count(".") > 1:
        return number
    digits = number.replace(",", "").removeprefix("+")
    if len(digits.partition(".")[2]) > DECIMALS and (value := evaluate(digits)) is not None:
        return written(value)
    return digits.rstrip("0").rstrip(".") if "." in digits else digits
