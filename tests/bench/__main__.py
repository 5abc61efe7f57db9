"""What routing costs: CPU per request and chunk, added latency, memory, beside a bare proxy.

Every figure is a ratio inside one run: the machine's own speed drifts, so all are asked in turn,
round by round, the order reversed each time. The gateway and its rivals have one core, the provider
and the load the other.
"""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import httpx
import orjson
import uvloop
from rich.console import Console
from rich.progress import Progress

from tests.bench import cases
from tests.bench.cases import Case
from tests.bench.figures import AFTER_PINNED, AT_START, LAG, Figures, show
from tests.bench.lag import lags
from tests.bench.load import closed_loop, open_loop, percentile, streams
from tests.bench.million import RECORDS, million
from tests.bench.stands import LAST, Stand, Stands
from tests.bench.stock import stock

CONNECTIONS = 16
STREAMS_AT_ONCE = 20
RATES_PER_S = (50, 200)
PROVIDER_MS = 50
PARTS = ("cpu", "streams", "latency", "memory", "lag")


class Bench:
    """One run over all cases."""

    def __init__(self, stands: dict[str, Stand], progress: Progress, scale: float) -> None:
        self._stands = stands
        self._progress = progress
        self._scale = scale
        self.figures = Figures()

    async def run(self, rounds: int, parts: Collection[str]) -> None:
        """All cases of these parts in turn, as many times."""
        measured = {
            "cpu": (self._cpu, cases.PLAIN),
            "streams": (self._stream, cases.STREAMED),
            "latency": (self._latency, cases.PACED),
        }
        steps = [
            (measure, case)
            for part, (measure, those) in measured.items()
            for case in those
            if part in parts and case.stand in self._stands
        ]
        task = self._progress.add_task("measuring", total=rounds * len(steps))
        for number in range(rounds):
            for measure, case in steps if number % 2 == 0 else steps[::-1]:
                self._progress.update(task, description=f"round {number + 1}: {case.name}")
                await measure(case)
                self._progress.advance(task)

    async def memory(self) -> None:
        """What the gateway holds after 20,000 pinned requests, and after 100,000."""
        stand = self._stands[cases.PINNED.stand]
        target = cases.PINNED.target(stand.url)
        task = self._progress.add_task("memory", total=100)
        done = 0
        for until in (20_000, 100_000):
            goal = self._count(until)
            while done < goal:
                step = min(self._count(2_000), goal - done)
                await closed_loop(target, connections=CONNECTIONS, requests=step)
                done += step
                self._progress.update(task, completed=100 * done / self._count(100_000))
            self.figures.note_memory(AFTER_PINNED, f"{until:,}", stand.memory_mib())

    async def lag(self, directory: Path, sizes: Sequence[int]) -> None:
        """How late the event loop is under too much load, and while the store is indexed."""
        for case, size in zip(cases.AUTO, cases.SIZES, strict=True):
            if size in sizes:
                stand = self._stands[case.stand]
                task = self._progress.add_task(f"event loop: {case.name}", total=None)
                target, store = case.target(stand.url), directory / f"store-{size}"
                found = await lags(
                    stand, target, store, case=f"{size:,} records", scale=self._scale
                )
                for name, late_ms in found.items():
                    self.figures.note(LAG, name, late_ms)
                self._progress.remove_task(task)

    async def _cpu(self, case: Case) -> None:
        stand = self._stands[case.stand]
        target = case.target(stand.url)
        await closed_loop(target, connections=CONNECTIONS, requests=self._count(200))
        before, used_s = await self._counts(), stand.cpu_s()
        requests = self._count(30_000 if case is cases.NGINX else 2_000)
        took_s = await closed_loop(target, connections=CONNECTIONS, requests=requests)
        used_s = stand.cpu_s() - used_s
        after = await self._counts()
        expect(case, "answers", after["answers"] - before["answers"], requests)
        expect(case, "verdicts", after["verdicts"] - before["verdicts"], requests * case.verdicts)
        self.figures.note("CPU per request, ms", case.name, 1000 * used_s / requests)
        self.figures.note("requests per second, one core", case.name, requests / took_s)

    async def _stream(self, case: Case) -> None:
        stand = self._stands[case.stand]
        target = case.target(stand.url, stream=True)
        await streams(target, at_once=2, each=1)
        used_s, before = stand.cpu_s(), await self._counts()
        done = await streams(target, at_once=STREAMS_AT_ONCE, each=self._count(4))
        used_s = stand.cpu_s() - used_s
        after = await self._counts()
        chunks = sum(one.chunks for one in done)
        expect(case, "streams", after["streams"] - before["streams"], len(done))
        expect(case, "chunks", chunks, after["chunks"] - before["chunks"])
        expect(case, "verdicts", after["verdicts"] - before["verdicts"], len(done) * case.verdicts)
        if case is not cases.PROVIDER:
            self.figures.note("CPU per chunk, µs", case.name, 1e6 * used_s / chunks)
        await self._first_words(case, stand)

    async def _first_words(self, case: Case, stand: Stand) -> None:
        target = case.target(stand.url, stream=True)
        one_by_one = await streams(target, at_once=1, each=self._count(8))
        first_s = [one.first_s for one in one_by_one]
        self.figures.note("first words, ms, p50", case.name, percentile(first_s, 0.5))

    async def _latency(self, case: Case) -> None:
        target = case.target(self._stands[case.stand].url, wait_ms=PROVIDER_MS)
        for per_s in RATES_PER_S:
            requests = self._count(4 * per_s)
            taken_s = await open_loop(target, per_s=per_s, requests=requests)
            for name, share in (("p50", 0.5), ("p99", 0.99)):
                measure = f"latency at {per_s} requests a second, ms, {name}"
                self.figures.note(measure, case.name, percentile(taken_s, share))

    async def _counts(self) -> dict[str, int]:
        async with httpx.AsyncClient(trust_env=False) as http:
            reply = await http.get(f"{self._stands['provider'].url}/counts")
        counts: dict[str, int] = reply.json()
        return counts

    def _count(self, whole: int) -> int:
        return max(1, round(whole * self._scale))


def expect(case: Case, what: str, got: int, wanted: int) -> None:
    """A benchmark that did not do what it says must not print a figure."""
    if got != wanted:
        raise SystemExit(f"{case.name}: {got} {what} where {wanted} were to be; not measured")


async def main() -> None:
    """Start everything, measure, print tables and write the figures."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=list(cases.SIZES), metavar="RECORDS"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--million",
        type=int,
        nargs="?",
        const=RECORDS,
        metavar="RECORDS",
        help="only this: a store of a million records; most of an hour, 15 GB of disk",
    )
    given = parser.parse_args()
    if given.million:
        await measure_million(given.million, given.json)
        return
    os.sched_setaffinity(0, {LAST})
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="autoshift-bench-") as directory,
        Progress(console=console) as progress,
        Stands(Path(directory)) as stands,
    ):
        up = await start(stands, Path(directory), given.sizes, progress)
        bench = Bench(up, progress, given.scale)
        for size in given.sizes:
            stand = up[f"gateway-{size}"]
            bench.figures.note("start to ready, s", f"{size:,} records", stand.started_s)
            bench.figures.note_memory(AT_START, f"{size:,} records", stand.memory_mib())
        await bench.run(given.rounds, given.parts)
        if "memory" in given.parts:
            await bench.memory()
        if "lag" in given.parts:
            await bench.lag(Path(directory), given.sizes)
    tell(bench.figures, given.rounds, given.json)


async def measure_million(records: int, json: Path | None) -> None:
    """Only what a large store costs, with both cores."""
    with (
        tempfile.TemporaryDirectory(prefix="autoshift-bench-") as directory,
        Progress(console=Console(stderr=True)) as progress,
    ):
        figures = await million(Path(directory), progress, records)
    tell(figures, 1, json)


def tell(figures: Figures, rounds: int, json: Path | None) -> None:
    """Print the tables, and write the figures."""
    date = time.strftime("%Y-%m-%d")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    show(figures, f"{machine}, {date}, {rounds} rounds")
    if json:
        report = {"machine": machine, "date": date, "rounds": rounds}
        json.write_bytes(orjson.dumps({**report, "figures": figures.to_json()}))


async def start(
    stands: Stands, directory: Path, sizes: Sequence[int], progress: Progress
) -> dict[str, Stand]:
    """All processes, by name, each quiet again."""
    provider = stands.provider()
    up = {"provider": provider}
    for name, transport in (("bare", "gateway"), ("bare-httpx", "httpx")):
        up[name] = stands.bare(provider, transport)
    nginx = stands.nginx(provider)
    if nginx is None:
        progress.console.print("nginx is not installed: its column is left out")
    else:
        up["nginx"] = nginx
    for size in sizes:
        store = directory / f"store-{size}"
        await stock(store, size, progress)
        stand = stands.gateway(f"gateway-{size}", cases.configuration(provider.url, store))
        up[f"gateway-{size}"] = stand
        stand.settle()
    return up


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
