"""Who can serve what: capabilities, prompt lengths, and requests that must stay on one tier."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from tests.support.gateway import Gateway, Json, configuration, gateway, metric
from tests.support.provider import VALID, Fails, Says

pytestmark = pytest.mark.anyio

MODELS = ("model-small", "model-medium", "model-large")
ABILITIES: dict[str, tuple[list[str], int]] = {
    "small": ([], 50),
    "medium": (["tools", "json_object", "json_schema", "logprobs"], 200),
    "large": (["tools", "json_object", "json_schema", "vision"], 1000),
}
TOOL: Json = {"type": "function", "function": {"name": "now"}}
SCHEMA: Json = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
IMAGE: Json = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + "A" * 400_000},
}
AUDIO: Json = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
CALLED: list[Json] = [
    {"role": "user", "content": "What time is it?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "noon"},
]


def saying(*parts: Json) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "Look:"}, *parts]}]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One loop for the whole module, so that its tests can share a gateway."""
    return "asyncio"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gateway, None]:
    path: Path = tmp_path_factory.mktemp("store")
    tiers = configuration("", path)["tiers"]
    for tier in tiers:
        tier["supports"], tier["context_tokens"] = ABILITIES[tier["name"]]
    # llm_at starts at the bottom of what is able as long as it knows fewer than k records.
    async with gateway(path, tiers=tiers, llm_at={"neighbours": 100}) as gate:
        yield gate


@pytest.fixture
def gate(shared: Gateway) -> Gateway:
    """The shared gateway, its provider as new."""
    for model in MODELS:
        shared.provider.answers(model, Says("{}"))
        shared.provider.verdicts(model, VALID)
    shared.provider.calls.clear()
    return shared


@pytest.mark.parametrize(
    ("more", "eligible"),
    [
        ({}, ["small", "medium", "large"]),
        ({"tools": []}, ["small", "medium", "large"]),
        ({"tools": [TOOL]}, ["medium", "large"]),
        ({"response_format": {"type": "json_object"}}, ["medium", "large"]),
        ({"response_format": SCHEMA}, ["medium", "large"]),
        ({"logprobs": True}, ["medium"]),
        ({"tools": [TOOL], "logprobs": True}, ["medium"]),
        ({"messages": saying(IMAGE)}, ["large"]),
        ({"messages": saying()}, ["small", "medium", "large"]),
    ],
)
async def test_only_tiers_that_can_serve_a_request_are_asked(
    gate: Gateway, more: Json, eligible: list[str]
) -> None:
    reply = await gate.ask(**more)
    assert reply.status_code == 200, reply.text
    told = await gate.decision_of(reply)
    assert told["eligible"] == eligible
    assert told["ladder"] == ["small", "medium", "large"]
    assert gate.provider.asked() == [f"model-{eligible[0]}"]
    # The lowest of those that can is judged by the second of them; alone it is the top.
    assert gate.provider.asked(judging=True) == [f"model-{tier}" for tier in eligible[1:2]]


@pytest.mark.parametrize(
    ("characters", "eligible"),
    [
        (200, ["small", "medium", "large"]),
        (204, ["medium", "large"]),
        (800, ["medium", "large"]),
        (804, ["large"]),
        (4000, ["large"]),
    ],
)
async def test_only_tiers_that_can_read_the_whole_prompt_are_asked(
    gate: Gateway, characters: int, eligible: list[str]
) -> None:
    told = await gate.decision_of(await gate.ask("x" * characters))
    assert told["eligible"] == eligible


def refusal(reply: httpx.Response) -> tuple[int, str, str]:
    error = reply.json()["error"]
    assert error["type"] == "invalid_request_error"
    return reply.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"messages": saying(AUDIO)}, "unsupported_parameter", "messages"),
        ({"messages": saying({"type": "file", "file": {}})}, "unsupported_parameter", "messages"),
        # Each of these some tier can do, but no tier both.
        ({"logprobs": True, "messages": saying(IMAGE)}, "unsupported_parameter", "logprobs"),
        (
            {"messages": [{"role": "user", "content": "x" * 4004}]},
            "context_length_exceeded",
            "messages",
        ),
        # Medium could do it, were the prompt shorter.
        (
            {"messages": [{"role": "user", "content": "x" * 900}], "logprobs": True},
            "context_length_exceeded",
            "messages",
        ),
    ],
)
async def test_what_no_tier_can_serve_is_refused_by_name_before_anything_is_spent(
    gate: Gateway, more: Json, code: str, param: str
) -> None:
    before = (await gate.http.get("/metrics")).text
    assert refusal(await gate.ask(**more)) == (400, code, param)
    assert refusal(await gate.ask(**more, stream=True)) == (400, code, param)
    assert gate.provider.calls == []
    after = (await gate.http.get("/metrics")).text
    name = "autoshift_requests_total"
    assert metric(after, name, kind="routed") == metric(before, name, kind="routed")


async def test_a_pinned_tier_gets_what_was_sent_whatever_it_declares(gate: Gateway) -> None:
    reply = await gate.ask("x" * 900, model="small", tools=[TOOL])
    assert reply.status_code == 200
    assert gate.provider.asked() == ["model-small"]
    assert gate.provider.calls[0].body["tools"] == [TOOL]


@pytest.mark.parametrize("more", [{"n": 2}, {"logit_bias": {"50256": -100}}, {"messages": CALLED}])
async def test_a_request_for_one_tier_stays_there_unjudged(gate: Gateway, more: Json) -> None:
    reply = await gate.ask(**more)
    assert reply.headers["x-autoshift-verified"] == "no"
    assert reply.headers["x-autoshift-degraded"] == "none"
    assert len(gate.provider.calls) == 1
    told = await gate.decision_of(reply)
    assert told["learn"] is False
    assert len(told["attempts"]) == 1


async def test_an_answer_for_one_tier_is_not_escalated_even_where_a_check_fails(
    gate: Gateway,
) -> None:
    gate.provider.answers("model-medium", Says("no JSON"))
    reply = await gate.ask(n=2, response_format={"type": "json_object"})
    assert reply.json()["choices"][0]["message"]["content"] == "no JSON"
    assert gate.provider.asked() == ["model-medium"]


@pytest.mark.parametrize("stream", [False, True])
async def test_always_one_tier_serves_what_that_tier_says(gate: Gateway, stream: bool) -> None:
    gate.provider.answers("model-small", Says("half an ans", finish="length"))
    reply = await gate.ask(model="auto:always:small", stream=stream)
    assert "half an ans" in reply.text
    assert gate.provider.asked() == ["model-small"]


async def test_a_request_for_one_tier_goes_to_the_next_while_that_tier_is_down(
    gate: Gateway,
) -> None:
    gate.provider.answers("model-small", Fails(500))
    reply = await gate.ask(n=2)
    assert reply.headers["x-autoshift-tier"] == "medium"
    assert reply.headers["x-autoshift-degraded"] == "tier:small"


async def test_with_the_only_tier_that_can_down_the_request_fails(gate: Gateway) -> None:
    gate.provider.answers("model-large", Fails(500))
    reply = await gate.ask(messages=saying(IMAGE))
    assert reply.status_code == 502
    assert gate.provider.asked() == ["model-large"]
