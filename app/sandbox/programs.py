"""Questions about what a small Python program gives, from an index to a loop with two states.

Source: the task is CRUXEval's output prediction (Gu et al. 2024, arXiv 2401.03065).
"""

import ast
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from random import Random

from app.sandbox.interpreter import outcome, parse
from app.sandbox.mutants import mutants
from app.sandbox.templates import Draw, Slots, Solution, Template, solution

_SLIPS = 4
_MUTANTS = 24
_WORDS = (
    "banana", "cabinet", "dolphin", "elephant", "festival", "guitar", "harbour", "jacket",
    "kitchen", "lantern", "mandarin", "notebook", "orchard", "parade", "rainbow", "saddle",
)  # fmt: skip

_EXPRESSIONS = (
    'len("{word}") + {a}',
    'len("{word}") - {d}',
    '"{word}"[{d}]',
    "[{a}, {b}, {c}, {e}][{d}]",
    "max({a}, {b}) - {d}",
)
_NESTED = (
    "sorted([{a}, {b}, {c}, {e}])[{d}] + {f}",
    "sum([{a}, {b}, {c}, {e}, {f}][{d}:4])",
    '"{word}"[{d}:5].upper()',
    '"{word}".replace("a", "").count("n") + {a}',
    "sorted([{a}, {b}, {c}, {e}])[1:{d}]",
)
_LOOPS = (
    "def f(n):\n    total = {a}\n    for i in range(n):\n        if i % {k} == 0:\n"
    "            total += i\n    return total\nf({b})",
    "def f(text):\n    found = {a}\n    for letter in text:\n        if letter in \"aeiou\":\n"
    "            found += {k}\n    return found\nf(\"{word}\")",
    "def f(items):\n    kept = []\n    for item in items:\n        if item > {b}:\n"
    "            kept.append(item - {k})\n    return kept\nf([{a}, {c}, {e}, {f}, {g}])",
)  # fmt: skip
_STATES = (
    "def f(n):\n    low = {k}\n    high = {a}\n    for i in range({d}, n):\n"
    "        if (low + i) % {k} == 0:\n            high = high - low\n        else:\n"
    "            low = low + i\n    return low + high\nf({e})",
    "def f(n):\n    steps = {d}\n    while n > {a}:\n        if n % {k} == 0:\n"
    "            n = n // {k}\n        else:\n            n = n - {e}\n        steps += {d}\n"
    "    return steps + n\nf({b}{k})",
    "def f(items):\n    best = {a}\n    run = 0\n    for item in items:\n        run = run + item\n"
    "        if item < {c}:\n            run = item\n        if run >= best:\n"
    "            best = run\n    return best - run\nf([{b}, {e}, {f}, {g}, {k}])",
)


def _solve(slots: Slots) -> Solution:
    return _solution(slots["c1"])


@lru_cache(maxsize=4096)
def _solution(source: str) -> Solution:
    program = parse(source)
    right = _written(outcome(program))
    wrong = list(dict.fromkeys(slip for slip in _misread(program) if slip != right))
    return solution(right, wrong[:_SLIPS] or [f"{right[:-1]}0{right[-1]}"])


def _misread(program: ast.Module) -> Iterator[str]:
    for mutant in islice(mutants(program), _MUTANTS):
        try:
            yield _written(outcome(mutant))
        except ValueError:
            continue  # a slip that fails gives no answer


def _written(value: object) -> str:
    """The value as Python writes it. Errors: ValueError for a kind that is not asked for."""
    match value:
        case bool():
            raise ValueError("a truth value is no answer here")
        case str() if value.isalnum() or not value:
            return repr(value)
        case list() if all(type(item) is int for item in value):
            return repr(value)
        case int():
            return str(value)
        case _:
            raise ValueError("neither a number, a plain text nor a list of numbers")


def _one_of(programs: tuple[str, ...]) -> Draw:
    return lambda rng: {"c1": rng.choice(programs).format(**_parts(rng))}


def _parts(rng: Random) -> dict[str, object]:
    """Numbers for a to g, a small one for k and the smallest for d, and a word."""
    numbers = {letter: rng.randint(6, 40) for letter in "abcefg"}
    return numbers | {"d": rng.randint(2, 3), "k": rng.randint(2, 5), "word": rng.choice(_WORDS)}


TEMPLATES = (
    Template(
        "programs",
        1,
        (
            "What is the value of the Python expression `{c1}`?",
            "In Python, what does the expression `{c1}` give?",
        ),
        _one_of(_EXPRESSIONS),
        _solve,
    ),
    Template(
        "programs",
        2,
        (
            "Work out by hand what this nested Python expression evaluates to: `{c1}`.",
            "To which value does Python evaluate the following nested expression, `{c1}`?",
        ),
        _one_of(_NESTED),
        _solve,
    ),
    Template(
        "programs",
        3,
        (
            "What is the value of the last line of this Python program?\n```python\n{c1}\n```",
            "Read this Python program. What does its last line give?\n```python\n{c1}\n```",
        ),
        _one_of(_LOOPS),
        _solve,
    ),
    Template(
        "programs",
        4,
        (
            "Follow the variables of this Python function through every turn of its loop. What "
            "does the call in the last line return?\n```python\n{c1}\n```",
            "Execute this Python program by hand, one step after the other, and keep track of all "
            "its variables. What is the value of its last line?\n```python\n{c1}\n```",
        ),
        _one_of(_STATES),
        _solve,
    ),
)
