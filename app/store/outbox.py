"""The outbox: records written down here are not lost, whatever the store does."""

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.errors import OutboxError
from app.records import Evidence, Record, record_from_json
from app.store.checkpoints import Checkpoints
from app.store.entries import ROW_BYTES, Entry, entry_of, row_of, size_bytes
from app.store.lock import DirectoryLock
from app.store.outbox_file import APPEND, is_full, opened, rescued_rows
from app.store.protocol import Delete, Operation, evidence_from_json, with_evidence
from app.store.salvage import Row, checked
from app.store.wanted import Wanted

logger = logging.getLogger(__name__)

FILE = "outbox.sqlite3"

_WAITING = "SELECT id FROM entries WHERE kind = 'insert' AND number > ? ORDER BY number "
_SUM = (
    "SELECT count(*), "
    "coalesce(sum(length(body) + coalesce(length(vector), 0) + length(tenant) + ?), 0) FROM entries"
)
_PENDING = (
    "SELECT number, kind, id, tenant, body, vector, evidence_id FROM entries "
    "WHERE number > ? ORDER BY number LIMIT ?"
)
_GET = "SELECT body FROM entries WHERE kind = 'insert' AND id = ? AND tenant = ?"
_INSERTS = "SELECT number, body FROM entries WHERE kind = 'insert' AND tenant = ?"
_ERASE = """
DELETE FROM entries WHERE kind = ? AND id = ? AND tenant = ?
RETURNING number, length(body) + coalesce(length(vector), 0) + length(tenant) + ?
"""
_EVIDENCE = (
    "SELECT evidence_id, body FROM entries WHERE kind = 'label' AND id = ? AND tenant = ? "
    "ORDER BY number"
)


class Outbox:
    """Operations in the order they were written, in one SQLite file under `directory`.

    Used on one thread (a write takes tens of microseconds); only checkpoints run elsewhere. What
    has been delivered is known in memory alone: after a restart the entries still here are
    delivered once more, which also makes up for what a store lost in a power cut.
    """

    def __init__(
        self,
        directory: Path,
        *,
        capacity_bytes: int,
        keep_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = directory / FILE
        self._capacity_bytes = capacity_bytes
        self._keep_s = keep_s
        self._clock = clock
        self._lock = DirectoryLock(directory, "outbox.lock")
        self._database: sqlite3.Connection | None = None
        self._rescued: list[Row] = []
        self._held: deque[tuple[float, int, int]] = deque()
        self._last_taken = 0
        self._checkpoints = Checkpoints(self._path)
        self.depth = 0
        self.bytes = 0
        self.quarantined = 0

    def open(self) -> None:
        """Open the file; a broken one is moved aside after what can be read is copied.

        On a full disk it stays shut, and is opened when there is something to write and room.
        Errors: StoreLockedError when another process has it; OutboxError.
        """
        self._lock.acquire()
        try:
            self._load()
        except OutboxError as exc:
            if not is_full(exc.__cause__):
                self._lock.release()
                raise
            logger.warning(
                "the outbox is not open yet; records are refused", extra={"why": f"{exc}"}
            )

    def _load(self) -> None:
        try:
            # Kept until they are written again: a second try finds the damaged file moved aside.
            self._rescued = self._rescued or rescued_rows(self._path)
            database = opened(self._path, self._rescued)
            self.depth, self.bytes = database.execute(_SUM, (ROW_BYTES,)).fetchone()
            self._database, self._rescued = database, []
        except (sqlite3.Error, OSError) as exc:
            raise OutboxError(f"the outbox {self._path} cannot be used: {exc}") from exc

    def close(self) -> None:
        """Checkpoint and close; later calls raise OutboxError."""
        database, self._database = self._database, None
        if database is not None:
            try:
                database.close()
            except sqlite3.Error as exc:
                logger.warning("the outbox could not be closed", extra={"why": str(exc)})
        self._lock.release()

    def append(self, operation: Operation) -> None:
        """Write the operation down; one that is here already, by its ids, is not written twice.

        Errors: OutboxError when the outbox is full or the disk does not take it.
        """
        added_bytes = size_bytes(operation)
        if self.bytes + added_bytes > self._capacity_bytes:
            raise OutboxError(
                f"the outbox is full: {self.bytes} of {self._capacity_bytes} bytes wait for the "
                "store; bring the store back, or raise store.outbox_bytes"
            )
        if self._database is None and self._lock.held:
            self._load()
        with _sqlite("written"):
            added = self._open_database().execute(APPEND, checked(row_of(operation))).rowcount
        if added:
            self.depth += 1
            self.bytes += added_bytes
            self._checkpoints.note_written()

    def pending(self, limit: int) -> list[Entry]:
        """The oldest entries not yet settled, in order."""
        with _sqlite("read"):
            rows = self._open_database().execute(_PENDING, (self._last_taken, limit))
            return [entry_of(*row) for row in rows]

    def waiting(self) -> tuple[str, str] | None:
        """The ids of the oldest and of the newest record that wait for the store."""
        with _sqlite("read"):
            found = [
                self._open_database().execute(_WAITING + order, (self._last_taken,)).fetchone()
                for order in ("ASC LIMIT 1", "DESC LIMIT 1")
            ]
        return None if found[0] is None else (found[0][0], found[1][0])

    def settle(self, delivered: Sequence[Entry], quarantined: Sequence[Entry] = ()) -> None:
        """Note what became of the oldest pending entries: together they are the next in order.

        Quarantined entries stay in the file, and are offered again after a restart.
        """
        now_s = self._clock()
        self._held.extend((now_s, entry.number, entry.size_bytes) for entry in delivered)
        self.quarantined += len(quarantined)
        self.depth -= len(delivered) + len(quarantined)
        numbers = (entry.number for entry in (*delivered, *quarantined))
        self._last_taken = max(numbers, default=self._last_taken)

    @property
    def unsynced(self) -> bool:
        """Whether the last attempt to sync it to disk failed."""
        return self._checkpoints.trouble is not None

    @property
    def has_expired(self) -> bool:
        """Whether the store has held an entry for long enough."""
        return bool(self._held) and self._held[0][0] + self._keep_s <= self._clock()

    def offer_again(self) -> None:
        """Offer everything that is still here once more, as after a restart."""
        self._held.clear()
        self._last_taken = self.quarantined = 0
        with _sqlite("read"):
            self.depth, _ = self._open_database().execute(_SUM, (ROW_BYTES,)).fetchone()

    def forget(self, limit: int) -> None:
        """Remove up to `limit` entries that the store has held for long enough."""
        before_s = self._clock() - self._keep_s
        expired = [held for held in list(self._held)[:limit] if held[0] <= before_s]
        with _sqlite("written"), self._open_database() as database:
            database.execute("BEGIN")
            numbers = [(number,) for _, number, _ in expired]
            database.executemany("DELETE FROM entries WHERE number = ?", numbers)
        for _, _, held_bytes in expired:
            self._held.popleft()
            self.bytes -= held_bytes
        self._checkpoints.note_written()

    def erase(self, ids: Sequence[str], *, tenant: str) -> None:
        """Put a delete in the place of everything that is here about these records.

        Not while a batch is on its way to the store, which would follow the delete there. A full
        outbox takes it as well. Errors: OutboxError.
        """
        deletes = [Delete(record_id, tenant) for record_id in ids]
        found: list[tuple[int, int]] = []
        with _sqlite("written"), self._open_database() as database:
            database.execute("BEGIN IMMEDIATE")
            for delete in deletes:
                for kind in ("insert", "label"):
                    gone = database.execute(_ERASE, (kind, delete.id, tenant, ROW_BYTES))
                    found += gone.fetchall()
                database.execute(APPEND, checked(row_of(delete)))
        self._recount(dict(found))
        self.depth += len(deletes)
        self.bytes += sum(map(size_bytes, deletes))
        self._checkpoints.note_written(erased=True)

    def ids(self, wanted: Wanted) -> list[str]:
        """The wanted records that are here and not in the store."""
        held = {number for _, number, _ in self._held}
        with _sqlite("read"):
            rows = self._open_database().execute(_INSERTS, (wanted.tenant,))
            found = (record_from_json(body) for number, body in rows if number not in held)
            return [record.id for record in found if record and wanted.covers(record)]

    def _recount(self, erased: Mapping[int, int]) -> None:
        """Entries of these numbers and sizes are gone."""
        held = {number for _, number, _ in self._held}
        taken = sum(number <= self._last_taken for number in erased)
        self.depth -= len(erased) - taken
        self.quarantined -= taken - len(held & erased.keys())
        self.bytes -= sum(erased.values())
        self._held = deque(entry for entry in self._held if entry[1] not in erased)

    def get(self, record_id: str, *, tenant: str) -> Record | None:
        """The record, if it is still here, with the evidence that is."""
        with _sqlite("read"):
            row = self._open_database().execute(_GET, (record_id, tenant)).fetchone()
        record = record_from_json(row[0]) if row else None
        return record and with_evidence(record, self.evidence(record_id, tenant=tenant))

    def evidence(self, record_id: str, *, tenant: str) -> dict[str, Evidence]:
        """What is still here of the evidence about a record, wherever the record is."""
        with _sqlite("read"):
            rows = self._open_database().execute(_EVIDENCE, (record_id, tenant)).fetchall()
        noted = ((evidence_id, evidence_from_json(body)) for evidence_id, body in rows)
        return {evidence_id: evidence for evidence_id, evidence in noted if evidence}

    async def run_checkpoints(self) -> None:
        """Once a second, off the event loop: make what was written survive a power cut."""
        await self._checkpoints.run()

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise OutboxError("the outbox is closed")
        return self._database


@contextmanager
def _sqlite(done: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise OutboxError(f"the outbox could not be {done}: {exc}") from exc
