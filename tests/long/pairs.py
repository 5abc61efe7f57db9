"""Every two faults at once, 20 requests each: whatever fails together, each ends well and once.

Row X1; the embedder fails as none outside the process can make it, so another one is put in.
"""

import asyncio
import logging
import tempfile
import warnings
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app.errors import EmbedderError
from tests.long._requests import DEADLINE_S, Tally, all_quiet, answer_of, ask, within_bounds
from tests.support.embedder import ScriptedEmbedder
from tests.support.faults import Act, Hop, breaks, fails, holds, sends
from tests.support.faulty_gateway import QUICK, faulty_gateway, tiers
from tests.support.qdrant import FakeQdrant, fake_qdrant

REQUESTS = 20
CLIENTS = 4
FAILING = {"U2": "small", "U5": "small", "U7": "medium"}
ACTS: Mapping[str, Act] = {"U2": fails(500), "U5": holds(), "U7": breaks(2, "cut")}
OTHERS = {
    "E1": "the embedder fails",
    "Q1": "the store goes down",
    "J1": "the judge babbles",
    "D1": "the outbox is full",
    "C1": "the client leaves",
}


def run(*, scale: float) -> dict[str, object]:
    """Each pair with a gateway of its own."""
    logging.disable(logging.ERROR)
    warnings.filterwarnings("ignore", "Payload indexes have no effect")
    requests = max(4, round(REQUESTS * scale))
    pairs = list(combinations([*ACTS, *OTHERS], 2))
    tally = Tally()
    for pair in pairs:
        with tempfile.TemporaryDirectory() as store, pytest.MonkeyPatch.context() as patch:
            try:
                _embedder(patch, fails="E1" in pair)
                asyncio.run(_pair(Path(store), frozenset(pair), requests, tally))
            except BaseException as exc:
                exc.add_note(" and ".join(pair))
                raise
    ends = {f"ended: {end}": count for end, count in sorted(tally.ends.items())}
    told = {"pairs": len(pairs), "requests": len(pairs) * requests}
    return {**told, "slowest, s": round(tally.slowest_s, 1), **ends}


async def _pair(store: Path, pair: frozenset[str], requests: int, tally: Tally) -> None:
    rng = Random("+".join(sorted(pair)))  # noqa: S311
    quick = {"timeouts": {**QUICK, "first_byte_s": 1, "idle_s": 1}}
    settings: dict[str, Any] = {
        "server": {"port": 0, "deadline_s": DEADLINE_S},
        "tiers": tiers(small=quick),
        "retries": {},
        "breaker": {"open_s": 0.2, "open_max_s": 1},
    }
    async with fake_qdrant() as server:
        section: dict[str, Any] = {"path": str(store), "url": server.url if "Q1" in pair else None}
        settings["store"] = {**section, **({"outbox_bytes": 4096} if "D1" in pair else {})}
        async with faulty_gateway(store, **settings) as (gate, behind):
            behind.chooses = lambda hop: _act(hop, pair)
            numbers = iter(range(requests))

            async def client() -> None:
                for number in numbers:
                    if "Q1" in pair and number == requests // 4:
                        _take_down(server)
                    leaves_s = rng.uniform(0, 0.5) if "C1" in pair and number % 2 else None
                    await ask(
                        gate,
                        f"n{number}",
                        tally,
                        leaves_after_s=leaves_s,
                        model=rng.choice(("auto:cascade", "auto:llm_at", "auto:value")),
                        stream=rng.random() < 0.5,
                    )

            await asyncio.gather(*(client() for _ in range(CLIENTS)))
            await all_quiet(gate, behind)
            within_bounds(behind)
            server.faults.read_status = server.faults.write_status_code = 200


def _embedder(patch: pytest.MonkeyPatch, *, fails: bool) -> None:
    if fails:
        embedder = ScriptedEmbedder()
        embedder.gives = EmbedderError("no")
        patch.setattr("app.parts.build_embedder", lambda _: embedder)


def _take_down(server: FakeQdrant) -> None:
    server.faults.read_status = server.faults.write_status_code = 503


def _act(hop: Hop, pair: frozenset[str]) -> Act:
    """The fault that this call meets, if it meets one."""
    if hop.judging and "J1" in pair:
        return sends(b'data: {"choices": [{"index": 0, "message": {"content": "Both."}}]}\n\n')
    for fault, tier in FAILING.items():
        if fault in pair and hop.model == f"model-{tier}" and not hop.judging:
            return ACTS[fault]
    return answer_of(hop)
