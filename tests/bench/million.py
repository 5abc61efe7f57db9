"""A million records in the embedded store: what it costs to fill, index, start and search it."""

import resource
import time
from pathlib import Path
from random import Random

import numpy as np
from rich.progress import Progress

from app.embedder import StaticEmbedder
from app.records import Vector
from app.store import EdgeStore
from app.store.generations import size_bytes
from tests.bench import cases
from tests.bench.figures import AT_START, Figures
from tests.bench.load import percentile
from tests.bench.stands import Stands
from tests.bench.stock import fill

RECORDS = 1_000_000
UPKEEP_RECORDS = 10_000
"""So many new ones, as in life, make the store index them."""
CENTRES = 2_000
SEARCHES = 1_000
NEIGHBOURS = 50


class Questions:
    """Vectors of made questions: about a few thousand subjects, each asked in many ways."""

    def __init__(self, dimension: int) -> None:
        self._rng = np.random.default_rng(1)
        self._centres = self._rng.standard_normal((CENTRES, dimension), np.float32)

    async def embed(self) -> Vector:
        """Shape: (dimension,), length 1."""
        near = self._centres[self._rng.integers(CENTRES)]
        vector = near + 0.7 * self._rng.standard_normal(near.shape, np.float32)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)


async def million(directory: Path, progress: Progress, records: int) -> Figures:
    """Fill a store, index it, start the gateway on it, and index once more after new records."""
    figures, embedder, rng = Figures(), StaticEmbedder(), Random(1)  # noqa: S311
    path, case = directory / "million", f"{records:,} records"
    questions = Questions(embedder.dimension)
    store = EdgeStore(path, dimension=embedder.dimension, upkeep_records=10**9)
    await store.open()
    try:
        begun_s = time.perf_counter()
        await fill(store, records, questions.embed, rng, progress)
        figures.note("writing, ms a record", case, 1000 * (time.perf_counter() - begun_s) / records)
        await _indexed(store, path, figures, f"{case}, all at once")
        await _searched(store, questions, embedder.tag, figures, case)
    finally:
        await store.close()
    await _started(directory, path, progress, figures, case)
    store = EdgeStore(path, dimension=embedder.dimension, upkeep_records=10**9)
    await store.open()
    try:
        await fill(store, UPKEEP_RECORDS, questions.embed, rng, progress)
        await _searched(store, questions, embedder.tag, figures, f"{UPKEEP_RECORDS:,} of them new")
        await _indexed(store, path, figures, f"{UPKEEP_RECORDS:,} new ones")
    finally:
        await store.close()
    return figures


async def _indexed(store: EdgeStore, path: Path, figures: Figures, case: str) -> None:
    begun_s = time.perf_counter()
    await store.upkeep()
    figures.note("indexing, s", case, time.perf_counter() - begun_s)
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    figures.note("indexing, most memory of its process, MiB", case, peak_kib / 2**10)
    figures.note("disk, MiB", case, size_bytes(path) / 2**20)


async def _searched(
    store: EdgeStore, questions: Questions, tag: str, figures: Figures, case: str
) -> None:
    taken_s = []
    for _ in range(SEARCHES):
        vector = await questions.embed()
        begun_s = time.perf_counter()
        found = await store.search(vector, tenant="local", embedder=tag, limit=NEIGHBOURS)
        taken_s.append(time.perf_counter() - begun_s)
        if len(found) != NEIGHBOURS:
            raise SystemExit(f"{len(found)} records found where {NEIGHBOURS} were to be")
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        figures.note(f"search, ms, {name}", case, percentile(taken_s, share))


async def _started(
    directory: Path, path: Path, progress: Progress, figures: Figures, case: str
) -> None:
    task = progress.add_task("starting the gateway", total=None)
    with Stands(directory) as stands:
        configuration = cases.configuration(stands.provider().url, path)
        stand = stands.gateway("gateway-million", configuration)
        figures.note("start to ready, s", case, stand.started_s)
        stand.settle()
        figures.note_memory(AT_START, case, stand.memory_mib())
    progress.remove_task(task)
