"""The outbox by itself: order, bounds, reopening, damage."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import OutboxError, StoreLockedError
from app.store import Delete, Insert, Note, Outbox, Wanted
from app.store.outbox import FILE
from tests.support.records import direction, evidence, holds, insert, new_id, note, record, until


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def opened(
    path: Path, *, capacity_bytes: int = 1 << 20, clock: Clock | None = None
) -> Iterator[Outbox]:
    outbox = Outbox(path, capacity_bytes=capacity_bytes, clock=clock or Clock())
    outbox.open()
    try:
        yield outbox
    finally:
        outbox.close()


def fill(outbox: Outbox, count: int) -> list[str]:
    kept = [record() for _ in range(count)]
    for one in kept:
        outbox.append(insert(one, direction(1)))
    return [one.id for one in kept]


def waiting(outbox: Outbox, limit: int = 10_000) -> list[str]:
    return [entry.operation.id for entry in outbox.pending(limit)]


def test_entries_are_offered_in_the_order_they_were_written(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        ids = fill(outbox, 10)
        assert waiting(outbox) == ids
        assert waiting(outbox, 4) == ids[:4]
        outbox.settle(outbox.pending(4))
        assert waiting(outbox, 4) == ids[4:8]
        assert outbox.depth == 6


def test_it_tells_the_oldest_and_the_newest_record_that_wait(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        assert outbox.waiting() is None
        ids = fill(outbox, 3)
        assert outbox.waiting() == (ids[0], ids[2])
        outbox.settle(outbox.pending(2))
        assert outbox.waiting() == (ids[2], ids[2])
        outbox.settle(outbox.pending(1))
        assert outbox.waiting() is None


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path) -> None:
    learnt, ledger = insert(record(), direction(30)), insert(record(tenant="other"))
    with opened(tmp_path) as outbox:
        outbox.append(learnt)
        outbox.append(ledger)
        first, second = (entry.operation for entry in outbox.pending(2))
    assert isinstance(first, Insert)
    assert isinstance(second, Insert)
    assert (first.id, first.tenant, first.body) == (learnt.id, learnt.tenant, learnt.body)
    assert first.vector is not None
    assert np.array_equal(first.vector, direction(30))
    assert (second.tenant, second.vector) == ("other", None)


def test_the_same_id_is_written_once(tmp_path: Path) -> None:
    kept = record()
    with opened(tmp_path) as outbox:
        outbox.append(insert(kept))
        outbox.append(insert(record(kept.id, task="again")))
        assert outbox.depth == 1
        assert outbox.get(kept.id, tenant="local") == kept


def test_a_note_comes_back_as_it_was_written_and_in_its_place(tmp_path: Path) -> None:
    kept = record(tenant="other")
    noted = note(kept, "0a", evidence())
    with opened(tmp_path) as outbox:
        outbox.append(insert(kept))
        outbox.append(noted)
        outbox.append(insert(record()))
    with opened(tmp_path) as outbox:
        first, second, third = (entry.operation for entry in outbox.pending(9))
        assert second == noted
        assert isinstance(first, Insert)
        assert isinstance(third, Insert)
        assert outbox.bytes == sum(entry.size_bytes for entry in outbox.pending(9))


def test_the_same_note_is_written_once_a_tenant(tmp_path: Path) -> None:
    kept = record()
    with opened(tmp_path) as outbox:
        outbox.append(note(kept, "0a", evidence(), tenant="other"))
        for valid in (False, True):
            outbox.append(note(kept, "0a", evidence(valid=valid)))
        outbox.append(note(kept, "0b", evidence()))
        assert outbox.depth == 3
        assert outbox.evidence(kept.id, tenant="local") == {
            "0a": evidence(valid=False),
            "0b": evidence(),
        }
        assert outbox.evidence(kept.id, tenant="third") == {}


def test_a_record_is_fetched_with_the_evidence_that_waits(tmp_path: Path) -> None:
    kept = record()
    kept.evidence = {"0a": evidence("early")}
    with opened(tmp_path) as outbox:
        outbox.append(insert(kept))
        for evidence_id in ("0a", "0b"):
            outbox.append(note(kept, evidence_id, evidence("late")))
        outbox.append(note(kept, "0c", evidence(), tenant="other"))
        outbox.append(Note(kept.id, "local", "0d", b"{"))
        again = outbox.get(kept.id, tenant="local")
    assert again is not None
    assert again.evidence == {"0a": evidence("early"), "0b": evidence("late")}


def recounted(outbox: Outbox, path: Path) -> tuple[int, int]:
    """Entries that wait, and bytes of all, as they are counted when the file is opened."""
    waits, total = outbox.depth, outbox.bytes
    with closing(sqlite3.connect(path / FILE)) as database:
        (left,) = database.execute("SELECT count(*) FROM entries").fetchone()
    entries = outbox.pending(10_000)
    assert waits == len(entries) <= left
    outbox.close()
    outbox.open()
    assert outbox.depth == left
    assert outbox.bytes == sum(entry.size_bytes for entry in outbox.pending(10_000))
    return waits, total - outbox.bytes


def test_an_erasure_takes_the_place_of_all_that_is_known_about_a_record(tmp_path: Path) -> None:
    gone, kept = record(), record()
    with opened(tmp_path) as outbox:
        for each in (gone, kept):
            outbox.append(insert(each, direction(1)))
            outbox.append(note(each, "0a", evidence()))
        outbox.erase([gone.id], tenant="other")
        assert outbox.get(gone.id, tenant="local") is not None
        outbox.erase([gone.id], tenant="local")
        assert outbox.get(gone.id, tenant="local") is None
        assert outbox.evidence(gone.id, tenant="local") == {}
        assert outbox.ids(Wanted("local")) == [kept.id]
        operations = [entry.operation for entry in outbox.pending(9)]
        assert [type(each) for each in operations] == [Insert, Note, Delete, Delete]
        assert operations[2:] == [Delete(gone.id, "other"), Delete(gone.id, "local")]
        outbox.append(insert(gone))
        assert waiting(outbox)[-1] == gone.id
        assert outbox.ids(Wanted("local", id=gone.id)) == [gone.id]
        assert recounted(outbox, tmp_path) == (5, 0)


def test_erasing_counts_right_whatever_became_of_the_entries(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as outbox:
        ids = fill(outbox, 9)
        delivered, quarantined = outbox.pending(4), outbox.pending(5)[4:]
        outbox.settle(delivered, quarantined)
        outbox.erase([ids[0], ids[4], ids[8]], tenant="local")
        assert outbox.quarantined == 0
        assert waiting(outbox) == [*ids[5:8], ids[0], ids[4], ids[8]]
        clock.now_s = 61.0
        while outbox.has_expired:
            outbox.forget(2)
        assert recounted(outbox, tmp_path) == (6, 0)
        assert waiting(outbox) == [*ids[5:8], ids[0], ids[4], ids[8]]


def test_a_full_outbox_still_erases(tmp_path: Path) -> None:
    with opened(tmp_path, capacity_bytes=4096) as outbox:
        with pytest.raises(OutboxError):
            fill(outbox, 20)
        ids, full_bytes = waiting(outbox), outbox.bytes
        outbox.erase(ids, tenant="local")
        assert outbox.bytes < full_bytes
        assert set(waiting(outbox)) == set(ids)


@pytest.mark.anyio
async def test_what_left_the_outbox_is_not_in_its_files(tmp_path: Path) -> None:
    gone = [record(task=f"zebra-{number}") for number in range(50)]
    with opened(tmp_path) as outbox:
        for each in gone:
            outbox.append(insert(each, direction(1)))
    with opened(tmp_path) as outbox:
        outbox.erase([each.id for each in gone], tenant="local")
        assert holds(tmp_path, b"zebra")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run_checkpoints)

            async def none_left() -> bool:
                return not holds(tmp_path, b"zebra")

            await until(none_left)
            tasks.cancel_scope.cancel()


def make_file_of_an_earlier_version(path: Path, count: int) -> list[str]:
    ids = [new_id() for _ in range(count)]
    with closing(sqlite3.connect(path / FILE, isolation_level=None)) as database:
        database.executescript(
            "CREATE TABLE entries (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, "
            "id TEXT NOT NULL, tenant TEXT NOT NULL, body BLOB NOT NULL, vector BLOB);"
            "CREATE UNIQUE INDEX one_insert ON entries (id) WHERE kind = 'insert';"
        )
        append = "INSERT INTO entries (kind, id, tenant, body) VALUES ('insert', ?, 'local', ?)"
        database.executemany(append, [(each, record(each).to_json()) for each in ids])
    return ids


def test_a_file_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    ids = make_file_of_an_earlier_version(tmp_path, 5)
    for _ in range(2):
        with opened(tmp_path) as outbox:
            assert waiting(outbox)[:5] == ids
            outbox.append(note(record(ids[0]), "0a", evidence()))
            assert outbox.depth == 6


def test_a_damaged_file_of_an_earlier_version_is_read_too(tmp_path: Path) -> None:
    ids = make_file_of_an_earlier_version(tmp_path, 200)
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 // 4096 * 4096])
    with opened(tmp_path) as outbox:
        left = waiting(outbox)
    assert len(left) >= 60
    assert left == [each for each in ids if each in left]


IDS = [new_id() for _ in range(3)]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), st.sampled_from(IDS)),
        st.tuples(st.just("note"), st.sampled_from(IDS), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("erase"), st.lists(st.sampled_from(IDS), min_size=1, unique=True)),
        st.tuples(st.just("deliver"), st.integers(1, 4)),
        st.tuples(st.just("tidy")),
        st.tuples(st.just("restart")),
    ),
    max_size=40,
)


class Delivered:
    """What a store would hold: inserts do not overwrite, notes only add to what is there."""

    def __init__(self) -> None:
        self.evidence: dict[str, dict[str, bytes]] = {}

    def deliver(self, outbox: Outbox, limit: int) -> None:
        entries = outbox.pending(limit)
        for operation in (entry.operation for entry in entries):
            match operation:
                case Insert():
                    self.evidence.setdefault(operation.id, {})
                case Note() if operation.id in self.evidence:
                    noted = self.evidence[operation.id]
                    noted.setdefault(operation.evidence_id, operation.body)
                case Note():
                    pass
                case Delete():
                    self.evidence.pop(operation.id, None)
        outbox.settle(entries)


class Author:
    """Writes operations, and knows what must come of them."""

    def __init__(self) -> None:
        self.expected: dict[str, dict[str, bytes]] = {}
        self._erased: set[str] = set()
        self._late: set[str] = set()

    def insert(self, outbox: Outbox, record_id: str) -> None:
        """Not of what was noted on after its erasure: that is not expected to come back."""
        if record_id not in self._late:
            outbox.append(insert(record(record_id)))
            self.expected.setdefault(record_id, {})

    def note(self, outbox: Outbox, record_id: str, evidence_id: str, valid: bool) -> None:
        noted = note(record(record_id), evidence_id, evidence(valid=valid))
        if record_id in self.expected:
            outbox.append(noted)
            self.expected[record_id].setdefault(evidence_id, noted.body)
        elif record_id in self._erased:
            outbox.append(noted)
            self._late.add(record_id)

    def erase(self, outbox: Outbox, ids: list[str]) -> None:
        outbox.erase(ids, tenant="local")
        self._erased |= self.expected.keys() & set(ids)
        for record_id in ids:
            self.expected.pop(record_id, None)


@given(steps=STEPS)
def test_what_arrives_is_what_was_written_less_what_was_erased_whatever_happens(
    steps: list[tuple[object, ...]],
) -> None:
    store, author, clock = Delivered(), Author(), Clock()
    with TemporaryDirectory() as directory:
        outbox = reopened(None, Path(directory), clock)
        for step in (*steps, ("restart",), ("deliver", 1000)):
            match step:
                case ("insert", str(record_id)):
                    author.insert(outbox, record_id)
                case ("note", str(record_id), str(evidence_id), bool(valid)):
                    author.note(outbox, record_id, evidence_id, valid)
                case ("erase", list(ids)):
                    author.erase(outbox, ids)
                case ("deliver", int(limit)):
                    store.deliver(outbox, limit)
                case ("tidy",):
                    clock.now_s += 61
                    outbox.forget(2)
                case _:
                    outbox = reopened(outbox, Path(directory), clock)
        outbox.close()
    assert store.evidence == author.expected


def reopened(old: Outbox | None, path: Path, clock: Clock) -> Outbox:
    if old is not None:
        old.close()
    outbox = Outbox(path, capacity_bytes=1 << 20, clock=clock)
    outbox.open()
    return outbox


def test_a_record_is_fetched_by_its_own_tenant_only(tmp_path: Path) -> None:
    kept = record()
    with opened(tmp_path) as outbox:
        outbox.append(insert(kept))
        assert outbox.get(kept.id, tenant="local") == kept
        assert outbox.get(kept.id, tenant="other") is None
        assert outbox.get(new_id(), tenant="local") is None


def test_a_full_outbox_refuses_new_entries_and_keeps_the_old(tmp_path: Path) -> None:
    with opened(tmp_path, capacity_bytes=5000) as outbox:
        ids = fill(outbox, 3)
        with pytest.raises(OutboxError, match=r"full: \d+ of 5000 bytes"):
            fill(outbox, 20)
        assert waiting(outbox)[:3] == ids
        assert 3 < outbox.depth < 20
        assert outbox.bytes <= 5000


def test_entries_are_forgotten_a_minute_after_delivery_and_not_before(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as outbox:
        ids = fill(outbox, 3)
        outbox.settle(outbox.pending(2))
        clock.now_s = 59.9
        outbox.forget(100)
        assert outbox.get(ids[0], tenant="local") is not None
        clock.now_s = 60.0
        assert outbox.has_expired
        outbox.forget(1)
        assert outbox.get(ids[0], tenant="local") is None
        assert outbox.get(ids[1], tenant="local") is not None
        outbox.forget(100)
        assert outbox.get(ids[1], tenant="local") is None
        assert waiting(outbox) == ids[2:]
        left_bytes = outbox.bytes
    with opened(tmp_path) as outbox:
        assert waiting(outbox) == ids[2:]
        assert outbox.bytes == left_bytes


def test_room_comes_back_when_entries_are_forgotten(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, capacity_bytes=3000, clock=clock) as outbox:
        with pytest.raises(OutboxError):
            fill(outbox, 100)
        outbox.settle(outbox.pending(100))
        with pytest.raises(OutboxError):
            fill(outbox, 1)
        clock.now_s = 61
        outbox.forget(100)
        assert outbox.bytes == 0
        fill(outbox, 1)


def test_a_reopened_outbox_offers_everything_the_store_may_have_lost(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        ids = fill(outbox, 5)
        outbox.settle(outbox.pending(2))
        full_bytes = outbox.bytes
    with opened(tmp_path) as outbox:
        assert waiting(outbox) == ids
        assert (outbox.depth, outbox.bytes) == (5, full_bytes)


def test_a_quarantined_entry_blocks_nobody_and_is_offered_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock=clock) as outbox:
        ids = fill(outbox, 3)
        good, bad, other = outbox.pending(3)
        outbox.settle([good, other], [bad])
        assert waiting(outbox) == []
        assert (outbox.depth, outbox.quarantined) == (0, 1)
        clock.now_s = 61
        outbox.forget(100)
    with opened(tmp_path) as outbox:
        assert waiting(outbox) == [ids[1]]


def test_a_closed_outbox_refuses(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        pass
    with pytest.raises(OutboxError, match="closed"):
        fill(outbox, 1)


def test_a_second_gateway_is_refused_the_same_outbox(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StoreLockedError, match="in use by another process"):
        Outbox(tmp_path, capacity_bytes=1).open()


@pytest.mark.parametrize("damage", ["zeros in the middle", "cut off", "not a database"])
def test_a_damaged_file_is_moved_aside_and_what_is_readable_goes_on(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as outbox:
        ids = fill(outbox, 200)
    file = tmp_path / FILE
    content = bytearray(file.read_bytes())
    half = len(content) // 2 // 4096 * 4096
    third = len(content) // 3 // 4096 * 4096
    match damage:
        case "zeros in the middle":
            content[third : third + 8192] = bytes(8192)
        case "cut off":
            del content[half:]
        case _:
            content[:4096] = random.Random(1).randbytes(4096)  # noqa: S311
    file.write_bytes(content)
    with opened(tmp_path) as outbox:
        left = waiting(outbox)
        assert set(left) <= set(ids)
        assert left == sorted(left, key=ids.index)
        assert len(left) >= {"zeros in the middle": 170, "cut off": 60}.get(damage, 0)
        assert fill(outbox, 1)
    assert (tmp_path / f"{FILE}.damaged-1").read_bytes() == content
    assert "the outbox was damaged" in caplog.text
    with opened(tmp_path) as outbox:
        assert len(waiting(outbox)) == len(left) + 1


def test_a_torn_log_loses_only_its_torn_end(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from app.store import Outbox\n"
        "from tests.support.records import *\n"
        "o = Outbox(Path(sys.argv[1]), capacity_bytes=1 << 20); o.open()\n"
        "[o.append(insert(record(), direction(1))) for _ in range(50)]; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)  # noqa: S603
    log = tmp_path / f"{FILE}-wal"
    log.write_bytes(log.read_bytes()[:-1000])
    with opened(tmp_path) as outbox:
        assert 45 <= len(waiting(outbox)) < 50


@pytest.mark.anyio
async def test_checkpoints_move_the_log_into_the_file(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.run_checkpoints)
            ids = fill(outbox, 20)

            async def synced() -> bool:
                copy = tmp_path / "copy"
                copy.write_bytes((tmp_path / FILE).read_bytes())
                database = sqlite3.connect(copy)
                try:
                    query = "SELECT id FROM entries ORDER BY number"
                    return [row[0] for row in database.execute(query)] == ids
                except sqlite3.OperationalError:
                    return False
                finally:
                    database.close()

            assert not await synced()
            await until(synced)
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("at", range(100))
def test_with_any_byte_of_its_header_flipped_it_starts_and_gives_nothing_wrong(
    tmp_path: Path, at: int
) -> None:
    with opened(tmp_path) as outbox:
        ids = fill(outbox, 3)
    file = tmp_path / FILE
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF  # byte 47 is the schema's format: SQLite calls it unsupported, not corrupt
    file.write_bytes(content)
    with opened(tmp_path) as outbox:
        assert waiting(outbox) == ids


@pytest.mark.parametrize("word", [b"TEXT NOT NULL", b"body BLOB", b"sqlite_sequence"])
def test_with_its_table_described_wrongly_it_starts_and_gives_nothing_wrong(
    tmp_path: Path, word: bytes
) -> None:
    with opened(tmp_path) as outbox:
        ids = fill(outbox, 3)
    file = tmp_path / FILE
    content = file.read_bytes()
    assert word in content
    file.write_bytes(content.replace(word, bytes([word[0] ^ 0xFF]) + word[1:], 1))
    with opened(tmp_path) as outbox:
        assert waiting(outbox) == ids
