"""A chat request as it arrives: what is read, what is refused, and by what name."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dials import DIALS, Dial, DialName
from app.errors import InvalidJsonError, RequestError
from app.jsontext import Json
from app.wire import ChatRequest, parse_request, text_of

USER: Json = {"role": "user", "content": "What is 2 + 2?"}
IMAGE: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}


def body(**more: object) -> Json:
    return {"model": "auto", "messages": [USER], **more}


def parse(given_body: object, headers: Mapping[str, str] | None = None) -> ChatRequest:
    return parse_request(json.dumps(given_body).encode(), dict(headers or {}))


def request(**more: object) -> ChatRequest:
    return parse(body(**more))


def asking(*parts: Json) -> ChatRequest:
    return request(messages=[{"role": "user", "content": list(parts)}])


def refusal(given_body: object, headers: Mapping[str, str] | None = None) -> RequestError:
    with pytest.raises(RequestError) as refused:
        parse(given_body, headers)
    return refused.value


def test_a_plain_request_is_read() -> None:
    read = request(stream=True, stream_options={"include_usage": True})
    assert read.model == "auto"
    assert read.messages == [USER]
    assert read.stream
    assert read.include_usage
    assert read.token_cap is None
    assert not read.wants_json
    assert not read.bound
    assert read.needs() == frozenset()


def test_usage_is_for_streams_and_only_where_it_was_asked_for() -> None:
    assert not request(stream=True).include_usage
    assert not request(stream=True, stream_options={"include_usage": False}).include_usage
    assert not request(stream_options={"include_usage": True}).include_usage


OPTIONAL = (
    "stream", "stream_options", "tools", "tool_choice", "response_format", "n", "max_tokens",
    "max_completion_tokens", "logit_bias", "logprobs", "audio", "stop", "functions", "autoshift",
    "metadata", "temperature",
)  # fmt: skip


@pytest.mark.parametrize("name", OPTIONAL)
def test_null_means_absent(name: str) -> None:
    read = request(**{name: None})
    assert read.needs() == frozenset()
    assert not read.bound
    assert not read.stream
    assert not read.wants_json
    assert read.json_schema is None
    assert read.tools == []
    assert read.token_cap is None
    assert read.prompt_tokens() == len(USER["content"]) // 4


def test_fields_we_do_not_know_are_kept() -> None:
    extra = {"top_k": 40, "guided_json": {"a": [1, {"b": None}]}, "chat_template_kwargs": {}}
    assert request(**extra).body == body(**extra)


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        ({"model": None}, "missing_required_parameter", "model"),
        ({"model": 5}, "invalid_type", "model"),
        ({"messages": None}, "missing_required_parameter", "messages"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": "hi"}, "invalid_type", "messages"),
        ({"messages": [USER, "hi"]}, "invalid_type", "messages[1]"),
        ({"messages": [{"content": "hi"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "boss"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_type", "messages[0].content"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"stream": 1}, "invalid_type", "stream"),
        ({"stream_options": True}, "invalid_type", "stream_options"),
        ({"tools": {}}, "invalid_type", "tools"),
        ({"response_format": "json"}, "invalid_type", "response_format"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"logit_bias": []}, "invalid_type", "logit_bias"),
        ({"n": "2"}, "invalid_type", "n"),
        ({"n": True}, "invalid_type", "n"),
        ({"n": 1.5}, "invalid_type", "n"),
        ({"n": 0}, "invalid_value", "n"),
        ({"max_tokens": -1}, "invalid_value", "max_tokens"),
        ({"max_completion_tokens": "many"}, "invalid_type", "max_completion_tokens"),
        ({"autoshift": []}, "invalid_type", "autoshift"),
        ({"autoshift": {"colour": 1}}, "invalid_value", "autoshift.colour"),
        ({"autoshift": {"policy": 5}}, "invalid_type", "autoshift.policy"),
        ({"autoshift": {"task": ["x"]}}, "invalid_type", "autoshift.task"),
        ({"autoshift": {"learn": "maybe"}}, "invalid_type", "autoshift.learn"),
        ({"autoshift": {"stream": "fast"}}, "invalid_value", "autoshift.stream"),
    ],
)
def test_a_wrong_parameter_is_named(wrong: Json, code: str, param: str) -> None:
    refused = refusal(body(**wrong))
    assert (refused.code, refused.param) == (code, param)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": [{"role": ["user"]}]}, "messages[0].role"),
        ({"response_format": {"type": ["json_object"]}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": "x"}},
            "response_format.json_schema",
        ),
        ({"autoshift": {"stream": []}}, "autoshift.stream"),
        ({"tool_choice": 7}, "tool_choice"),
        ({"tool_choice": ["weather"]}, "tool_choice"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": "f"}]}, "tools[0].function"),
        ({"tools": [{"function": {"name": ["f"]}}]}, "tools[0].function.name"),
    ],
)
def test_a_wrong_type_deep_inside_is_named_too(wrong: Json, param: str) -> None:
    assert refusal(body(**wrong)).param == param


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[1]", b'"auto"', b"null", b'{"model": "a"'])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        parse_request(raw, {})


@given(st.dictionaries(st.sampled_from([*OPTIONAL, "model", "messages"]), st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["auto", "json_schema", "x"]),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(["type", "role", "content", "function", "json_schema", "text"]),
        inner,
        max_size=3,
    ),
    max_leaves=6,
)))  # fmt: skip
def test_whatever_comes_is_read_or_refused_as_the_clients_error(wild: Json) -> None:
    try:
        read = parse(body(**wild))
    except RequestError:
        return
    assert read.needs() is not None
    assert isinstance(read.bound, bool)
    assert read.json_schema is None or isinstance(read.json_schema, dict)
    assert read.prompt_tokens() >= 0


@pytest.mark.parametrize(
    ("more", "needs"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools"}),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_object"}}, {"json_object"}),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {}},
                }
            },
            {"json_schema"},
        ),
        ({"logprobs": True}, {"logprobs"}),
        ({"logprobs": False}, set()),
        ({"tools": []}, set()),
    ],
)
def test_what_a_tier_must_be_able_to_do(more: Json, needs: set[str]) -> None:
    assert request(**more).needs() == needs


def test_parts_need_eyes_ears_or_a_reader() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 1000, "format": "wav"}}
    file = {"type": "file", "file": {"file_data": "A" * 1000}}
    assert asking(IMAGE, audio, file).needs() == {"vision", "audio", "files"}
    assert asking({"type": "text", "text": "hi"}).needs() == frozenset()


def test_a_prompt_is_measured_by_its_text_not_by_its_images() -> None:
    assert asking({"type": "text", "text": "x" * 400}, IMAGE).prompt_tokens() == 100
    several = request(messages=[{"role": "system", "content": "y" * 400}, USER])
    assert several.prompt_tokens() == (400 + len(USER["content"])) // 4


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"logit_bias": {"50256": -100}},
        {"audio": {"voice": "alloy", "format": "wav"}},
        {"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c"}]}]},
        {"messages": [USER, {"role": "tool", "tool_call_id": "c", "content": "4"}]},
    ],
)
def test_some_requests_must_stay_on_one_tier(more: Json) -> None:
    assert request(**more).bound
    assert not request(n=1, logit_bias={}).bound


@pytest.mark.parametrize(
    ("caps", "cap"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 5),
        ({"max_tokens": None, "max_completion_tokens": 7}, 7),
    ],
)
def test_the_smaller_cap_counts(caps: Json, cap: int | None) -> None:
    assert request(**caps).token_cap == cap


def test_the_extension_is_taken_out_of_the_body() -> None:
    read = request(autoshift={"policy": "cascade", "task": "mail", "learn": False, "stream": None})
    assert (read.extension.policy, read.extension.task) == ("cascade", "mail")
    assert read.extension.learn is False
    assert read.body == body()


def test_the_extension_may_come_in_headers_and_the_body_wins() -> None:
    headers = {
        "x-autoshift-policy": "cascade",
        "x-autoshift-task": "mail",
        "x-autoshift-learn": "false",
        "x-autoshift-stream": "verified",
        "x-autoshift-unheard-of": "1",
    }
    extension = parse(body(), headers).extension
    assert (extension.policy, extension.task, extension.learn) == ("cascade", "mail", False)
    both = parse(body(autoshift={"task": "chat", "learn": True}), headers).extension
    assert (both.policy, both.task, both.learn) == ("cascade", "chat", True)
    assert parse(body()).extension.learn is True


def test_a_client_may_forbid_that_other_tiers_are_asked_to_learn() -> None:
    assert parse(body()).extension.explore is True
    assert parse(body(autoshift={"explore": False})).extension.explore is False
    assert parse(body(), {"x-autoshift-explore": "false"}).extension.explore is False
    assert refusal(body(autoshift={"explore": "perhaps"})).param == "autoshift.explore"


def test_a_dry_run_is_asked_for_and_never_by_chance() -> None:
    assert parse(body(autoshift={"dry_run": True})).extension.dry_run is True
    assert parse(body(), {"x-autoshift-dry-run": "true"}).extension.dry_run is True
    assert parse(body(autoshift={"dry_run": None})).extension.dry_run is False
    assert parse(body()).extension.dry_run is False


def test_what_a_request_may_cost_is_read_from_body_and_header() -> None:
    assert parse(body(autoshift={"max_cost_usd": 0.25})).extension.max_cost_usd == 0.25
    assert parse(body(), {"x-autoshift-max-cost-usd": "0.25"}).extension.max_cost_usd == 0.25
    assert parse(body(autoshift={"max_cost_usd": None})).extension.max_cost_usd is None
    for wrong in (0, -1, "much", True, [1], "nan", "inf"):
        refused = refusal(body(autoshift={"max_cost_usd": wrong}))
        assert refused.param == "autoshift.max_cost_usd"


@pytest.mark.parametrize(
    ("name", "value"), [("quality_per_dollar", 3), ("usd_per_1000", 0.5), ("keep_quality", 0.98)]
)
def test_a_dial_is_read_from_body_and_header(name: DialName, value: float) -> None:
    headers = {f"x-autoshift-{name.replace('_', '-')}": f"{value}"}
    assert parse(body(autoshift={name: value})).extension.dial == Dial(name, value)
    assert parse(body(), headers).extension.dial == Dial(name, value)
    assert parse(body()).extension.dial is None
    assert parse(body(autoshift={name: None})).extension.dial is None


def test_a_dial_in_the_body_wins_over_another_one_in_a_header() -> None:
    asked = parse(body(autoshift={"keep_quality": 0.9}), {"x-autoshift-usd-per-1000": "3"})

    assert asked.extension.dial == Dial("keep_quality", 0.9)


@pytest.mark.parametrize("value", [0, -1, 1e300, True, "much", "3", [1]])
@pytest.mark.parametrize("name", DIALS)
def test_a_dial_that_stands_nowhere_is_refused(name: str, value: object) -> None:
    assert refusal(body(autoshift={name: value})).param == f"autoshift.{name}"


@pytest.mark.parametrize("text", ["0", "nan", "inf", "-inf", "-3", "much", ""])
@pytest.mark.parametrize("name", DIALS)
def test_a_dial_in_a_header_is_a_number(name: str, text: str) -> None:
    refused = refusal(body(), {f"x-autoshift-{name.replace('_', '-')}": text})

    assert refused.param == f"autoshift.{name}"


def test_more_quality_than_the_top_tiers_cannot_be_kept() -> None:
    assert parse(body(autoshift={"keep_quality": 1})).extension.dial == Dial("keep_quality", 1.0)
    assert "at most 1" in refusal(body(autoshift={"keep_quality": 1.5})).message


def test_two_dials_exclude_each_other() -> None:
    refused = refusal(body(autoshift={"keep_quality": 0.9, "usd_per_1000": 3}))

    assert refused.param == "autoshift.keep_quality"
    assert "autoshift.usd_per_1000" in refused.message
    two = {"x-autoshift-usd-per-1000": "3", "x-autoshift-quality-per-dollar": "3"}
    assert refusal(body(), two).param == "autoshift.usd_per_1000"


@pytest.mark.parametrize("mode", ["verified", "direct", "auto"])
def test_the_stream_mode_is_read_from_body_and_header(mode: str) -> None:
    assert parse(body(autoshift={"stream": mode})).extension.stream == mode
    assert parse(body(), {"x-autoshift-stream": mode}).extension.stream == mode
    assert refusal(body(autoshift={"stream": f"{mode}!"})).param == "autoshift.stream"


def test_the_schema_an_answer_must_fit() -> None:
    def wanted(response_format: object) -> Json | None:
        return request(response_format=response_format).json_schema

    schema = {"type": "object"}
    assert wanted({"type": "json_schema", "json_schema": {"schema": schema}}) == schema
    assert wanted({"type": "json_schema", "json_schema": {"name": "x"}}) == {}
    assert wanted({"type": "json_object"}) is None
    assert wanted(None) is None


def test_the_text_of_a_message_in_every_form() -> None:
    assert text_of({"content": "a"}) == "a"
    assert text_of({"content": None}) == ""
    assert text_of({}) == ""
    two = [{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": "b"}]
    assert text_of({"content": two}) == "a\nb"
