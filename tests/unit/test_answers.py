"""Answers of providers that stray from the specification."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answers import Answer, normalise_chunk, normalise_completion, parse_usage
from app.errors import UpstreamBrokenError
from app.records import Usage

WHO = "provider"


def completion(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "four", **message}, "finish_reason": "stop"}]}


def chunk(finish: object = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def answer_of(*chunks: dict[str, Any]) -> Answer:
    answer = Answer()
    for received in chunks:
        for normalised in normalise_chunk(received, WHO):
            answer.add(normalised)
    return answer


def test_what_the_specification_requires_is_filled_in() -> None:
    body = normalise_completion(completion(), WHO)
    (choice,) = body["choices"]
    assert (choice["index"], choice["logprobs"]) == (0, None)
    assert choice["message"] == {"role": "assistant", "content": "four", "refusal": None}


def test_a_message_gets_no_fields_that_only_streams_have() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = normalise_completion(completion(tool_calls=[dict(call)]), WHO)
    assert body["choices"][0]["message"]["tool_calls"] == [call]
    answer = Answer()
    answer.add(body)
    (made,) = answer.tool_calls
    assert (made.id, made.name, made.arguments) == ("1", "f", "{}")


def test_what_we_do_not_know_is_kept() -> None:
    body = normalise_completion({**completion(reasoning_content="…"), "citations": [1]}, WHO)
    assert body["choices"][0]["message"]["reasoning_content"] == "…"
    assert body["citations"] == [1]


@pytest.mark.parametrize(
    ("given", "normal"),
    [("eos", "stop"), ("END_TURN", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls")],
)
def test_a_finish_reason_of_the_providers_own_is_translated(given: str, normal: str) -> None:
    (finish,) = normalise_chunk(chunk(given), WHO)
    assert finish["choices"][0]["finish_reason"] == normal
    assert finish["choices"][0]["native_finish_reason"] == given


def test_the_finish_reason_gets_a_chunk_of_its_own_and_usage_is_told_once() -> None:
    said, finish = normalise_chunk({**chunk("stop", content="four"), "usage": {"a": 1}}, WHO)
    assert said["choices"][0]["delta"] == {"content": "four"}
    assert said["choices"][0]["finish_reason"] is None
    assert said["usage"] is None
    assert finish["choices"][0]["delta"] == {}
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert finish["usage"] == {"a": 1}


def test_a_chunk_without_choices_is_kept_only_for_its_usage() -> None:
    assert normalise_chunk({"choices": []}, WHO) == []
    assert normalise_chunk({"choices": None, "usage": {"a": 1}}, WHO) == [
        {"choices": [], "usage": {"a": 1}}
    ]


def test_arguments_that_are_objects_become_text() -> None:
    calls = [{"id": "1", "function": {"name": "f", "arguments": {"x": 1}}}]
    (made,) = answer_of(chunk(tool_calls=calls)).tool_calls
    assert made.arguments == '{"x":1}'


def test_tool_calls_are_put_together_from_their_deltas() -> None:
    answer = answer_of(
        chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        chunk(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g"}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        chunk("tool_calls"),
    )
    made = [(call.id, call.name, call.arguments) for call in answer.tool_calls]
    assert made == [("a", "f", '{"x": 1}'), ("b", "g", "")]


def test_a_provider_that_repeats_a_tools_name_does_not_double_it() -> None:
    piece = {"index": 0, "id": "a", "function": {"name": "look_up", "arguments": "1"}}
    (made,) = answer_of(chunk(tool_calls=[piece]), chunk(tool_calls=[piece])).tool_calls
    assert (made.id, made.name, made.arguments) == ("a", "look_up", "11")


def test_of_several_choices_the_first_is_the_answer() -> None:
    second = {"index": 1, "delta": {"content": "five"}, "finish_reason": None}
    answer = answer_of(chunk(content="fo"), {"choices": [second]}, chunk(content="ur"))
    assert answer.text == "four"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": {}},
        {"choices": ["four"]},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": "four", "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "four"}, "finish_reason": None}]},
        completion(content=["four"]),
        completion(refusal=["no"]),
        completion(tool_calls="f"),
        completion(tool_calls=["f"]),
        completion(tool_calls=[{"function": "f"}]),
        completion(tool_calls=[{"function": {"name": 1}}]),
        completion(tool_calls=[{"function": {"name": "f", "arguments": 1}}]),
        completion(tool_calls=[{"id": 7, "function": {"name": "f"}}]),
        completion(tool_calls=[{"index": 1_000_000}]),
        completion(tool_calls=[{"index": -1}]),
        completion(tool_calls=[{}] * 129),
    ],
)
def test_an_answer_no_client_could_read_is_a_failure(body: dict[str, Any]) -> None:
    with pytest.raises(UpstreamBrokenError, match=f"{WHO}: its answer has no usable"):
        normalise_completion(body, WHO)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.sampled_from(["", "stop", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["index", "id", "function", "custom", "name", "arguments", "content", "refusal"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
SAID = st.dictionaries(
    st.sampled_from(["content", "refusal", "tool_calls", "role"]), JSON | st.lists(JSON, max_size=2)
)


@given(said=SAID, index=JSON, finish=JSON, usage=JSON, model=JSON)
def test_whatever_a_provider_sends_is_an_answer_or_its_failure(
    said: dict[str, Any], index: object, finish: object, usage: object, model: object
) -> None:
    rest = {"index": index, "finish_reason": finish}
    more = {"usage": usage, "model": model}
    for normalise, kind in ((_completions, "message"), (normalise_chunk, "delta")):
        answer = Answer()
        try:
            for received in normalise({"choices": [{kind: said, **rest}], **more}, WHO):
                answer.add(received)
        except UpstreamBrokenError:
            continue
        assert isinstance(answer.model, str | None)
        assert isinstance(answer.text + answer.refusal, str)
        for call in answer.tool_calls:
            assert isinstance(call.id + call.name + call.arguments, str)


def _completions(body: dict[str, Any], who: str) -> list[dict[str, Any]]:
    return [normalise_completion(body, who)]


@pytest.mark.parametrize(
    ("usage", "parsed"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2)),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 9},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(3, 2, cached_tokens=3, reasoning_tokens=1),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": 7}, Usage(3, 2)),
        (None, None),
        ({}, None),
        ({"prompt_tokens": -3, "completion_tokens": 2}, None),
        ({"prompt_tokens": "3", "completion_tokens": 2}, None),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
    ],
)
def test_usage_is_what_the_provider_counted_or_unknown(usage: object, parsed: Usage | None) -> None:
    assert parse_usage(usage) == parsed
