"""Abstaining, through the door: a climb that is hopeless ends before its dearest call."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import configuration, gateway, metric
from tests.support.provider import INVALID, Says

pytestmark = pytest.mark.anyio


def tiers(*priors: float) -> list[dict[str, Any]]:
    """The usual three with other priors."""
    usual = configuration("http://127.0.0.1:9/v1", Path())["tiers"]
    return [tier | {"prior": prior} for tier, prior in zip(usual, priors, strict=True)]


async def test_where_nothing_better_is_likely_the_best_answer_goes_out_flagged(
    tmp_path: Path,
) -> None:
    abstain = {"below": 0.3, "explore": 0}
    async with gateway(tmp_path, abstain=abstain, tiers=tiers(0.05, 0.08, 0.1)) as gate:
        gate.provider.answers("model-small", Says("a guess"))
        for stream in (False, True):
            gate.provider.verdicts("model-medium", INVALID)
            reply = await gate.ask(stream=stream)
            assert reply.status_code == 200
            assert "a guess" in reply.text
            assert reply.headers["x-autoshift-degraded"] == "abstained"
            assert reply.headers["x-autoshift-verified"] == "no"
        assert gate.provider.asked() == ["model-small", "model-small"]
        told = (await gate.http.get("/metrics")).text
        assert metric(told, "autoshift_degraded_requests_total", reason="abstained") == 2


async def test_if_so_configured_nothing_goes_out_and_the_error_says_what_to_do(
    tmp_path: Path,
) -> None:
    abstain = {"below": 0.3, "action": "refuse", "explore": 0}
    async with gateway(tmp_path, abstain=abstain, tiers=tiers(0.05, 0.08, 0.1)) as gate:
        gate.provider.answers("model-small", Says("a guess"))
        for stream in (False, True):
            gate.provider.verdicts("model-medium", INVALID)
            reply = await gate.ask(stream=stream)
            assert reply.status_code == 422
            error = reply.json()["error"]
            assert error["code"] == "no_tier_likely"
            assert "ask for a tier by its name" in error["message"]
            assert "a guess" not in reply.text
        assert gate.provider.asked() == ["model-small", "model-small"]


@pytest.mark.parametrize(
    ("abstain", "priors"),
    [
        ({"below": 0.3, "explore": 0}, (0.05, 0.08, 0.9)),
        ({"below": 0.3, "explore": 1}, (0.05, 0.08, 0.1)),
        ({}, (0.05, 0.08, 0.1)),
    ],
    ids=["a tier above may well be right", "to learn", "by default"],
)
async def test_the_climb_goes_on(
    tmp_path: Path, abstain: dict[str, Any], priors: tuple[float, ...]
) -> None:
    async with gateway(tmp_path, abstain=abstain, tiers=tiers(*priors)) as gate:
        gate.provider.verdicts("model-medium", INVALID)
        reply = await gate.ask()
        assert reply.headers["x-autoshift-tier"] == "large"
        assert reply.headers["x-autoshift-degraded"] == "none"


async def test_a_policy_that_believes_nothing_of_tiers_never_abstains(tmp_path: Path) -> None:
    abstain = {"below": 0.99, "explore": 0}
    async with gateway(tmp_path, abstain=abstain, policy="cascade") as gate:
        gate.provider.verdicts("model-medium", INVALID)
        reply = await gate.ask()
        assert reply.headers["x-autoshift-degraded"] == "none"
        assert len(gate.provider.asked()) > 1


@pytest.mark.parametrize("policy", ["bandit", "benchmark", "emafusion"])
async def test_the_learning_policies_serve_and_heed_a_dial(tmp_path: Path, policy: str) -> None:
    async with gateway(tmp_path, bandit={"optimism": 0}) as gate:
        model = f"auto:{policy}"
        dear = await gate.ask(model=model, autoshift={"quality_per_dollar": 0.001})
        cheap = await gate.ask(model=model, autoshift={"quality_per_dollar": 1e9})
        other = await gate.ask(model=model, autoshift={"keep_quality": 0.9})

        assert dear.headers["x-autoshift-tier"] == "large"
        assert cheap.headers["x-autoshift-tier"] == "small"
        assert other.status_code == 400
        assert "ask for 'auto:value'" in other.json()["error"]["message"]
        told = await gate.decision_of(dear)
        assert told["policy"].startswith(policy)
