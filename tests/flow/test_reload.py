"""Reloading: keys, limits and prices change while the gateway serves; a mistake changes nothing."""

import asyncio
import json
import logging
import signal
from pathlib import Path
from typing import Any

import pytest

from app.settings.configuration import load_settings
from tests.flow.test_serve import served
from tests.support.gateway import Gateway, Json, chat, configuration, gateway, until
from tests.support.provider import Says, provider

pytestmark = pytest.mark.anyio

OLD, NEW, OTHER = ("old-0123456789abcdef", "new-0123456789abcdef", "other-0123456789abcde")


def keys(directory: Path, name: str, *secrets: str, **more: Any) -> Json:
    """A key whose secrets are in a file."""
    path = directory / f"{name}.key"
    path.write_text("\n".join(secrets) + "\n")
    return {"name": name, "tenant": name, "key_file": str(path), **more}


def reload(gate: Gateway, directory: Path, **more: Any) -> None:
    """As SIGHUP does, with a file that now says this."""
    path = directory / "autoshift.yaml"
    path.write_text(json.dumps(configuration(gate.provider.url, directory / "store", **more)))
    gate.app.state.in_force.reload(lambda: load_settings(path))


def by(secret: str) -> dict[str, str]:
    return {"api-key": secret}


async def test_keys_their_limits_and_prices_change_and_what_is_under_way_ends_as_it_began(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    team = keys(tmp_path, "team", OLD)
    async with gateway(tmp_path / "store", keys=[team]) as gate:
        gate.provider.answers("model-small", held := Says(gate=asyncio.Event()), Says())
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(gate.ask(headers=by(OLD), model="small"))
            await until(lambda: gate.provider.open == 1)
            tiers = configuration(gate.provider.url, tmp_path)["tiers"]
            tiers[0]["price"] = {"input": 2, "output": 8}
            reload(
                gate,
                tmp_path,
                keys=[
                    keys(tmp_path, "team", NEW),
                    keys(tmp_path, "more", OTHER, limits={"requests_per_minute": 1}),
                ],
                tiers=tiers,
                aliases={"gpt-4o": "auto"},
                policy="always:small",
            )
            assert held.gate is not None
            held.gate.set()
        assert waiting.result().status_code == 200
        assert float(waiting.result().headers["x-autoshift-cost-usd"]) == pytest.approx(0.0003)
        assert (await gate.ask(headers=by(OLD))).status_code == 401
        reply = await gate.ask(headers=by(NEW), model="gpt-4o")
        assert float(reply.headers["x-autoshift-cost-usd"]) == pytest.approx(0.0006)
        told = await gate.http.get(
            f"/v1/decisions/{reply.headers['x-autoshift-decision']}", headers=by(NEW)
        )
        assert told.json()["policy"] == "always:small"
        assert (await gate.http.get("/v1/models/gpt-4o", headers=by(NEW))).status_code == 200
        asked = [(await gate.ask(headers=by(OTHER))).status_code for _ in range(2)]
        assert asked == [200, 429]
    (line,) = [entry for entry in caplog.records if entry.name == "app.rules"]
    assert vars(line)["needs_restart"] == []


async def test_a_mistake_changes_nothing_and_is_told_with_its_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    team = keys(tmp_path, "team", OLD)
    async with gateway(tmp_path / "store", keys=[team]) as gate:
        for mistake, says in (
            ({"keys": [{**team, "rôle": "user"}]}, "keys.0.rôle: unknown key"),
            ({"keys": [{**team, "policy": "none"}]}, "keys.team.policy: 'none' is none of"),
            ({"keys": [{**team, "key_file": str(tmp_path / "no")}]}, "key_file"),
            ({"keys": [team, {**team, "name": "twin"}]}, "hold the same key"),
            ({"keys": []}, "needs a restart"),
            ({"keys": [team], "policy": "none"}, "policy: 'none' is none of"),
            ({"keys": [team], "tiers": []}, "tiers"),
        ):
            caplog.clear()
            reload(gate, tmp_path, **mistake)
            (line,) = [entry for entry in caplog.records if entry.name == "app.rules"]
            assert says in vars(line)["why"]
            assert OLD not in str(vars(line))
            assert (await gate.ask(headers=by(OLD))).status_code == 200, mistake
        (tmp_path / "autoshift.yaml").write_text("{")
        gate.app.state.in_force.reload(lambda: load_settings(tmp_path / "autoshift.yaml"))
        assert "malformed YAML" in vars(caplog.records[-1])["why"]
        assert (await gate.ask(headers=by(OLD))).status_code == 200


async def test_what_needs_a_restart_is_named_and_the_rest_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    team = keys(tmp_path, "team", OLD)
    async with gateway(tmp_path / "store", keys=[team]) as gate:
        more = {"embedder": {"kind": "fastembed"}, "llm_at": {"threshold": 0.1}}
        for _ in range(2):
            caplog.clear()
            reload(gate, tmp_path, keys=[keys(tmp_path, "team", OLD, NEW)], **more)
            (line,) = [entry for entry in caplog.records if entry.name == "app.rules"]
            assert vars(line)["needs_restart"] == ["llm_at", "embedder"]
        assert (await gate.ask(headers=by(NEW))).status_code == 200


async def test_what_is_known_of_a_tenant_comes_with_its_key(tmp_path: Path) -> None:
    team, more = keys(tmp_path, "team", OLD), keys(tmp_path, "more", OTHER)
    async with gateway(tmp_path / "store", keys=[team, more]) as gate:
        assert (await gate.ask(headers=by(OTHER))).status_code == 200
    async with gateway(tmp_path / "store", keys=[team]) as gate:
        assert (await gate.ask(headers=by(OTHER))).status_code == 401
        reload(gate, tmp_path, keys=[team, more])

        async def is_told() -> bool:
            report = (await gate.http.get("/v1/report", headers=by(OTHER))).json()
            return bool(report["requests"] + report["left_out"] == 1)

        await until(is_told)


async def test_sighup_reloads_a_running_gateway(tmp_path: Path) -> None:
    async with provider() as behind:
        path = tmp_path / "autoshift.yaml"

        def write(**more: Any) -> None:
            path.write_text(json.dumps(configuration(behind.url, tmp_path / "store", **more)))

        write(keys=[keys(tmp_path, "team", OLD)])
        async with served("--config", path) as gate:

            async def status(secret: str) -> int:
                body = chat()
                reply = await gate.http.post("/v1/chat/completions", json=body, headers=by(secret))
                return reply.status_code

            assert (await status(OLD), await status(NEW)) == (200, 401)
            write(keys=[keys(tmp_path, "team", NEW)])
            gate.process.send_signal(signal.SIGHUP)

            async def is_swapped() -> bool:
                return (await status(OLD), await status(NEW)) == (401, 200)

            await until(is_swapped)
            path.write_text("{")
            gate.process.send_signal(signal.SIGHUP)
            assert await status(NEW) == 200
            assert await gate.stop() == 0
