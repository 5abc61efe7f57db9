"""Numbers of an answer: exact where they can be, bounded, and written so that equal ones match."""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction

Value = Fraction | complex

BITS = 4096
EXPONENT = 300
LARGEST = 1e300
SIGNIFICANT = 6
DECIMALS = 2

_FLOAT_DIGITS = 14
_FLOAT_NOISE = 1e-12
_EXACT = Context(prec=60)
_WIDE = Context(prec=1300)


class UnreadableError(Exception):
    """The text is no number or expression, or beyond the bounds."""


def written(value: Value) -> str:
    """The value in about six digits: equal for two values that differ by less than is ever meant.

    Integers are exact, and nothing is rounded above the cents.
    """
    if isinstance(value, Fraction):
        return _rounded(value)
    noise = abs(value) * _FLOAT_NOISE * 1000
    real, imaginary = (
        "0" if abs(part) <= noise else _rounded(part) for part in (value.real, value.imag)
    )
    return real if imaginary == "0" else f"{real}{'' if imaginary[0] == '-' else '+'}{imaginary}i"


def number(text: str) -> Value:
    """The value of "12", "1.5", "2e-3", or of the mixed number "1 1/2"; without commas.

    Errors: UnreadableError for what only looks like a number, as "007" does.
    """
    if "/" in text:
        whole, part = text.split(maxsplit=1)
        one, other = map(int, part.split("/"))
        if not 0 < one < other:
            raise UnreadableError
        return number(whole) + Fraction(one, other)
    digits, _, power = text.lower().partition("e")
    whole, _, decimals = digits.partition(".")
    if (len(whole) > 1 and whole[0] == "0") or abs(int(power or 0)) > EXPONENT:
        raise UnreadableError
    exact = Fraction(int(whole + decimals)) * Fraction(10) ** (int(power or 0) - len(decimals))
    if decimals and len((whole + decimals).strip("0")) >= _FLOAT_DIGITS:
        # As many digits as a float prints: it carries a float's noise, and near 0 nothing else.
        return complex(exact) if exact > _FLOAT_NOISE / 10 else Fraction(0)
    return exact


def add(terms: Sequence[Value]) -> Value:
    """The sum; what is left of much larger floating terms is 0."""
    if len(terms) == 1:
        return terms[0]
    exact = [term for term in terms if isinstance(term, Fraction)]
    if len(exact) == len(terms):
        return _bounded(sum(exact, Fraction(0)))
    parts = [complex(term) for term in terms]
    total = sum(parts)
    noise = max(map(abs, parts)) * _FLOAT_NOISE
    real, imaginary = (0.0 if abs(part) <= noise else part for part in (total.real, total.imag))
    return _bounded(complex(real, imaginary))


def multiply(one: Value, other: Value) -> Value:
    """The product."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return _bounded(one * other)
    return _bounded(complex(one) * complex(other))


def divide(one: Value, other: Value) -> Value:
    """The quotient. Errors: ZeroDivisionError."""
    if isinstance(one, Fraction) and isinstance(other, Fraction):
        return _bounded(one / other)
    return _bounded(complex(one) / complex(other))


def power(base: Value, exponent: Value) -> Value:
    """The power, exact for whole exponents and roots that come out even.

    Errors: UnreadableError where it is too large, or has more than one meaning; ArithmeticError.
    """
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        if exponent.denominator == 1:
            bits = max(base.numerator.bit_length(), base.denominator.bit_length())
            if bits * abs(exponent.numerator) > BITS:
                raise UnreadableError
            return _bounded(base**exponent.numerator)
        if base < 0 and exponent != Fraction(1, 2):
            raise UnreadableError
        if exponent == Fraction(1, 2) and (root := _whole_root(base)) is not None:
            return root
    return _bounded(complex(base) ** complex(exponent))


def _whole_root(value: Fraction) -> Fraction | None:
    if value < 0:
        return None
    root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    return root if root * root == value else None


def _bounded(value: Value) -> Value:
    if isinstance(value, complex):
        fits = abs(value) <= LARGEST
    else:
        fits = max(value.numerator.bit_length(), value.denominator.bit_length()) <= BITS
    if not fits:
        raise UnreadableError
    return value


def _rounded(value: Fraction | float) -> str:
    """First to what a float is sure of, so that its noise decides nothing; then for good."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return str(value.numerator)
        exact = _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))
    else:
        exact = Decimal(value)
    if not exact:
        return "0"
    sure = Context(prec=max(12, exact.adjusted() + 4)).plus(exact)
    unit = Decimal(1).scaleb(min(sure.adjusted() + 1 - SIGNIFICANT, -DECIMALS))
    kept = sure.quantize(unit, ROUND_HALF_UP, _WIDE)
    return str(int(kept)) if kept == kept.to_integral_value() else str(kept.normalize())
