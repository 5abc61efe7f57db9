"""When two answers say the same."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import Answer
from app.judge.agreement import final_answer

COT = "First we add the two numbers, then we divide by three.\n"


def digest(text: str) -> str:
    answer = Answer()
    answer.add({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]})
    return final_answer(answer)


def call(arguments: str, name: str = "weather", key: str = "function") -> str:
    inner = {"name": name, "arguments" if key == "function" else "input": arguments}
    answer = Answer()
    answer.add({"choices": [{"index": 0, "message": {"tool_calls": [{"index": 0, key: inner}]}}]})
    return final_answer(answer)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "The answer is 42."),
        ("42", "the answer is: 42"),
        ("42", "**Final Answer:** 42"),
        ("42", "**Answer**: **42**"),
        ("42", "So the answer is:\n42"),
        ("42", COT + "The answer is 42."),
        ("42", COT + "#### 42"),
        ("42", COT + "Hence $\\boxed{42}$."),
        ("42", COT + "The answer is 41.\nNo: the answer is 42"),
        ("42", COT + "\n42\n"),
        ("1,234.50", "1234.5"),
        ("1,234,567", "1234567"),
        ("$1,000", "$1000.00"),
        ("+7", "7"),
        ("-3.0", "-3"),
        ("Paris", "paris"),
        ("Paris.", "PARIS!"),
        ("B", "(B)"),
        ("b)", "The answer is B."),
        ("49.99999999999999", "50"),
        ("-2.0000000001", "-2"),
        ("x = 5", "x=5"),
        ("x = 5", "5"),
        ("1 / 2", "1/2"),
        ("\uff15\uff10", "50"),
        ("\\boxed{\\frac{1}{2}}", COT + "\\boxed{\\frac{1}{2}}"),
        ('{"a": 1, "b": [1, 2]}', '{"b":[1,2],\n "a":1}'),
        ("\\boxed{\\frac{\\sqrt{3}}{2}}", "sqrt(3)/2"),
        ("The answer is $\\boxed{7}$.", "7"),
        ("**Answer:**\n\n42", "42"),
        (COT + "4 + 2 * sqrt(2) + 3 * pi", "3*pi + 2*sqrt(2) + 4"),
        ("The answer is []", "[]"),
        ("The answer is: '.'", COT + "The answer is: ."),
        ("The answer is: ''", 'The answer is ""'),
        ("'a b'", "The answer is: a b"),
        ("The answer is: '\"a b\"'", "The answer is: 'a b'"),
        ("The answer is: {'b': 1, 'a': [2]}", 'The answer is: {"a": [2], "b": 1.0}'),
        ("The answer is: [1, 2]", "[1,2]"),
        ("\u22125", "-5"),
        ("1.0*y + 1.0/y", "y + 1/y"),
        ("x\u00b2", "x^2"),
        ("5\\text{ cm}", "5 cm"),
        ("\\text{east}", "east"),
        ("0.07407407407407407 m", "0.07407407407407406 m"),
    ],
)
def test_these_answers_agree(one: str, other: str) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "43"),
        ("42", "-42"),
        ("1,2", "12"),
        ("3+5", "35"),
        ("4.2", "42"),
        ("100", "10"),
        ("5 km", "5 m"),
        ("5 km", "5"),
        ("x < 5", "x > 5"),
        ("2^3", "2*3"),
        ("B", "(C)"),
        ("yes", "no"),
        ("It is true", "It is not true"),
        ("The answer is:\n42", "The answer is:\n43"),
        ("\\boxed{\\frac{1}{2}}", "\\boxed{\\frac{1}{3}}"),
        ("?", "!"),
        ('{"a": 1}', '{"a": 2}'),
        ("[1, 2]", "[2, 1]"),
        ("It grows because of rain.\nI hope this helps!", "It shrinks.\nI hope this helps!"),
        ("```python\nprint(1)\n```", "```python\nprint(2)\n```"),
        ("def f():\n    return 1\n\n}", "def g():\n    return 2\n\n}"),
        ("word " * 100 + "one", "word " * 100 + "two"),
        ("The answer is: []", "The answer is: {}"),
        ("The answer is: ['a b']", "The answer is: ['a', 'b']"),
        ("The answer is: ['Abc']", "The answer is: ['abc']"),
        ("werC", "werc"),
        ("192.168.0.1", "192.168.0.10"),
        ("v1.10", "v1.1"),
        ("1.2.30", "1.2.3"),
        ("\u22125", "5"),
        ("\\pm 2", "2"),
        ("50 minutes", "50 hours"),
    ],
)
def test_these_answers_do_not_agree(one: str, other: str) -> None:
    assert digest(one) != digest(other)


def test_tool_calls_agree_by_name_and_arguments_whatever_their_spelling() -> None:
    assert call('{"city": "Bonn", "days": 2}') == call('{"days":2,"city":"Bonn"}')
    assert call('{"city": "Bonn"}') != call('{"city": "Köln"}')
    assert call('{"city": "Bonn"}') != call('{"city": "Bonn"}', name="news")
    assert call("ls -l", key="custom") != call("rm -r", key="custom")


def test_a_lone_surrogate_has_a_digest_too() -> None:
    assert digest("['\ud800', 1]") != digest("['\ud801', 1]")
    assert call("\ud800") != call("\ud801")


@pytest.mark.parametrize(
    "hostile",
    [
        "The answer is" + "\n" * 20_000,
        "answer" + "*" * 20_000,
        "1" + ",111" * 20_000 + ",",
        "\\boxed{" * 10_000,
        "#" * 20_000,
        "(" * 10_000 + "5" + ")" * 10_000,
    ],
)
def test_a_hostile_answer_has_a_digest_before_long(hostile: str) -> None:
    assert digest(hostile) == digest(hostile)


def test_only_a_digest_is_kept() -> None:
    kept = digest("my secret is 12345")
    assert re.fullmatch("[0-9a-f]{24}", kept)


def test_a_very_deep_answer_has_a_digest_too() -> None:
    assert digest("[" * 900 + "]" * 900) == digest("[" * 900 + "]" * 900)


@given(st.text(st.characters()))
def test_every_text_agrees_with_itself_and_never_fails(text: str) -> None:
    assert digest(text) == digest(text)


@given(st.integers(-(10**12), 10**12), st.integers(0, 3))
def test_a_number_agrees_with_itself_however_it_is_grouped(number: int, zeros: int) -> None:
    written = f"{number:,}" + ("." + "0" * zeros if zeros else "")
    assert digest(written) == digest(str(number)) == digest(f"The answer is {written}.")


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_different_numbers_never_agree(one: int, other: int) -> None:
    assert (digest(str(one)) == digest(f"{other:,}")) == (one == other)


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 99), max_size=5))
def test_json_agrees_in_every_order_of_its_keys(value: dict[str, int]) -> None:
    turned = dict(reversed(value.items()))
    assert digest(orjson.dumps(value).decode()) == digest(
        orjson.dumps(turned, option=orjson.OPT_INDENT_2).decode()
    )
