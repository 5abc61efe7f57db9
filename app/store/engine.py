"""How the embedded engine is configured and asked, and its errors in our words."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from qdrant_edge import (
    CountRequest,
    Direction,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    FloatIndexParams,
    HasIdCondition,
    IsEmptyCondition,
    KeywordIndexParams,
    MatchValue,
    OrderBy,
    Point,
    Query,
    QueryRequest,
    RangeFloat,
    ScrollRequest,
    UpdateMode,
    UpdateOperation,
)
from qdrant_edge import Record as Row

from app.errors import StoreError, StoreMismatchError
from app.records import Vector
from app.store.allocator import give_back_freed
from app.store.generations import sync_all
from app.store.lock import locked
from app.store.payloads import evidence_payload_of, payload_of
from app.store.protocol import VECTOR_NAME, Insert, Note, Operation, Stage, chunks_of, stages_of
from app.store.wanted import Wanted

# The engine holds the interpreter's lock while it applies an update: about 0.1 ms a record.
CHUNK_RECORDS = 32

# A filter on a field without an index reads every payload (8 ms, not 0.4); an order needs one.
_INDEXES: Mapping[str, KeywordIndexParams | FloatIndexParams] = {
    "tenant": KeywordIndexParams(is_tenant=True),
    "embedder": KeywordIndexParams(),
    "conversation": KeywordIndexParams(),
    "policy": KeywordIndexParams(),
    "task": KeywordIndexParams(),
    "principal": KeywordIndexParams(),
    "attempts[].tier": KeywordIndexParams(),
    "time_s": FloatIndexParams(),
}


def create_shard(directory: Path, dimension: int) -> None:
    """Make an empty shard in a new directory, and close it."""
    with engine_errors("make a store"):
        directory.mkdir(parents=True)
        shard = EdgeShard.create(str(directory), _config(dimension))
        _add_indexes(shard)
        shard.flush()
        shard.close()


def load_shard(directory: Path, dimension: int) -> EdgeShard:
    """Open the shard in this directory; one of an earlier version gets the indexes it lacks.

    Errors: StoreLockedError, StoreMismatchError, StoreError.
    """
    try:
        with engine_errors(f"open {directory}"):
            shard = EdgeShard.load(str(directory), _config(dimension))
            _add_indexes(shard)
            return shard
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


def flush_shard(shard: EdgeShard, directory: Path | None) -> None:
    """Flush it. The engine, which holds the interpreter's lock, finds little left to sync.

    Errors: StoreError.
    """
    with engine_errors("flush"):
        if directory is not None:
            sync_all(directory)
        shard.flush()


def discard_shard(shard: EdgeShard, directory: Path) -> None:
    """Close it, and leave nothing of it on the disk or in memory. Errors: StoreError."""
    with engine_errors("close"):
        shard.close()
    shutil.rmtree(directory, ignore_errors=True)
    give_back_freed()


def updates_of(operations: Sequence[Operation], dimension: int) -> list[UpdateOperation]:
    """What the engine must do, in small steps; in order per id."""
    return [
        update for stage in stages_of(operations) for update in _updates_of_stage(stage, dimension)
    ]


def nearest(vector: Vector, *, words: Mapping[str, str], limit: int, vectors: bool) -> QueryRequest:
    """Ask for the points most similar to this vector, of those whose payload has these words."""
    return QueryRequest(
        limit=limit,
        # The stub says list; an array is taken as well, and much faster.
        query=Query.Nearest(vector, using=VECTOR_NAME),  # type: ignore[arg-type]
        filter=Filter(must=[_is(place, word) for place, word in words.items()]) if words else None,
        with_payload=False,
        with_vector=vectors,
    )


def latest(conversation: str, *, tenant: str) -> ScrollRequest:
    """Ask for the latest point of this conversation."""
    return ScrollRequest(
        limit=1,
        filter=Filter(must=[_is("tenant", tenant), _is("conversation", conversation)]),
        order_by=OrderBy("time_s", Direction.Desc),
        with_payload=True,
    )


def by_time(wanted: Wanted, *, newest_first: bool, limit: int, vectors: bool) -> ScrollRequest:
    """Ask for the wanted points, in order of their times."""
    return ScrollRequest(
        limit=limit,
        filter=_filter_of(wanted),
        order_by=OrderBy("time_s", Direction.Desc if newest_first else Direction.Asc),
        with_payload=True,
        with_vector=vectors,
    )


def oldest(tenant: str, *, limit: int) -> ScrollRequest:
    """Ask for the tenant's oldest points, without what is in them."""
    return ScrollRequest(
        limit=limit,
        filter=Filter(must=[_is("tenant", tenant)]),
        order_by=OrderBy("time_s", Direction.Asc),
        with_payload=False,
    )


def by_id(wanted: Wanted, *, start: str | None, limit: int, vectors: bool) -> ScrollRequest:
    """Ask for the wanted points from this id on."""
    return ScrollRequest(
        offset=start,
        limit=limit,
        filter=_filter_of(wanted),
        with_payload=True,
        with_vector=vectors,
    )


def counted(tenant: str | None, *, exact: bool) -> CountRequest:
    """Count this tenant's points, or all of them."""
    whose = Filter(must=[_is("tenant", tenant)]) if tenant else None
    return CountRequest(exact=exact, filter=whose)


def scroll(shard: EdgeShard, request: ScrollRequest) -> tuple[list[Row], int | UUID | str | None]:
    """What is asked for, and the id where to go on. Errors: StoreError."""
    with engine_errors("list records"):
        return shard.scroll(request)


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


def _add_indexes(shard: EdgeShard) -> None:
    present = shard.info().payload_schema
    for name, index in _INDEXES.items():
        if name not in present:
            shard.update(UpdateOperation.create_field_index(name, index))


def _updates_of_stage(stage: Stage, dimension: int) -> Iterator[UpdateOperation]:
    for tenant, ids in stage.deleted_ids().items():
        for some in chunks_of(ids, CHUNK_RECORDS):
            these = Filter(must=[HasIdCondition(set(some)), _is("tenant", tenant)])
            yield UpdateOperation.delete_points_by_filter(these)
    points = [_point(each, dimension) for each in stage.inserts]
    for chunk in chunks_of(points, CHUNK_RECORDS):
        yield UpdateOperation.upsert_points(list(chunk), update_mode=UpdateMode.InsertOnly)
    for note in stage.notes:
        yield _addition(note)


def _point(insert: Insert, dimension: int) -> Point:
    payload = payload_of(insert, dimension=dimension)
    vector = {} if insert.vector is None else {VECTOR_NAME: insert.vector}
    return Point(insert.id, vector, payload)  # type: ignore[arg-type]  # as in `nearest`


def _addition(note: Note) -> UpdateOperation:
    """Add the evidence to the record's, if the record is its tenant's and has none of that id."""
    payload = evidence_payload_of(note)
    missing = IsEmptyCondition(f"evidence.{note.evidence_id}")
    wanted = Filter(must=[HasIdCondition({note.id}), _is("tenant", note.tenant), missing])
    return UpdateOperation.set_payload_by_filter(wanted, payload, key="evidence")


def _filter_of(wanted: Wanted) -> Filter:
    must: list[FieldCondition | HasIdCondition] = [
        _is(place, word) for place, word in wanted.words.items()
    ]
    if wanted.id is not None:
        must.append(HasIdCondition({wanted.id}))
    if wanted.since_s is not None or wanted.before_s is not None:
        times = RangeFloat(gte=wanted.since_s, lt=wanted.before_s)
        must.append(FieldCondition(key="time_s", range=times))
    return Filter(must=[*must])


def _is(key: str, value: str) -> FieldCondition:
    return FieldCondition(key=key, match=MatchValue(value))


def _config(dimension: int) -> EdgeConfig:
    return EdgeConfig(
        vectors={VECTOR_NAME: EdgeVectorParams(size=dimension, distance=Distance.Cosine)},
        # Searches come one at a time: more threads would only hand them around.
        max_search_threads=1,
    )
