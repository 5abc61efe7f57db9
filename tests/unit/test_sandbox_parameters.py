"""The sandbox's request parameters: each does what it does at OpenAI."""

import json
from math import log

import anyio
import pytest

from app.jsontext import Json
from app.sandbox.models import MODELS
from app.sandbox.questions import is_right
from tests.support.sandbox import about, answer, answers, body, reply, sandbox

pytestmark = pytest.mark.anyio

SUM = "What is 17 + 25?"


@pytest.mark.parametrize(
    ("stop", "ends"),
    [("result", "gives the "), (["nowhere", ".", "result"], "gives the "), (".", "the result")],
)
async def test_a_stop_sequence_ends_the_text_before_itself(stop: object, ends: str) -> None:
    async with sandbox() as http:
        whole = await answer(http, body(SUM))
        choice = (await reply(http, body(SUM, stop=stop)))["choices"][0]
    assert whole == "Working through the steps gives the result. The answer is 42."
    assert whole.startswith(choice["message"]["content"])
    assert choice["message"]["content"].endswith(ends)
    assert choice["finish_reason"] == "stop"


async def test_n_gives_that_many_choices_and_each_is_paid_for() -> None:
    question = about("arithmetic", 3)[1]
    async with sandbox() as http:
        one = await reply(http, question.body("sim-small"))
        many = await reply(http, question.body("sim-small") | {"n": 12})
        streamed = await http.post(
            "/v1/chat/completions", json=question.body("sim-small") | {"n": 3, "stream": True}
        )
        too_many = await http.post("/v1/chat/completions", json=body(SUM, n=129))
    assert [choice["index"] for choice in many["choices"]] == list(range(12))
    assert many["choices"][0] == one["choices"][0]
    said = [choice["message"]["content"] for choice in many["choices"]]
    assert {is_right(question, text) for text in said} == {True, False}
    assert many["usage"]["completion_tokens"] > 11 * one["usage"]["completion_tokens"]
    assert many["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    texts = ["", "", ""]
    for line in streamed.text.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                texts[choice["index"]] += choice["delta"].get("content") or ""
    assert texts == said[:3]
    assert too_many.status_code == 400


async def test_reasoning_effort_changes_what_is_paid_for_thinking() -> None:
    async with sandbox() as http:
        spent = []
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh"):
            asked = body(SUM, "sim-large", reasoning_effort=effort)
            usage = (await reply(http, asked))["usage"]
            spent.append(usage["completion_tokens_details"]["reasoning_tokens"])
            assert usage["completion_tokens"] > spent[-1]
        usual = (await reply(http, body(SUM, "sim-large")))["usage"]["completion_tokens_details"]
        unknown = await http.post("/v1/chat/completions", json=body(SUM, reasoning_effort="huge"))
    assert spent == sorted(set(spent))
    assert spent[0] == 0
    assert usual["reasoning_tokens"] == spent[3]
    assert unknown.status_code == 400
    assert unknown.json()["error"]["param"] == "reasoning_effort"


@pytest.mark.parametrize("cap", ["max_tokens", "max_completion_tokens"])
async def test_a_token_cap_holds_for_every_kind_of_reply(cap: str) -> None:
    async with sandbox() as http:
        for topic in ("arithmetic", "structured", "tools", "vision"):
            question = about(topic, 2)[0]
            found = await reply(http, question.body("sim-large") | {cap: 5})
            assert found["choices"][0]["finish_reason"] == "length"
            assert found["usage"]["completion_tokens"] <= 5


async def test_logprobs_cover_the_text_and_name_themselves_as_alternatives() -> None:
    async with sandbox() as http:
        asked = body(SUM, logprobs=True, top_logprobs=3)
        choice = (await reply(http, asked))["choices"][0]
        tokens = choice["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
        assert {token["logprob"] for token in tokens} == {
            log(MODELS["sim-medium"].accuracy("arithmetic", 1))
        }
        assert [t["token"] for t in tokens[0]["top_logprobs"]] == [tokens[0]["token"]]
        streamed = await http.post("/v1/chat/completions", json=asked | {"stream": True})
        said = [
            token["token"]
            for line in streamed.text.splitlines()
            if line.startswith("data: {")
            for inner in json.loads(line.removeprefix("data: "))["choices"]
            for token in (inner["logprobs"] or {"content": []})["content"]
        ]
        assert said == [token["token"] for token in tokens]
        plain = (await reply(http, body(SUM)))["choices"][0]
        assert plain["logprobs"] is None


async def test_seed_and_temperature_are_taken_and_change_nothing() -> None:
    questions = about("dates")[:30]
    async with sandbox() as http:
        plain = await answers(http, [q.body("sim-small") for q in questions])
        more: Json = {
            "seed": 4,
            "temperature": 2,
            "top_p": 0.1,
            "user": "u",
            "metadata": {"a": "b"},
        }
        assert await answers(http, [q.body("sim-small") | more for q in questions]) == plain


async def test_a_request_can_slow_itself_down() -> None:
    async with sandbox() as http:
        started_s = anyio.current_time()
        await reply(http, body(SUM, "sim-large", sandbox_delay_factor=50))
        assert anyio.current_time() - started_s > 0.35
        for factor in (-1, "slow", True, None):
            asked = body(SUM, sandbox_delay_factor=factor)
            refused = await http.post("/v1/chat/completions", json=asked)
            assert refused.status_code == 400
            assert refused.json()["error"]["param"] == "sandbox_delay_factor"


async def test_a_slow_stream_arrives_piece_by_piece() -> None:
    async with sandbox(delay_factor=100) as http:
        request = body(SUM, "sim-large", stream=True)
        async with http.stream("POST", "/v1/chat/completions", json=request) as response:
            arrivals_s = [
                anyio.current_time()
                async for line in response.aiter_lines()
                if line.startswith("data: {")
            ]
    nominal_s = 0.04 * (len(arrivals_s) - 1)
    assert nominal_s > 0.3
    assert arrivals_s[-1] - arrivals_s[0] > nominal_s / 2
