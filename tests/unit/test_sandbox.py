"""The simulated provider: as good, as wrong and as OpenAI-like as stated."""

import json
import re
from math import sqrt

import openai
import pytest

from app.jsontext import Json
from app.sandbox.models import MODELS, SimModel
from app.sandbox.provider import sandbox_app
from app.sandbox.questions import DIFFICULTIES, TOPICS, Question, is_right, solve
from app.serving import serving
from tests.support.sandbox import MANY, answer, answers, body, sandbox

pytestmark = pytest.mark.anyio

PLAIN = ("arithmetic", "units", "dates", "programs")
PLAIN_ONES = [question for question in MANY if question.topic in PLAIN]


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_a_model_is_as_good_as_stated(model: SimModel) -> None:
    for topic in TOPICS:
        for difficulty in DIFFICULTIES:
            stated = model.accuracy(topic, difficulty)
            texts = [f"{topic} {difficulty} {number}" for number in range(2000)]
            share = sum(model.knows(7, text, stated) for text in texts) / len(texts)
            assert abs(share - stated) < 4 * sqrt(stated * (1 - stated) / len(texts)) + 0.002


async def test_answers_over_the_wire_are_as_good_as_stated() -> None:
    asked = PLAIN_ONES[:250]
    async with sandbox() as http:
        for model in MODELS.values():
            said = await answers(http, [body(q.text, model.name) for q in asked])
            right = sum(is_right(q, text) for q, text in zip(asked, said, strict=True))
            stated = [model.accuracy(q.topic, q.difficulty) for q in asked]
            spread = sqrt(sum(p * (1 - p) for p in stated))
            assert abs(right - sum(stated)) < 4 * spread + 1, model.name


async def test_the_same_seed_gives_the_same_answers_and_another_seed_others() -> None:
    async def run(seed: int) -> list[str]:
        async with sandbox(seed) as http:
            return await answers(http, [body(q.text, "sim-small") for q in PLAIN_ONES[:60]])

    assert await run(7) == await run(7)
    assert await run(7) != await run(8)


def judge_request(question: object, given: object, model: str, *, formatted: bool = True) -> Json:
    data = json.dumps({"question": question, "answer": given})
    request: Json = {
        "model": model,
        "messages": [
            {"role": "system", "content": "Check the answer. Reply with a verdict object."},
            {"role": "user", "content": f"--- data 12ab ---\n{data}\n--- data 12ab ---\nReply."},
        ],
    }
    if formatted:
        schema = {"name": "verdict", "strict": True, "schema": {"type": "object"}}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    return request


def right_answer(question: Question) -> str:
    return question.answer


def slip(question: Question) -> str:
    solved = solve(question.text)
    assert solved is not None
    return solved.solution.slips[0]


@pytest.mark.parametrize("name", list(MODELS))
async def test_a_judge_errs_as_often_as_stated(name: str) -> None:
    model, asked = MODELS[name], PLAIN_ONES[:150]
    async with sandbox() as http:
        for pick, share in ((right_answer, model.valid_if_right), (slip, model.valid_if_wrong)):
            requests = [judge_request(q.text, pick(q), name) for q in asked]
            verdicts = [json.loads(said)["verdict"] for said in await answers(http, requests)]
            spread = sqrt(share * (1 - share) / len(asked))
            assert abs(verdicts.count("VALID") / len(asked) - share) < 4 * spread


async def test_a_judge_is_known_by_its_instructions_and_finds_the_last_turn() -> None:
    turns = [
        {"role": "user", "text": "What is 1 + 1?"},
        {"role": "assistant", "text": "2"},
        {"role": "user", "text": "What is 17 + 25?"},
    ]
    async with sandbox() as http:
        for question in ("What is 17 + 25?", turns, {"conversation": turns, "tools": []}):
            for given, verdict in (("42", "VALID"), ({"text": "It is 52."}, "INVALID")):
                request = judge_request(question, given, "sim-large", formatted=False)
                assert await answer(http, request) == f'{{"verdict":"{verdict}"}}'


async def test_the_official_client_gets_answers_streams_and_models() -> None:
    app = sandbox_app(delay_factor=0)
    async with (
        serving(app) as up,
        openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="none", max_retries=0) as client,
    ):
        assert [model.id async for model in client.models.list()] == list(MODELS)
        assert (await client.models.retrieve("sim-small")).id == "sim-small"
        plain = await client.chat.completions.create(
            model="sim-large", messages=[{"role": "user", "content": "What is 17 + 25?"}]
        )
        assert plain.usage is not None
        assert plain.usage.total_tokens == plain.usage.prompt_tokens + plain.usage.completion_tokens
        stream = await client.chat.completions.create(
            model="sim-large",
            messages=[{"role": "user", "content": "What is 17 + 25?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        assert len(pieces) > 4
        assert "".join(pieces) == plain.choices[0].message.content
        assert [c.choices[0].finish_reason for c in chunks[:-1]][-1] == "stop"
        assert chunks[-1].usage == plain.usage
        assert sum(c.usage is not None for c in chunks) == 1


async def test_a_stream_without_include_usage_has_none_and_ends_with_done() -> None:
    async with sandbox() as http:
        response = await http.post("/v1/chat/completions", json=body("What is 1 + 1?", stream=True))
        assert response.headers["content-type"].startswith("text/event-stream")
        events = response.text.strip().split("\n\n")
        assert events[-1] == "data: [DONE]"
        chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
        assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)
        assert len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks}) == 1


WEATHER: Json = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather somewhere",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 2, "maximum": 9223372036854775807},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "days", "unit"],
        },
    },
}


async def test_a_tool_is_called_with_arguments_that_fit_its_schema() -> None:
    asked = body("What is the weather in New York?", tools=[WEATHER])
    async with sandbox() as http:
        response = await http.post("/v1/chat/completions", json=asked)
        choice = response.json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        call = choice["message"]["tool_calls"][0]
        assert call["function"]["name"] == "get_weather"
        wanted = {"city": "New York", "days": 2, "unit": "celsius"}
        assert json.loads(call["function"]["arguments"]) == wanted
        streamed = await http.post("/v1/chat/completions", json=asked | {"stream": True})
        deltas = [
            inner
            for event in re.findall(r"data: (\{.*\})", streamed.text)
            for chunk in json.loads(event)["choices"]
            for inner in chunk["delta"].get("tool_calls") or []
        ]
        assert [d["id"] for d in deltas if "id" in d] == [call["id"]]
        assert json.loads("".join(d["function"]["arguments"] for d in deltas)) == wanted


async def test_tools_are_left_alone_where_nothing_asks_for_them() -> None:
    async with sandbox() as http:
        assert "42" in await answer(http, body("What is 17 + 25?", "sim-large", tools=[WEATHER]))
        none = body("What is the weather in Cork?", tools=[WEATHER], tool_choice="none")
        assert "sandbox" in await answer(http, none)
        forced = body("What is 17 + 25?", tools=[WEATHER], tool_choice="required")
        response = await http.post("/v1/chat/completions", json=forced)
        assert response.json()["choices"][0]["finish_reason"] == "tool_calls"
        after = body("What is the weather in Cork?", tools=[WEATHER])
        after["messages"].append({"role": "tool", "tool_call_id": "call_1", "content": "rain"})
        assert await answer(http, after) == "The tool says: rain"


async def test_a_json_schema_is_fitted_and_the_small_model_sometimes_breaks_it() -> None:
    schema: Json = {
        "type": "object",
        "properties": {
            "value": {"type": "number"},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 2},
        },
        "required": ["value", "steps"],
        "$defs": {"step": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}
    async with sandbox() as http:
        large = body("What is 17 + 25?", "sim-large", response_format=wanted)
        assert json.loads(await answer(http, large)) == {"value": 42.0, "steps": ["42", "42"]}
        small = [body(q.text, "sim-small", response_format=wanted) for q in PLAIN_ONES[:300]]
        broken = sum(not said.startswith("{") for said in await answers(http, small))
        plain = body("Who are you?", response_format={"type": "json_object"})
        assert "sandbox" in json.loads(await answer(http, plain))["answer"]
    assert 3 < broken < 40


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": "x", "type": ["string", "null"], "minLength": "long", "maxLength": 2},
        {"type": "array", "items": 7, "minItems": {}},
        {"properties": ["a"], "anyOf": {}},
        {"$ref": "#/$defs/a/b", "$defs": {"a": []}},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": True}},
        {},
    ],
)
async def test_a_schema_that_makes_no_sense_still_gets_an_answer(schema: Json) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "odd", "schema": schema}}
    tool = {"type": "function", "function": {"name": "find", "parameters": schema}}
    async with sandbox() as http:
        assert await answer(http, body("What is 17 + 25?", response_format=wanted))
        called = body("Find it", tools=[tool])
        assert (await http.post("/v1/chat/completions", json=called)).status_code == 200


async def test_a_token_cap_cuts_the_answer_and_says_length() -> None:
    async with sandbox() as http:
        asked = body("What is 17 + 25?", "sim-large", max_completion_tokens=12)
        reply = (await http.post("/v1/chat/completions", json=asked)).json()
        assert reply["choices"][0]["finish_reason"] == "length"
        assert reply["usage"]["completion_tokens"] == 12


async def test_a_free_text_gets_an_answer_that_says_what_it_is() -> None:
    async with sandbox() as http:
        said = await answer(http, body("Tell me a story."))
        assert "sandbox" in said
        assert "simulated" in said


async def test_errors_have_openais_envelope() -> None:
    async with sandbox() as http:
        unknown = await http.post("/v1/chat/completions", json=body("Hi", "gpt-9"))
        assert unknown.status_code == 404
        assert unknown.json()["error"]["code"] == "model_not_found"
        for content in (b"{", b"[]", b'{"model": "sim-small"}'):
            bad = await http.post("/v1/chat/completions", content=content)
            assert bad.status_code == 400
            assert set(bad.json()["error"]) == {"message", "type", "param", "code"}
        assert (await http.get("/v1/nothing")).json()["error"]["message"]
        assert (await http.get("/v1/models/gpt-9")).status_code == 404
        assert (await http.get("/v1/chat/completions")).status_code == 405
