"""20,000 requests whose every upstream call fails with p = .1 to .3: each ends well, once, in time.

Answers are told apart by request, so the ledger of each block (provider, clients, outbox, store)
shows that everyone got their own, that every record acknowledged is kept once, and that no verdict
fell on what had failed.
"""

import asyncio
import logging
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from tests.long._requests import DEADLINE_S, TIERS, Tally, all_quiet, answer_of, ask, within_bounds
from tests.support.faults import Act, Hop, breaks, event, fails, holds, raw, sends
from tests.support.faulty_gateway import QUICK, faulty_gateway, tiers
from tests.support.gateway import metric

REQUESTS = 20_000
BLOCK = 500
CLIENTS = 12
CHANCES = (0.1, 0.2, 0.3)
MODELS = ("auto", "auto:cascade", "auto:llm_at", "small")
FAULTS: dict[str, Act] = {
    "500": fails(500),
    "503": fails(503),
    "429": fails(429, "retry-after: 1"),
    "429, later": fails(429, "retry-after: 600"),
    "401": fails(401),
    "400": fails(400),
    "reset": raw(b"", "reset"),
    "cut": breaks(2, "cut"),
    "reset in the middle": breaks(2, "reset"),
    "garbage": sends(b"data: {{{\n\n"),
    "no finish": sends(event({"content": "half"})),
    "an error with 200": sends(b'data: {"error": {"message": "no"}}\n\n'),
    "silence": holds(),
}


def run(*, scale: float) -> dict[str, object]:
    """Blocks of requests, each with a gateway, a store and a seed of its own."""
    logging.disable(logging.ERROR)
    figures: Counter[str] = Counter()
    slowest_s = 0.0
    blocks = max(1, round(REQUESTS * scale / BLOCK))
    for seed in range(blocks):
        chance = CHANCES[seed % len(CHANCES)]
        with tempfile.TemporaryDirectory() as store:
            try:
                tally, block = asyncio.run(_block(Path(store), seed, chance))
            except BaseException as exc:
                exc.add_note(f"seed {seed}, p = {chance}")
                raise
        figures.update(block)
        figures.update({f"ended: {end}": count for end, count in tally.ends.items()})
        slowest_s = max(slowest_s, tally.slowest_s)
    most = max(int(name.split()[-1]) for name in figures if name.startswith("most calls"))
    counts = {name: count for name, count in figures.items() if not name.startswith("most")}
    told = {"seeds": f"0 to {blocks - 1}", "p": CHANCES, "slowest, s": round(slowest_s, 1)}
    return {**told, "most calls for one request": most, **dict(sorted(counts.items()))}


async def _block(store: Path, seed: int, chance: float) -> tuple[Tally, Counter[str]]:
    rng, tally, played = Random(seed), Tally(), Counter[str]()  # noqa: S311

    def chooses(hop: Hop) -> Act:
        if rng.random() >= chance:
            return answer_of(hop)
        name = rng.choice(list(FAULTS))
        played[f"fault: {name}"] += 1
        return FAULTS[name]

    quick = {"timeouts": {**QUICK, "first_byte_s": 1}}
    settings = {
        "server": {"port": 0, "deadline_s": DEADLINE_S},
        "tiers": tiers(**dict.fromkeys(TIERS, quick)),
        "retries": {},
        "breaker": {"open_s": 0.2, "open_max_s": 1},
        "policy": "value",
    }
    async with faulty_gateway(store, **settings) as (gate, behind):
        behind.chooses = chooses
        numbers = iter(range(BLOCK))

        async def client() -> None:
            for number in numbers:
                mark, model = f"s{seed}n{number}", rng.choice(MODELS)
                leaves_s = rng.uniform(0, 0.3) if rng.random() < 0.02 else None
                stream = rng.random() < 0.5
                await ask(gate, mark, tally, leaves_after_s=leaves_s, model=model, stream=stream)

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        await all_quiet(gate, behind)
        most = within_bounds(behind)
        counted = (await gate.http.get("/metrics")).text
        retries = sum(
            metric(counted, "autoshift_upstream_retries_total", upstream=f"scripted/model-{tier}")
            for tier in TIERS
        )
        stale = sum(hop.kept for hop in behind.log)
        calls = len(behind.log)
        played.update({"requests": BLOCK, "upstream calls": calls, "retries": int(retries)})
        played[f"most calls {most}"] += 1
        assert retries <= stale + 0.2 * BLOCK + 30 * 12, f"{retries} retries"
    return tally, played
