"""Exact checks: what they refuse, what they leave to a judge, and that a schema cannot hurt us."""

import json
import time

import httpx
import orjson
import pytest
from anyio import to_thread
from starlette.types import Receive, Scope, Send

from app.answers import Answer
from app.jsontext import Json
from app.judge.checks import CHECKS, check
from app.sandbox.questions import draw_questions
from app.serving import serving
from app.wire import ChatRequest, parse_request
from tests.support.attacks import MASTER_KEYS

WEATHER: Json = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 7}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SHELL: Json = {"type": "custom", "custom": {"name": "shell"}}
PERSON: Json = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}


def request(**more: object) -> ChatRequest:
    messages = [{"role": "user", "content": "?"}]
    return parse_request(json.dumps({"model": "auto", "messages": messages, **more}).encode(), {})


def says(text: str | None = None, *, finish: str = "stop", **more: object) -> Answer:
    answer = Answer()
    message = {"role": "assistant", "content": text, **more}
    answer.add({"choices": [{"index": 0, "message": message, "finish_reason": finish}]})
    return answer


def calls(name: str, arguments: str, *, custom: bool = False) -> Answer:
    inner = (
        {"custom": {"name": name, "input": arguments}}
        if custom
        else {"function": {"name": name, "arguments": arguments}}
    )
    return says(tool_calls=[{"index": 0, "id": "c1", **inner}], finish="tool_calls")


def wants(schema: object) -> ChatRequest:
    return request(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    )


def objection(asked: ChatRequest, answer: Answer) -> str | None:
    """The check that refuses, by name."""
    verdict = check(asked, answer)
    if verdict is None:
        return None
    assert (verdict.valid, verdict.confidence, verdict.exact) == (False, 1.0, True)
    assert verdict.cost_usd == 0
    name = verdict.by.removeprefix("check:")
    assert name in CHECKS
    return name


def test_an_answer_in_plain_text_is_left_to_the_judge() -> None:
    assert objection(request(), says("four")) is None
    assert objection(request(response_format={"type": "text"}), says("four")) is None


def test_an_answer_must_be_finished_and_say_something() -> None:
    assert objection(request(), says("fo", finish="length")) == "finished"
    for nothing in (None, "", " \n\t "):
        assert objection(request(), says(nothing)) == "not_empty"


@pytest.mark.parametrize("nothing", MASTER_KEYS)
def test_an_answer_must_say_something(nothing: str) -> None:
    assert objection(request(), says(nothing)) in {"not_empty", "hollow"}


SHORT = [
    "42",
    "B",
    "A",
    "(C)",
    "Yes.",
    "No",
    "-1",
    "+",
    "*",
    "-",
    "%",
    "π",
    "C++",
    "0.",
    "a",
    "A:",
    "x",
    "∅",
    "Paris",
    "1.",
    "#1",
    ":)",
    "👍",
    "[]",
    "{}",
    "Sure!",
    "½",
    "是",
]


@pytest.mark.parametrize("short", [*SHORT, "Step 2", "No answer"])
def test_a_short_answer_is_an_answer(short: str) -> None:
    assert objection(request(), says(short)) is None


def test_the_question_said_again_is_no_answer_unless_it_may_be_what_was_asked() -> None:
    question = "How many moons does Mars have?"
    user = {"role": "user", "content": question}
    for echo in (question, question.upper(), f"\u200b{question[:-1]} .", f"**{question}**"):
        assert objection(request(messages=[user]), says(echo)) == "hollow"
    assert objection(request(messages=[user]), says(f"{question} Two.")) is None
    proofread = {"role": "system", "content": "Correct the text, if it needs to be."}
    assert objection(request(messages=[proofread, user]), says(question)) is None
    hello = {"role": "user", "content": "Hello!"}
    assert objection(request(messages=[hello]), says("Hello!")) is None


def test_no_right_answer_to_the_sandbox_is_taken_for_nothing() -> None:
    for question in draw_questions(1000, seed=7):
        asked = parse_request(json.dumps(question.body("auto")).encode(), {})
        if not question.tools:
            assert check(asked, says(question.answer)) is None, question


def test_a_refusal_to_answer_is_left_to_the_judge() -> None:
    assert objection(wants(PERSON), says(None, refusal="I will not")) is None
    assert objection(request(tools=[WEATHER], tool_choice="required"), says(refusal="no")) is None


@pytest.mark.parametrize(
    ("text", "refused_by"),
    [('{"a": 1}', None), ("[1]", "json"), ("1", "json"), ("sorry", "json"), ('{"a": 1', "json")],
)
def test_json_mode_wants_one_json_object(text: str, refused_by: str | None) -> None:
    assert objection(request(response_format={"type": "json_object"}), says(text)) == refused_by


@pytest.mark.parametrize(
    ("text", "refused_by"),
    [
        ('{"name": "Ada", "age": 36}', None),
        (' {"name": "Ada"}\n', None),
        ('{"name": "Ada", "age": "36"}', "schema"),
        ('{"name": "Ada", "age": -1}', "schema"),
        ('{"age": 3}', "schema"),
        ('["Ada"]', "schema"),
        ('```json\n{"name": "Ada"}\n```', "json"),
        ("Ada", "json"),
    ],
)
def test_an_answer_must_fit_the_clients_schema(text: str, refused_by: str | None) -> None:
    assert objection(wants(PERSON), says(text)) == refused_by


def test_a_schema_may_refer_to_its_own_definitions() -> None:
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"$ref": "#/$defs/node"}},
                "required": ["value"],
            }
        },
    }
    assert objection(wants(tree), says('{"value": 1, "next": {"value": 2}}')) is None
    assert objection(wants(tree), says('{"value": 1, "next": {}}')) == "schema"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"type": "object", "required": "name"},
        {"pattern": "("},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$ref": "file:///etc/passwd"},
        {"$schema": "https://example.org/none", "type": "string"},
        {"properties": {"a": {"maximum": 10**40}}},
        "no schema at all",
        None,
    ],
)
def test_a_schema_that_cannot_be_used_objects_to_nothing(schema: object) -> None:
    assert objection(wants(schema), says('{"a": 1}')) is None


@pytest.mark.anyio
async def test_a_remote_schema_is_never_fetched() -> None:
    fetched: list[str] = []

    async def elsewhere(scope: Scope, _: Receive, send: Send) -> None:
        fetched.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"type": "string"}'})

    async with serving(elsewhere, drain_s=1) as listening:
        remote: Json = {"$ref": f"{listening.url}/schema.json"}
        for schema in (remote, {"properties": {"a": remote}}, {**remote, "$id": listening.url}):
            # In a thread, so that a fetch could be answered.
            refused_by = await to_thread.run_sync(objection, wants(schema), says('{"a": 1}'))
            assert refused_by is None
        assert fetched == []
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(f"{listening.url}/seen")
        assert fetched == ["/seen"]


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", r"^(a+)+\1$", "^(?=a)(a+)+$"])
def test_a_catastrophic_pattern_is_over_at_once(pattern: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}
    started_s = time.perf_counter()
    check(wants(schema), says(orjson.dumps({"a": "a" * 5000 + "!"}).decode()))
    assert time.perf_counter() - started_s < 1


def test_a_deep_answer_is_judged_without_harm() -> None:
    deep = '{"a":' * 500 + "1" + "}" * 500
    assert objection(wants({"properties": {"a": {"$ref": "#"}}}), says(deep)) is None
    assert objection(request(response_format={"type": "json_object"}), says(deep)) is None


@pytest.mark.parametrize(
    ("arguments", "refused_by"),
    [
        ('{"city": "Bonn"}', None),
        ('{"city": "Bonn", "days": 7}', None),
        ('{"city": "Bonn", "days": 8}', "tool_arguments"),
        ('{"city": 5}', "tool_arguments"),
        ('{"city": "Bonn", "unit": "C"}', "tool_arguments"),
        ("", "tool_arguments"),
        ('["Bonn"]', "tool_arguments"),
        ('{"city": "Bo', "tool_arguments"),
    ],
)
def test_a_tools_arguments_must_fit_its_schema(arguments: str, refused_by: str | None) -> None:
    assert objection(request(tools=[WEATHER]), calls("weather", arguments)) == refused_by


def test_a_tool_without_parameters_may_be_called_with_none() -> None:
    plain = {"type": "function", "function": {"name": "now"}}
    assert objection(request(tools=[plain]), calls("now", "")) is None
    assert objection(request(tools=[plain]), calls("now", "{}")) is None
    assert objection(request(tools=[plain]), calls("now", "now!")) == "tool_arguments"


def test_every_call_of_an_answer_is_checked() -> None:
    good = {"function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
    bad = {"function": {"name": "weather", "arguments": "{}"}}
    both = says(tool_calls=[{"index": 0, **good}, {"index": 1, **bad}])
    assert objection(request(tools=[WEATHER]), both) == "tool_arguments"


def test_a_tool_that_does_not_exist_is_refused() -> None:
    assert objection(request(tools=[WEATHER]), calls("wether", '{"city": "Bonn"}')) == "tool"


@pytest.mark.parametrize(
    ("choice", "called", "refused_by"),
    [
        ("none", True, "tool_choice"),
        ("none", False, None),
        ("auto", True, None),
        ("auto", False, None),
        (None, False, None),
        ("required", True, None),
        ("required", False, "tool_choice"),
        ({"type": "function", "function": {"name": "weather"}}, True, None),
        ({"type": "function", "function": {"name": "weather"}}, False, "tool_choice"),
        ({"type": "function", "function": {"name": "now"}}, True, "tool_choice"),
        ({"type": "custom", "custom": {"name": "shell"}}, True, "tool_choice"),
    ],
)
def test_the_clients_choice_of_tool_is_binding(
    choice: object, called: bool, refused_by: str | None
) -> None:
    now = {"type": "function", "function": {"name": "now"}}
    asked = request(tools=[WEATHER, SHELL, now], tool_choice=choice)
    answer = calls("weather", '{"city": "Bonn"}') if called else says("I would rather talk")
    assert objection(asked, answer) == refused_by


@pytest.mark.parametrize("choice", [{}, {"type": "allowed_tools"}])
def test_a_choice_that_names_no_tool_binds_nothing(choice: object) -> None:
    asked = request(tools=[WEATHER], tool_choice=choice)
    assert objection(asked, calls("weather", '{"city": "Bonn"}')) is None
    assert objection(asked, says("fine")) is None


def test_the_input_of_a_custom_tool_is_free_text() -> None:
    asked = request(tools=[WEATHER, SHELL])
    assert objection(asked, calls("shell", "ls -l", custom=True)) is None
    assert objection(asked, calls("bash", "ls -l", custom=True)) == "tool"


def test_where_a_tool_is_called_the_text_beside_it_need_not_be_json() -> None:
    asked = request(tools=[WEATHER], response_format={"type": "json_object"})
    assert objection(asked, calls("weather", '{"city": "Bonn"}')) is None
    assert objection(asked, says("Bonn is lovely")) == "json"


def turns(*arguments: str) -> list[Json]:
    """A tool loop in which `weather` was called with each of these arguments."""
    messages: list[Json] = [{"role": "user", "content": "?"}]
    for given in arguments:
        call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": given}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": "c", "content": "?"})
    return messages


@pytest.mark.parametrize(
    ("made", "check_name"),
    [
        (['{"city": "Oslo"}'] * 3, "tool_repetition"),
        (['{"city": "Rome"}', *['{"city": "Oslo"}'] * 3], "tool_repetition"),
        (['{"city": "Oslo"}'] * 2, None),
        (['{"city": "Oslo"}'] * 2 + ['{"city": "Rome"}'], None),
    ],
)
def test_the_same_call_time_after_time_is_refused(made: list[str], check_name: str | None) -> None:
    asked = request(tools=[WEATHER], messages=turns(*made))
    assert objection(asked, calls("weather", '{"city": "Oslo"}')) == check_name


@pytest.mark.parametrize(
    ("mode", "answer", "check_name"),
    [
        ("auto", calls("weather", '{"city": "Oslo"}'), None),
        ("auto", calls("shell", "ls", custom=True), "tool_choice"),
        ("auto", says("no call"), None),
        ("required", says("no call"), "tool_choice"),
    ],
)
def test_only_the_allowed_tools_may_be_called(
    mode: str, answer: Answer, check_name: str | None
) -> None:
    allowed = {"mode": mode, "tools": [{"type": "function", "function": {"name": "weather"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    assert objection(request(tools=[WEATHER, SHELL], tool_choice=choice), answer) == check_name
