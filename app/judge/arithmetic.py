"""What an arithmetic expression comes to, read by hand and within bounds: nothing is executed."""

import cmath
import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from app.judge.numbers import UnreadableError, Value, add, divide, multiply, number, power

CHARACTERS = 200
DEPTH = 24

_TOKEN = re.compile(
    r"\s*+(?:(?P<number>\d++[ ]++\d{1,4}/\d{1,4}(?![\d./])"
    r"|(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d++)(?:\.\d*+)?(?:[eE][-+]?\d++)?"
    r"|\.\d++(?:[eE][-+]?\d++)?)"
    r"|(?P<name>\\?[A-Za-z]++)|\*\*|[-+*/^(){}\[\]√])",
    re.ASCII,
)
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "exp": cmath.exp,
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "ln": cmath.log,
}
_PI = "pi"
_IMAGINARY = frozenset({"i", "I", "j"})
_EULER = frozenset({"e", "E"})
_ROOTS = frozenset({"sqrt", r"\sqrt", "√"})
_NAMES = _IMAGINARY | _EULER | _ROOTS | set(_FUNCTIONS) | {_PI, r"\frac"}
_CLOSING = {"(": ")", "{": "}", "[": "]"}
_OPENING = frozenset("(")
_POWER = frozenset({"^", "**"})
_SCALES = frozenset({"*", "/"})
_SIGNS = frozenset({"+", "-"})


def evaluate(text: str, *, surely: bool = False) -> Value | None:
    """The value of an expression of numbers; None for any other text, and beyond the bounds.

    Numbers joined by nothing but "-", or by more than one "/", are dates, ranges and the like,
    unless it is `surely` arithmetic.
    """
    if len(text) > CHARACTERS:
        return None
    try:
        tokens = _tokens(text)
        if not any(_is_number(token) or token == _PI for token in tokens):
            return None
        return _Reader(tokens).read() if surely or not _is_date_or_range(tokens) else None
    except (UnreadableError, ArithmeticError, ValueError):
        return None


def _tokens(text: str) -> list[str]:
    """Numbers, names and signs; grouping commas are left out."""
    tokens: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None or (found["name"] and found["name"] not in _NAMES):
            raise UnreadableError
        tokens.append(found[0].strip().replace(",", ""))
        position = found.end()
    return tokens


def _is_date_or_range(tokens: Sequence[str]) -> bool:
    signs = [token for token in tokens[1:] if not _is_number(token)]
    dashes, slashes = signs.count("-"), signs.count("/")
    return dashes + slashes == len(signs) and bool(dashes or slashes > 1)


def _is_number(token: str) -> bool:
    return token[:1].isdecimal() or token[:1] == "."


class _Reader:
    """Recursive descent over the tokens; every method gives the value of what it reads."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = [*tokens, "", "", ""]
        self._at = 0
        self._depth = 0

    def read(self) -> Value:
        value = self._sum()
        if self._next:
            raise UnreadableError
        return value

    @property
    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self, tokens: frozenset[str]) -> bool:
        taken = self._next in tokens
        self._at += taken
        return taken

    def _sum(self) -> Value:
        terms = [self._product()]
        while self._next in _SIGNS:
            terms.append(self._product())
        return add(terms)

    def _product(self) -> Value:
        value = self._signed()
        divided = False
        while True:
            sign = self._next
            if self._take(_SCALES):
                value = (multiply if sign == "*" else divide)(value, self._signed())
                divided |= sign == "/"
            elif self._joins(divided=divided):
                value = multiply(value, self._power())
            else:
                return value

    def _joins(self, *, divided: bool) -> bool:
        """Whether the next factor stands without a sign, as in 2pi; 1/2pi has two meanings.

        A mere number in parentheses is a note, or half of a phone number.
        """
        joins = self._next in _NAMES
        if self._next == "(":
            joins = self._tokens[self._at + 2] != ")"
        if joins and divided and self._next not in _IMAGINARY:
            raise UnreadableError
        return joins

    def _signed(self) -> Value:
        negative = False
        while self._next in _SIGNS:
            negative ^= self._next == "-"
            self._at += 1
        value = self._power()
        return -value if negative else value

    def _power(self) -> Value:
        base = self._atom()
        if not self._take(_POWER):
            return base
        exponent = self._group("{") if self._next == "{" else self._deeper(self._signed)
        return power(base, exponent)

    def _atom(self) -> Value:
        token = self._next
        if token in _OPENING:
            return self._group(token)
        self._at += bool(token)
        if _is_number(token):
            return number(token)
        if token == _PI:
            return complex(math.pi)
        if token in _IMAGINARY:
            return 1j
        if token in _EULER:
            return self._euler()
        return self._applied(token)

    def _applied(self, name: str) -> Value:
        if name in _ROOTS:
            return self._root()
        if name == r"\frac":
            return divide(self._group("{"), self._group("{"))
        if name in _FUNCTIONS:
            return power(_FUNCTIONS[name](complex(self._group("("))), Fraction(1))
        raise UnreadableError

    def _euler(self) -> Value:
        """The letter alone may be an option, or a name."""
        before = self._tokens[self._at - 2] if self._at > 1 else ""
        if self._next in _POWER | _SCALES or before in _SCALES:
            return complex(math.e)
        raise UnreadableError

    def _root(self) -> Value:
        index = self._group("[") if self._next == "[" else Fraction(2)
        of = self._group(self._next) if self._next in _CLOSING else self._deeper(self._atom)
        return power(of, divide(Fraction(1), index))

    def _group(self, opening: str) -> Value:
        if not self._take(frozenset({opening})):
            raise UnreadableError
        value = self._deeper(self._sum)
        if not self._take(frozenset({_CLOSING[opening]})):
            raise UnreadableError
        return value

    def _deeper(self, read: Callable[[], Value]) -> Value:
        if self._depth == DEPTH:
            raise UnreadableError
        self._depth += 1
        value = read()
        self._depth -= 1
        return value
