"""Arithmetic questions, from sums of two numbers to a fund with fees."""

from fractions import Fraction
from random import Random

from app.sandbox.templates import Draw, Slots, Solution, Template, number, solution


def _sum(slots: Slots) -> Solution:
    a, b = int(slots["n1"]), int(slots["n2"])
    return _off(a + b, a + b + 1, a + b - 10, a + b + 10)


def _difference(slots: Slots) -> Solution:
    a, b = int(slots["n1"]), int(slots["n2"])
    return _off(a - b, a - b + 1, a - b + 10, a + b)


def _product(slots: Slots) -> Solution:
    a, b = int(slots["n1"]), int(slots["n2"])
    return _off(a * b, a * b + a, a * b - 10, (a // 10) * (b // 10) * 100 + (a % 10) * (b % 10))


def _percentage(slots: Slots) -> Solution:
    percent, whole = int(slots["n1"]), int(slots["n2"])
    part = Fraction(percent * whole, 100)
    answers = (part, part * 10, whole - part, part + 1)
    decimals = 0 if part.denominator == 1 else 2
    return _off(*answers, decimals=decimals)


def _bottles(slots: Slots) -> Solution:
    crates, bottles, sold, broken = (int(slots[f"n{i}"]) for i in (1, 2, 3, 4))
    left = crates * bottles - sold - broken
    return _off(left, left + broken, left + 2 * broken, crates + bottles - sold - broken)


def _expression(slots: Slots) -> Solution:
    a, b, c, d = (int(slots[f"n{i}"]) for i in (1, 2, 3, 4))
    return _off((a + b) * c - d, a + b * c - d, (a + b) * (c - d), (a + b) * c - d + 10)


def _remainder(slots: Slots) -> Solution:
    a, b, c, divisor = (int(slots[f"n{i}"]) for i in (1, 2, 3, 4))
    total = a * a + b * c
    right = total % divisor
    return _off(right, (right + 1) % divisor, total // divisor, (2 * a + b * c) % divisor)


def _fund(slots: Slots) -> Solution:
    start, percent, fee = (int(slots[f"n{i}"]) for i in (1, 2, 3))
    growth = 1 + Fraction(percent, 100)
    fund = fee_first = Fraction(start)
    for _ in range(3):
        fund = fund * growth - fee
        fee_first = (fee_first - fee) * growth
    simple = start * (1 + Fraction(3 * percent, 100)) - 3 * fee
    return _off(*(Fraction(euros // 1) for euros in (fund, fee_first, simple, fund + fee)))


def _off(right: Fraction | int, *wrong: Fraction | int, decimals: int = 0) -> Solution:
    return solution(number(right, decimals), [number(value, decimals) for value in wrong])


def _two(low: int, high: int) -> Draw:
    return lambda rng: _slots(*sorted((rng.randint(low, high) for _ in range(2)), reverse=True))


def _draw_percentage(rng: Random) -> Slots:
    return _slots(rng.randrange(5, 100, 5), rng.randrange(40, 2000, 20))


def _draw_bottles(rng: Random) -> Slots:
    crates, bottles = rng.randint(11, 60), rng.randint(12, 48)
    return _slots(crates, bottles, rng.randint(20, crates * bottles - 60), rng.randint(2, 25))


def _draw_expression(rng: Random) -> Slots:
    return _slots(*(rng.randint(12, 99) for _ in range(3)), rng.randint(100, 900))


def _draw_remainder(rng: Random) -> Slots:
    return _slots(*(rng.randint(20, 400) for _ in range(3)), rng.randint(7, 97))


def _draw_fund(rng: Random) -> Slots:
    return _slots(rng.randrange(2000, 90000, 250), rng.randint(2, 9), rng.randrange(15, 200, 5))


def _slots(*values: int) -> Slots:
    return {f"n{position}": str(value) for position, value in enumerate(values, 1)}


TEMPLATES = (
    Template(
        "arithmetic",
        1,
        (
            "What is {n1} + {n2}?",
            "Add {n1} and {n2}.",
            "How much is {n1} plus {n2}?",
            "{n1} + {n2} = ?",
        ),
        _two(10, 999),
        _sum,
    ),
    Template(
        "arithmetic",
        1,
        (
            "What is {n1} - {n2}?",
            "How much is {n1} minus {n2}?",
            "Take away from {n1} the number {n2}.",
        ),
        _two(10, 999),
        _difference,
    ),
    Template(
        "arithmetic",
        2,
        (
            "Multiply {n1} by {n2}. What is the product?",
            "What is the product {n1} * {n2}?",
            "Please multiply: how much is {n1} times {n2}?",
        ),
        _two(12, 99),
        _product,
    ),
    Template(
        "arithmetic",
        2,
        (
            "What is {n1}% of {n2}?",
            "How much is {n1} percent of the number {n2}?",
            "Work out the percentage: {n1}% of the whole {n2}.",
        ),
        _draw_percentage,
        _percentage,
    ),
    Template(
        "arithmetic",
        3,
        (
            "A shop receives {n1} crates with {n2} bottles in each, sells {n3} bottles and finds "
            "{n4} broken. How many bottles are left in the shop?",
            "There are {n1} crates in the cellar, each holding {n2} bottles. After {n3} bottles "
            "were sold and {n4} bottles broke, how many bottles remain?",
        ),
        _draw_bottles,
        _bottles,
    ),
    Template(
        "arithmetic",
        3,
        (
            "Work out the expression ({n1} + {n2}) * {n3} - {n4}, minding the brackets and the "
            "order of the operations.",
            "Evaluate the expression step by step, brackets first: ({n1} + {n2}) * {n3} - {n4} = ?",
        ),
        _draw_expression,
        _expression,
    ),
    Template(
        "arithmetic",
        4,
        (
            "Let a = {n1}, b = {n2} and c = {n3}. First form the sum of the square of a and the "
            "product of b and c; then divide that sum by {n4} with whole numbers only. Which "
            "remainder is left over by the division?",
            "Given three integers a = {n1}, b = {n2}, c = {n3}, determine the remainder that the "
            "integer a * a + b * c leaves when it is divided by {n4}. The remainder must not be "
            "negative and must be smaller than the divisor.",
        ),
        _draw_remainder,
        _remainder,
    ),
    Template(
        "arithmetic",
        4,
        (
            "An investment fund starts with {n1} euros. In each of three years it first grows by "
            "{n2} percent, and at the end of each of these years a fee of {n3} euros is taken out. "
            "How many whole euros are in the fund after the three years, rounded down once at the "
            "very end?",
            "Someone invests {n1} euros for three years. Every year the whole balance earns {n2} "
            "percent of compound interest, after which the bank withdraws its fee of {n3} euros. "
            "What is the final balance in whole euros, if cents are dropped only at the end?",
        ),
        _draw_fund,
        _fund,
    ),
)
