"""What can be saved of a damaged outbox file."""

import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeAlias

Row: TypeAlias = tuple[str, str, str, bytes, bytes | None, str | None]
"""Kind, id, tenant, body, vector, evidence id."""
CheckedRow: TypeAlias = tuple[str, str, str, bytes, bytes | None, str | None, int]

COLUMNS = "PRAGMA table_info(entries)"
ROWS = "SELECT * FROM entries ORDER BY number"
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
"""The plain error as well: our statements are fixed, so it is the file that is not supported."""
COLUMNS_MIN = 6
"""Those of the earliest version."""


def checked(row: Row) -> CheckedRow:
    """The row with its checksum: SQLite has none of its own, but in the log."""
    kind, record_id, tenant, body, vector, evidence_id = row
    words = zlib.crc32("\0".join((kind, record_id, tenant, evidence_id or "")).encode())
    return *row, zlib.crc32(vector or b"", zlib.crc32(body, words))


def is_sound(path: Path, *, schema: str) -> bool:
    """Whether nothing is wrong with this file and its rows; a missing one is sound.

    `schema` makes an empty file of this kind; one of an earlier version has its first columns.
    Errors: sqlite3.Error for trouble that is not the file's own, such as permissions.
    """
    if not path.exists():
        return True
    try:
        with closing(_reader(path)) as database:
            (finding,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if finding != "ok":
                return False
            known = database.execute(COLUMNS).fetchall()
            # One that was only just made has no table yet.
            return not known or (
                _is_described(database, known, schema)
                and all(_row(columns) is not None for _, *columns in database.execute(ROWS))
            )
    except UnicodeDecodeError:  # of SQLite's own message, which quotes what is broken
        return False
    except sqlite3.DatabaseError as exc:
        if exc.sqlite_errorcode & 0xFF in DAMAGED:
            return False
        raise


def move_aside(path: Path) -> Path:
    """Rename the file and its log; gives the file's new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for part, target in zip(_parts(path), _parts(aside), strict=True):
        if part.exists():
            part.rename(target)
    return aside


def readable_rows(path: Path, *, schema: str) -> list[Row]:
    """The entries that are whole, in order. The file itself is left as it is.

    `schema` makes an empty file of this kind: its first page stands in for one that is damaged.
    """
    copy = path.with_name(f"{path.name}.reading")
    rows: dict[int, Row] = {}
    # A damaged log hides newer pages of the file; a damaged first page hides all of them.
    for with_log, with_page in ((True, False), (False, False), (True, True), (False, True)):
        for part, target in zip(_parts(path), _parts(copy), strict=True):
            if part.exists() and (with_log or part == path):
                shutil.copyfile(part, target)
        if with_page:
            _replace_first_page(copy, schema)
        _pad(copy)
        for number, row in _read(copy):
            rows.setdefault(number, row)
        for part in _parts(copy):
            part.unlink(missing_ok=True)
    return [rows[number] for number in sorted(rows)]


def _read(copy: Path) -> Iterator[tuple[int, Row]]:
    """Whatever can be read, up to the damage from either end."""
    for order in ("", " DESC"):
        with (
            suppress(sqlite3.Error, UnicodeDecodeError),
            closing(sqlite3.connect(copy)) as database,
        ):
            # Not by name: a file of an earlier version has fewer columns.
            for number, *columns in database.execute(ROWS + order):
                if (row := _row(columns)) is not None:
                    yield number, row


def _is_described(database: sqlite3.Connection, known: list[object], schema: str) -> bool:
    """Whether the table of entries is as it should be, and can be written to."""
    if len(known) < COLUMNS_MIN or known != _columns(schema)[: len(known)]:
        return False
    database.execute("EXPLAIN INSERT INTO entries DEFAULT VALUES")
    return True


def _columns(schema: str) -> list[object]:
    """What the columns of a sound file are, in order: name, type and constraints of each."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(schema)
        return database.execute(COLUMNS).fetchall()


def _reader(path: Path) -> sqlite3.Connection:
    """Of a damaged file nothing may be written back, as the end of a writer's connection does."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    database.text_factory = lambda text: text.decode(errors="replace")
    return database


def _parts(path: Path) -> tuple[Path, Path, Path]:
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _replace_first_page(path: Path, schema: str) -> None:
    """Put the first page of an empty file in the place of this one's, with its own page count.

    Source: the SQLite file format: page count at byte 28, free pages at 32; the count holds while
    bytes 24 and 92 agree.
    """
    empty = path.with_name(f"{path.name}-empty")
    with closing(sqlite3.connect(empty)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(schema)
    page = bytearray(empty.read_bytes()[:4096])
    for part in _parts(empty):
        part.unlink(missing_ok=True)
    page[28:32] = (-(-path.stat().st_size // len(page))).to_bytes(4)
    page[32:40] = bytes(8)
    page[92:96] = page[24:28]
    with path.open("r+b") as file:
        file.write(page)


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
    """The columns as one entry, where they are whole. Earlier versions had no checksum."""
    match [*columns, None, None][:7]:
        case [
            ("insert" | "label" | "delete") as kind,
            str(record_id),
            str(tenant),
            bytes(body),
            (bytes() | None) as vector,
            (str() | None) as evidence_id,
            (int() | None) as checksum,
        ] if vector is None or len(vector) % 4 == 0:
            row = kind, record_id, tenant, body, vector, evidence_id
            return row if checksum in {None, checked(row)[-1]} else None
        case _:
            return None
