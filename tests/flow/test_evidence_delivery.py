"""Evidence on its way to the record it is about: from the outbox to the store, and read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.delivery import BATCH_RECORDS
from app.recorder import Recorder
from app.records import Evidence, Record
from app.store import EdgeStore, Outbox
from tests.support.records import (
    delivered,
    direction,
    edge,
    evidence,
    new_id,
    record,
    running,
    until,
)
from tests.support.scripted_store import ScriptedStore

pytestmark = pytest.mark.anyio


def outbox_in(path: Path, *, capacity_bytes: int = 1 << 20, keep_s: float = 60.0) -> Outbox:
    return Outbox(path, capacity_bytes=capacity_bytes, keep_s=keep_s)


async def evidence_of(
    where: Recorder | EdgeStore, record_id: str, tenant: str = "local"
) -> list[Evidence] | None:
    kept = await where.get(record_id, tenant=tenant)
    return None if kept is None else sorted(kept.evidence.values(), key=lambda each: each.by)


def submitted(recorder: Recorder) -> Record:
    kept = record()
    assert recorder.submit(kept, direction(1))
    return kept


async def test_evidence_is_read_back_at_every_station(tmp_path: Path) -> None:
    async with edge(tmp_path) as store, running(store, outbox_in(tmp_path, keep_s=0)) as recorder:
        kept = submitted(recorder)
        assert recorder.note(kept.id, "local", evidence("first"))
        assert await evidence_of(recorder, kept.id) == [evidence("first")]

        async def is_stored() -> bool:
            return await evidence_of(store, kept.id) == [evidence("first")]

        await until(is_stored)
        assert recorder.note(kept.id, "local", evidence("second"))
        both = [evidence("first"), evidence("second")]
        assert await evidence_of(recorder, kept.id) == both
        await delivered(recorder)
        assert await evidence_of(recorder, kept.id) == both
        assert await evidence_of(store, kept.id) == both


async def test_evidence_that_waits_is_added_to_a_record_only_the_store_has(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        async with running(store, outbox_in(tmp_path / "first")) as recorder:
            kept = submitted(recorder)
            recorder.note(kept.id, "local", evidence("a", valid=False))
            await delivered(recorder)
        outbox = outbox_in(tmp_path / "second")
        outbox.open()
        recorder = Recorder(store, outbox, lambda _record, _acknowledged: None)
        recorder.note(kept.id, "local", evidence("a", valid=True))
        recorder.note(kept.id, "local", evidence("b"))
        recorder.note(kept.id, "other", evidence("c"))
        assert await evidence_of(recorder, kept.id) == [evidence("a", valid=False), evidence("b")]
        assert await evidence_of(recorder, kept.id, "other") is None
        assert await evidence_of(recorder, new_id()) is None
        outbox.close()


async def test_a_repetition_adds_nothing_and_the_first_word_counts(tmp_path: Path) -> None:
    outbox = outbox_in(tmp_path, keep_s=0)
    async with edge(tmp_path) as store, running(store, outbox) as recorder:
        kept = submitted(recorder)

        async def is_forgotten() -> bool:
            return not outbox.evidence(kept.id, tenant="local")

        for number in range(3):
            again = replace(evidence(valid=not number), time_s=float(number))
            assert recorder.note(kept.id, "local", again)
            await until(is_forgotten)
        tool = Evidence(source="tool_result", valid=False, by="large", time_s=9.0)
        assert recorder.note(kept.id, "local", tool)
        await delivered(recorder)
        noted = await evidence_of(store, kept.id)
        assert noted is not None
        assert {each.source: each.time_s for each in noted} == {"judge": 0.0, "tool_result": 9.0}


async def test_evidence_is_not_added_to_another_tenants_record(tmp_path: Path) -> None:
    async with edge(tmp_path) as store, running(store, outbox_in(tmp_path)) as recorder:
        kept = submitted(recorder)
        recorder.note(kept.id, "other", evidence())
        await delivered(recorder)
        assert await evidence_of(recorder, kept.id) == []
        assert await evidence_of(store, kept.id) == []


async def test_a_note_that_cannot_be_written_down_is_not_acknowledged(tmp_path: Path) -> None:
    store = ScriptedStore()
    store.down = True
    async with running(store, outbox_in(tmp_path, capacity_bytes=4096)) as recorder:
        kept = submitted(recorder)
        answers = [recorder.note(kept.id, "local", evidence(f"tier-{n}")) for n in range(40)]
        assert answers[0] is True
        assert answers[-1] is False
        assert not recorder.note(kept.id, "local", evidence("\udc80"))
        store.down = False
        await delivered(recorder)
    assert len(store.notes[kept.id]) == answers.count(True)


@pytest.mark.parametrize("fault", ["down", "bug"])
async def test_evidence_waits_for_its_store_and_arrives_after_its_record(
    tmp_path: Path, fault: str
) -> None:
    store = ScriptedStore()
    setattr(store, fault, True)
    async with running(store, outbox_in(tmp_path)) as recorder:
        kept = [submitted(recorder) for _ in range(BATCH_RECORDS + 30)]
        for one in reversed(kept):
            recorder.note(one.id, "local", evidence())

        async def in_trouble() -> bool:
            return recorder.trouble is not None

        await until(in_trouble)
        setattr(store, fault, False)
        await delivered(recorder)
    assert {record_id: len(notes) for record_id, notes in store.notes.items()} == {
        one.id: 1 for one in kept
    }


async def test_evidence_about_a_refused_record_is_set_aside_with_it(tmp_path: Path) -> None:
    store, outbox = ScriptedStore(), outbox_in(tmp_path, keep_s=0)
    bad, good = record(), record()
    store.poison = {bad.id}

    async def is_forgotten() -> bool:
        return not outbox.evidence(good.id, tenant="local")

    async with running(store, outbox) as recorder:
        for one in (good, bad):
            recorder.submit(one, None)
            recorder.note(one.id, "local", evidence("same batch"))
        await until(is_forgotten)
        for one in (bad, good):
            recorder.note(one.id, "local", evidence("later batch"))
        await until(is_forgotten)
    store.poison = set()
    async with running(store, outbox_in(tmp_path)) as recorder:
        await delivered(recorder)
    assert len(store.notes[good.id]) == 2
    assert len(store.notes[bad.id]) == 2


async def test_a_replay_after_a_crash_wipes_no_evidence(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        async with running(store, outbox_in(tmp_path)) as recorder:
            kept = submitted(recorder)
            await delivered(recorder)
            recorder.note(kept.id, "local", evidence())
            await delivered(recorder)
        outbox = outbox_in(tmp_path)
        outbox.open()
        assert outbox.depth == 2
        outbox.close()
        async with running(store, outbox) as recorder:
            await delivered(recorder)
            assert await evidence_of(recorder, kept.id) == [evidence()]
            assert await evidence_of(store, kept.id) == [evidence()]
