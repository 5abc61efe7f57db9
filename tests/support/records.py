"""Records and vectors for tests of what keeps them."""

import uuid
from collections.abc import Awaitable, Callable

import anyio
import numpy as np

from app.records import Attempt, Record, Vector
from app.store import Insert, RecordStore

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
) -> Record:
    return Record(
        id=record_id or new_id(),
        time_s=1.0,
        tenant=tenant,
        kind="routed",
        policy="llm_at",
        policy_version="1",
        ladder=("small", "large"),
        eligible=("small", "large"),
        embedder=embedder,
        task=task,
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


async def found(
    store: RecordStore, *, tenant: str = "local", embedder: str = EMBEDDER, limit: int = 10
) -> list[str]:
    """The ids of the neighbours, nearest first."""
    neighbours = await store.search(direction(0), tenant=tenant, embedder=embedder, limit=limit)
    return [neighbour.record.id for neighbour in neighbours]


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    """Wait for a condition, under a deadline."""
    with anyio.fail_after(within_s):
        while not await holds():
            await anyio.sleep(0.005)
