"""A store with records in it, made before the gateway that uses it starts."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import uuid_utils
from rich.progress import Progress

from app.embedder import StaticEmbedder
from app.policies.value import Value
from app.records import Attempt, Estimate, Record, Start, Usage, Vector, Verdict
from app.store import EdgeStore, Insert

BATCH = 500
WORDS = (
    *("river", "engine", "novel", "ledger", "proof", "kitchen", "orbit", "contract", "violin"),
    *("harvest", "budget", "gene", "castle", "router", "poem", "tariff", "glacier", "enzyme"),
    *("schema", "mortgage", "lens", "treaty", "compiler", "recipe", "fossil", "vote", "bridge"),
)


async def stock(path: Path, records: int, progress: Progress) -> float:
    """Write this many records and index them; gives the seconds that indexing took.

    The cheap tier was asked and found right, nearly always, as where routing has settled.
    """
    rng, embedder = Random(records), StaticEmbedder()  # noqa: S311 - guards nothing
    store = EdgeStore(path, dimension=embedder.dimension, upkeep_records=10**9)
    await store.open()
    try:

        async def embedded() -> Vector | None:
            return await embedder.embed(question(rng))

        await fill(store, records, embedded, rng, progress)
        task = progress.add_task(f"{records:,} records: indexing", total=None)
        started_s = time.perf_counter()
        await store.upkeep()
        progress.remove_task(task)
        return time.perf_counter() - started_s
    finally:
        await store.close()


async def fill(
    store: EdgeStore,
    records: int,
    vectors: Callable[[], Awaitable[Vector | None]],
    rng: Random,
    progress: Progress,
) -> None:
    """Write this many records with these vectors, said to be the default embedder's."""
    tag = StaticEmbedder().tag
    task = progress.add_task(f"{records:,} records", total=records)
    for begun in range(0, records, BATCH):
        batch: list[Insert] = []
        for number in range(begun, min(begun + BATCH, records)):
            kept = _record(tag, rng, age_s=float(records - number))
            batch.append(Insert(kept.id, kept.tenant, kept.to_json(), await vectors()))
        await store.write(batch)
        progress.advance(task, len(batch))
    progress.remove_task(task)


def question(rng: Random) -> str:
    """One of very many, some more alike than others."""
    return (
        f"How does a {rng.choice(WORDS)} of kind {rng.randrange(1000)} differ from a "
        + " ".join(rng.choices(WORDS, k=4))
    )


def _record(embedder: str, rng: Random, *, age_s: float) -> Record:
    tiers = ("small", "medium", "large")
    right = rng.random() < 0.97
    verdict = Verdict(right, "medium", usage=Usage(300, 8), cost_usd=1e-5, latency_s=0.4)
    attempt = Attempt(
        tier="small",
        arrived="direct",
        model="scripted",
        outcome="complete",
        finish_reason="stop",
        final_answer=f"~{rng.randrange(10**9):x}",
        verdicts=[verdict] if rng.random() < 0.3 else [],
        usage=Usage(150, 100),
        cost_usd=2.5e-5,
        first_byte_s=0.2,
        latency_s=0.9,
    )
    estimates = {tier: Estimate(0.9, 0.9, 20.0, 2.0) for tier in tiers}
    return Record(
        id=str(uuid_utils.uuid7()),
        time_s=time.time() - age_s,
        tenant="local",
        kind="routed",
        policy="value",
        policy_version=Value().version,
        ladder=tiers,
        eligible=tiers,
        embedder=embedder,
        task=None,
        features={"characters": 400.0, "turns": 1.0, "tools": 0.0, "wants_json": 0.0},
        start=Start("small", {"small": 1.0}, estimates, 50, 0.9),
        attempts=[attempt],
        served=0,
        outcome="answered",
        latency_s=1.0,
        phases_s={"embed": 1e-4, "search": 1e-3},
    )
