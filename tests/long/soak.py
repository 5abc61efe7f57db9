"""Half an hour of requests, 5 % of calls failing, 2 % of clients leaving: nothing grows or is left.

The gateway is a process of its own, so that its memory is its own.
"""

import asyncio
import logging
import math
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import orjson

from tests.long._requests import answer_of
from tests.support.faults import Act, Hop, breaks, fails, faulty_provider
from tests.support.faulty_gateway import tiers
from tests.support.gateway import chat, configuration

WARM_REQUESTS = 50_000
"""More than twice as many as anything in the gateway remembers: until then it fills."""
SECONDS = 1260
PER_S = 50
AT_ONCE = 64
KEPT_S = 130
"""Longer than an idle connection to a provider is kept: up to twice its 60 s."""
KEPT_RECORDS = 20_000
"""The store's own share of memory grows with its records, so this many are kept, no more."""
TROUGH = 1 / 9
"""Of the time: in so long the store is indexed anew, which takes memory, and over with it."""
SLOPE_MIB = 1.0
"""How much memory may grow in ten minutes: it is broken where the growth is certainly more."""
CERTAIN = 2.0
"""How many standard errors make it so."""
TOLD_WITHIN_S = 30
LISTENS = "Autoshift listens on "
FAULTS: tuple[Act, ...] = (fails(500), fails(503), breaks(2, "cut"), breaks(2, "reset"))


@dataclass(frozen=True, slots=True)
class Watched:
    """The gateway's process; its address; where it writes down what memory it has in use."""

    pid: int
    url: str
    in_use: Path

    async def sample(self, at_s: float) -> "Sample":
        """Memory of its own, not the pages of files that it has mapped."""
        self.in_use.unlink(missing_ok=True)
        os.kill(self.pid, signal.SIGUSR1)
        async with asyncio.timeout(TOLD_WITHIN_S):
            while not self.in_use.exists():
                await asyncio.sleep(0.01)
        process = Path(f"/proc/{self.pid}")
        (kib,) = re.findall(
            r"RssAnon:\s+(\d+) kB", (process / "status").read_text(encoding="ascii")
        )
        files = len(list((process / "fd").iterdir()))
        return Sample(at_s, int(kib) * 1024, int(self.in_use.read_text(encoding="ascii")), files)


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway at one moment."""

    at_s: float
    rss_bytes: int
    in_use_bytes: int
    files: int


def run(*, scale: float) -> dict[str, object]:
    """At scale 1 about 40 minutes at 50 requests a second; less is shorter, not slower."""
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_soak(Path(folder), round(WARM_REQUESTS * scale), SECONDS * scale))


async def _soak(folder: Path, warm: int, for_s: float) -> dict[str, object]:
    rng = Random(1)  # noqa: S311

    def chooses(hop: Hop) -> Act:
        return rng.choice(FAULTS) if rng.random() < 0.05 else answer_of(hop)

    said: list[str] = []
    async with faulty_provider() as behind, _served(folder, behind.url, said) as gateway:
        behind.chooses = chooses
        limits = httpx.Limits(max_connections=AT_ONCE)
        http = httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False, limits=limits)
        async with http:
            await _requests(http, rng, 2.0, 5)
            await asyncio.sleep(2)
            before, warming_s = await gateway.sample(0.0), time.monotonic()
            answered = 0
            while answered < warm:
                more = await _requests(http, rng, 5.0, PER_S)
                assert more, f"nothing is answered any more, after {answered}: {said[-3:]}"
                answered += more
                behind.log.clear()
            warming_s = time.monotonic() - warming_s
            samples, watched = await _watched(http, rng, for_s, gateway, behind.log)
        after = await _idle(gateway, before.files)
    bugs = [line for line in said if "Traceback" in line or "never retrieved" in line]
    assert not bugs, f"{len(bugs)} unhandled: {bugs[0]}"
    troughs = _troughs(samples, TROUGH * for_s)
    told: dict[str, object] = {
        "answered": answered + watched,
        "per s": round((answered + watched) / (warming_s + for_s), 1),
        "filled after, s": round(warming_s),
    }
    grown: list[str] = []
    for what, of in (("anonymous memory", "rss_bytes"), ("memory in use", "in_use_bytes")):
        least_mib = [getattr(each, of) / 2**20 for each in troughs]
        slope, error = _slope([each.at_s / 600 for each in troughs], least_mib)
        told[f"{what} before, after, MiB"] = [
            round(getattr(each, of) / 2**20) for each in (before, after)
        ]
        told[f"{what}, troughs, MiB"] = [round(each) for each in least_mib]
        told[f"{what}, MiB / 10 min, standard error"] = [round(slope, 2), round(error, 2)]
        if slope - CERTAIN * error > SLOPE_MIB:
            grown.append(what)
    told["files before, after"] = [before.files, after.files]
    assert after.files <= before.files + 2, f"files were left open: {told}"
    # Of a shorter run the slope is noise, and what fills is its growth.
    assert for_s < 0.7 * SECONDS or not grown, f"{' and '.join(grown)} grows: {told}"
    return told


def _slope(at: list[float], values: list[float]) -> tuple[float, float]:
    """By least squares, and its standard error."""
    fitted = statistics.linear_regression(at, values)
    off = [value - fitted.intercept - fitted.slope * x for x, value in zip(at, values, strict=True)]
    mean = statistics.fmean(at)
    spread = sum((x - mean) ** 2 for x in at)
    return fitted.slope, math.sqrt(sum(o * o for o in off) / (len(at) - 2) / spread)


def _troughs(samples: list[Sample], every_s: float) -> list[Sample]:
    """The least of each stretch of time: what is held while nothing takes memory for a moment."""
    stretches: dict[int, list[Sample]] = {}
    for each in samples:
        stretches.setdefault(int(each.at_s / every_s), []).append(each)
    return [
        Sample(
            statistics.fmean(one.at_s for one in those),
            min(one.rss_bytes for one in those),
            min(one.in_use_bytes for one in those),
            those[-1].files,
        )
        for those in stretches.values()
    ]


async def _watched(
    http: httpx.AsyncClient, rng: Random, for_s: float, gateway: Watched, log: list[Hop]
) -> tuple[list[Sample], int]:
    """Samples of the gateway while it is asked, and how many requests were answered."""
    samples: list[Sample] = []
    began_s = time.monotonic()

    async def watch() -> None:
        while True:
            log.clear()
            samples.append(await gateway.sample(time.monotonic() - began_s))
            await asyncio.sleep(min(5.0, for_s / 50))

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch())
        answered = await _requests(http, rng, for_s, PER_S)
        watching.cancel()
    return samples, answered


async def _requests(http: httpx.AsyncClient, rng: Random, for_s: float, per_s: float) -> int:
    """Ask so often, whether or not earlier ones are through; how many were answered."""
    began_s, sent = time.monotonic(), 0
    asked: set[asyncio.Task[bool]] = set()
    answered = 0
    async with asyncio.TaskGroup() as tasks:
        while (spent_s := time.monotonic() - began_s) < for_s:
            # What does not fit is not sent: this is no test of overload.
            while sent < spent_s * per_s and len(asked) < AT_ONCE:
                sent += 1
                leaves_s = rng.uniform(0, 0.1) if rng.random() < 0.02 else 30.0
                asked.add(tasks.create_task(_one(http, rng.randrange(10**9), leaves_s)))
            sent = max(sent, int(spent_s * per_s) - AT_ONCE)
            await asyncio.sleep(1 / per_s)
            over = {task for task in asked if task.done()}
            answered += sum(task.result() for task in over)
            asked -= over
    return answered + sum(task.result() for task in asked)


async def _one(http: httpx.AsyncClient, number: int, leaves_s: float) -> bool:
    """Whether it was answered."""
    body = {**chat(f"What is [n{number}]?"), "stream": number % 2 == 0}
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(leaves_s):
            return (await http.post("/v1/chat/completions", json=body)).status_code == 200
    return False


async def _idle(gateway: Watched, files: int) -> Sample:
    """The gateway once it has closed the connections it had kept, as far as it does."""
    found = await gateway.sample(0.0)
    until_s = time.monotonic() + KEPT_S
    while found.files > files and time.monotonic() < until_s:
        await asyncio.sleep(1)
        found = await gateway.sample(0.0)
    return found


@asynccontextmanager
async def _served(
    folder: Path, provider_url: str, said: list[str]
) -> AsyncGenerator[Watched, None]:
    """What it says goes to `said`."""
    usual = configuration(provider_url, folder / "store")
    config = folder / "config.yaml"
    written = {
        **usual,
        "tiers": tiers(),
        "policy": "value",
        "retries": {},
        "breaker": {},
        "records": {"keep": {"per_tenant": KEPT_RECORDS}},
    }
    config.write_bytes(orjson.dumps(written))
    in_use = folder / "in_use"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.long._in_use", str(in_use)),
        *("serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
    )
    stderr = process.stderr
    assert stderr is not None
    try:
        while not (line := (await stderr.readline()).decode()).startswith(LISTENS):
            assert line, "it does not start"

        async def listen() -> None:
            while more := await stderr.readline():
                said.append(more.decode())

        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(listen())
            yield Watched(process.pid, line.removeprefix(LISTENS).split("/v1")[0], in_use)
            listening.cancel()
    finally:
        process.terminate()
        await process.wait()
