"""Two answers side by side: both are data, and only the one object is taken for a comparison."""

import json

import pytest

from app.judge import Better
from app.judge.comparing import comparison_body, read_comparison
from tests.support.attacks import PAYLOADS, obeys
from tests.support.provider import Fails, Hangs, Reply, Says, provider
from tests.unit.test_llm_judge import (
    FENCE,
    PLACEMENTS,
    TIER,
    judging,
    request,
    says,
)


def test_the_judge_sees_the_question_and_both_answers_as_data() -> None:
    body = comparison_body(TIER, request(), says("42"), says("six times seven"), 100)
    fence, between, closing, _reminder = body["messages"][1]["content"].split("\n")
    assert FENCE.match(fence)
    assert closing == fence
    assert json.loads(between) == {
        "question": "What is 6 · 7?",
        "first": "42",
        "second": "six times seven",
    }
    schema = body["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("comparison", True)
    assert schema["schema"]["required"] == ["verdict", "same"]
    assert schema["schema"]["properties"]["verdict"]["enum"] == ["FIRST", "SECOND", "TIE"]


def test_neither_answer_can_speak_to_the_judge() -> None:
    for placement, place in PLACEMENTS.items():
        for payload in PAYLOADS[::3]:
            asked, answer = place(payload)
            for pair in ((answer, says()), (says(), answer)):
                body = comparison_body(TIER, asked, *pair, 100)
                assert not obeys(body), (placement, payload)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"verdict": "FIRST", "same": false}', ("first", False)),
        (' {"same":true,\n"verdict":"TIE"} ', ("tie", True)),
        ('{"verdict": "SECOND", "same": true}', ("second", True)),
        ('{"verdict": "first", "same": false}', None),
        ('{"verdict": "FIRST", "same": "no"}', None),
        ('{"verdict": "FIRST", "same": 0}', None),
        ('{"verdict": "FIRST"}', None),
        ('{"same": true}', None),
        ('{"verdict": "FIRST", "same": true, "why": "x"}', None),
        ('{"verdict": "FIRST", "verdict": "SECOND", "same": true}', None),
        ('{"verdict": "FIRST", "same": true, "same": false}', None),
        ('[["verdict", "FIRST"], ["same", true]]', None),
        ('```json\n{"verdict": "TIE", "same": true}\n```', None),
        ("FIRST", None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_a_comparison_is_exactly_one_object(text: str, found: tuple[Better, bool] | None) -> None:
    assert read_comparison(text) == found


@pytest.mark.anyio
async def test_a_comparison_tells_who_made_it_and_what_it_cost() -> None:
    async with provider() as scripted, judging(scripted) as judge:
        scripted.comparisons("model-medium", Says('{"verdict": "SECOND", "same": false}'))
        found = await judge.compare(TIER, request(), says("41"), says("42"))
        assert (found.verdict, found.same, found.reason) == ("second", False, "")
        assert found.by == "medium"
        assert found.cost_usd == pytest.approx((100 * 10 + 50 * 40) / 1e6)
        assert found.latency_s > 0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reply", "reason", "cost_usd"),
    [
        (Says("The first one."), "no verdict in the judge's reply", 3000e-6),
        (Fails(500), "upstream_failed", 0.0),
        (Hangs(), "timeout", None),
    ],
)
async def test_a_comparison_that_fails_says_nothing_and_raises_nothing(
    reply: Reply, reason: str, cost_usd: float | None
) -> None:
    async with provider() as scripted, judging(scripted, timeout_s=0.3) as judge:
        scripted.comparisons("model-medium", reply)
        found = await judge.compare(TIER, request(), says(), says())
        assert (found.verdict, found.same, found.reason) == (None, None, reason)
        assert found.cost_usd == (None if cost_usd is None else pytest.approx(cost_usd))
