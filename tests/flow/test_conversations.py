"""Conversations keep their tier; tool loops stay where they began; failed calls count."""

from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.support.gateway import Gateway, gateway, until
from tests.support.provider import INVALID, VALID, Says

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
QUESTION = {"role": "user", "content": "Prove that every bounded monotone sequence converges."}


async def escalated(gate: Gateway, **more: Any) -> None:
    """A first turn that ends on the top tier."""
    gate.provider.verdicts("model-medium", INVALID)
    gate.provider.answers("model-large", Says("a long proof"))
    reply = await gate.ask(messages=[QUESTION], **more)
    assert reply.headers["x-autoshift-tier"] == "large"
    gate.provider.verdicts("model-medium", VALID)


def follow_up(text: str) -> list[Json]:
    return [
        QUESTION,
        {"role": "assistant", "content": "a long proof"},
        {"role": "user", "content": text},
    ]


async def delivered(gate: Gateway) -> bool:
    """Whether every record can be found by now."""
    return bool((await gate.http.get("/readyz")).json()["outbox_entries"] == 0)


async def test_yes_in_a_hard_conversation_does_not_fall_to_the_cheap_tier(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        await escalated(gate)
        reply = await gate.ask(messages=follow_up("yes"))
        assert reply.headers["x-autoshift-tier"] == "large"
        fresh = await gate.ask("yes")
        assert fresh.headers["x-autoshift-tier"] == "small"


async def test_a_named_conversation_keeps_its_tier_whatever_its_turns_say(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        await escalated(gate, autoshift={"conversation": "thread-7"})
        reply = await gate.ask("and now?", autoshift={"conversation": "thread-7"})
        assert reply.headers["x-autoshift-tier"] == "large"
        other = await gate.ask("and now?", autoshift={"conversation": "thread-8"})
        assert other.headers["x-autoshift-tier"] == "small"


async def test_a_conversation_that_was_erased_is_forgotten_and_no_other(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        for name in ("thread-7", "thread-8"):
            await escalated(gate, autoshift={"conversation": name})
        page = (await gate.http.get("/v1/records?order=asc")).json()
        first = page["data"][0]["conversation"]
        erased = await gate.http.delete(f"/v1/records?conversation={first}")
        assert erased.json()["deleted"] == 1
        for name, tier in (("thread-7", "small"), ("thread-8", "large")):
            reply = await gate.ask("and now?", autoshift={"conversation": name})
            assert reply.headers["x-autoshift-tier"] == tier


async def test_a_conversation_is_found_again_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        await escalated(gate)
    async with gateway(tmp_path) as gate:
        reply = await gate.ask(messages=follow_up("yes"))
        assert reply.headers["x-autoshift-tier"] == "large"


async def test_a_conversation_moves_up_when_the_evidence_is_worth_it(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        first = await gate.ask(messages=[QUESTION])
        assert first.headers["x-autoshift-tier"] == "small"
        gate.provider.verdicts("model-medium", INVALID)
        gate.provider.answers("model-large", Says("by the least upper bound"))
        for number in range(6):
            await gate.ask(f"Prove lemma {number} about bounded monotone sequences, please.")
        await until(lambda: delivered(gate))
        turns = [QUESTION, {"role": "assistant", "content": "ok"}]
        again = "Prove lemma 7 about bounded monotone sequences, please."
        reply = await gate.ask(messages=[*turns, {"role": "user", "content": again}])
        told = await gate.decision_of(reply)
        assert told["start"]["tier"] == "large"


async def test_turns_inside_a_tool_loop_stay_on_their_tier_unjudged(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", INVALID, VALID)
        called = Says("", tool_calls=[CALL], finish="tool_calls")
        gate.provider.answers("model-small", called)
        gate.provider.answers("model-medium", called, Says("It rains in Oslo."))
        reply = await gate.ask("Weather in Oslo?", tools=[WEATHER])
        assert reply.headers["x-autoshift-tier"] == "medium"
        asked = len(gate.provider.calls)
        told = reply.json()["choices"][0]["message"]
        messages = [
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": told["content"], "tool_calls": told["tool_calls"]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"rain": true}'},
        ]
        reply = await gate.ask(messages=messages, tools=[WEATHER])
        assert reply.headers["x-autoshift-tier"] == "medium"
        assert [call.judging for call in gate.provider.calls[asked:]] == [False]
        assert gate.provider.calls[-1].body["messages"] == messages


async def test_a_tool_result_that_reports_failure_relabels_the_earlier_decision(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says("", tool_calls=[CALL], finish="tool_calls"))
        first = await gate.ask("Weather in Oslo?", tools=[WEATHER])
        decision = first.headers["x-autoshift-decision"]
        messages = [
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"error": "no such city"}'},
        ]
        second = await gate.ask(messages=messages, tools=[WEATHER])

        async def relabelled() -> bool:
            told = await gate.decision(decision)
            return bool(told["evidence"])

        await until(relabelled)
        [evidence] = (await gate.decision(decision))["evidence"].values()
        assert evidence["source"] == "tool_result"
        assert evidence["valid"] is False
        assert evidence["by"] == second.headers["x-autoshift-decision"]


async def test_tool_ids_and_results_reach_the_provider_as_they_are(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        odd = {**CALL, "id": "call_☃/../0007"}
        messages = [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": None, "tool_calls": [odd], "reasoning_content": "…"},
            {"role": "tool", "tool_call_id": odd["id"], "content": [{"type": "text", "text": "x"}]},
        ]
        await gate.ask(messages=messages, tools=[WEATHER])
        assert gate.provider.calls[0].body["messages"] == messages
