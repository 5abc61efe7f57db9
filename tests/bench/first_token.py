"""How much later the first words arrive through the gateway than from the provider itself.

Provider and gateway are processes of their own. Each round asks all of them in turn, so that a slow
moment of the machine falls on all alike.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import orjson
import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.support.gateway import configuration

PIECES = ["word "] * 64
WARM_UP = 20


async def first_content_s(http: httpx.AsyncClient, url: str, body: dict[str, object]) -> float:
    """Seconds from sending the request to the first chunk with text."""
    started_s = time.perf_counter()
    async with http.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
        first_s = 0.0
        async for line in reply.aiter_lines():
            if not first_s and b'"content":"word' in line.encode():
                first_s = time.perf_counter() - started_s
        return first_s


async def measure(rounds: int, ways: dict[str, tuple[str, dict[str, object]]]) -> dict[str, object]:
    """Medians and 99th percentiles in milliseconds, by way."""
    taken_s: dict[str, list[float]] = {way: [] for way in ways}
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        for number in track(range(WARM_UP + rounds), "asking", console=Console(stderr=True)):
            order = list(ways) if number % 2 else list(ways)[::-1]
            for way in order:
                url, body = ways[way]
                first_s = await first_content_s(http, url, body)
                if number >= WARM_UP:
                    taken_s[way].append(first_s)
    return {
        way: {
            "p50_ms": 1000 * statistics.median(taken),
            "p99_ms": 1000 * statistics.quantiles(taken, n=100)[98],
        }
        for way, taken in taken_s.items()
    }


def body(model: str, **more: object) -> dict[str, object]:
    return {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": "Tell me sixty-four words, please."}],
        **more,
    }


async def main() -> None:
    """Start both, measure, print a table and, with --json, the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "bench.yaml"
        provider, provider_url = start("-m", "tests.bench.words")
        file.write_bytes(orjson.dumps(configuration(f"{provider_url}/v1", Path(directory))))
        gateway, gateway_url = start("-m", "app.cli", "serve", "--config", str(file))
        try:
            figures = await measure(
                given.rounds,
                {
                    "the provider itself": (provider_url, body("model-large")),
                    "pinned": (gateway_url, body("large")),
                    "auto, last tier": (gateway_url, body("auto:always:large")),
                    "auto, direct": (gateway_url, body("auto", autoshift={"stream": "direct"})),
                    "auto, verified": (gateway_url, body("auto", autoshift={"stream": "verified"})),
                },
            )
        finally:
            gateway.terminate()
            provider.terminate()
    show(figures, as_json=given.json)


def start(*arguments: str) -> tuple["subprocess.Popen[str]", str]:
    """The process, and the address it says it listens on."""
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, *arguments], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "listens on http" in line:
            return process, line.split("listens on ")[1].split("/v1")[0].split()[0]
    raise SystemExit(f"{arguments} did not start")


def show(figures: dict[str, object], *, as_json: bool) -> None:
    """Added time is against the provider itself, in the same run."""
    if as_json:
        print(orjson.dumps(figures).decode())  # noqa: T201
        return
    table = Table("way", "p50 ms", "p99 ms", "added p50 ms", title="Time to the first words")
    own = figures["the provider itself"]
    for way, taken in figures.items():
        assert isinstance(taken, dict)
        assert isinstance(own, dict)
        added = taken["p50_ms"] - own["p50_ms"]
        table.add_row(way, f"{taken['p50_ms']:.2f}", f"{taken['p99_ms']:.2f}", f"{added:+.2f}")
    Console().print(table)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
