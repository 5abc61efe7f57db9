"""What a tier's provider gets of a request: passed on, translated, or visibly left out."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tailor import left_out, rejected, tailor
from app.tiers import Tier
from app.wire import ChatRequest, parse_request

MESSAGES = [{"role": "user", "content": "?"}]
DENIED = [
    *("api_base", "api_key", "api_version", "base_url", "custom_llm_provider", "extra_headers"),
    *("fallbacks", "headers", "mock_response", "organization", "user_config", "proxy", "proxy_url"),
    *("litellm_params", "litellm_logging_obj"),
]


def tier(**more: Any) -> Tier:
    return Tier(name="t", provider="p", model="model-t", prior=0.5, **more)


def request(**more: Any) -> ChatRequest:
    return parse_request(orjson.dumps({"model": "auto", "messages": MESSAGES, **more}), {})


def body(given_tier: Tier, **more: Any) -> dict[str, Any]:
    return tailor(given_tier, request(**more), "local")


def test_a_plain_request_gets_the_tiers_model_and_nothing_else() -> None:
    assert body(tier()) == {"model": "model-t", "messages": MESSAGES}


def test_a_stream_always_asks_for_usage() -> None:
    sent = body(tier(), stream=True, stream_options={"include_usage": False, "x": 1})
    assert sent["stream"] is True
    assert sent["stream_options"] == {"include_usage": True, "x": 1}
    assert "stream_options" not in body(tier(), stream_options={"include_usage": True})


@pytest.mark.parametrize(
    ("more", "given_tier", "cap"),
    [
        ({"max_tokens": 9}, tier(), {"max_completion_tokens": 9}),
        ({"max_completion_tokens": 9}, tier(token_param="max_tokens"), {"max_tokens": 9}),  # noqa: S106
        ({"max_tokens": 9, "max_completion_tokens": 5}, tier(), {"max_completion_tokens": 5}),
        ({"max_tokens": 9}, tier(max_output_tokens=4), {"max_completion_tokens": 4}),
        ({}, tier(max_output_tokens=4), {}),
    ],
)
def test_the_token_cap_goes_by_the_tiers_own_name(
    more: dict[str, int], given_tier: Tier, cap: dict[str, int]
) -> None:
    assert body(given_tier, **more) == {"model": "model-t", "messages": MESSAGES, **cap}


@pytest.mark.parametrize("name", ["user", "safety_identifier", "metadata", "store"])
def test_what_identifies_a_user_goes_only_where_it_is_trusted(name: str) -> None:
    value = {"metadata": {"a": "b"}, "store": True}.get(name, "someone")
    assert name not in body(tier(), **{name: value})
    assert left_out(tier(), request(**{name: value})) == (name,)
    assert body(tier(trusted_with=[name]), **{name: value})[name] == value


def test_a_value_is_translated_and_null_leaves_it_out() -> None:
    mapped = tier(maps={"reasoning_effort": {"max": "high", "none": None}})
    assert body(mapped, reasoning_effort="max")["reasoning_effort"] == "high"
    assert body(mapped, reasoning_effort="low")["reasoning_effort"] == "low"
    assert "reasoning_effort" not in body(mapped, reasoning_effort="none")
    assert left_out(mapped, request(reasoning_effort="none")) == ("reasoning_effort",)


def test_the_developer_speaks_as_system_where_the_role_is_unknown() -> None:
    messages = [{"role": "developer", "content": "Be brief.", "name": "d"}, *MESSAGES]
    sent = body(tier(developer_role=False), messages=messages)
    assert sent["messages"] == [{"role": "system", "content": "Be brief.", "name": "d"}, *MESSAGES]
    assert body(tier(), messages=messages)["messages"] == messages


def test_a_hint_the_model_rejects_is_left_out_and_told() -> None:
    picky = tier(drops=["temperature", "top_p"])
    asked = request(temperature=0.2, presence_penalty=1)
    assert rejected(picky, asked) is None
    assert "temperature" not in tailor(picky, asked, "local")
    assert left_out(picky, asked) == ("temperature",)


@pytest.mark.parametrize(
    ("given_tier", "parameter", "expected"),
    [
        (tier(drops=["seed"]), {"seed": 1}, "seed"),
        (tier(drops=["seed"]), {"seed": None}, None),
        (tier(drops=["seed"], on_unsupported="drop"), {"seed": 1}, None),
        (tier(drops=["temperature"], on_unsupported="error"), {"temperature": 1}, "temperature"),
        (tier(drops=["temperature"]), {"temperature": 1}, None),
        (tier(drops=["logprobs"]), {"logprobs": True}, "logprobs"),
    ],
)
def test_what_changes_the_answer_is_not_silently_dropped(
    given_tier: Tier, parameter: dict[str, Any], expected: str | None
) -> None:
    assert rejected(given_tier, request(**parameter)) == expected


def test_prompt_caches_of_two_tenants_never_meet() -> None:
    asked = request(prompt_cache_key="k")
    keys = {tailor(tier(), asked, tenant)["prompt_cache_key"] for tenant in ("a", "b", "a")}
    assert len(keys) == 2
    assert "k" not in keys


@pytest.mark.parametrize("name", DENIED)
def test_nobody_redirects_a_request_from_its_body(name: str) -> None:
    sent = body(tier(), **{name: "http://evil", "extra": {name: 1, "deep": [{name: 2, "ok": 3}]}})
    assert sent == {
        "model": "model-t",
        "messages": MESSAGES,
        "extra": {"deep": [{"ok": 3}]},
    }
    assert left_out(tier(), request(**{name: "http://evil"})) == (name,)


def test_what_tools_and_schemas_are_called_is_the_clients_business() -> None:
    properties = {"headers": {"type": "object"}, "api_key": {"type": "string"}}
    tool = {
        "type": "function",
        "function": {"name": "fetch", "parameters": {"type": "object", "properties": properties}},
    }
    assert body(tier(), tools=[tool])["tools"] == [tool]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "guided", "top_k"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_a_parameter_of_the_providers_own_arrives_deep_equal(value: Any) -> None:
    assert body(tier(), chat_template_kwargs=value)["chat_template_kwargs"] == value
