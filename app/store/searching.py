"""Nearest records of the embedded engine: asks for ids, and decodes each record once."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias
from uuid import UUID

import orjson
from qdrant_edge import EdgeShard, FacetRequest

from app.neighbours import Kept, Neighbour, fits
from app.records import Record, Vector
from app.store.engine import engine_errors, nearest
from app.store.payloads import kept_of, record_in, vector_of
from app.store.protocol import Insert, Operation

PointId: TypeAlias = int | UUID | str
Number: TypeAlias = int | str

KEPT_BYTES = 64 * 1024 * 1024
"""How much of records is kept, their JSON: about 25,000 of them, of 2.2 KB each."""
ROW_BYTES = 500
"""What is kept of a record beside its JSON."""
NOTHING = (None, None)
CONDITIONS = ("tenant", "embedder")


class Searching:
    """Searches one shard, and is told of all that is written to it.

    To fetch and decode fifty payloads takes several times as long as to find them, and a record
    only changes by evidence that comes through this process, so it is kept. A condition that all
    rows meet costs the engine a third of a millisecond and leaves nothing out, so it is not asked
    for; every row is checked again, as anywhere.
    """

    def __init__(
        self, kept_bytes: int = KEPT_BYTES, refused: Callable[[], None] = lambda: None
    ) -> None:
        """`refused` is called for each row that is no answer to what was asked."""
        self._refused = refused
        self._most_bytes = kept_bytes
        self._kept: OrderedDict[Number, Kept] = OrderedDict()
        self.kept_bytes = 0
        self._met: dict[str, set[str]] = {name: set() for name in CONDITIONS}
        self._reading: set[Number] = set()
        self._guard = threading.Lock()

    def open(self, shard: EdgeShard) -> None:
        """Look through a shard that is put in force."""
        with self._guard:
            self._kept.clear()
            self.kept_bytes = 0
        for name in CONDITIONS:
            with engine_errors(f"count by {name}"):
                hits = shard.facet(FacetRequest(name, limit=2, exact=True)).hits
            self._met[name] |= {str(hit.value) for hit in hits}

    @contextmanager
    def writing(self, operations: Sequence[Operation]) -> Iterator[None]:
        """While these are applied: what was read of them before is out of date afterwards."""
        for operation in operations:
            if isinstance(operation, Insert) and operation.vector is not None:
                payload = orjson.loads(operation.body)
                for name in CONDITIONS:
                    self._met[name].add(str(payload.get(name)))
        try:
            yield
        finally:
            with self._guard:
                for operation in operations:
                    number = UUID(operation.id).int
                    self._reading.discard(number)
                    self._drop(number)

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
            numbers = [_number(point.id) for point in points]
            kept = self._known(numbers)
            missing = [p.id for p, row in zip(points, kept, strict=True) if row is None]
            read = _read(shard, missing)
        self._keep({number: kept for number, (_, kept) in read.items()})
        found = []
        for point, number, known in zip(points, numbers, kept, strict=True):
            row = known or read.get(number, NOTHING)[0]
            if row is None or not fits(row, words):
                self._refused()
                continue
            found.append(Neighbour(point.score, row, vector_of(point.vector) if vectors else None))
        return found

    def _known(self, numbers: Sequence[Number]) -> list[Kept | None]:
        """What is kept of each of these; the others are being read from now on."""
        with self._guard:
            known = [self._kept.get(number) for number in numbers]
            self._reading.clear()
            for number, row in zip(numbers, known, strict=True):
                if row is not None:
                    self._kept.move_to_end(number)
                else:
                    self._reading.add(number)
            return known

    def _keep(self, read: Mapping[Number, Kept]) -> None:
        """Keep them, but none that was written since: it may have been read too early."""
        with self._guard:
            for number, row in read.items():
                if number in self._reading:
                    self._kept[number] = row
                    self.kept_bytes += _size_bytes(row)
            while self.kept_bytes > self._most_bytes:
                self._drop(next(iter(self._kept)))

    def _drop(self, number: Number) -> None:
        row = self._kept.pop(number, None)
        if row is not None:
            self.kept_bytes -= _size_bytes(row)


def _read(shard: EdgeShard, ids: list[PointId]) -> dict[Number, tuple[Record, Kept]]:
    """These rows, those that are records: as they are looked into now, and as they are kept."""
    if not ids:
        return {}
    read: dict[Number, tuple[Record, Kept]] = {}
    for row in shard.retrieve(ids, with_payload=True, with_vector=False):
        payload = row.payload
        record = record_in(payload)
        if record is not None:
            read[_number(row.id)] = record, kept_of(record, payload)
    return read


def _number(point_id: PointId) -> Number:
    """The engine gives UUIDs back as objects, whose hash is a slow one."""
    return point_id.int if isinstance(point_id, UUID) else point_id


def _size_bytes(row: Kept) -> int:
    return len(row.text) + ROW_BYTES
