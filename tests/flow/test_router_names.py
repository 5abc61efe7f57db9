"""Model names as RouteLLM's clients write them: a policy, and its threshold."""

from pathlib import Path

import pytest

from app.configuration import build_settings
from app.errors import SettingsError
from tests.support.gateway import configuration, gateway

pytestmark = pytest.mark.anyio


async def test_a_router_name_is_a_policy_with_a_threshold(tmp_path: Path) -> None:
    async with gateway(tmp_path, aliases={"mf": "router-winrate-0"}) as gate:
        told = {}
        for name in ("router-winrate-0", "router-winrate-1", "mf", "router-llm_at-0.11593"):
            reply = await gate.ask(model=name)
            assert reply.status_code == 200, reply.text
            told[name] = await gate.decision_of(reply)

    served = {name: record["attempts"][record["served"]]["tier"] for name, record in told.items()}
    assert served["router-winrate-0"] == served["mf"] == "large"
    assert served["router-winrate-1"] == "small"
    assert told["router-winrate-1"]["policy"] == "winrate"
    assert 0 < told["router-winrate-1"]["start"]["score"] < 1
    assert "threshold=0.11593" in told["router-llm_at-0.11593"]["policy_version"]


@pytest.mark.parametrize("name", ["router-mf-0.11593", "router-value-0.5", "router-winrate-1.5"])
async def test_a_router_name_without_such_a_policy_says_what_would_be_right(
    tmp_path: Path, name: str
) -> None:
    async with gateway(tmp_path) as gate:
        reply = await gate.ask(model=name)

    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "winrate" in error["message"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"weak": "tiny"}, "winrate.weak: 'tiny' is none of small, medium, large"),
        ({"weak": "large"}, "'large' is not below 'large'"),
        ({"strong_share": 0.3, "threshold": 0.2}, "exclude each other"),
    ],
)
async def test_a_pair_that_cannot_be_is_refused(
    tmp_path: Path, section: dict[str, object], said: str
) -> None:
    values = configuration("http://127.0.0.1:1/v1", tmp_path, winrate=section)
    with pytest.raises(SettingsError, match=said):
        build_settings(values, where="here")
