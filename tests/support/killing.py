"""A real gateway under load that is killed again and again, and what is left of its records."""

import asyncio
import json
import multiprocessing
import random
import socket
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from app.cli import main
from app.embedder import build_embedder
from app.records import Record
from app.settings import EmbedderSection
from app.store import EdgeStore, Wanted
from tests.support.gateway import chat, configuration, until
from tests.support.ledger import Witness, acknowledged_in, discrepancies
from tests.support.provider import Says, provider

CLIENTS = 8
STARTS_WITHIN_S = 30.0
ANSWERS_AHEAD = 1000

# A process that has imported everything, and begins as a fork of one that has nothing open.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.support.killing"])


@dataclass(frozen=True, slots=True)
class Killed:
    """What came of it; `discrepancies` are the ledger's, in words."""

    kills: int
    acknowledged: int
    fewest_acknowledged: int
    in_store: int
    discrepancies: list[str]


async def killed(
    directory: Path, *, kills: int, acks_each: int, seed: int, told: Callable[[int], None]
) -> Killed:
    """Kill a gateway under load so many times, each after so many acknowledgements and a moment.

    It starts again on the same records each time, and in the end is stopped as it should be.
    """
    chance = random.Random(seed)  # noqa: S311 - when to kill is no secret
    fewest, before = sys.maxsize, 0
    async with provider() as behind:
        numbers = count()
        config, url = _configured(directory, behind.url)
        witness = Witness(httpx.AsyncHTTPTransport(trust_env=False))
        async with httpx.AsyncClient(base_url=url, timeout=10, transport=witness) as http:
            for number in range(kills):
                # Each answer once, so that a reply can be told from every other.
                ahead = [Says(f"answer {next(numbers)}") for _ in range(ANSWERS_AHEAD)]
                behind.answers("model-small", *ahead)
                async with _running(config, http) as process, asyncio.TaskGroup() as tasks:
                    for client in range(CLIENTS):
                        tasks.create_task(_keep_asking(http, stream=client % 2 == 1))
                    wanted = before + acks_each + CLIENTS
                    await until(lambda: len(witness.exchanges) >= wanted, within_s=60)  # noqa: B023
                    await asyncio.sleep(chance.uniform(0, 0.05))
                    process.kill()
                    process.join()
                acknowledged = len(acknowledged_in(witness.exchanges[before:]))
                fewest, before = min(fewest, acknowledged), len(witness.exchanges)
                told(number + 1)
            async with _running(config, http) as process:
                process.terminate()
                await asyncio.to_thread(process.join, STARTS_WITHIN_S)
                assert process.exitcode == 0, f"it ended with {process.exitcode}"
    kept = await _kept(directory / "store")
    models = {name: {f"model-{name}"} for name in ("small", "medium", "large")}
    return Killed(
        kills=kills,
        acknowledged=len(acknowledged_in(witness.exchanges)),
        fewest_acknowledged=fewest,
        in_store=len(kept),
        discrepancies=discrepancies(witness.exchanges, behind.given, kept, models=models),
    )


def serve(config: str) -> None:
    """What the process does."""
    sys.stderr = (Path(config).parent / "log").open("a")
    sys.exit(main(["serve", "--config", config, "--log-level", "ERROR"]))


def _configured(directory: Path, provider_url: str) -> tuple[Path, str]:
    """A configuration in a file, and where its gateway will be."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = configuration(provider_url, directory / "store")
    settings["server"] = {**settings["server"], "port": port}
    path = directory / "autoshift.yaml"
    path.write_text(json.dumps(settings))
    return path, f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _running(config: Path, http: httpx.AsyncClient) -> AsyncGenerator[BaseProcess, None]:
    process = _processes.Process(target=serve, args=(str(config),), daemon=True)
    process.start()
    try:

        async def is_up() -> bool:
            assert process.is_alive(), "it does not start"
            with suppress(httpx.TransportError):
                return (await http.get("/readyz")).status_code == 200
            return False

        await until(is_up, STARTS_WITHIN_S)
        yield process
    finally:
        process.kill()
        process.join()


async def _keep_asking(http: httpx.AsyncClient, *, stream: bool) -> None:
    """Ask until the gateway is gone."""
    with suppress(httpx.TransportError):
        while True:
            await http.post("/v1/chat/completions", json=chat(stream=stream))


async def _kept(directory: Path) -> dict[str, list[Record]]:
    """The records in a store that nobody has open."""
    store = EdgeStore(directory, dimension=build_embedder(EmbedderSection()).dimension)
    kept: dict[str, list[Record]] = defaultdict(list)
    await store.open()
    try:
        start, more = None, True
        while more:
            rows, start = await store.scan(Wanted("local"), start=start, limit=256)
            more = start is not None
            for row in rows:
                kept[row.id] += [row.record] if row.record is not None else []
    finally:
        await store.close()
    return kept
