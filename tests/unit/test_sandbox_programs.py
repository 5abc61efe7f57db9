"""The sandbox's interpreter: as Python for what it knows, and closed to everything else."""

import pytest

from app.sandbox.interpreter import outcome, parse
from app.sandbox.mutants import mutants
from app.sandbox.questions import Question, is_right
from tests.support.sandbox import about

# What CPython 3.11 gave for these programs.
KNOWN = [
    ('len("banana") + 3', 9),
    ('"banana"[-1]', "a"),
    ("[5, 6, 7][::-1]", [7, 6, 5]),
    ("sorted([3, 1, 2])[1:]", [2, 3]),
    ("-7 // 2 + -7 % 3", -2),
    ("3 <= 3", True),
    ("3 < 3", False),
    ("3 >= 3", True),
    ("3 > 3", False),
    ("3 == 3", True),
    ("3 != 3", False),
    ("4 in [3]", False),
    ("abs(-3) * 2", 6),
    ("sum(range(2, 5))", 9),
    ('"Ab".lower()', "ab"),
    ("max(4, 9) * min([2, 3])", 18),
    ('"cabinet".replace("b", "").upper()', "CAINET"),
    ('"banana".count("an") + "banana".find("n")', 4),
    ("def f(n):\n    a = 0\n    for i in range(2, n):\n        a += i * i\n    return a\nf(6)", 54),
    (
        "def f(n):\n    s = 0\n    while n > 1:\n        if n % 2 == 0:\n            n = n // 2\n"
        "        else:\n            n = 3 * n + 1\n        s += 1\n    return s\nf(27)",
        111,
    ),
    (
        'def f(t):\n    k = []\n    for c in t:\n        if c in "aeiou":\n'
        '            k.append(t.find(c))\n    return k\nf("guitar")',
        [1, 2, 4],
    ),
    ("def g(n):\n    return n + 1\ndef f(n):\n    return g(g(n))\nf(3)", 5),
]


@pytest.mark.parametrize(("source", "value"), KNOWN)
def test_a_program_gives_what_python_gives(source: str, value: object) -> None:
    assert outcome(parse(source)) == value


@pytest.mark.parametrize(
    "source",
    [
        "",
        "1 +",
        "x",
        "x = 1",
        "import os\n1",
        "__import__('os')",
        "().__class__",
        "'a'.__class__",
        "'a'.format(1)",
        "'a' % 1",
        "'a' * 1000",
        "[0] * 1000",
        "9 ** 9",
        "open('/etc/passwd')",
        "len(1)",
        "[1][9]",
        "[1]['a']",
        "1 // 0",
        "{1: 2}",
        "[i for i in [1]]",
        "sorted([1, 'a'])",
        "max([1], key=len)",
        "lambda: 1",
        "def f(n):\n    while n < 9:\n        n = 1\n    return n\nf(1)",
        "def f(n):\n    return f(n)\nf(1)",
        "def f(n):\n    n += 1\nf(1)",
        "def f(n):\n    x += n\n    return x\nf(1)",
        "def f(n):\n    return n\nf(1, 2)",
        "def f(n):\n    for i in range(1000000000):\n        n += i\n    return n\nf(1)",
        "def f(n):\n    n = n + n\n    return f(n)\nf('aaaaaaaaaa')",
        "+".join(["1"] * 3000),
        "(" * 300 + ")" * 300,
        "-" * 9000 + "1",
    ],
)
def test_whatever_is_outside_the_grammar_or_goes_on_for_too_long_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        outcome(parse(source))


def test_a_mutant_differs_in_one_place() -> None:
    found = [outcome(mutant) for mutant in mutants(parse("max(3, 9) - 2"))]
    assert sorted(map(str, found)) == sorted(["11", "7", "8", "6"])


def test_what_counts_is_the_last_quoted_text_or_list() -> None:
    text = Question("1", "programs", 2, "?", "'AN'")
    assert is_right(text, "'banana' gives 'AN'")
    assert is_right(text, 'Answer: "AN"')
    assert not is_right(text, "'AN' or 'an'")
    assert not is_right(text, "I do not know")
    listed = Question("2", "programs", 3, "?", "[1, 2]")
    assert is_right(listed, "From [1, 2, 3] it keeps [1,2].")
    assert not is_right(listed, "[2, 1]")
    assert not is_right(listed, "1, 2")


def test_all_kinds_of_programs_are_asked_about() -> None:
    answers = [question.answer for question in about("programs")]
    assert {answer[0] in "['" for answer in answers} == {True, False}
    assert all("def f" in question.text for question in about("programs", 4))
