"""A record store that fails when it is told to."""

import asyncio
from collections.abc import Sequence

from app.errors import StoreDownError, StoreError
from app.neighbours import Neighbour
from app.records import Record, Vector, record_from_json
from app.store import Delete, Insert, Note, Operation, Stored, Wanted
from app.store.wanted import ANY, Sought


class ScriptedStore:
    """Records in a dictionary; fails as it is told to."""

    def __init__(self) -> None:
        self.kept: dict[str, Insert] = {}
        self.notes: dict[str, dict[str, Note]] = {}
        self.down = False
        self.poison: set[str] = set()
        self.bug = False
        self.stuck = False
        self.asked = 0
        self.flushed = 0

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def search(
        self, vector: Vector, *, tenant: str, embedder: str, limit: int, sought: Sought = ANY
    ) -> list[Neighbour]:
        return []

    async def write(self, operations: Sequence[Operation]) -> None:
        self.asked += 1
        if self.stuck:
            await asyncio.sleep(60)
        if self.bug:
            raise RuntimeError("a bug")
        if self.down:
            raise StoreDownError("nobody there")
        if self.poison & {each.id for each in operations if isinstance(each, Insert)}:
            raise StoreError("cannot hold that")
        for operation in operations:
            match operation:
                case Insert():
                    self.kept.setdefault(operation.id, operation)
                case Note() if operation.id in self.kept:
                    notes = self.notes.setdefault(operation.id, {})
                    notes.setdefault(operation.evidence_id, operation)
                case Note():
                    pass  # it came before its record, and is lost
                case Delete():
                    self.kept.pop(operation.id, None)
                    self.notes.pop(operation.id, None)

    async def get(self, record_id: str, *, tenant: str) -> Record | None:
        return None

    async def last_in_conversation(self, conversation: str, *, tenant: str) -> Record | None:
        return None

    async def by_time(
        self, wanted: Wanted, *, newest_first: bool, limit: int, vectors: bool = False
    ) -> list[Stored]:
        found = sorted(self._wanted(wanted), key=lambda record: record.time_s, reverse=newest_first)
        return [Stored(record.id, record) for record in found[:limit]]

    async def oldest(self, tenant: str, *, limit: int) -> list[str]:
        rows = await self.by_time(Wanted(tenant), newest_first=False, limit=limit)
        return [row.id for row in rows]

    async def scan(
        self, wanted: Wanted, *, start: str | None, limit: int, vectors: bool = False
    ) -> tuple[list[Stored], str | None]:
        return [Stored(record.id, record) for record in self._wanted(wanted)], None

    async def count(self, tenant: str | None = None, *, exact: bool = True) -> int:
        if self.down:
            raise StoreDownError("nobody there")
        return len(self.kept)

    async def flush(self) -> None:
        self.flushed += 1

    async def has_lost(self) -> bool:
        return False

    async def run_upkeep(self) -> None: ...

    def _wanted(self, wanted: Wanted) -> list[Record]:
        if self.down:
            raise StoreDownError("nobody there")
        records = (record_from_json(insert.body) for insert in self.kept.values())
        return [record for record in records if record is not None and wanted.covers(record)]
