"""Every parameter of a chat request: absent, null, at its bounds, beyond them, of another type."""

from typing import Any

import orjson
import pytest

from app.errors import RequestError
from app.parameters import HINTS, PARAMETERS
from app.wire import ChatRequest, parse_request

SPECIFIED = 37
"""Top-level properties in the specification."""

GOOD: dict[str, list[Any]] = {
    "audio": [{"voice": "alloy", "format": "wav"}],
    "frequency_penalty": [-2, 0, 2, 1.5],
    "function_call": ["auto", {"name": "f"}],
    "functions": [[{"name": "f"}]],
    "logit_bias": [{"1": -100, "2": 100}],
    "logprobs": [True, False],
    "max_completion_tokens": [1, 100_000],
    "max_tokens": [1, 100_000],
    "metadata": [{}, {"k" * 64: "v" * 512}],
    "modalities": [["text"], ["text", "audio"]],
    "moderation": [{"model": "x"}],
    "n": [1, 128],
    "parallel_tool_calls": [True, False],
    "prediction": [{"type": "content", "content": "x"}],
    "presence_penalty": [-2, 2],
    "prompt_cache_key": ["", "key"],
    "prompt_cache_options": [{"ttl": "24h"}],
    "prompt_cache_retention": ["24h"],
    "reasoning_effort": ["none", "max"],
    "response_format": [{"type": "text"}, {"type": "json_object"}],
    "safety_identifier": ["x" * 128],
    "seed": [-(2**63), 0, 2**63 - 1],
    "service_tier": ["auto"],
    "stop": ["END, and then some", ["a", "b", "c", "d"]],
    "store": [True, False],
    "stream": [True, False],
    "stream_options": [{"include_usage": True}],
    "temperature": [0, 2, 0.7],
    "tool_choice": ["auto", {"type": "function", "function": {"name": "f"}}],
    "tools": [[], [{"type": "function", "function": {"name": "f"}}] * 128],
    "top_logprobs": [0, 20],
    "top_p": [0, 1],
    "user": ["someone"],
    "verbosity": ["low"],
    "web_search_options": [{}],
}
BAD: dict[str, list[Any]] = {
    "frequency_penalty": [-2.01, 2.01],
    "functions": [[{"name": "f"}] * 129],
    "logit_bias": [{"1": -101}, {"1": "x"}],
    "max_completion_tokens": [0, -1],
    "max_tokens": [0, -1],
    "metadata": [{"k" * 65: "v"}, {"k": "v" * 513}, {"k": 1}, {str(i): "" for i in range(17)}],
    "modalities": [[1]],
    "n": [0, 129],
    "presence_penalty": [-3, 3],
    "safety_identifier": ["x" * 129],
    "seed": [2**63, -(2**63) - 1],
    "stop": [["a"] * 5, [1]],
    "temperature": [-0.1, 2.1],
    "tools": [[{"type": "function", "function": {"name": "f"}}] * 129, ["f"]],
    "top_logprobs": [-1, 21],
    "top_p": [-0.1, 1.1],
}
OTHER_TYPES: list[Any] = [True, 7, 7.5, "text", [1], {"a": 1}]


def parsed(**more: Any) -> ChatRequest:
    body = {"model": "auto", "messages": [{"role": "user", "content": "?"}], **more}
    return parse_request(orjson.dumps(body, option=orjson.OPT_PASSTHROUGH_SUBCLASS), {})


def refusal(name: str, value: Any) -> RequestError:
    raw = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "?"}]})[:-1]
    try:
        written = orjson.dumps(value)
    except TypeError:
        written = str(value).encode()
    with pytest.raises(RequestError) as refused:
        parse_request(raw + b"," + orjson.dumps(name) + b":" + written + b"}", {})
    return refused.value


def test_the_table_is_the_whole_specification() -> None:
    assert len(PARAMETERS) + len(("model", "messages")) == SPECIFIED
    assert set(GOOD) == set(PARAMETERS)
    assert set(PARAMETERS) >= HINTS


@pytest.mark.parametrize("name", PARAMETERS)
def test_null_is_absent(name: str) -> None:
    assert parsed(**{name: None}).body[name] is None


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in GOOD.items() for v in values])
def test_what_is_within_bounds_is_taken_as_it_is(name: str, value: Any) -> None:
    assert parsed(**{name: value}).body[name] == value


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in BAD.items() for v in values])
def test_what_is_out_of_bounds_is_refused_by_name(name: str, value: Any) -> None:
    refused = refusal(name, value)
    assert (refused.param or "").split("[")[0] == name
    assert name in refused.message


KINDS = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_another_type_is_refused_by_name(name: str) -> None:
    kinds = PARAMETERS[name].kinds
    for value in OTHER_TYPES:
        kind = KINDS[type(value)]
        if kind in kinds or (kind == "integer" and "number" in kinds):
            continue
        refused = refusal(name, value)
        assert (refused.code, refused.param) == ("invalid_type", name), value


def test_a_parameter_we_do_not_know_passes_whatever_its_form() -> None:
    assert parsed(top_k=[{"x": 1}]).body["top_k"] == [{"x": 1}]
