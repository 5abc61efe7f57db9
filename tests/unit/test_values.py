"""What short answers come to: numbers, lists of them, and what only looks like a number."""

import sys
from collections.abc import Callable
from fractions import Fraction
from types import FrameType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.judge.notation import plain_notation
from app.judge.values import value_of

# A thousand times what the bounds on length and depth allow is still a moment.
CALLS = 30_000

HOSTILE = [
    "9**9**9",
    "9^9^9^9",
    "2^" * 90 + "2",
    "(2^4000)^(2^4000)",
    "10**300*10**300*10**300*10**300*10**300",
    "1e999999999",
    "1e300**100",
    "exp(exp(exp(9)))",
    "1/0",
    "0^-1",
    "ln(0)",
    "sqrt(" * 40 + "2" + ")" * 40,
    "(" * 90 + "5" + ")" * 90,
    "(" * 10_000 + "5" + ")" * 10_000,
    "[" * 300 + "]" * 300,
    "[[" * 150,
    "-" * 199 + "5",
    "1+" * 99 + "1",
    "1,2," * 150,
    "\\frac{1}{" * 20 + "2" + "}" * 20,
    "'" * 590 + "5",
    "{1:" * 150,
    "5=" * 200,
    "$" * 590 + "5",
]


def value(text: str) -> str:
    return value_of(plain_notation(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2*sqrt(2)", "2.8284271247461903"),
        ("24/5", "4.8"),
        ("\\frac{24}{5}", "4.80000000000000"),
        ("\\dfrac{24}5", "4.8"),
        ("\\frac12", "0.5"),
        ("pi/4", "0.7853981633974483"),
        ("3\\pi", "3*pi"),
        ("2pi", "6.283185307179586"),
        ("3.1415926", "pi"),
        ("25.0", "25"),
        ("0.1+0.2", "0.3"),
        ("0.30000000000000004", "0.3"),
        ("0.1234565", "0.12345649999999997"),
        ("9.9999999999999", "10"),
        ("899.9999999999995", "(-99 - 3*sqrt(889))*(-99 + 3*sqrt(889))/2"),
        ("4.898587196589413e-16", "0"),
        ("sqrt(2)*sqrt(2) - 2.0 + 0", "0"),
        ("1e-3", "0.001"),
        ("1,234", "1234"),
        ("1\u202f234", "1{,}234"),
        ("\u22125", "-5"),
        ("\u00bd", "1/2"),
        ("1\u00bd", "1.5"),
        ("1 1/2", "1\\frac{1}{2}"),
        ("2\\frac{3}{2}", "3"),
        ("3^2", "9"),
        ("3\u00b2", "3**2"),
        ("-3^2", "-9"),
        ("2^{-1}", "1/2"),
        ("\\sqrt{3}", "\u221a3"),
        ("2\\sqrt3", "sqrt(12)"),
        ("\\sqrt[3]{8}", "2"),
        ("3 \\cdot 4", "3 \u00d7 4"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        ("e^2", "exp(2)"),
        ("cos(pi)", "-1"),
        ("7/5 + I/5", "(1.4+0.2j)"),
        ("7/5 + 1/5i", "(1.4+0.2j)"),
        ("(-1+1.2246467991473532e-16j)", "-1"),
        ("sqrt(-4)", "2i"),
        ("x = 5", "5"),
        ("2 + 2 = 4", "4"),
        ("20*3 - 7 = 60 - 7 = 53", "53"),
        ("50%", "50 \\%"),
        ("50 percent", "50%"),
        ("$12.50", "12.5 dollars"),
        ("45^\\circ", "45 degrees"),
        ("1, 2", "(1, 2)"),
        ("(1.0, 3.0000000000000004)", "(1, 3)"),
        ("{2, 1}", "\\{1, 2\\}"),
        ("[1,234, 5,678]", "[1234, 5678]"),
        ("[100,200]", "[100, 200]"),
        ("[1. 3.]", "[1, 3]"),
        ("[[ 1 -2] [ 3 4]]", "Matrix([[1, -2], [3, 4]])"),
        ("Matrix([[1], [2]])", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
        ("(-oo, 0]", "(-\\infty, 0]"),
        ("['it\\'s', True]", '["it\'s", true]'),
        ("{u'a': 1}", '{"a": 1}'),
        ("(1,)", "(1.0,)"),
        ("1,2, 3", "(1, 2, 3)"),
    ],
)
def test_these_are_the_same_value(one: str, other: str) -> None:
    assert value(one) == value(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12345678901", "12345678902"),
        ("1234567.25", "1234568.25"),
        ("2^100", "2^100 + 1"),
        ("3.14", "pi"),
        ("1e-15", "0"),
        ("6.62607015e-34", "0"),
        ("50%", "0.5"),
        ("1%", "1"),
        ("0.33333333333333%", "1/3"),
        ("0.5%", "0.5"),
        ("(1, 2)", "[1, 2]"),
        ("(1, 2)", "(1, 2]"),
        ("(1, 2)", "(2, 1)"),
        ("[5]", "5"),
        ("['5']", "[5]"),
        ("[[1], [2]]", "[1, 2]"),
        ("[None]", "[null]"),
    ],
)
def test_these_are_different_values(one: str, other: str) -> None:
    assert value(one) != value(other)


@pytest.mark.parametrize(
    "text",
    [
        *("2024-05-01", "3/4/2024", "1.2.3", "12:30", "A-1", "192.168.0.1", "555-1234", "10 - 20"),
        *("(555) 123-4567", "+49 30 1234-567", "1.5-2.5", "007", "12 34", "1/2pi", "5!", "5 km"),
        *("e", "E", "i", "I", "B", "e-1", "3e", "", "()(", "1 2/1", "1 +", "x = 2 or x = 3"),
        *("(-8)^(1/3)", "2(3)", "sin 3", "sqrt[2{4}", "frac", "\\frac{1}", "pizza", "2 + 2 = 5"),
        *("1 \u00b1 2", "(B)", "[a, b]", "{1: }", "12e5678", "0x1F"),
    ],
)
def test_these_stay_text(text: str) -> None:
    assert value(text) == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_costs_a_bounded_number_of_steps(text: str) -> None:
    assert calls_of(lambda: value(text)) < CALLS


@given(
    st.lists(
        st.sampled_from(
            [*"0123456789+-*/^(){}[],.'\"=$%ei \\", "**", "sqrt", "\\frac{", "pi", "1e300", ", "]
        ),
        max_size=700,
    ).map("".join)
)
def test_any_text_is_read_in_a_bounded_number_of_steps(text: str) -> None:
    assert calls_of(lambda: value(text)) < CALLS


Spellings = tuple[str, str]

NUMBERS = st.one_of(
    st.integers(0, 999).map(lambda n: (str(n), f"{n}.0")),
    st.decimals(0, 99, places=2).map(lambda d: (str(d), f"{d}00")),
    st.just(("pi", "\\pi ")),
)


def joined(parts: tuple[Spellings, str, Spellings]) -> Spellings:
    (a, x), sign, (b, y) = parts
    latex = {
        "+": f"\\left({x} + {y}\\right)",
        "-": f"\\left({x} \u2212 {y}\\right)",
        "*": f"\\left({x} \\cdot {y}\\right)",
        "/": f"\\dfrac{{{x}}}{{{y}}}",
    }
    return f"({a}{sign}{b})", latex[sign]


def raised(part: Spellings) -> Spellings:
    return f"({part[0]})**2", f"\\left( {part[1]} \\right)^{{2}}"


def rooted(part: Spellings) -> Spellings:
    return f"sqrt({part[0]})", f"\\sqrt{{{part[1]}}}"


EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(joined),
        inner.map(raised),
        inner.map(rooted),
    ),
    max_leaves=5,
)


@given(EXPRESSIONS)
def test_an_expression_has_one_value_however_it_is_spelled(spellings: Spellings) -> None:
    python, latex = map(value, spellings)
    assert python == latex
    assume(python)
    assert value(f"[{spellings[0]}, 1]") == f"[{python},1]"


FRACTIONS = st.fractions(-1000, 1000, max_denominator=1000)


@given(FRACTIONS)
def test_a_fraction_is_its_decimals(fraction: Fraction) -> None:
    assert value(str(fraction)) == value(repr(float(fraction)))
    assert value(str(fraction)) == value(f"{float(fraction):.13f}")


@given(FRACTIONS, FRACTIONS)
def test_different_fractions_are_different_values(one: Fraction, other: Fraction) -> None:
    assume(abs(one - other) > abs(one) / 10**5)
    assert value(str(one)) != value(str(other))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_itself_in_every_list(number: float) -> None:
    alone = value(repr(number))
    assert value(f"({number!r}, 'a')") == (f'({alone},"a")' if alone else "")


def calls_of(run: Callable[[], object]) -> int:
    """How many functions are called on the way, of Python and of C."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls
