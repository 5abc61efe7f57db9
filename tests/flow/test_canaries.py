"""Canaries: judges in use are shown answers known to be wrong, and one that accepts is told of."""

from pathlib import Path

import pytest

from app.canaries import PAIRS
from app.jsontext import Json
from tests.support.gateway import gateway, metric, until
from tests.support.provider import INVALID, VALID, Call

pytestmark = pytest.mark.anyio


def is_canary(call: Call) -> bool:
    text = str(call.body["messages"])
    return any(question in text for question, _ in PAIRS)


@pytest.mark.parametrize("fooled", [True, False])
async def test_a_judge_that_accepts_a_wrong_answer_raises_an_alarm_the_first_time(
    tmp_path: Path, fooled: bool
) -> None:
    judge: Json = {"by": "next", "canary_every": 4}
    async with gateway(tmp_path, judge=judge) as gate:
        usual = [VALID] * 4
        gate.provider.verdicts("model-medium", *usual, VALID if fooled else INVALID, VALID)
        replies = [await gate.ask(f"Question {n}?", model="auto:cascade") for n in range(4)]
        await until(lambda: any(is_canary(call) for call in gate.provider.calls))

        async def told() -> bool:
            decision = await gate.decision_of(replies[-1])
            return any(e["source"] == "canary" for e in decision["evidence"].values())

        await until(told)
        decision = await gate.decision_of(replies[-1])
        assert decision["costs_usd"]["lesson"] > 0
        shown = [call for call in gate.provider.calls if is_canary(call)]
        assert [call.model for call in shown] == ["model-medium"]

        async def alarmed() -> bool:
            text = (await gate.http.get("/metrics")).text
            return metric(text, "autoshift_alarms", alarm="canary") == float(fooled)

        await until(alarmed)
