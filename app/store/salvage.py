"""What can be saved of a damaged outbox file."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = tuple[str, str, str, bytes, bytes | None, str | None]
"""Kind, id, tenant, body, vector, evidence id."""


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


def move_aside(path: Path) -> Path:
    """Rename the file and its log; gives the file's new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for part, target in zip(_parts(path), _parts(aside), strict=True):
        if part.exists():
            part.rename(target)
    return aside


def readable_rows(path: Path) -> list[Row]:
    """The entries on readable pages, in order. The file itself is left as it is."""
    copy = path.with_name(f"{path.name}.reading")
    for part, target in zip(_parts(path), _parts(copy), strict=True):
        if part.exists():
            shutil.copyfile(part, target)
    _pad(copy)
    rows: dict[int, Row] = {}
    for order in ("ORDER BY number", "ORDER BY number DESC"):  # up to the damage, from either end
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(copy)) as database:
            # Not by name: a file of an earlier version has no column for the evidence's id.
            query = f"SELECT * FROM entries {order}"  # noqa: S608
            for number, *columns in database.execute(query):
                if (row := _row(columns)) is not None:
                    rows[number] = row
    for part in _parts(copy):
        part.unlink(missing_ok=True)
    return [rows[number] for number in sorted(rows)]


def _parts(path: Path) -> tuple[Path, Path, Path]:
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _pad(path: Path) -> None:
    """Give a file that was cut off its length back: SQLite reads nothing of a short one.

    Source: the SQLite file format; page size at byte 16, page count at byte 28.
    """
    with path.open("rb") as file:
        header = file.read(32)
    wanted_bytes = int.from_bytes(header[16:18]) * int.from_bytes(header[28:32])
    if path.stat().st_size < wanted_bytes <= 2 * path.stat().st_size + 2**30:
        os.truncate(path, wanted_bytes)


def _row(columns: list[object]) -> Row | None:
    """The columns as one entry, where they are whole."""
    match [*columns, None][:6]:
        case [
            ("insert" | "label" | "delete") as kind,
            str(record_id),
            str(tenant),
            bytes(body),
            (bytes() | None) as vector,
            (str() | None) as evidence_id,
        ] if vector is None or len(vector) % 4 == 0:
            return kind, record_id, tenant, body, vector, evidence_id
        case _:
            return None
