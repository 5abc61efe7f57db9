"""Judging and climbing, through the door."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import gateway, metric
from tests.support.provider import INVALID, VALID, Fails, Says

pytestmark = pytest.mark.anyio


async def test_a_valid_answer_of_the_lowest_tier_is_served(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says("four"))
        reply = await gate.ask()
        assert reply.status_code == 200
        body = reply.json()
        assert body["choices"][0]["message"]["content"] == "four"
        assert body["usage"] == {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        assert reply.headers["x-autoshift-tier"] == "small"
        assert reply.headers["x-autoshift-verified"] == "yes"
        assert gate.provider.asked() == ["model-small"]
        # The lowest tier is judged by the second (LLM-AT).
        assert gate.provider.asked(judging=True) == ["model-medium"]


async def test_a_refused_answer_escalates_and_is_never_sent(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says("WRONG"))
        gate.provider.answers("model-medium", Says("right"))
        gate.provider.verdicts("model-medium", INVALID, VALID)
        for stream in (False, True):
            gate.provider.verdicts("model-medium", INVALID, VALID)
            reply = await gate.ask(stream=stream)
            assert "right" in reply.text
            assert "WRONG" not in reply.text


async def test_the_last_tier_is_not_judged(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        reply = await gate.ask()
        assert reply.headers["x-autoshift-tier"] == "large"
        assert reply.headers["x-autoshift-verified"] == "no"
        assert gate.provider.asked() == ["model-small", "model-medium", "model-large"]
        assert gate.provider.asked(judging=True) == ["model-medium", "model-medium"]


async def test_every_call_is_priced_by_its_purpose(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", INVALID, VALID)
        reply = await gate.ask()
        told = await gate.decision_of(reply)
        # small: 100 in at $1, 50 out at $4 a million; medium ten times that; each verdict 200/5.
        assert told["costs_usd"]["draft"] == pytest.approx(300e-6)
        assert told["costs_usd"]["answer"] == pytest.approx(3000e-6)
        assert told["costs_usd"]["judge"] == pytest.approx(2 * 2200e-6)
        assert float(reply.headers["x-autoshift-cost-usd"]) == pytest.approx(7700e-6)
        assert [attempt["arrived"] for attempt in told["attempts"]] == ["direct", "after_reject"]
        metrics = (await gate.http.get("/metrics")).text
        name = "autoshift_cost_usd_total"
        assert metric(metrics, name, tier="small", purpose="draft") == pytest.approx(300e-6)
        assert metric(metrics, name, tier="medium", purpose="judge") == pytest.approx(4400e-6)


@pytest.mark.parametrize(
    "babble",
    [
        "VALID",
        "Yes, the answer is valid.",
        '{"verdict": "valid"}',
        '{"verdict": "VALID", "verdict2": "INVALID"}',
        '["VALID"]',
        "",
    ],
)
async def test_a_judge_that_babbles_gives_no_verdict(tmp_path: Path, babble: str) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", Says(babble))
        reply = await gate.ask()
        # At θ = 0.7 small and medium are not trusted unverified, so the top answers.
        assert reply.headers["x-autoshift-tier"] == "large"
        assert "judge" in reply.headers["x-autoshift-degraded"]
        told = await gate.decision_of(reply)
        assert told["attempts"][0]["verdicts"][0]["valid"] is None


async def test_a_judge_that_fails_gives_no_verdict(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.verdicts("model-medium", Fails(500))
        reply = await gate.ask()
        assert reply.headers["x-autoshift-tier"] == "large"
        assert reply.headers["x-autoshift-verified"] == "no"


async def test_an_answer_without_a_verdict_is_served_where_the_records_trust_its_tier(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, llm_at={"threshold": 0.5}) as gate:
        gate.provider.verdicts("model-medium", Fails(500))
        reply = await gate.ask()
        assert reply.headers["x-autoshift-tier"] == "small"
        assert reply.headers["x-autoshift-verified"] == "no"


@pytest.mark.parametrize(
    ("answer", "more", "check"),
    [
        (Says("   "), {}, "not_empty"),
        (Says("half an ans", finish="length"), {}, "finished"),
        (Says("no json"), {"response_format": {"type": "json_object"}}, "json"),
    ],
)
async def test_an_exact_check_refuses_without_a_judge(
    tmp_path: Path, answer: Says, more: dict[str, Any], check: str
) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", answer)
        gate.provider.answers("model-medium", Says('{"a": 1}'))
        reply = await gate.ask(**more)
        assert reply.headers["x-autoshift-tier"] == "medium"
        told = await gate.decision_of(reply)
        assert [v["by"] for v in told["attempts"][0]["verdicts"]] == [f"check:{check}"]
        assert gate.provider.asked(judging=True) == ["model-medium"]


async def test_an_answer_cut_by_the_clients_own_cap_is_served_as_it_is(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says("half an ans", finish="length"))
        reply = await gate.ask(max_tokens=3)
        assert reply.json()["choices"][0]["finish_reason"] == "length"
        assert reply.headers["x-autoshift-tier"] == "small"
        assert gate.provider.calls[0].body["max_completion_tokens"] == 3
        assert len(gate.provider.calls) == 1


async def test_a_policy_is_chosen_by_the_models_name(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        reply = await gate.ask(model="auto:always:medium")
        assert reply.headers["x-autoshift-tier"] == "medium"
        assert gate.provider.asked(judging=True) == []
        reply = await gate.ask(model="auto:cascade")
        assert reply.headers["x-autoshift-tier"] == "small"
        told = await gate.decision_of(await gate.ask(model="auto:random"))
        assert told["policy"] == "random"
        assert told["start"]["propensities"] == pytest.approx(
            {"small": 1 / 3, "medium": 1 / 3, "large": 1 / 3}
        )


async def test_who_judges_can_be_configured(tmp_path: Path) -> None:
    async with gateway(tmp_path, judge={"by": "large"}) as gate:
        await gate.ask()
        assert gate.provider.asked(judging=True) == ["model-large"]
    async with gateway(tmp_path / "b", judge={"by": "none"}) as gate:
        reply = await gate.ask()
        assert reply.headers["x-autoshift-verified"] == "no"
        assert gate.provider.asked(judging=True) == []


async def test_upstream_calls_are_bounded_whatever_the_policy_says(tmp_path: Path) -> None:
    async with gateway(tmp_path, limits={"max_calls": 3}) as gate:
        gate.provider.answers("model-small", Says("first"))
        gate.provider.answers("model-medium", Says("second"))
        gate.provider.verdicts("model-medium", INVALID)
        reply = await gate.ask()
        assert len(gate.provider.calls) == 3
        assert "max_calls" in reply.headers["x-autoshift-degraded"]
        assert reply.json()["choices"][0]["message"]["content"] == "second"
