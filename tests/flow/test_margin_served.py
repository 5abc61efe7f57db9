"""The margin policy, and the filter before any judge, through the door."""

from pathlib import Path
from typing import Any

import pytest

from app.planning.prefilter import HEARD_MIN
from tests.support.gateway import configuration, gateway
from tests.support.provider import Says

pytestmark = pytest.mark.anyio

SURE, UNSURE = Says("sure", margin=0.98), Says("unsure", margin=0.02)


def telling(*names: str) -> list[dict[str, Any]]:
    """The usual tiers; these tell logprobs."""
    usual = configuration("http://127.0.0.1:9/v1", Path())["tiers"]
    return [
        tier | {"supports": ["logprobs", "tools"]} if tier["name"] in names else tier
        for tier in usual
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_it_was_sure_of_is_served_and_the_rest_passed_on(
    tmp_path: Path, stream: bool
) -> None:
    tiers = telling("small", "medium", "large")
    async with gateway(tmp_path, tiers=tiers, policy="margin", stream={"mode": "verified"}) as gate:
        gate.provider.answers("model-medium", Says("better", margin=0.9))
        for reply in (SURE, UNSURE) * 10:
            gate.provider.answers("model-small", reply)
            await gate.ask()
        gate.provider.calls.clear()
        served = []
        for reply in (SURE, UNSURE):
            gate.provider.answers("model-small", reply)
            served.append(await gate.ask(stream=stream))
        told = [await gate.decision_of(reply) for reply in served]

    assert [reply.headers["x-autoshift-tier"] for reply in served] == ["small", "medium"]
    assert told[1]["attempts"][0]["margin"] == pytest.approx(0.02)
    assert all(call.body["logprobs"] and not call.judging for call in gate.provider.calls)
    # The client has not asked for them.
    assert all("top_logprobs" not in reply.text for reply in served)
    if stream:
        assert served[0].text.endswith("data: [DONE]\n\n")


async def test_a_client_that_asks_for_logprobs_gets_its_own(tmp_path: Path) -> None:
    async with gateway(tmp_path, tiers=telling("small"), policy="margin") as gate:
        gate.provider.answers("model-small", SURE)
        await gate.ask()
        reply = await gate.ask(logprobs=True, top_logprobs=2)
    assert "top_logprobs" in reply.text


async def test_a_tier_that_tells_none_is_not_asked_for_them_and_passed_by(tmp_path: Path) -> None:
    async with gateway(tmp_path, policy="margin") as gate:
        gate.provider.answers("model-small", SURE)
        reply = await gate.ask()
        calls = gate.provider.calls
    assert reply.headers["x-autoshift-tier"] == "large"
    assert not any("logprobs" in call.body for call in calls)


@pytest.mark.parametrize("share", [0.0, 0.5])
async def test_the_filter_leaves_verdicts_out_under_another_policy(
    tmp_path: Path, share: float
) -> None:
    """The first twenty are all judged; then, of the surer half, one in ten."""
    judge = {"skip_surest": share, "canary_every": 0}
    tiers = telling("small")
    async with gateway(tmp_path, tiers=tiers, policy="cascade", judge=judge) as gate:
        for _ in range(int(HEARD_MIN) + 5):
            for reply in (SURE, UNSURE):
                gate.provider.answers("model-small", reply)
                await gate.ask()
        judged = len(gate.provider.asked(judging=True))
        gate.provider.answers("model-small", SURE)
        replies = [await gate.ask() for _ in range(40)]
        later = len(gate.provider.asked(judging=True)) - judged

    assert {reply.headers["x-autoshift-tier"] for reply in replies} == {"small"}
    assert (later == 40) if share == 0 else (0 < later < 25)
