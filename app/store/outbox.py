"""The outbox: records written down here are not lost, whatever the store does."""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from anyio import to_thread

from app.errors import OutboxError
from app.records import Evidence, Record, record_from_json
from app.store.lock import DirectoryLock
from app.store.protocol import Insert, Note, Operation, evidence_from_json, with_evidence
from app.store.salvage import Row, is_sound, move_aside, readable_rows

logger = logging.getLogger(__name__)

FILE = "outbox.sqlite3"
ROW_BYTES = 128
CHECKPOINT_S = 1.0
LARGE_LOG_BYTES = 32 * 1024 * 1024

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    body BLOB NOT NULL,
    vector BLOB,
    evidence_id TEXT
);
"""
_INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS one_insert ON entries (id) WHERE kind = 'insert';
CREATE UNIQUE INDEX IF NOT EXISTS one_label ON entries (id, tenant, evidence_id)
    WHERE kind = 'label';
"""
_APPEND = (
    "INSERT INTO entries (kind, id, tenant, body, vector, evidence_id) "
    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_SUM = (
    "SELECT count(*), "
    "coalesce(sum(length(body) + coalesce(length(vector), 0) + length(tenant) + ?), 0) FROM entries"
)
_PENDING = (
    "SELECT number, kind, id, tenant, body, vector, evidence_id FROM entries "
    "WHERE number > ? ORDER BY number LIMIT ?"
)
_GET = "SELECT body FROM entries WHERE kind = 'insert' AND id = ? AND tenant = ?"
_EVIDENCE = (
    "SELECT evidence_id, body FROM entries WHERE kind = 'label' AND id = ? AND tenant = ? "
    "ORDER BY number"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation and its place in the order of writing."""

    number: int
    operation: Operation

    @property
    def size_bytes(self) -> int:
        return _size_bytes(self.operation)


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
        self._held: deque[tuple[float, int, int]] = deque()
        self._last_taken = 0
        self._dirty = False
        self._checkpoints_fail = False
        self.depth = 0
        self.bytes = 0
        self.quarantined = 0

    def open(self) -> None:
        """Open the file; a broken one is moved aside after what can be read is copied.

        Errors: StoreLockedError when another process has it; OutboxError.
        """
        self._lock.acquire()
        try:
            rows = [] if is_sound(self._path) else self._rescue()
            self._database = self._connect()
            self._database.executescript(_TABLE)
            _add_missing_column(self._database)
            self._database.executescript(_INDEXES)
            with self._database:
                self._database.execute("BEGIN")
                self._database.executemany(_APPEND, rows)
            self.depth, self.bytes = self._database.execute(_SUM, (ROW_BYTES,)).fetchone()
        except (sqlite3.Error, OSError) as exc:
            self._lock.release()
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
        size_bytes = _size_bytes(operation)
        if self.bytes + size_bytes > self._capacity_bytes:
            raise OutboxError(
                f"the outbox is full: {self.bytes} of {self._capacity_bytes} bytes wait for the "
                "store; bring the store back, or raise store.outbox_bytes"
            )
        with _sqlite("written"):
            added = self._open_database().execute(_APPEND, _row(operation)).rowcount
        if added:
            self.depth += 1
            self.bytes += size_bytes
            self._dirty = True

    def pending(self, limit: int) -> list[Entry]:
        """The oldest entries not yet settled, in order."""
        with _sqlite("read"):
            rows = self._open_database().execute(_PENDING, (self._last_taken, limit))
            return [_entry(*row) for row in rows]

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
    def has_expired(self) -> bool:
        """Whether the store has held an entry for long enough."""
        return bool(self._held) and self._held[0][0] + self._keep_s <= self._clock()

    def forget(self, limit: int) -> None:
        """Remove up to `limit` entries that the store has held for long enough."""
        before_s = self._clock() - self._keep_s
        expired = [held for held in list(self._held)[:limit] if held[0] <= before_s]
        with _sqlite("written"), self._open_database() as database:
            database.execute("BEGIN")
            numbers = [(number,) for _, number, _ in expired]
            database.executemany("DELETE FROM entries WHERE number = ?", numbers)
        for _, _, size_bytes in expired:
            self._held.popleft()
            self.bytes -= size_bytes
        self._dirty = True

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
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            if self._dirty:
                self._dirty = False
                await to_thread.run_sync(self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            log_bytes = self._path.with_name(FILE + "-wal").stat().st_size
            # A passive one never makes a writer wait, but under steady writing never ends the log.
            mode = "TRUNCATE" if log_bytes > LARGE_LOG_BYTES else "PASSIVE"
            with closing(sqlite3.connect(self._path, timeout=1.0)) as database:
                database.execute("PRAGMA synchronous = NORMAL")
                database.execute(f"PRAGMA wal_checkpoint({mode})")
        except (sqlite3.Error, OSError) as exc:
            self._dirty = True
            if not self._checkpoints_fail:
                logger.warning("the outbox cannot be synced to disk", extra={"why": str(exc)})
            self._checkpoints_fail = True
        else:
            self._checkpoints_fail = False

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise OutboxError("the outbox is closed")
        return self._database

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, isolation_level=None, timeout=1.0)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA wal_autocheckpoint = 0")
        return database

    def _rescue(self) -> list[Row]:
        aside = move_aside(self._path)
        rows = readable_rows(aside)
        logger.error(
            "the outbox was damaged; what could be read goes on, the file was moved aside",
            extra={"moved_to": str(aside), "readable": len(rows)},
        )
        return rows


def _add_missing_column(database: sqlite3.Connection) -> None:
    """Bring a file of an earlier version up to date."""
    columns = [row[1] for row in database.execute("PRAGMA table_info(entries)")]
    if "evidence_id" not in columns:
        database.execute("ALTER TABLE entries ADD COLUMN evidence_id TEXT")


def _size_bytes(operation: Operation) -> int:
    vector = operation.vector if isinstance(operation, Insert) else None
    vector_bytes = 0 if vector is None else 4 * vector.size
    return len(operation.body) + vector_bytes + len(operation.tenant) + ROW_BYTES


def _row(operation: Operation) -> Row:
    match operation:
        case Insert(record_id, tenant, body, None):
            return "insert", record_id, tenant, body, None, None
        case Insert(record_id, tenant, body, vector):
            encoded = np.ascontiguousarray(vector, dtype=np.float32).tobytes()
            return "insert", record_id, tenant, body, encoded, None
        case Note(record_id, tenant, evidence_id, body):
            return "label", record_id, tenant, body, None, evidence_id


def _entry(number: int, *row: *Row) -> Entry:
    kind, record_id, tenant, body, vector, evidence_id = row
    if kind == "label" and evidence_id is not None:
        return Entry(number, Note(record_id, tenant, evidence_id, body))
    decoded = None if vector is None else np.frombuffer(vector, dtype=np.float32)
    return Entry(number, Insert(record_id, tenant, body, decoded))


@contextmanager
def _sqlite(done: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise OutboxError(f"the outbox could not be {done}: {exc}") from exc
