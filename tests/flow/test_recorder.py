"""Records on their way from the reply to the store, and what happens when that way is broken."""

import math
import random
import signal
import sys
from pathlib import Path

import anyio
import pytest

from app.recorder import Recorder
from app.records import Record
from app.store import EdgeStore, Outbox
from tests.support.records import (
    EMBEDDER,
    delivered,
    direction,
    edge,
    new_id,
    record,
    running,
    until,
)
from tests.support.scripted_store import ScriptedStore

pytestmark = pytest.mark.anyio


class Observed:
    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []

    def __call__(self, kept: Record, acknowledged: bool) -> None:
        self.seen.append((kept.id, acknowledged))


def outbox_in(path: Path, *, capacity_bytes: int = 1 << 20, keep_s: float = 60.0) -> Outbox:
    return Outbox(path, capacity_bytes=capacity_bytes, keep_s=keep_s)


async def test_a_submitted_record_is_a_neighbour_within_moments(tmp_path: Path) -> None:
    async with edge(tmp_path) as store, running(store, outbox_in(tmp_path)) as recorder:
        for _ in range(3):
            kept = record()
            assert recorder.submit(kept, direction(1))

            async def is_found(kept: Record = kept) -> bool:
                found = await store.search(direction(1), tenant="local", embedder=EMBEDDER, limit=9)
                return kept in [neighbour.record for neighbour in found]

            await until(is_found, within_s=0.5)


async def test_a_record_can_be_fetched_before_and_after_delivery(tmp_path: Path) -> None:
    kept = record()
    async with edge(tmp_path) as store, running(store, outbox_in(tmp_path, keep_s=0)) as recorder:
        recorder.submit(kept, direction(1))
        assert await recorder.get(kept.id, tenant="local") == kept

        async def is_forgotten() -> bool:
            return await store.get(kept.id, tenant="local") is not None

        await until(is_forgotten)
        assert await recorder.get(kept.id, tenant="local") == kept
        assert await recorder.get(kept.id, tenant="other") is None
        assert await recorder.get(new_id(), tenant="local") is None


async def test_submitting_twice_counts_once(tmp_path: Path) -> None:
    observed, store, kept = Observed(), ScriptedStore(), record()
    async with running(store, outbox_in(tmp_path), observed) as recorder:
        assert recorder.submit(kept, None)
        assert recorder.submit(kept, None)
        await delivered(recorder)
    assert observed.seen == [(kept.id, True)]
    assert list(store.kept) == [kept.id]


async def test_a_record_that_must_not_teach_is_kept_without_its_vector(tmp_path: Path) -> None:
    store, kept = ScriptedStore(), record(learn=False)
    async with running(store, outbox_in(tmp_path)) as recorder:
        recorder.submit(kept, direction(1))
        await delivered(recorder)
    assert store.kept[kept.id].vector is None


async def test_a_full_outbox_refuses_and_never_raises(tmp_path: Path) -> None:
    observed, store = Observed(), ScriptedStore()
    store.down = True
    async with running(store, outbox_in(tmp_path, capacity_bytes=4096), observed) as recorder:
        answers = [recorder.submit(record(), None) for _ in range(20)]
        assert answers[0] is True
        assert answers[-1] is False
        assert recorder.refused == answers.count(False)
        assert [acknowledged for _, acknowledged in observed.seen] == answers
        store.down = False
        await delivered(recorder)
    assert len(store.kept) == answers.count(True)


async def test_an_observer_that_fails_does_not_fail_the_reply(tmp_path: Path) -> None:
    def broken(_kept: Record, _acknowledged: bool) -> None:
        raise RuntimeError("no metrics today")

    async with running(ScriptedStore(), outbox_in(tmp_path), broken) as recorder:
        assert recorder.submit(record(), None)


@pytest.mark.parametrize("fault", ["down", "bug"])
async def test_a_backlog_is_delivered_when_the_store_is_back(tmp_path: Path, fault: str) -> None:
    store = ScriptedStore()
    setattr(store, fault, True)
    async with running(store, outbox_in(tmp_path)) as recorder:
        kept = [record() for _ in range(600)]
        assert all(recorder.submit(one, None) for one in kept)

        async def in_trouble() -> bool:
            return recorder.trouble is not None and store.asked >= 3

        await until(in_trouble)
        assert recorder.alive
        assert recorder.backlog == 600
        setattr(store, fault, False)
        await delivered(recorder)
        assert recorder.trouble is None
    assert list(store.kept) == [one.id for one in kept]


async def test_changes_of_the_stores_state_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ScriptedStore()
    store.down = True
    async with running(store, outbox_in(tmp_path)) as recorder:
        recorder.submit(record(), None)

        async def asked_often() -> bool:
            return store.asked >= 4

        await until(asked_often)
        store.down = False
        await delivered(recorder)
    assert caplog.text.count("records cannot be delivered") == 1


async def test_a_record_the_store_refuses_does_not_hold_up_the_others(tmp_path: Path) -> None:
    store, kept = ScriptedStore(), [record() for _ in range(20)]
    store.poison = {kept[0].id, kept[7].id}
    async with running(store, outbox_in(tmp_path)) as recorder:
        for one in kept:
            recorder.submit(one, None)
        await delivered(recorder)
    assert set(store.kept) == {one.id for one in kept} - store.poison


async def test_a_store_that_refuses_everything_loses_nothing(tmp_path: Path) -> None:
    store, kept = ScriptedStore(), [record() for _ in range(5)]
    store.poison = {one.id for one in kept}
    async with running(store, outbox_in(tmp_path)) as recorder:
        for one in kept:
            recorder.submit(one, None)

        async def asked_often() -> bool:
            return store.asked >= 10

        await until(asked_often)
        assert recorder.backlog == 5
        store.poison = set()
        await delivered(recorder)
    assert len(store.kept) == 5


async def test_entries_leave_the_outbox_only_after_the_store_has_synced_them(
    tmp_path: Path,
) -> None:
    store, kept = ScriptedStore(), record()
    async with running(store, outbox_in(tmp_path, keep_s=0.05)) as recorder:
        recorder.submit(kept, None)

        async def forgotten() -> bool:
            return await recorder.get(kept.id, tenant="local") is None

        await until(forgotten)
        assert store.flushed > 0


async def test_the_stores_size_is_known_while_the_store_is_up(tmp_path: Path) -> None:
    store = ScriptedStore()
    async with running(store, outbox_in(tmp_path)) as recorder:
        recorder.submit(record(), None)

        async def counted() -> bool:
            return recorder.stored == 1

        await until(counted)
        store.down = True

        async def unknown() -> bool:
            return math.isnan(recorder.stored)

        await until(unknown)


async def test_a_worker_that_ended_shows(tmp_path: Path) -> None:
    async with running(ScriptedStore(), outbox_in(tmp_path)) as recorder:
        assert recorder.alive
    assert not recorder.alive


async def test_a_drain_delivers_what_waits_and_keeps_what_cannot_be_delivered(
    tmp_path: Path,
) -> None:
    for fault, left in ((None, 0), ("down", 3), ("stuck", 3)):
        store, outbox = ScriptedStore(), Outbox(tmp_path / str(fault), capacity_bytes=1 << 20)
        if fault:
            setattr(store, fault, True)
        outbox.open()
        recorder = Recorder(store, outbox, Observed())
        for _ in range(3):
            recorder.submit(record(), None)
        with anyio.fail_after(2):
            await recorder.drain(limit_s=0.2)
        assert len(store.kept) == 3 - left
        reopened = Outbox(tmp_path / str(fault), capacity_bytes=1 << 20)
        reopened.open()
        assert len(reopened.pending(10)) == 3
        reopened.close()


@pytest.mark.parametrize("seed", range(5))
async def test_a_killed_gateway_loses_no_acknowledged_record(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, "-m", "tests.support.kill_recorder", str(tmp_path), str(seed)]
    async with await anyio.open_process(command, stderr=None) as child:
        assert child.stdout is not None
        printed = await child.stdout.receive()
        with anyio.move_on_after(random.Random(seed).uniform(0.1, 1.2)):  # noqa: S311
            async for chunk in child.stdout:
                printed += chunk
        child.send_signal(signal.SIGKILL)
        async for chunk in child.stdout:
            printed += chunk
        assert await child.wait() == -signal.SIGKILL
    whole_lines, _, _ = printed.decode().rpartition("\n")
    authors = acknowledged_in(whole_lines)
    acknowledged = authors.keys()
    assert len(acknowledged) > 5
    assert any(authors.values())
    async with edge(tmp_path) as store:
        async with running(store, outbox_in(tmp_path, capacity_bytes=1 << 26)) as recorder:
            await is_kept_with_its_evidence(recorder, authors)
            await delivered(recorder)
        await is_kept_with_its_evidence(store, authors)
        found = await store.search(direction(0), tenant="local", embedder=EMBEDDER, limit=100_000)
        ids = [neighbour.record.id for neighbour in found]
        assert len(ids) == len(set(ids)) == await store.count()
        assert acknowledged <= set(ids)


def acknowledged_in(lines: str) -> dict[str, set[str]]:
    """Of every record the process printed, the authors of its evidence."""
    authors: dict[str, set[str]] = {}
    for line in lines.split("\n"):
        record_id, _, by = line.partition(" ")
        authors.setdefault(record_id, set()).update({by} - {""})
    return authors


async def is_kept_with_its_evidence(
    where: Recorder | EdgeStore, authors: dict[str, set[str]]
) -> None:
    for record_id, expected in authors.items():
        kept = await where.get(record_id, tenant="local")
        assert kept is not None
        found = [evidence.by for evidence in kept.evidence.values()]
        assert len(found) == len(set(found))
        assert expected <= set(found)
