"""Records in memory, for one run: an exact store, and a recorder that writes straight to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson

from app.errors import StoreError
from app.neighbours import Neighbour
from app.records import Evidence, Record, Vector, record_from_json
from app.store.protocol import Delete, Insert, Note, Operation, evidence_from_json, with_evidence
from app.store.wanted import ANY, Sought, Stored, Wanted

BLOCK = 512
"""Rows multiplied at once: over more of them BLAS splits the work, and waits for its threads."""


@dataclass(slots=True)
class _Shelf:
    """The vectors of one tenant and embedder; row i belongs to the record `ids[i]`."""

    dimension: int
    ids: list[str] = field(default_factory=list)
    _rows: npt.NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self._rows = np.empty((64, self.dimension), dtype=np.float32)

    def add(self, record_id: str, vector: Vector) -> None:
        if len(self.ids) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[len(self.ids)] = vector
        self.ids.append(record_id)

    def nearest(self, vector: Vector, limit: int) -> list[tuple[float, str, Vector]]:
        """Similarities, ids and vectors, most similar first; of equals the older one."""
        cosines = self._cosines(vector)
        found = np.arange(len(cosines))
        if len(found) > limit:
            found = np.sort(np.argpartition(-cosines, limit - 1)[:limit])
        best = found[np.argsort(-cosines[found], kind="stable")]
        return [(float(cosines[row]), self.ids[row], self._rows[row]) for row in best]

    def _cosines(self, vector: Vector) -> npt.NDArray[np.float32]:
        known = len(self.ids)
        cosines = np.empty(known, dtype=np.float32)
        for start in range(0, known, BLOCK):
            end = min(start + BLOCK, known)
            cosines[start:end] = self._rows[start:end] @ vector
        return cosines


class MemoryStore:
    """A record store that holds everything in memory and compares exactly."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._shelves: dict[tuple[str, str], _Shelf] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def flush(self) -> None:
        """Nothing to do."""

    async def has_lost(self) -> bool:
        return False

    async def run_upkeep(self) -> None:
        """Nothing to do."""

    async def search(
        self, vector: Vector, *, tenant: str, embedder: str, limit: int, sought: Sought = ANY
    ) -> list[Neighbour]:
        """As the protocol says."""
        shelf = self._shelves.get((tenant, embedder))
        if shelf is None:
            return []
        near = shelf.nearest(vector, limit if sought.principal is None else len(shelf.ids))
        found = [
            Neighbour(similarity, self._records[key], row if sought.vectors else None)
            for similarity, key, row in near
            if sought.principal in {None, self._records[key].principal}
        ]
        return found[:limit]

    async def write(self, operations: Sequence[Operation]) -> None:
        """As the protocol says."""
        for operation in operations:
            self.apply(operation)

    async def get(self, record_id: str, *, tenant: str) -> Record | None:
        """As the protocol says."""
        record = self._records.get(record_id)
        return record if record is not None and record.tenant == tenant else None

    async def last_in_conversation(self, conversation: str, *, tenant: str) -> Record | None:
        """As the protocol says."""
        turns = [
            record
            for record in self._records.values()
            if (record.tenant, record.conversation) == (tenant, conversation)
        ]
        return max(turns, key=lambda record: record.time_s, default=None)

    async def by_time(
        self, wanted: Wanted, *, newest_first: bool, limit: int, vectors: bool = False
    ) -> list[Stored]:
        """As the protocol says."""
        found = sorted(self._wanted(wanted), key=lambda record: record.time_s, reverse=newest_first)
        return [Stored(record.id, record) for record in found[:limit]]

    async def oldest(self, tenant: str, *, limit: int) -> list[str]:
        """As the protocol says."""
        rows = await self.by_time(Wanted(tenant), newest_first=False, limit=limit)
        return [row.id for row in rows]

    async def scan(
        self, wanted: Wanted, *, start: str | None, limit: int, vectors: bool = False
    ) -> tuple[list[Stored], str | None]:
        """As the protocol says, without vectors."""
        found = sorted(record.id for record in self._wanted(wanted) if record.id >= (start or ""))
        rows = [Stored(record_id, self._records[record_id]) for record_id in found[:limit]]
        return rows, found[limit] if len(found) > limit else None

    async def count(self, tenant: str | None = None, *, exact: bool = True) -> int:
        """How many records there are; a replay has one tenant."""
        return len(self._records)

    def apply(self, operation: Operation) -> None:
        """Do it at once. Errors: StoreError for what is no record."""
        match operation:
            case Insert():
                self._insert(operation)
            case Note():
                self._note(operation)
            case Delete():
                raise StoreError("a replay erases nothing")

    def _wanted(self, wanted: Wanted) -> list[Record]:
        return [record for record in self._records.values() if wanted.covers(record)]

    def _insert(self, insert: Insert) -> None:
        if insert.id in self._records:
            return
        # Through its written form, as records reach a policy in the gateway.
        record = record_from_json(insert.body)
        if record is None or record.tenant != insert.tenant:
            raise StoreError(f"record {insert.id} is not one of tenant {insert.tenant}")
        self._records[insert.id] = record
        if insert.vector is not None and record.embedder is not None:
            key = (record.tenant, record.embedder)
            shelf = self._shelves.setdefault(key, _Shelf(len(insert.vector)))
            shelf.add(insert.id, insert.vector)

    def _note(self, note: Note) -> None:
        record = self._records.get(note.id)
        evidence = evidence_from_json(note.body)
        if record is not None and evidence is not None and record.tenant == note.tenant:
            self._records[note.id] = with_evidence(record, {note.evidence_id: evidence})


class MemoryRecorder:
    """Keeps the recorder's contract towards the loop; records are in the store at once."""

    def __init__(self, store: MemoryStore) -> None:
        self._memory = store
        self._seen: set[str] = set()

    def submit(self, record: Record, vector: Vector | None) -> bool:
        """Once per id; what must teach nothing is kept without its vector."""
        if record.id not in self._seen:
            self._seen.add(record.id)
            taught = vector if record.learn else None
            self._memory.apply(Insert(record.id, record.tenant, record.to_json(), taught))
        return True

    def note(self, record_id: str, tenant: str, evidence: Evidence) -> bool:
        """At once; of a repetition by the same source nothing is kept."""
        known = f"{evidence.source}-{evidence.by}"
        self._memory.apply(Note(record_id, tenant, known, orjson.dumps(evidence)))
        return True

    async def get(self, record_id: str, *, tenant: str) -> Record | None:
        """The record with its evidence."""
        return await self._memory.get(record_id, tenant=tenant)
