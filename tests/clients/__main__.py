"""Real clients against a running gateway: who sees what, as a table.

`python -m tests.clients [CLIENT…]` makes the environments, plays every scenario to every client and
ends with status 1 if one of them saw anything else than it should.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from app.main import create_app
from app.serving import serving
from app.settings.configuration import build_settings
from tests.clients.clients import ROOT, Client, prepare, runnable
from tests.clients.proxy import proxy
from tests.clients.scenarios import HELD_S, SCENARIOS, Scenario
from tests.clients.upstream import Json, Upstream, mark, upstream
from tests.support.gateway import configuration

TURN_S: Final = 30.0
SLOW_TURN_S: Final = HELD_S + 50
MATRIX_S: Final = 480.0
LINE_BYTES: Final = 4 * 1024 * 1024
HOLD_S: Final = 2.0
# Half of nginx's: a held answer outlasts it by keep-alives only.
IDLE_S: Final = 30.0
SHOWN: Final = 600
PATIENT: Final = {"connect_s": 5, "first_byte_s": SLOW_TURN_S, "idle_s": SLOW_TURN_S}

Cell = Literal["ok", "FAILED", "-"]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one scenario at one client; `wrong` says what was not as expected."""

    client: str
    scenario: str
    cell: Cell
    wrong: Sequence[str] = ()
    seen: Json | None = None


async def main(names: Sequence[str]) -> int:
    """The exit status."""
    clients = [client for client in runnable() if not names or client.name in names]
    await prepare(clients)
    results: list[Result] = []
    async with behind_a_gateway() as (url, provider):
        try:
            async with asyncio.timeout(MATRIX_S), asyncio.TaskGroup() as tasks:
                for client in clients:
                    # The slow ones wait most of the time: they have a driver of their own.
                    for slow in (False, True):
                        played = [scenario for scenario in SCENARIOS if scenario.slow is slow]
                        tasks.create_task(_collect(client, played, url, provider, results))
        except TimeoutError:
            sys.stdout.write(f"NOT ALL WAS PLAYED in {MATRIX_S:.0f} s\n")
    _show(clients, results)
    passed = sum(result.cell == "ok" for result in results)
    failed = len(SCENARIOS) * len(clients) - sum(result.cell != "FAILED" for result in results)
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 1 if failed or not passed else 0


@asynccontextmanager
async def behind_a_gateway() -> AsyncGenerator[tuple[str, Upstream], None]:
    """The base URL of a proxy before a gateway that climbs scripted tiers, and those tiers."""
    plays = {scenario.name: scenario.play for scenario in SCENARIOS}
    with tempfile.TemporaryDirectory() as store:
        async with upstream(plays) as provider:
            told = configuration(provider.url, Path(store), policy="cascade")
            told["tiers"] = [{**tier, "timeouts": PATIENT} for tier in told["tiers"]]
            told["server"]["hold_s"] = HOLD_S
            told["aliases"] = {"gpt-4o": "auto"}
            app = create_app(build_settings(told))
            async with (
                app.router.lifespan_context(app),
                serving(app, drain_s=1) as listening,
                proxy(int(listening.url.rpartition(":")[2]), IDLE_S) as port,
            ):
                yield f"http://127.0.0.1:{port}/v1", provider


async def _collect(
    client: Client,
    scenarios: Sequence[Scenario],
    url: str,
    provider: Upstream,
    results: list[Result],
) -> None:
    driver = Driver(client)
    try:
        for scenario in scenarios:
            if scenario.action in client.lacks or client.name in scenario.not_for:
                results.append(Result(client.name, scenario.name, "-"))
                continue
            seen = await driver.turn(scenario, url)
            asked = provider.asked(client.name, scenario.name)
            wrong = differences(client, scenario, seen, asked)
            cell: Cell = "FAILED" if wrong else "ok"
            results.append(Result(client.name, scenario.name, cell, wrong, seen))
    finally:
        driver.stop()


class Driver:
    """A client's driver: a process that does one turn a line; started anew if it died."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._process: Process | None = None

    async def turn(self, scenario: Scenario, url: str) -> Json:
        """What the client saw; `died` instead where its process did not live to tell."""
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        turn = {
            "base_url": url,
            "action": scenario.action,
            "model": scenario.model,
            "prompt": f"What is 12 + 30? {mark(self._client.name, scenario.name)}",
            "retries": scenario.retries,
        }
        try:
            process.stdin.write(json.dumps(turn).encode() + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(SLOW_TURN_S if scenario.slow else TURN_S):
                line = await process.stdout.readline()
            seen: Json = json.loads(line)
        except (TimeoutError, ConnectionError, ValueError) as exc:
            self.stop()
            return {"died": repr(exc)}
        return seen

    def stop(self) -> None:
        """End the process."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        self._process = None

    async def _start(self) -> Process:
        program, *arguments = self._client.command
        # No key, proxy or setting of whoever runs this reaches a client.
        self._process = await asyncio.create_subprocess_exec(
            shutil.which(program) or program,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env={"NO_PROXY": "*", "PYTHONWARNINGS": "ignore", "PYTHONUTF8": "1"},
            limit=LINE_BYTES,
        )
        return self._process


def differences(
    client: Client, scenario: Scenario, seen: Json, asked: Sequence[str]
) -> Sequence[str]:
    """Where what was seen is not what should have been."""
    expected = dict(scenario.expected)
    raised = expected.pop("raised", None)
    found = [
        f"{key}: {_short(seen.get(key))} instead of {_short(value)}"
        for key, value in expected.items()
        if seen.get(key) != value
    ]
    found += _raised_differences(client, raised, seen)
    if scenario.asked is not None and list(asked) != list(scenario.asked):
        found.append(f"asked {asked} instead of {list(scenario.asked)}")
    return found


def _raised_differences(client: Client, expected: object, seen: Json) -> Sequence[str]:
    raised = seen.get("raised")
    if not isinstance(expected, dict):
        return [f"raised {raised}"] if raised else []
    if raised is None:
        return ["raised nothing"]
    wanted = client.errors[expected["status"]] if expected else client.broken
    found = [
        f"raised {key} {raised.get(key)!r} instead of {value!r}"
        for key, value in expected.items()
        if raised.get(key) != value
    ]
    return found if wanted in raised["is"] else [*found, f"raised {raised['is']}, no {wanted}"]


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:60]}… ({len(shown)} characters)"


def _show(clients: Sequence[Client], results: Sequence[Result]) -> None:
    """The matrix, and below it what was wrong."""
    cells: Mapping[tuple[str, str], Cell] = {(r.scenario, r.client): r.cell for r in results}
    head = f"{'':28}" + "".join(f"{client.name:>13}" for client in clients)
    lines = [head]
    for scenario in SCENARIOS:
        row = "".join(f"{cells.get((scenario.name, client.name), '?'):>13}" for client in clients)
        lines.append(f"{scenario.name:28}{row}")
    for result in results:
        if result.cell == "FAILED":
            lines += [f"{result.client} / {result.scenario}: {'; '.join(result.wrong)}"]
            lines += [f"    saw {json.dumps(result.seen, ensure_ascii=False)[:SHOWN]}"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
