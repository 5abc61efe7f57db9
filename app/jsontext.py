"""JSON in and out, number for number."""

import json
import re
from typing import Any, TypeAlias

import orjson

from app.errors import InvalidJsonError

Json: TypeAlias = dict[str, Any]

DEPTH = 128
VALUES = 250_000
"""Each costs up to a hundred times its bytes in memory: 32 MiB of "[]," took 18 seconds to read."""
FEW = 1000
INT64_DIGITS = 20
DOUBLE_DIGITS = 16

_MARKS = (b",", b"[", b"{")
_LONG = re.compile(rb"\d[\d.]{15}")


def parse_json(raw: bytes) -> Any:
    """The value in these bytes; numbers that an int64 or a double cannot hold keep their digits.

    Errors: InvalidJsonError for what RFC 8259 refuses, NaN, lone surrogates, nesting over 128, and
    more than 250,000 values.
    """
    if not is_bounded(raw):
        raise InvalidJsonError(f"the body holds more than {VALUES} JSON values")
    try:
        value = orjson.loads(raw)
        if _LONG.search(raw):
            value = json.loads(raw, parse_int=_keep_int, parse_float=_keep_float)
    except (ValueError, RecursionError) as exc:
        reason = str(exc).split(":")[0]
        raise InvalidJsonError(f"the body is not valid JSON: {reason}") from None
    _check_depth(value)
    return value


def is_bounded(raw: bytes) -> bool:
    """Whether there are no more than `VALUES` values in it, told without reading them."""
    return len(raw) <= VALUES or values_at_most(raw) <= VALUES


def values_at_most(raw: bytes) -> int:
    """How many values there may be in it; where that is many, those in strings are not counted."""
    marks = sum(map(raw.count, _MARKS))
    if marks <= FEW:
        return marks
    # There may be as many in strings: escapes first, then every other piece is outside of them.
    plain = raw.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > 4 * VALUES:
        return marks
    outside = b"".join(plain.split(b'"')[::2])
    return sum(map(outside.count, _MARKS))


def dump_json(value: Any) -> bytes:
    """The same JSON value again, long numbers digit by digit."""
    return orjson.dumps(value, default=_dump_number)


class LongNumber:
    """A number's own digits."""

    def __init__(self, digits: str) -> None:
        self.digits = digits


def number_of(value: object) -> int | float | None:
    """What the number is about, to compare it with; None for what is no number."""
    match value:
        case bool():
            return None
        case int() | float():
            return value
        case LongNumber(digits=digits):
            return int(digits) if digits.lstrip("-").isdigit() else float(digits)
        case _:
            return None


def _keep_int(digits: str) -> int | LongNumber:
    # The length first: turning 5,000 digits into an int is slow, and refused by Python.
    if len(digits) <= INT64_DIGITS and -(2**63) <= int(digits) < 2**64:
        return int(digits)
    return LongNumber(digits)


def _keep_float(digits: str) -> float | LongNumber:
    return float(digits) if len(digits) < DOUBLE_DIGITS else LongNumber(digits)


def _dump_number(value: object) -> orjson.Fragment:
    if isinstance(value, LongNumber):
        return orjson.Fragment(value.digits)
    raise TypeError(type(value).__name__)


def _check_depth(value: object) -> None:
    level: list[object] = [value]
    for _ in range(DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise InvalidJsonError(f"the body is nested deeper than {DEPTH} levels")
