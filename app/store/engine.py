"""Calls into the embedded engine that need its configuration, and its errors in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    KeywordIndexParams,
    Point,
    UpdateMode,
    UpdateOperation,
)

from app.errors import StoreError, StoreMismatchError
from app.store.lock import locked
from app.store.protocol import VECTOR_NAME


def create_shard(directory: Path, dimension: int) -> None:
    """Make an empty shard in a new directory, and close it."""
    with engine_errors("make a store"):
        directory.mkdir(parents=True)
        shard = EdgeShard.create(str(directory), _config(dimension))
        # Both indexes: a filter on a field without one reads every payload (8 ms, not 0.4).
        for name in ("tenant", "embedder"):
            index = KeywordIndexParams(is_tenant=name == "tenant")
            shard.update(UpdateOperation.create_field_index(name, index))
        shard.flush()
        shard.close()


def load_shard(directory: Path, dimension: int) -> EdgeShard:
    """Open the shard in this directory.

    Errors: StoreLockedError, StoreMismatchError, StoreError.
    """
    try:
        with engine_errors(f"open {directory}"):
            return EdgeShard.load(str(directory), _config(dimension))
    except StoreError as exc:
        # The engine raises bare exceptions, told apart by their text only.
        if "WouldBlock" in exc.message:
            raise locked(directory) from exc
        if "vector size" in exc.message:
            raise StoreMismatchError(
                f"{directory} holds records of another embedder, whose vectors are not of "
                f"dimension {dimension}: use another store.path, or the earlier embedder"
            ) from exc
        raise


def insert_points(shard: EdgeShard, points: list[Point]) -> None:
    """Insert those points whose ids are new."""
    with engine_errors("write"):
        shard.update(UpdateOperation.upsert_points(points, update_mode=UpdateMode.InsertOnly))


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn whatever the engine raises into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except Exception as exc:
        raise StoreError(f"the record store could not {doing}: {exc}") from exc
    except BaseException as exc:
        if type(exc).__name__ == "PanicException":  # a Rust panic, which is no Exception
            raise StoreError(f"the record store broke down ({doing}): {exc}") from exc
        raise


def _config(dimension: int) -> EdgeConfig:
    return EdgeConfig(
        vectors={VECTOR_NAME: EdgeVectorParams(size=dimension, distance=Distance.Cosine)}
    )
