"""Streams that go out before they are judged, and what is learned from them afterwards."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.support.gateway import Gateway, chat, gateway, metric, until
from tests.support.provider import INVALID, VALID, Says

pytestmark = pytest.mark.anyio

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


async def first_content(gate: Gateway, release: asyncio.Event, **more: Any) -> str:
    """The text that reaches the client while the provider is still held; then all of it."""
    body = chat(stream=True, **more)
    text = ""
    async with gate.http.stream("POST", "/v1/chat/completions", json=body) as reply:
        async for line in reply.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = orjson.loads(line.removeprefix("data: "))
            text += event["choices"][0]["delta"].get("content") or ""
            if text and not release.is_set():
                release.set()
                text += "|"
    return text


async def test_direct_lets_the_first_words_out_before_the_last_are_there(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        release = asyncio.Event()
        gate.provider.answers("model-small", Says(pieces=["first", " last"], gate=release))
        text = await first_content(gate, release, autoshift={"stream": "direct"})
        assert text == "first| last"
        assert gate.provider.asked() == ["model-small"]


async def test_verified_lets_nothing_out_before_the_verdict(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        judged = asyncio.Event()
        gate.provider.answers("model-small", Says(pieces=["first", " last"]))
        gate.provider.verdicts("model-medium", Says(VALID.text, gate=judged))
        asked = asyncio.ensure_future(  # noqa: TID251 - the test waits for it below
            gate.ask(stream=True, autoshift={"stream": "verified"})
        )
        await until(lambda: gate.provider.asked(judging=True) == ["model-medium"])
        assert not asked.done()
        judged.set()
        reply = await asked
        assert "first" in reply.text
        assert reply.headers["x-autoshift-verified"] == "yes"


async def test_a_live_answer_is_judged_afterwards_to_learn(tmp_path: Path) -> None:
    async with gateway(tmp_path, stream={"mode": "direct"}) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        reply = await gate.ask(stream=True)
        assert reply.text.endswith("data: [DONE]\n\n")
        decision = orjson.loads(reply.text.split("data: ")[-2])["autoshift"]["decision"]

        async def evidence_is_there() -> bool:
            told = await gate.decision(decision)
            return [e["valid"] for e in told["evidence"].values()] == [False]

        await until(evidence_is_there)
        told = await gate.decision(decision)
        assert told["attempts"][0]["live"] is True
        assert told["attempts"][0]["verdicts"] == []
        assert told["costs_usd"]["judge"] == pytest.approx(2200e-6)
        metrics = (await gate.http.get("/metrics")).text
        name = "autoshift_verdicts_total"
        assert metric(metrics, name, tier="small", by="medium", verdict="invalid") == 1


async def test_auto_goes_live_only_where_the_records_vouch_for_the_tier(tmp_path: Path) -> None:
    async with gateway(tmp_path, stream={"mode": "auto", "vouch_accuracy": 0.6}) as gate:
        reply = await gate.ask(stream=True)
        assert reply.headers["x-autoshift-verified"] == "yes", "without records it is held"
        for _ in range(7):
            await gate.ask(stream=True, model="auto:cascade")
        await until(lambda: _stored(gate, 8))
        release = asyncio.Event()
        gate.provider.answers("model-small", Says(pieces=["first", " last"], gate=release))
        assert await first_content(gate, release) == "first| last"


async def test_a_tool_call_does_not_go_live_without_the_records_word(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    async with gateway(tmp_path, stream={"mode": "direct"}) as gate:
        gate.provider.answers("model-small", Says("", tool_calls=[call], finish="tool_calls"))
        reply = await gate.ask(stream=True, tools=[WEATHER])
        assert reply.headers["x-autoshift-verified"] == "yes"
        assert gate.provider.asked(judging=True) == ["model-medium"]


async def _stored(gate: Gateway, records: int) -> bool:
    ready = (await gate.http.get("/readyz")).json()
    return ready["outbox_entries"] == 0 and records > 0
