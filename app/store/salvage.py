"""What can be saved of a damaged outbox file."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

Row = tuple[str, str, bytes, bytes | None]


def is_sound(path: Path) -> bool:
    """Whether SQLite finds nothing wrong with this file; a missing one is sound.

    Errors: sqlite3.Error for trouble that is not the file's own, such as permissions.
    """
    if not path.exists():
        return True
    try:
        with closing(sqlite3.connect(path)) as database:
            (finding,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            return False
        raise
    return bool(finding == "ok")


def readable_rows(path: Path) -> list[Row]:
    """The entries on readable pages, in order: read from the front, then from the back."""
    rows: dict[int, Row] = {}
    for order in ("ORDER BY number", "ORDER BY number DESC"):
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as database:
            database.text_factory = _text
            query = f"SELECT number, id, tenant, body, vector FROM entries {order}"  # noqa: S608
            for number, *row in database.execute(query):
                if _is_row(row):
                    rows[number] = (row[0], row[1], row[2], row[3])
    return [rows[number] for number in sorted(rows)]


def move_aside(path: Path) -> Path:
    """Rename the file and its log; gives the file's new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def _is_row(row: list[object]) -> bool:
    *texts, body, vector = row
    whole = all(isinstance(text, str) for text in texts) and isinstance(body, bytes)
    return whole and (vector is None or (isinstance(vector, bytes) and len(vector) % 4 == 0))


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
