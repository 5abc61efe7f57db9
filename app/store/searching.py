"""Nearest records of the embedded engine: asks for ids, and decodes each record once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias
from uuid import UUID

import orjson
from qdrant_edge import EdgeShard, FacetRequest

from app.records import Neighbour, Record, Vector
from app.store.engine import engine_errors, nearest
from app.store.payloads import record_in, vector_of
from app.store.protocol import Insert, Operation
from app.store.wanted import fits

PointId: TypeAlias = int | UUID | str  # the engine gives UUIDs back as objects

DECODED_RECORDS = 8192
"""How many records are kept as objects: about 5 kB each."""
CONDITIONS = ("tenant", "embedder")


class Searching:
    """Searches one shard, and is told of all that is written to it.

    To fetch and decode fifty payloads takes ten times as long as to find them, and a record only
    changes by evidence that comes through this process. A condition that all rows meet costs the
    engine a third of a millisecond and leaves nothing out, so it is not asked for; every row is
    checked again, as anywhere.
    """

    def __init__(
        self, decoded_records: int = DECODED_RECORDS, refused: Callable[[], None] = lambda: None
    ) -> None:
        """`refused` is called for each row that is no answer to what was asked."""
        self._refused = refused
        self._decoded_records = decoded_records
        self._decoded: OrderedDict[PointId, Record] = OrderedDict()
        self._met: dict[str, set[str]] = {name: set() for name in CONDITIONS}
        self._writes = 0
        self._guard = threading.Lock()

    def open(self, shard: EdgeShard) -> None:
        """Look through a shard that is put in force."""
        self._decoded.clear()
        for name in CONDITIONS:
            with engine_errors(f"count by {name}"):
                hits = shard.facet(FacetRequest(name, limit=2, exact=True)).hits
            self._met[name] |= {str(hit.value) for hit in hits}

    @contextmanager
    def writing(self, operations: Sequence[Operation]) -> Iterator[None]:
        """While these are applied: what was read before is out of date afterwards."""
        for operation in operations:
            if isinstance(operation, Insert) and operation.vector is not None:
                payload = orjson.loads(operation.body)
                for name in CONDITIONS:
                    self._met[name].add(str(payload.get(name)))
        self._writes += 1
        try:
            yield
        finally:
            with self._guard:
                self._writes += 1
                for operation in operations:
                    self._decoded.pop(UUID(operation.id), None)

    def nearest(
        self,
        shard: EdgeShard,
        vector: Vector,
        words: Mapping[str, str],
        *,
        limit: int,
        vectors: bool,
    ) -> list[Neighbour]:
        """The most similar records that have these words, nearest first. On one thread."""
        asked = {name: value for name, value in words.items() if self._met.get(name) != {value}}
        with engine_errors("search"):
            points = shard.query(nearest(vector, words=asked, limit=limit, vectors=vectors))
            records = self._records(shard, [point.id for point in points])
        found = []
        for point, record in zip(points, records, strict=True):
            if record is not None and fits(record, words):
                found.append(Neighbour(point.score, record, vector_of(point.vector)))
            else:
                self._refused()
        return found

    def _records(self, shard: EdgeShard, ids: Sequence[PointId]) -> list[Record | None]:
        """These records, None for rows that are none."""
        with self._guard:
            known = {name: record for name in ids if (record := self._decoded.get(name))}
            for name in known:
                self._decoded.move_to_end(name)
            writes = self._writes
        missing: list[PointId] = [name for name in ids if name not in known]
        if missing:
            rows = shard.retrieve(missing, with_payload=True, with_vector=False)
            read = {row.id: record_in(row.payload) for row in rows}
            known |= {name: record for name, record in read.items() if record is not None}
            self._keep(known, writes)
        return [known.get(name) for name in ids]

    def _keep(self, records: Mapping[PointId, Record], writes: int) -> None:
        """Keep them, unless something was written since: it may have been read too early."""
        with self._guard:
            if writes == self._writes:
                self._decoded.update(records)
            while len(self._decoded) > self._decoded_records:
                self._decoded.popitem(last=False)
