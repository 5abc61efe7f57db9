"""`autoshift serve` as its users run it: a process that starts, refuses to, stops, or is killed."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.store import EdgeStore
from tests.support.gateway import chat, configuration, until
from tests.support.provider import Says, provider

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 15
NOWHERE = "http://127.0.0.1:1/v1"
LISTENS = "Autoshift listens on "


@dataclass(frozen=True, slots=True)
class Served:
    """A gateway in a process of its own, and a client in front of it."""

    process: asyncio.subprocess.Process
    http: httpx.AsyncClient

    async def stop(self) -> int:
        """End it as an orchestrator does; its exit status."""
        self.process.terminate()
        async with asyncio.timeout(STARTS_WITHIN_S):
            return await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


async def start(*arguments: str | Path, by: Sequence[str] = ()) -> asyncio.subprocess.Process:
    """`by` is what runs the command, if anything does."""
    return await asyncio.create_subprocess_exec(
        *(*by, sys.executable, "-m", "app.cli", "serve", *map(str, arguments)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def served(*arguments: str | Path, by: Sequence[str] = ()) -> AsyncGenerator[Served, None]:
    """A process that is up."""
    process = await start(*arguments, by=by)
    try:
        url = await _address(process)
        async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as http:
            yield Served(process, http)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = ""
    async with asyncio.timeout(STARTS_WITHIN_S):
        while line := (await process.stderr.readline()).decode():
            if line.startswith(LISTENS):
                return line.removeprefix(LISTENS).split("/v1")[0]
            said += line
    raise AssertionError(f"it does not listen: {said}")


async def refusal(*arguments: str | Path) -> str:
    """The one line of a process that does not start."""
    process = await start(*arguments)
    async with asyncio.timeout(STARTS_WITHIN_S):
        _, said = await process.communicate()
    lines = said.decode().splitlines()
    assert process.returncode == 2, said
    assert len(lines) == 1, said
    assert lines[0].startswith("autoshift: ")
    return lines[0].removeprefix("autoshift: ")


def config_file(directory: Path, base_url: str = NOWHERE, **more: Any) -> Path:
    """A configuration as a file; JSON is YAML."""
    path = directory / f"{len(list(directory.iterdir()))}.yaml"
    path.write_text(json.dumps({**configuration(base_url, directory / "store"), **more}))
    return path


@pytest.mark.timeout(60)  # eight processes, one after the other
async def test_every_mistake_in_the_configuration_is_told_in_one_line(tmp_path: Path) -> None:
    tiers = configuration("", tmp_path)["tiers"]
    astray = [{**tiers[0], "provider": "nobody"}, *tiers[1:]]
    keyed = {"scripted": {"base_url": NOWHERE, "api_key_env": "NO_SUCH_KEY"}}
    malformed = tmp_path / "malformed.yaml"
    malformed.write_text("tiers:\n  - {name: small\npolicy: llm_at\n")
    listed = tmp_path / "listed.yaml"
    listed.write_text("- small\n- large\n")
    expected = {
        malformed: ("malformed.yaml", "malformed YAML", "line 3"),
        listed: ("must be a mapping", "config/autoshift.example.yaml"),
        tmp_path / "missing.yaml": ("missing.yaml", "cannot be read"),
        config_file(tmp_path, polcy="llm_at"): ("polcy", "did you mean 'policy'"),
        config_file(tmp_path, policy="magic"): ("policy", "magic", "llm_at"),
        config_file(tmp_path, tiers=tiers[:1]): ("tiers: at least 2 are needed", "not 1"),
        config_file(tmp_path, tiers=astray): ("small", "'nobody'", "under providers (scripted)"),
        config_file(tmp_path, providers=keyed): ("providers.scripted", "export NO_SUCH_KEY="),
    }
    for path, wanted in expected.items():
        line = await refusal("--config", path)
        assert all(word in line for word in wanted), (line, wanted)


async def test_without_a_configuration_both_examples_are_named() -> None:
    said = await refusal()
    for example in ("config/autoshift.example.yaml", "config/sandbox.yaml"):
        assert example in said
        assert (ROOT / example).exists()


async def test_a_misspelt_variable_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSHIFT_STORE__PAHT", "x")
    said = await refusal("--config", config_file(tmp_path))
    assert "AUTOSHIFT_STORE__PAHT" in said
    assert "did you mean AUTOSHIFT_STORE__PATH?" in said


async def test_a_store_in_use_or_of_another_embedder_is_told_in_one_line(tmp_path: Path) -> None:
    locked, other, file = (tmp_path / name for name in ("locked", "other", "file"))
    holder = EdgeStore(locked, dimension=3)
    await holder.open()
    foreign = EdgeStore(other, dimension=3)
    await foreign.open()
    await foreign.close()
    file.write_text("not a directory")
    expected = {
        config_file(tmp_path, store={"path": str(locked)}): ("in use", "store.path"),
        config_file(tmp_path, store={"path": str(other)}): ("dimension 256", "store.path"),
        config_file(tmp_path, store={"path": str(file)}): (str(file), "cannot be used"),
    }
    said = await asyncio.gather(*(refusal("--config", path) for path in expected))
    await holder.close()
    for line, wanted in zip(said, expected.values(), strict=True):
        assert all(word in line for word in wanted), (line, wanted)


async def test_a_port_in_use_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = await refusal("--config", config_file(tmp_path, server={"port": port}))
    assert f"127.0.0.1:{port}" in said
    assert "server.port" in said


async def test_the_sandbox_answers_and_says_that_it_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSHIFT_STORE__PATH", str(tmp_path))
    monkeypatch.setenv("AUTOSHIFT_SERVER__PORT", "0")
    async with served("--sandbox", "--json") as gate:
        for stream in (False, True):
            reply = await gate.http.post("/v1/chat/completions", json=chat(stream=stream))
            assert reply.status_code == 200
            assert reply.headers["x-autoshift-simulated"] == "yes"
            assert '"simulated":true' in reply.text
        assert (await gate.http.get("/readyz")).json()["status"] == "ready"
        assert gate.process.stdout is not None
        told = json.loads(await gate.process.stdout.readline())
        assert told == {
            "url": f"{str(gate.http.base_url).rstrip('/')}/v1",
            "policy": "value",
            "simulated": True,
        }
        assert await gate.stop() == 0


async def test_a_request_under_way_is_finished_before_the_end(tmp_path: Path) -> None:
    async with provider() as behind:
        gate_open = asyncio.Event()
        behind.answers("model-small", Says("finished", gate=gate_open))
        async with (
            served("--config", config_file(tmp_path, behind.url)) as gate,
            asyncio.TaskGroup() as tasks,
        ):
            asking = tasks.create_task(gate.http.post("/v1/chat/completions", json=chat()))
            await until(lambda: behind.open == 1)
            stopping = tasks.create_task(gate.stop())
            await asyncio.sleep(0)
            gate_open.set()
            assert "finished" in (await asking).text
            assert await stopping == 0


async def test_a_restart_keeps_the_records_and_routes_by_them(tmp_path: Path) -> None:
    async with provider() as behind:
        behind.answers("model-small", Says(""))
        config = config_file(tmp_path, behind.url)
        async with served("--config", config) as gate:
            ids = [await _ask(gate) for _ in range(6)]
            assert await gate.stop() == 0
        assert behind.calls[0].model == "model-small"
        behind.calls.clear()
        async with served("--config", config) as gate:
            for decision in ids:
                assert (await gate.http.get(f"/v1/decisions/{decision}")).status_code == 200
            told = (await gate.http.get(f"/v1/decisions/{await _ask(gate)}")).json()
        assert behind.asked() == ["model-medium"]
        assert told["start"]["neighbours"] == 5
        assert told["start"]["top_similarity"] == pytest.approx(1, abs=1e-4)


async def _ask(gate: Served) -> str:
    reply = await gate.http.post("/v1/chat/completions", json=chat())
    assert reply.status_code == 200
    return reply.headers["x-autoshift-decision"]
