"""`autoshift explain` as its users run it: beside a running gateway, or on its store."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from tests.support.command import Ran, autoshift
from tests.support.gateway import configuration, gateway

pytestmark = pytest.mark.anyio

QUESTION = "What is 2 + 2?"


async def run(*arguments: str | Path) -> Ran:
    return await autoshift("explain", *arguments, columns=140)


async def test_a_question_and_a_decision_are_explained_running_and_stopped(tmp_path: Path) -> None:
    store, config = tmp_path / "store", tmp_path / "autoshift.yaml"
    settings = {**configuration("http://127.0.0.1:1/v1", store), "policy": "value"}
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    async with gateway(store, policy="value", value={"lessons": 0}) as gate:
        reply = await gate.ask(QUESTION)
        decision = reply.headers["x-autoshift-decision"]
        told, done = await asyncio.gather(
            run(QUESTION, "--url", gate.url, "--keep-quality", "0.9", "--json"),
            run("--decision", decision, "--url", gate.url),
        )
    stopped, nothing, unknown = await asyncio.gather(
        run(QUESTION, "--config", config),
        run("--config", config),
        run("--decision", "none", "--url", "http://127.0.0.1:1"),
    )

    assert (told.status, told.err) == (0, "")
    assert json.loads(told.out)["trade"]["dial"] == {"name": "keep_quality", "value": 0.9}
    assert f"Decision {decision}: served by {reply.headers['x-autoshift-tier']}" in done.out
    assert "Believed at the start: small 0.55, medium 0.65, large 0.90." in done.out
    assert (stopped.status, stopped.err) == (0, "")
    assert decision in stopped.out
    for part in ("What is believed", "What could be done first", "value would ask ", "not kept"):
        assert part in stopped.out
    assert nothing.status == unknown.status == 2
    assert "--decision ID" in nothing.err
    assert "does not answer" in unknown.err
