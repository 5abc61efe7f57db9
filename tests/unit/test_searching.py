"""What a search keeps of records: little, and never what is out of date."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qdrant_edge import EdgeShard

from app.neighbours import Kept, Neighbour
from app.records import Record
from app.store.engine import create_shard, load_shard, updates_of
from app.store.protocol import Operation
from app.store.searching import ROW_BYTES, Searching
from tests.support.records import DIMENSION, EMBEDDER, direction, evidence, insert, note, record

WORDS = {"tenant": "local", "embedder": EMBEDDER}


@pytest.fixture
def shard(tmp_path: Path) -> EdgeShard:
    create_shard(tmp_path / "shard", DIMENSION)
    return load_shard(tmp_path / "shard", DIMENSION)


def write(searching: Searching, shard: EdgeShard, *operations: Operation) -> None:
    with searching.writing(operations):
        for update in updates_of(operations, DIMENSION):
            shard.update(update)


def found(searching: Searching, shard: EdgeShard, limit: int = 100) -> list[Neighbour]:
    return searching.nearest(shard, direction(0), WORDS, limit=limit, vectors=False)


def stocked(searching: Searching, shard: EdgeShard, count: int) -> list[Record]:
    searching.open(shard)
    records = [record(time_s=float(n)) for n in range(count)]
    write(searching, shard, *(insert(one, direction(n)) for n, one in enumerate(records)))
    return records


@pytest.mark.parametrize("kept_bytes", [10**7, 5_000, 0])
def test_a_record_is_the_same_however_little_is_kept(shard: EdgeShard, kept_bytes: int) -> None:
    searching = Searching(kept_bytes)
    records = stocked(searching, shard, 40)
    for _ in range(3):
        near = found(searching, shard)
        assert [neighbour.record for neighbour in near] == records
        assert [neighbour.id for neighbour in near] == [one.id for one in records]
        assert [neighbour.time_s for neighbour in near] == [one.time_s for one in records]
        assert searching.kept_bytes <= kept_bytes


def test_what_is_kept_is_told_of_evidence_that_comes_in(shard: EdgeShard) -> None:
    searching = Searching()
    first, *_ = stocked(searching, shard, 3)
    for times in (1, 2):
        assert found(searching, shard, 1)[0].evidences == times - 1
        write(searching, shard, note(first, f"0{times}", evidence()))
        (near,) = found(searching, shard, 1)
        assert near.evidences == len(near.record.evidence) == times


class Disturbed:
    """A shard while something else happens as it is read."""

    def __init__(self, shard: EdgeShard, happens: Callable[[], None]) -> None:
        self._shard = shard
        self._happens = happens
        self.query = shard.query

    def retrieve(self, ids: list[object], **how: bool) -> list[Any]:
        rows: list[Any] = self._shard.retrieve(ids, **how)  # type: ignore[arg-type]
        self._happens()
        return rows


def disturbed(searching: Searching, shard: EdgeShard, happens: Callable[[], None]) -> None:
    between: Any = Disturbed(shard, happens)
    found(searching, between)


def test_what_is_read_while_others_are_written_is_kept(shard: EdgeShard) -> None:
    searching = Searching()
    first, second = stocked(searching, shard, 2)
    on_second = note(second, "01", evidence())
    disturbed(searching, shard, lambda: write(searching, shard, on_second))
    assert searching.kept_bytes == size_of(first)
    assert [near.evidences for near in found(searching, shard)] == [0, 1]


def test_what_is_written_while_it_is_read_is_not_kept(shard: EdgeShard) -> None:
    searching = Searching()
    (one,) = stocked(searching, shard, 1)
    operation = note(one, "01", evidence())
    disturbed(searching, shard, lambda: write(searching, shard, operation))
    assert searching.kept_bytes == 0
    assert found(searching, shard)[0].evidences == 1


def test_what_was_read_before_a_write_ended_is_not_kept_after(shard: EdgeShard) -> None:
    searching = Searching()
    (one,) = stocked(searching, shard, 1)
    operation = note(one, "01", evidence())
    with searching.writing([operation]):
        assert found(searching, shard)[0].evidences == 0
        for update in updates_of([operation], DIMENSION):
            shard.update(update)
    assert searching.kept_bytes == 0
    assert found(searching, shard)[0].evidences == 1


def size_of(one: Record) -> int:
    return len(one.to_json()) + ROW_BYTES


def test_a_neighbour_is_decoded_when_somebody_looks_into_it() -> None:
    one = record(principal="me")
    one.evidence["0a"] = evidence()
    plain, kept = Neighbour(0.5, one), Neighbour(0.5, Kept.of(one, one.to_json()))
    assert (kept.id, kept.principal, kept.time_s) == (plain.id, "me", plain.time_s)
    assert kept.evidences == plain.evidences == 1
    assert kept == plain
    assert kept != Neighbour(0.4, one)


def test_the_text_that_is_kept_takes_no_more_memory_than_its_length() -> None:
    one = record()
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        texts = [one.to_json() for _ in range(100)]
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after_bytes - before_bytes < 1.2 * sum(map(len, texts)) + 10_000
