"""JSON in and out, number for number."""

import json
import re
from typing import Any

import orjson

from app.errors import InvalidJsonError

DEPTH = 128
INT64_DIGITS = 19
DOUBLE_DIGITS = 16

_LONG_NUMBER = re.compile(rb"\d[\d.]{15}")


def parse_json(raw: bytes) -> Any:
    """The value in these bytes; numbers that an int64 or a double cannot hold keep their digits.

    Errors: InvalidJsonError for what RFC 8259 refuses, NaN, lone surrogates, nesting over 128.
    """
    try:
        value = orjson.loads(raw)
        if _LONG_NUMBER.search(raw):
            value = json.loads(raw, parse_int=_keep_int, parse_float=_keep_float)
    except (ValueError, RecursionError) as exc:
        reason = str(exc).split(":")[0]
        raise InvalidJsonError(f"the body is not valid JSON: {reason}") from None
    _check_depth(value)
    return value


def dump_json(value: Any) -> bytes:
    """The same JSON value again, long numbers digit by digit."""
    return orjson.dumps(value, default=_dump_number)


class _Number:
    """A number's own digits."""

    def __init__(self, digits: str) -> None:
        self.digits = digits


def _keep_int(digits: str) -> int | _Number:
    return int(digits) if len(digits) < INT64_DIGITS else _Number(digits)


def _keep_float(digits: str) -> float | _Number:
    return float(digits) if len(digits) < DOUBLE_DIGITS else _Number(digits)


def _dump_number(value: object) -> orjson.Fragment:
    if isinstance(value, _Number):
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
