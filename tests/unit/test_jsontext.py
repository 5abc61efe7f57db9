"""JSON in and out, number for number."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidJsonError
from app.jsontext import DEPTH, dump_json, parse_json


def exactly(text: bytes) -> object:
    """The value, no digit lost."""
    return json.loads(text, parse_float=Decimal, parse_int=int)


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


decimals = st.decimals(allow_nan=False, allow_infinity=False).map(
    lambda number: format(number, "f") if abs(number.adjusted()) < 40 else str(number)
)
exponents = st.builds(
    lambda digits, places, exponent: f"{digits}.{places}e{exponent}",
    st.integers(-(10**6), 10**6),
    st.integers(0, 10**25),
    st.integers(-300, 290),
)
numbers = st.integers().map(str) | st.integers(-(10**45), 10**45).map(str) | decimals | exponents
strings = st.text().map(json.dumps) | st.text().map(lambda t: json.dumps(t, ensure_ascii=False))
trees = st.recursive(
    st.sampled_from(["null", "true", "false", '""']) | numbers | strings,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(st.integers(0, 9), inner), max_size=4, unique_by=lambda p: p[0]).map(
            lambda pairs: "{" + ",".join(f'"k{key}":{value}' for key, value in pairs) + "}"
        )
    ),
    max_leaves=12,
)


@given(trees)
def test_what_is_parsed_and_dumped_is_the_same_value(text: str) -> None:
    try:
        raw = text.encode()
        original = exactly(raw)
    except UnicodeEncodeError:
        return
    assert exactly(dump_json(parse_json(raw))) == original


@pytest.mark.parametrize(
    "number",
    [
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "-18446744073709551616",
        "123456789012345678901234567890",
        "0.1234567890123456789012345",
        "1.7976931348623157e308",
        "3.141592653589793238462643",
        "100000000000000000000000.5",
        "-0.0",
        "9007199254740993.5",
        "1E5",
    ],
)
def test_a_long_number_keeps_its_digits(number: str) -> None:
    raw = f'{{"a":[{number}]}}'.encode()
    assert exactly(dump_json(parse_json(raw))) == exactly(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": 12345678901234567890, "b": NaN}',
        b'{"a": 12345678901234567890, "b": -Infinity}',
        b'{"a": 01}',
        b'"\xff"',
        b'"\\ud800"',
        b'{"a": 12345678901234567890, "b": "\\udc00"}',
        b'{"a": 1} {"b": 2}',
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_json_is_refused_without_quoting_it(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError) as refusal:
        parse_json(raw)
    assert refusal.value.code == "invalid_json"
    assert len(refusal.value.message) < 120


@pytest.mark.parametrize(
    "item", [b"[]", b"{}", b"1", b'"a"', b'""', b'{"a":1}', b'"\\""', b'"\\\\"']
)
def test_the_number_of_values_is_bounded(item: bytes) -> None:
    few, many = (b"[" + b",".join([item] * count) + b"]" for count in (60_000, 300_000))
    assert len(parse_json(few)) == 60_000
    with pytest.raises(InvalidJsonError, match="more than 250000"):
        parse_json(many)


@pytest.mark.parametrize("mark", [",", "[", "{", '\\"', "\\\\", '\\",', "\\\\,"])
def test_what_stands_in_strings_is_not_counted(mark: str) -> None:
    raw = f'["{mark * 400_000}", ",[{{", 1]'.encode()
    assert parse_json(raw) == json.loads(raw)


def test_nesting_is_bounded() -> None:
    assert parse_json(nested(DEPTH)) is not None
    for levels in (DEPTH + 1, 1025, 200_000):
        with pytest.raises(InvalidJsonError):
            parse_json(nested(levels))


@pytest.mark.parametrize("raw", [b"[1e400]", b"[" + b"9" * 1_000_000 + b"]"])
def test_a_number_beyond_every_double_is_refused_rather_than_changed(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        parse_json(raw)
