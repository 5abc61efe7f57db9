"""Policies through the door and in replay; model names as RouteLLM's clients write them."""

from pathlib import Path

import pytest

from app.errors import SettingsError
from app.main import create_app
from app.replay.policies import Choice, build_policy, parse_choices, sweep
from app.replay.run import run
from app.settings.configuration import build_settings
from tests.support.gateway import chat, configuration, gateway
from tests.support.provider import Says
from tests.support.recordings import COSTS_USD, course, four

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


@pytest.mark.parametrize(
    "name", ["router-mf-0.5", "router-value-0.5", "router-winrate-1.5", "auto:mf", "other"]
)
def test_an_alias_of_what_is_no_model_is_refused_with_the_configuration(
    tmp_path: Path, name: str
) -> None:
    values = configuration("http://127.0.0.1:9", tmp_path, aliases={"mine": name, "other": "auto"})
    with pytest.raises(SettingsError, match=f"aliases.mine: '{name}' is not a model"):
        create_app(build_settings(values))


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


@pytest.mark.parametrize(
    "name", ["automix", "best_of_n", "winrate", "cascade_routing", "target_error"]
)
async def test_a_policy_serves_plain_streamed_and_several_answers_and_explains_itself(
    tmp_path: Path, name: str
) -> None:
    async with gateway(tmp_path) as gate:
        plain = [await gate.ask(f"What is {n} + 2?", model=f"auto:{name}") for n in range(3)]
        told = await gate.decision_of(plain[-1])
        streamed = await gate.ask("hi", model=f"auto:{name}", stream=True)
        several = await gate.ask("hi", model=f"auto:{name}", n=2)
        explained = await gate.http.post("/v1/explain", json=chat(model=f"auto:{name}"))
        metrics = await gate.http.get("/metrics")

    assert [reply.status_code for reply in (*plain, streamed, several, explained)] == [200] * 6
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert told["policy"] == name
    assert sum(told["start"]["propensities"].values()) == pytest.approx(1)
    believed = set() if name == "best_of_n" else {"small", "medium", "large"}
    assert set(told["start"]["estimates"]) == believed
    told_alarm = 'autoshift_alarms{alarm="target_error"} 0.0' in metrics.text
    assert told_alarm == (name == "target_error")


@pytest.mark.parametrize(
    "name", ["automix", "winrate", "cascade_routing", "target_error", "margin"]
)
async def test_a_policy_replays_at_every_end_of_its_dial(name: str) -> None:
    """Every question answered, and all of its calls in its costs."""
    laid = course(four() * 3)
    for choice in (sweep(name)[0], Choice(name), sweep(name)[-1]):
        outcomes = await run(laid, build_policy(choice, laid.tiers), range(12), seed=1)
        least = [COSTS_USD[laid.tiers[final].model] for final in outcomes["final"]]

        assert outcomes["answer_usd"].tolist() == pytest.approx(least)
        assert ((outcomes["draft_usd"] > 0) == (outcomes["answers"] > 1)).all()


async def test_all_is_every_policy_that_learns() -> None:
    names = [choice.name for choice in parse_choices(["all", "random"], course(four()).tiers)]

    assert names[0] == "value"
    assert {"llm_at", "winrate", "cascade_routing", "target_error"} <= set(names)
    assert names[-1] == "random"
    assert not {"cascade", "always:small"} & set(names)


async def test_best_of_n_asks_again_with_another_prompt_and_serves_what_agrees(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, policy="best_of_n") as gate:
        said = ("The answer is 3.", "The answer is 4.", "So it is 4.\n\nThe answer is: 4")
        gate.provider.answers("model-small", *map(Says, said))
        reply = await gate.ask()
        told = await gate.decision_of(reply)
        calls = gate.provider.calls

    assert reply.headers["x-autoshift-tier"] == "small"
    assert [attempt["arrived"] for attempt in told["attempts"]] == [
        "direct",
        "resample",
        "reprompt",
    ]
    assert [call.model for call in calls] == ["model-small"] * 3
    assert [len(call.body["messages"]) for call in calls] == [1, 1, 2]
    assert reply.json()["choices"][0]["message"]["content"] == said[2]
    # All three were paid for.
    one_usd = (100 * 1 + 50 * 4) / 1e6
    assert float(reply.headers["x-autoshift-cost-usd"]) == pytest.approx(3 * one_usd)
