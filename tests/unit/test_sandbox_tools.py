"""The sandbox's tool questions: right calls, plausible wrong ones, and what follows a result."""

import json

import httpx
import orjson
import pytest

from app.answers import Answer, ToolCall
from app.jsontext import Json
from app.judge.checks import check
from app.sandbox.calls import said_of
from app.sandbox.models import MODELS
from app.sandbox.questions import DIFFICULTIES, Question, is_right, solve
from app.sandbox.templates import Topic
from app.sandbox.toolbox import CURRENT_WEATHER, FORECAST
from app.wire import parse_request
from tests.support.sandbox import about, answer, body, message, messages, reply, sandbox

pytestmark = pytest.mark.anyio

NOW = "Tell Emma Haas how the weather is in Oslo now."
OSLO = [{"name": "current_weather", "arguments": {"city": "Oslo"}}]


def checked(question: Question, said: str) -> str | None:
    """The exact check that refuses this answer; None where all let it pass."""
    request = parse_request(orjson.dumps(question.body("auto")), {})
    given = Answer(finish_reason="stop")
    if question.tools:
        calls = json.loads(said)
        given.tool_calls = [ToolCall("1", c["name"], json.dumps(c["arguments"])) for c in calls]
    else:
        given.add({"choices": [{"index": 0, "message": {"content": said}}]})
    verdict = check(request, given)
    return verdict.by if verdict else None


def calls_in(said: Json) -> object:
    return json.loads(said_of(said["tool_calls"]))


def test_right_answers_pass_the_checks_and_of_the_wrong_ones_some_only_a_judge_can_refuse() -> None:
    expected: tuple[tuple[Topic, set[str | None]], ...] = (
        ("tools", {"check:tool_arguments", None}),
        ("structured", {"check:schema", None}),
    )
    for topic, refused_by in expected:
        for difficulty in DIFFICULTIES:
            slips: set[str | None] = set()
            for question in about(topic, difficulty):
                assert checked(question, question.answer) is None, question
                solved = solve(question.text)
                assert solved is not None
                slips |= {checked(question, slip) for slip in solved.solution.slips}
            assert slips == refused_by, (topic, difficulty)


@pytest.mark.parametrize(
    ("calls", "refused_by"),
    [
        ([{"name": "current_weather", "arguments": {"city": "Rome"}}], None),
        ([{"name": "current_weather", "arguments": {}}], "check:tool_arguments"),
        ([{"name": "current_weather", "arguments": {"city": 7}}], "check:tool_arguments"),
        ([{"name": "weather", "arguments": {"city": "Oslo"}}], "check:tool"),
    ],
)
def test_a_wrong_call_is_wrong_whether_or_not_a_check_finds_it(
    calls: list[Json], refused_by: str | None
) -> None:
    tools = (CURRENT_WEATHER, FORECAST)
    question = Question("1", "tools", 1, NOW, json.dumps(OSLO), tools=tools)
    assert is_right(question, json.dumps(OSLO))
    assert not is_right(question, json.dumps(calls))
    assert checked(question, json.dumps(calls)) == refused_by


def test_the_order_and_number_of_calls_matter_and_the_order_of_keys_does_not() -> None:
    question = next(q for q in about("tools", 4) if "Two calls" in q.text)
    calls = json.loads(question.answer)
    assert is_right(question, json.dumps(calls))
    turned = [dict(reversed(call.items())) for call in calls]
    assert is_right(question, json.dumps(turned))
    assert not is_right(question, json.dumps(calls[:1]))
    assert not is_right(question, json.dumps(calls[::-1]))
    assert not is_right(question, f"Here: {question.answer}")
    truth = next(q for q in about("tools", 4) if "true" in q.answer)
    assert not is_right(truth, truth.answer.replace("true", "1"))


@pytest.mark.parametrize("name", list(MODELS))
async def test_tools_are_called_as_well_as_stated(name: str) -> None:
    asked, model = about("tools")[:200], MODELS[name]
    async with sandbox() as http:
        said = await messages(http, [q.body(name) for q in asked])
    right = sum(is_right(q, said_of(m["tool_calls"])) for q, m in zip(asked, said, strict=True))
    stated = [model.accuracy(q.topic, q.difficulty) * (1 - model.format_slips) for q in asked]
    assert abs(right - sum(stated)) < 4 * sum(p * (1 - p) for p in stated) ** 0.5 + 1


async def test_the_small_model_sometimes_writes_arguments_that_are_no_json() -> None:
    async with sandbox() as http:
        for name, few, many in (("sim-small", 5, 40), ("sim-large", 0, 0)):
            broken = 0
            for said in await messages(http, [q.body(name) for q in about("tools")[:300]]):
                arguments = said["tool_calls"][0]["function"]["arguments"]
                broken += not arguments.endswith("}")
            assert few <= broken <= many


async def test_a_stream_brings_the_same_calls_in_pieces() -> None:
    question = next(q for q in about("tools", 4) if "Two calls" in q.text)
    asked = question.body("sim-large")
    async with sandbox() as http:
        plain = await message(http, asked)
        streamed = await http.post("/v1/chat/completions", json=asked | {"stream": True})
    put_together = Answer()
    for line in streamed.text.splitlines():
        if line.startswith("data: {"):
            put_together.add(json.loads(line.removeprefix("data: ")))
    assert put_together.finish_reason == "tool_calls"
    calls = [{"name": c.name, "arguments": c.arguments} for c in put_together.tool_calls]
    assert json.loads(said_of(calls)) == calls_in(plain) == json.loads(question.answer)
    assert len({call.id for call in put_together.tool_calls}) == 2


async def test_what_the_client_says_about_calling_is_obeyed() -> None:
    two = next(q for q in about("tools", 4) if "Two calls" in q.text).body("sim-large")
    tools = [CURRENT_WEATHER, FORECAST]
    async with sandbox() as http:
        one = await message(http, two | {"parallel_tool_calls": False})
        assert len(one["tool_calls"]) == 1
        assert "sandbox" in await answer(http, body(NOW, tools=tools, tool_choice="none"))
        named: Json = {"type": "function", "function": {"name": "weather_forecast"}}
        other = await message(http, body(NOW, tools=tools, tool_choice=named))
        assert [call["name"] for call in json.loads(said_of(other["tool_calls"]))] == [
            "weather_forecast"
        ]
        required = await message(http, body(NOW, "sim-large", tools=tools, tool_choice="required"))
        assert calls_in(required) == OSLO
        missing = await message(http, body(NOW, tools=[FORECAST]))
        assert calls_in(missing) != OSLO


def tool_turn(*results: str, calls: list[Json] = OSLO) -> Json:
    """The request that follows when the tools gave these results, one a round."""
    request = body(NOW, "sim-large", tools=[CURRENT_WEATHER, FORECAST])
    for number, result in enumerate(results):
        identity = f"call_{number}"
        made = [
            {
                "id": identity,
                "type": "function",
                "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])},
            }
            for c in calls
        ]
        request["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": made},
            {"role": "tool", "tool_call_id": identity, "content": result},
        ]
    return request


async def test_a_result_becomes_the_answer() -> None:
    async with sandbox() as http:
        found = await reply(http, tool_turn('{"degrees": 11, "sky": "grey"}'))
        choice = found["choices"][0]
        assert choice["finish_reason"] == "stop"
        assert '"degrees": 11' in choice["message"]["content"]
        schema: Json = {"type": "object", "properties": {"weather": {"type": "string"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": schema}}
        formed = await answer(http, tool_turn("rain") | {"response_format": wanted})
        assert json.loads(formed) == {"weather": "The tool says: rain"}


@pytest.mark.parametrize(
    "error", ["Error: no such city", '{"error": "no such city"}', "Traceback (most recent call"]
)
async def test_after_an_error_it_tries_again_and_then_apologises(error: str) -> None:
    wrong = [{"name": "current_weather", "arguments": {"city": "Osloo"}}]
    async with sandbox() as http:
        first = await message(http, body(NOW, "sim-large", tools=[CURRENT_WEATHER, FORECAST]))
        again = await message(http, tool_turn(error, calls=wrong))
        assert calls_in(first) == calls_in(again) == OSLO
        assert first["tool_calls"][0]["id"] != again["tool_calls"][0]["id"]
        sorry = await message(http, tool_turn(error, error))
        assert "sorry" in sorry["content"]
        assert error in sorry["content"]
        recovered = await answer(http, tool_turn(error, "rain"))
        assert recovered == "The tool says: rain"
        forbidden = await answer(http, tool_turn(error) | {"tool_choice": "none"})
        assert "sorry" in forbidden


async def test_a_failed_call_of_a_foreign_tool_is_repeated_as_it_was() -> None:
    request = tool_turn("error: busy", calls=[{"name": "lookup", "arguments": {"id": 7}}])
    request["messages"][0]["content"] = "Who is number seven?"
    async with sandbox() as http:
        again = await message(http, request)
    assert calls_in(again) == [{"name": "lookup", "arguments": {"id": 7}}]


@pytest.mark.parametrize(
    "calls", [None, [], [{}], [{"function": {"name": "f", "arguments": "[" * 9000}}]]
)
async def test_calls_that_make_no_sense_still_get_a_reply(calls: object) -> None:
    request = tool_turn("error: busy")
    request["messages"][1]["tool_calls"] = calls
    async with sandbox() as http:
        await reply(http, request | {"tools": [FORECAST]})


async def judge(http: httpx.AsyncClient, calls: list[Json]) -> str:
    made = [{"name": c["name"], "arguments": json.dumps(c["arguments"])} for c in calls]
    question = {"conversation": NOW, "tools": [CURRENT_WEATHER]}
    data = json.dumps({"question": question, "answer": {"text": "", "tool_calls": made}})
    request: Json = {
        "model": "sim-large",
        "messages": [
            {"role": "system", "content": "Give a verdict."},
            {"role": "user", "content": f"--- data\n{data}\n--- data"},
        ],
    }
    return str(json.loads(await answer(http, request))["verdict"])


async def test_a_judge_looks_at_the_calls() -> None:
    async with sandbox() as http:
        assert await judge(http, OSLO) == "VALID"
        rome = [{"name": "current_weather", "arguments": {"city": "Rome"}}]
        assert await judge(http, rome) == "INVALID"
