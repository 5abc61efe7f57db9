"""The official client against a running gateway: what our users have must find what it expects."""

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any, TypeAlias

import openai
import pytest
from anyio import to_thread
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI
from pydantic import BaseModel

from tests.support.gateway import Gateway, gateway
from tests.support.provider import INVALID, VALID, Fails, Hangs, Says, Sends

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
MODELS = ("model-small", "model-medium", "model-large")
QUESTION: Any = [{"role": "user", "content": "What is 2 + 2?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for the whole module, so that its tests can share a gateway."""
    return "asyncio"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway, None]:
    # The cascade starts at the bottom whatever an earlier test left in the records.
    async with gateway(tmp_path_factory.mktemp("store"), policy="cascade") as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    """The shared gateway, its provider as new."""
    for model in MODELS:
        shared.provider.answers(model, Says())
        shared.provider.verdicts(model, VALID)
    shared.provider.calls.clear()
    return shared


@pytest.fixture
async def client(gate: Gateway) -> AsyncGenerator[AsyncOpenAI, None]:
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with AsyncOpenAI(base_url=f"{gate.url}/v1", api_key="none", http_client=http) as made:
        yield made


def stream_of(deltas: Sequence[Json], finish: str) -> Sends:
    """A provider's stream of just these deltas."""
    head = {"id": "up", "object": "chat.completion.chunk", "created": 1, "model": "m-2026"}
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    events = [json.dumps({**head, "choices": [choice]}) for choice in choices]
    return Sends("".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode())


async def test_a_plain_chat(gate: Gateway, client: AsyncOpenAI) -> None:
    gate.provider.answers("model-small", Says("four"))
    completion = await client.chat.completions.create(model="auto", messages=QUESTION)
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    assert completion.model == "model-small-2026"
    choice = completion.choices[0]
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "four")
    assert completion.usage is not None
    assert completion.usage.total_tokens == 150
    told: Any = (completion.model_extra or {})["autoshift"]
    assert (told["tier"], told["verified"], told["degraded"]) == ("small", True, [])


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_come_with_or_without_v1(gate: Gateway, path: str) -> None:
    def ask() -> str | None:
        http = DefaultHttpxClient(trust_env=False)
        with OpenAI(base_url=gate.url + path, api_key="none", http_client=http) as blocking:
            names = [model.id for model in blocking.models.list()]
            assert names[0] == "auto"
            reply = blocking.chat.completions.create(model="auto", messages=QUESTION)
            return reply.choices[0].message.content

    assert await to_thread.run_sync(ask) == "ok"


async def test_a_stream_without_usage(gate: Gateway, client: AsyncOpenAI) -> None:
    gate.provider.answers("model-small", Says(pieces=["fo", "ur", " €"]))
    stream = await client.chat.completions.create(model="auto", messages=QUESTION, stream=True)
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == "four €"
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    told: Any = (chunks[-1].model_extra or {})["autoshift"]
    assert told["tier"] == "small"


async def test_a_stream_with_usage_ends_with_it(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="auto", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert [chunk.choices == [] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 50
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_the_stream_helper(gate: Gateway, client: AsyncOpenAI) -> None:
    gate.provider.answers("model-small", Says("WRONG"))
    gate.provider.verdicts("model-medium", INVALID)
    gate.provider.answers("model-medium", Says(pieces=["right", " answer"]))
    async with client.chat.completions.stream(model="auto", messages=QUESTION) as stream:
        text = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert "".join(text) == "right answer"
    assert final.choices[0].message.content == "right answer"
    assert final.choices[0].finish_reason == "stop"


async def test_a_tool_is_called(gate: Gateway, client: AsyncOpenAI) -> None:
    said = Says("", tool_calls=[CALL], finish="tool_calls")
    gate.provider.answers("model-small", said)
    completion = await client.chat.completions.create(
        model="auto", messages=QUESTION, tools=[WEATHER], parallel_tool_calls=False
    )
    choice = completion.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.id, call.function.name) == ("call_1", "weather")
    assert json.loads(call.function.arguments) == {"city": "Bonn"}
    assert gate.provider.calls[0].body["tools"] == [WEATHER]
    assert gate.provider.calls[0].body["parallel_tool_calls"] is False


async def test_a_tools_arguments_stream_in_pieces_and_its_id_comes_once(
    gate: Gateway, client: AsyncOpenAI
) -> None:
    first = {"index": 0, **CALL, "function": {"name": "weather", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": a}} for a in ('{"ci', 'ty":"Bo', 'nn"}')]
    deltas: list[Json] = [
        {"role": "assistant", "content": None},
        *({"tool_calls": [p]} for p in [first, *pieces]),
    ]
    gate.provider.answers("model-small", stream_of(deltas, "tool_calls"))
    stream = await client.chat.completions.create(
        model="auto", messages=QUESTION, tools=[WEATHER], stream=True
    )
    got = [call async for c in stream for call in c.choices[0].delta.tool_calls or []]
    assert [call.id for call in got if call.id] == ["call_1"]
    assert [call.function.name for call in got if call.function and call.function.name] == [
        "weather"
    ]
    assert "".join(c.function.arguments or "" for c in got if c.function) == '{"city":"Bonn"}'
    async with client.chat.completions.stream(
        model="auto", messages=QUESTION, tools=[WEATHER]
    ) as helped:
        final = await helped.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == {"city": "Bonn"}


async def test_a_tool_result_can_be_sent_back(gate: Gateway, client: AsyncOpenAI) -> None:
    turns: Any = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12 °C"},
    ]
    completion = await client.chat.completions.create(model="auto", messages=turns, tools=[WEATHER])
    assert completion.choices[0].message.content == "ok"
    assert gate.provider.calls[0].body["messages"] == turns
    assert gate.provider.asked(judging=True) == []


async def test_parse_gives_the_model_that_was_asked_for(gate: Gateway, client: AsyncOpenAI) -> None:
    gate.provider.answers("model-small", Says('{"name": "Ada", "age": 36}'))
    completion = await client.chat.completions.parse(
        model="auto", messages=QUESTION, response_format=Person
    )
    assert completion.choices[0].message.parsed == Person(name="Ada", age=36)
    assert gate.provider.asked() == ["model-small"]


async def test_an_answer_that_violates_the_schema_escalates_without_a_judge(
    gate: Gateway, client: AsyncOpenAI
) -> None:
    gate.provider.answers("model-small", Says('{"name": "Ada"}'))
    gate.provider.answers("model-medium", Says('{"name": "Ada", "age": 36}'))
    completion = await client.chat.completions.parse(
        model="auto", messages=QUESTION, response_format=Person
    )
    assert completion.choices[0].message.parsed == Person(name="Ada", age=36)
    assert gate.provider.asked() == ["model-small", "model-medium"]
    assert gate.provider.asked(judging=True) == ["model-large"]


async def test_models_can_be_listed_and_looked_up(gate: Gateway, client: AsyncOpenAI) -> None:
    names = [model.id async for model in client.models.list()]
    assert names[0] == "auto"
    assert {"auto:llm_at", "auto:cascade", "auto:always:small", *MODELS, "small"} <= set(names)
    for name in ("auto", "auto:always:small", "model-large"):
        model = await client.models.retrieve(name)
        assert (model.id, model.object, model.owned_by) == (name, "model", "autoshift")
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("no/such:model")
    assert gate.provider.calls == []


async def test_an_unknown_model_is_not_found(gate: Gateway, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await client.chat.completions.create(model="gpt-99", messages=QUESTION)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert "small, medium, large" in refused.value.message
    assert gate.provider.calls == []


async def test_a_wrong_request_names_its_parameter(gate: Gateway, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="auto", messages=[])
    assert (refused.value.code, refused.value.param) == ("invalid_value", "messages")
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(model="auto", messages=QUESTION, n="2")  # type: ignore[call-overload]
    assert (refused.value.code, refused.value.param) == ("invalid_type", "n")
    with pytest.raises(openai.BadRequestError) as refused:
        await client.chat.completions.create(
            model="auto",
            messages=QUESTION,
            stream=True,
            extra_body={"autoshift": {"dry_run": "maybe"}},
        )
    assert (refused.value.code, refused.value.param) == ("invalid_type", "autoshift.dry_run")
    assert gate.provider.calls == []


async def test_a_dry_run_explains_in_place_of_an_answer(gate: Gateway, client: AsyncOpenAI) -> None:
    dry: Any = {"autoshift": {"dry_run": True}}
    plain = await client.chat.completions.create(model="auto", messages=QUESTION, extra_body=dry)
    streamed = await client.chat.completions.create(
        model="auto",
        messages=QUESTION,
        stream=True,
        extra_headers={"x-autoshift-dry-run": "true"},
        stream_options={"include_usage": True},
    )
    pieces = [chunk async for chunk in streamed]

    said = plain.choices[0].message.content
    assert said is not None
    assert said.startswith("cascade would ask small first")
    assert plain.choices[0].finish_reason == "stop"
    assert plain.usage is not None
    assert plain.usage.total_tokens == 0
    told = (plain.model_extra or {})["autoshift"]
    assert told["dry_run"] is True
    assert told["decision"] is None
    assert told["explanation"]["first"]["tier"] == "small"
    choices = [choice for chunk in pieces for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == said
    assert choices[-1].finish_reason == "stop"
    assert gate.provider.calls == []


@pytest.mark.parametrize("stream", [False, True])
async def test_where_every_tier_is_down_the_client_does_not_try_again(
    gate: Gateway, client: AsyncOpenAI, stream: bool
) -> None:
    for model in MODELS:
        gate.provider.answers(model, Fails(500))
    with pytest.raises(openai.InternalServerError) as failure:
        await client.chat.completions.create(model="auto", messages=QUESTION, stream=stream)
    assert failure.value.status_code == 502
    assert failure.value.type == "upstream_error"
    assert client.max_retries > 0
    assert gate.provider.asked() == list(MODELS)


async def test_a_rate_limit_of_every_tier_says_when_to_try_again(
    gate: Gateway, client: AsyncOpenAI
) -> None:
    for model in MODELS:
        gate.provider.answers(model, Fails(429, headers={"retry-after": "7"}))
    with pytest.raises(openai.RateLimitError) as failure:
        await client.with_options(max_retries=0).chat.completions.create(
            model="auto", messages=QUESTION
        )
    assert failure.value.code == "upstream_rate_limited"
    assert failure.value.response.headers["retry-after"] == "7"
    assert gate.provider.asked() == list(MODELS)


async def test_a_stream_that_breaks_off_raises(gate: Gateway, client: AsyncOpenAI) -> None:
    half = b'data: {"id":"u","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    half += b'[{"index":0,"delta":{"content":"hal"},"finish_reason":null}]}\n\n'
    gate.provider.answers("model-large", Sends(half, cut=True))
    stream = await client.chat.completions.create(model="large", messages=QUESTION, stream=True)
    got: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            got.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - it raises

    with pytest.raises(openai.APIError) as failure:
        await read()
    assert "".join(got) == "hal"
    assert failure.value.type == "upstream_error"


async def test_the_raw_response_tells_what_was_done(gate: Gateway, client: AsyncOpenAI) -> None:
    gate.provider.verdicts("model-medium", INVALID)
    raw = await client.chat.completions.with_raw_response.create(model="auto", messages=QUESTION)
    assert raw.headers["x-autoshift-tier"] == "medium"
    assert raw.headers["x-autoshift-verified"] == "yes"
    assert raw.headers["x-autoshift-degraded"] == "none"
    # small 300 µ$, medium ten times that, the verdicts of medium and large 200 in and 5 out each.
    assert float(raw.headers["x-autoshift-cost-usd"]) == pytest.approx(3300e-6 + 2200e-6 + 22000e-6)
    assert raw.headers["x-request-id"] == raw.headers["x-autoshift-decision"]
    assert raw.parse().choices[0].message.content == "ok"
    told = await gate.decision(raw.headers["x-autoshift-decision"])
    assert told["served_tier"] == "medium"
    async with client.chat.completions.with_streaming_response.create(
        model="auto", messages=QUESTION, stream=True
    ) as streamed:
        lines = [line async for line in streamed.iter_lines() if line]
    assert streamed.headers["x-autoshift-tier"] == "medium"
    assert lines[-1] == "data: [DONE]"


async def test_extensions_go_in_the_extra_body_and_no_further(
    gate: Gateway, client: AsyncOpenAI
) -> None:
    extra = {"autoshift": {"policy": "always:large", "task": "sums"}, "top_k": 7}
    completion = await client.chat.completions.create(
        model="auto", messages=QUESTION, extra_body=extra
    )
    told: Any = (completion.model_extra or {})["autoshift"]
    assert told["tier"] == "large"
    assert (await gate.decision(told["decision"]))["task"] == "sums"
    (call,) = gate.provider.calls
    assert call.body["top_k"] == 7
    assert "autoshift" not in call.body
    assert not [name for name in call.headers if name.startswith("x-autoshift")]


async def test_the_clients_own_timeout_becomes_the_deadline(
    gate: Gateway, client: AsyncOpenAI
) -> None:
    for model in MODELS:
        gate.provider.answers(model, Hangs())
    with pytest.raises(openai.InternalServerError) as failure:
        await client.with_options(timeout=2.3).chat.completions.create(
            model="auto", messages=QUESTION
        )
    assert failure.value.status_code == 504
    assert failure.value.code == "deadline_exceeded"
    assert gate.provider.asked() == ["model-small"]
