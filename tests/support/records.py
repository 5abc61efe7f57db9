"""Records, vectors and what keeps them, for tests of how they are kept."""

import os
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import numpy as np
import orjson

from app.recorder import Recorder
from app.records import Attempt, Evidence, Record, Vector
from app.store import EdgeStore, Insert, Note, Outbox, RecordStore

DIMENSION = 8
EMBEDDER = "static-8"


def new_id() -> str:
    return str(uuid.uuid4())


def record(
    record_id: str | None = None,
    *,
    tenant: str = "local",
    embedder: str | None = EMBEDDER,
    task: str | None = None,
    learn: bool = True,
    conversation: str | None = None,
    principal: str | None = None,
    time_s: float = 1.0,
) -> Record:
    return Record(
        id=record_id or new_id(),
        time_s=time_s,
        tenant=tenant,
        kind="routed",
        policy="llm_at",
        policy_version="1",
        ladder=("small", "large"),
        eligible=("small", "large"),
        embedder=embedder,
        task=task,
        conversation=conversation,
        principal=principal,
        learn=learn,
        attempts=[Attempt(tier="small", arrived="direct", outcome="complete", cost_usd=0.001)],
        served=0,
        outcome="answered",
    )


def direction(degrees: float, dimension: int = DIMENSION) -> Vector:
    """A unit vector; two of them are as similar as the cosine of the angle between them."""
    vector = np.zeros(dimension, dtype=np.float32)
    vector[:2] = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return vector


def insert(kept: Record, vector: Vector | None = None) -> Insert:
    return Insert(kept.id, kept.tenant, kept.to_json(), vector)


def evidence(by: str = "large", *, valid: bool = True) -> Evidence:
    return Evidence(source="judge", valid=valid, by=by, time_s=2.0, cost_usd=0.01)


def note(kept: Record, evidence_id: str, noted: Evidence, *, tenant: str | None = None) -> Note:
    return Note(kept.id, tenant or kept.tenant, evidence_id, orjson.dumps(noted))


async def found(
    store: RecordStore, *, tenant: str = "local", embedder: str = EMBEDDER, limit: int = 10
) -> list[str]:
    """The ids of the neighbours, nearest first."""
    neighbours = await store.search(direction(0), tenant=tenant, embedder=embedder, limit=limit)
    return [neighbour.record.id for neighbour in neighbours]


def holds(directory: Path, word: bytes) -> bool:
    """Whether any file in there has these bytes."""
    # A generation that is swapped out may vanish while it is walked through.
    files = (Path(folder) / name for folder, _, names in os.walk(directory) for name in names)
    return any(word in _content(path) for path in files)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    """Wait for a condition, under a deadline."""
    with anyio.fail_after(within_s):
        while not await holds():
            await anyio.sleep(0.005)


@asynccontextmanager
async def edge(path: Path) -> AsyncGenerator[EdgeStore]:
    store = EdgeStore(path, dimension=DIMENSION)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def running(
    store: RecordStore,
    outbox: Outbox,
    observe: Callable[[Record, bool], None] = lambda _record, _acknowledged: None,
) -> AsyncGenerator[Recorder]:
    """A recorder at work, without long pauses."""
    outbox.open()
    recorder = Recorder(store, outbox, observe, jitter=lambda: 0.1, tidy_s=0.02)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.run)
            await anyio.wait_all_tasks_blocked()
            yield recorder
            tasks.cancel_scope.cancel()
    finally:
        outbox.close()


async def delivered(recorder: Recorder) -> None:
    async def none_waits() -> bool:
        return recorder.backlog == 0

    await until(none_waits)
