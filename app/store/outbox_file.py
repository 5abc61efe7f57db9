"""The outbox's SQLite file: made, opened, brought up to date, and rescued where it was damaged."""

import errno
import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from app.store.salvage import Row, checked, is_sound, move_aside, readable_rows

logger = logging.getLogger(__name__)

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    tenant TEXT NOT NULL,
    body BLOB NOT NULL,
    vector BLOB,
    evidence_id TEXT,
    checksum INTEGER
);
"""
_INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS one_insert ON entries (id) WHERE kind = 'insert';
CREATE UNIQUE INDEX IF NOT EXISTS one_label ON entries (id, tenant, evidence_id)
    WHERE kind = 'label';
"""
_SCHEMA = _TABLE + _INDEXES
APPEND = (
    "INSERT INTO entries (kind, id, tenant, body, vector, evidence_id, checksum) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


def rescued_rows(path: Path) -> list[Row]:
    """What can be read of a damaged file, which is moved aside; nothing where it is sound.

    Errors: sqlite3.Error, OSError; the file is then where it was.
    """
    if is_sound(path, schema=_SCHEMA):
        return []
    rows = readable_rows(path, schema=_SCHEMA)
    aside = move_aside(path)
    logger.error(
        "the outbox was damaged; what could be read goes on, the file was moved aside",
        extra={"moved_to": str(aside), "readable": len(rows)},
    )
    return rows


def opened(path: Path, rows: Iterable[Row]) -> sqlite3.Connection:
    """The file, with these rows in it as well. Errors: sqlite3.Error."""
    database = _connect(path)
    try:
        database.executescript(_TABLE)
        _add_missing_columns(database)
        database.executescript(_INDEXES)
        with database:
            database.execute("BEGIN")
            database.executemany(APPEND, map(checked, rows))
    except BaseException:
        database.close()
        raise
    return database


def is_full(cause: BaseException | None) -> bool:
    """Whether this is a full disk's doing, which may have room later."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or getattr(cause, "errno", None) == errno.ENOSPC


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    # What leaves the outbox, erased or delivered, is overwritten in the file.
    database.execute("PRAGMA secure_delete = ON")
    return database


def _add_missing_columns(database: sqlite3.Connection) -> None:
    """Bring a file of an earlier version up to date."""
    columns = [row[1] for row in database.execute("PRAGMA table_info(entries)")]
    for name, kind in (("evidence_id", "TEXT"), ("checksum", "INTEGER")):
        if name not in columns:
            database.execute(f"ALTER TABLE entries ADD COLUMN {name} {kind}")
