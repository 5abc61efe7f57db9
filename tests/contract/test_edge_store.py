"""What only the embedded store must do: refuse a second process, keep itself fast."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import orjson
import pytest
from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeVectorParams,
    KeywordIndexParams,
    Point,
    UpdateOperation,
)

from app.errors import StoreDownError, StoreError, StoreLockedError
from app.store import Delete, EdgeStore, Wanted
from app.store.optimizer import Optimizer
from tests.support.records import (
    DIMENSION,
    direction,
    evidence,
    found,
    holds,
    insert,
    note,
    record,
    until,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def edge(path: Path, **options: object) -> AsyncGenerator[EdgeStore]:
    store = EdgeStore(path, dimension=DIMENSION, **options)  # type: ignore[arg-type]
    await store.open()
    try:
        yield store
    finally:
        await store.close()


_OPEN = """
import asyncio, sys
from pathlib import Path
from app.errors import StoreLockedError
from app.store import EdgeStore
try:
    asyncio.run(EdgeStore(Path(sys.argv[1]), dimension=8).open())
except StoreLockedError as exc:
    sys.exit(str(exc))
"""


async def test_a_second_process_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with edge(tmp_path):
        second = await anyio.run_process([sys.executable, "-c", _OPEN, str(tmp_path)], check=False)
        assert second.returncode == 1
        message = second.stderr.decode()
        assert len(message.splitlines()) == 1
        assert "in use by another process" in message
        assert "store.url" in message
        with pytest.raises(StoreLockedError):
            await EdgeStore(tmp_path, dimension=DIMENSION).open()
    third = await anyio.run_process([sys.executable, "-c", _OPEN, str(tmp_path)], check=False)
    assert (third.returncode, third.stderr) == (0, b"")


def slowly(seconds: float, then: str = "0") -> Optimizer:
    """A real child process that takes its time and then ends with this status."""
    code = f"import sys, time; time.sleep({seconds}); sys.exit({then})"
    return Optimizer((sys.executable, "-c", code))


async def test_records_survive_upkeep_and_the_writes_during_it(tmp_path: Path) -> None:
    before, during = [record() for _ in range(40)], [record() for _ in range(100)]
    async with edge(tmp_path, optimizer=slowly(0.3)) as store:
        await store.write([insert(kept, direction(1)) for kept in before])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            for kept in during:
                await store.write([insert(kept, direction(1))])
                assert kept.id in await found(store, limit=200)
        assert await store.count() == 140
        assert {kept.id for kept in before + during} == set(await found(store, limit=200))
        after = record()
        await store.write([insert(after, direction(1))])
    async with edge(tmp_path) as store:
        assert await store.count() == 141
        assert [path.name for path in (tmp_path / "edge").glob("generation-*")] == [
            "generation-000002"
        ]


async def test_evidence_survives_upkeep_and_what_is_noted_during_it(tmp_path: Path) -> None:
    kept = [record() for _ in range(60)]
    async with edge(tmp_path, optimizer=slowly(0.3)) as store:
        await store.write([insert(one, direction(1)) for one in kept])
        await store.write([note(one, "before", evidence()) for one in kept])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            for one in kept:
                await store.write([note(one, "during", evidence()), insert(record())])
        assert (tmp_path / "edge/CURRENT").read_text() == "generation-000002"
        await store.write([note(one, "after", evidence()) for one in kept])
    async with edge(tmp_path) as store:
        assert await store.count() == 120
        for one in kept:
            again = await store.get(one.id, tenant="local")
            assert again is not None
            assert again.evidence.keys() == {"before", "during", "after"}


async def test_a_store_of_an_earlier_version_finds_conversations(tmp_path: Path) -> None:
    directory = tmp_path / "edge/generation-000001"
    directory.mkdir(parents=True)
    vectors = {"question": EdgeVectorParams(size=DIMENSION, distance=Distance.Cosine)}
    shard = EdgeShard.create(str(directory), EdgeConfig(vectors=vectors))
    for name in ("tenant", "embedder"):
        index = KeywordIndexParams(is_tenant=name == "tenant")
        shard.update(UpdateOperation.create_field_index(name, index))
    talk = [record(conversation="talk", time_s=float(turn)) for turn in range(3)]
    points = [Point(one.id, {}, orjson.loads(one.to_json())) for one in talk]
    shard.update(UpdateOperation.upsert_points(points))
    shard.close()
    for _ in range(2):
        async with edge(tmp_path) as store:
            assert await store.last_in_conversation("talk", tenant="local") == talk[-1]


async def test_upkeep_starts_by_itself_after_enough_new_records(tmp_path: Path) -> None:
    async with (
        edge(tmp_path, upkeep_records=10, optimizer=slowly(0)) as store,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(store.run_upkeep)
        await store.write([insert(record(), direction(1)) for _ in range(9)])
        await anyio.wait_all_tasks_blocked()
        assert (tmp_path / "edge/CURRENT").read_text() == "generation-000001"
        await store.write([insert(record(), direction(1))])

        async def renewed() -> bool:
            return (tmp_path / "edge/CURRENT").read_text() == "generation-000002"

        await until(renewed)
        assert await store.count() == 10
        tasks.cancel_scope.cancel()


async def test_the_real_optimizer_runs_in_its_own_process(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        await store.write([insert(record(), direction(1)) for _ in range(10)])
        assert not await store.upkeep()  # too few to be worth an index
        assert await store.count() == 10


@pytest.mark.parametrize(
    "command", ["import os; os.abort()", "raise SystemExit(1)", "syntax error"]
)
async def test_a_crash_of_the_optimizer_harms_nothing(tmp_path: Path, command: str) -> None:
    kept = record()
    async with edge(tmp_path, optimizer=Optimizer((sys.executable, "-c", command))) as store:
        await store.write([insert(kept, direction(1))])
        with pytest.raises(StoreError, match="optimizer"):
            await store.upkeep()
        await store.write([insert(record(), direction(2))])
        assert len(await found(store)) == 2
        assert len(list((tmp_path / "edge").glob("generation-*"))) == 1
    async with edge(tmp_path) as store:
        assert await store.count() == 2


@pytest.mark.parametrize("first", ["cancel", "close"])
async def test_an_upkeep_ends_at_once_at_shutdown(tmp_path: Path, first: str) -> None:
    with anyio.fail_after(5):
        async with (
            edge(tmp_path, upkeep_records=1, optimizer=slowly(60)) as store,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(store.run_upkeep)
            await store.write([insert(record(), direction(1))])

            async def copied() -> bool:
                return any((tmp_path / "edge").glob("*.unfinished"))

            await until(copied)
            if first == "close":
                await store.close()
            tasks.cancel_scope.cancel()
    async with edge(tmp_path) as store:
        assert await store.count() == 1


_DIE_IN_UPKEEP = """
import asyncio, os, sys, uuid
from pathlib import Path
from app.store import EdgeStore
from app.store.optimizer import Optimizer
from tests.support.records import insert, record, direction
async def main():
    code = "import os, signal, sys; os.kill(int(sys.argv[2]), signal.SIGKILL)"
    optimizer = Optimizer((sys.executable, "-c", code))
    store = EdgeStore(Path(sys.argv[1]), dimension=8, optimizer=optimizer)
    await store.open()
    await store.write([insert(record(), direction(1)) for _ in range(20)])
    await store.upkeep()
asyncio.run(main())
"""


async def test_a_process_killed_during_upkeep_leaves_the_old_generation(tmp_path: Path) -> None:
    killed = await anyio.run_process(
        [sys.executable, "-c", _DIE_IN_UPKEEP, str(tmp_path)], check=False
    )
    assert killed.returncode == -9
    assert list((tmp_path / "edge").glob("*.unfinished"))
    async with edge(tmp_path) as store:
        assert await store.count() == 20
        assert not list((tmp_path / "edge").glob("*.unfinished"))


async def test_a_lost_current_file_loses_no_record(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        await store.write([insert(record(), direction(1))])
    (tmp_path / "edge/CURRENT").write_bytes(b"\xff../../etc")
    async with edge(tmp_path) as store:
        assert await store.count() == 1


async def test_a_nearly_full_disk_stops_writes_but_not_searches(tmp_path: Path) -> None:
    free_bytes = 1 << 30
    kept = record()
    async with edge(tmp_path, free_bytes=lambda _: free_bytes) as store:
        await store.write([insert(kept, direction(1))])
        free_bytes = 1 << 20
        with pytest.raises(StoreDownError, match="disk is nearly full: 1 MiB"):
            await store.write([insert(record(), direction(1))])
        assert await found(store) == [kept.id]


async def test_a_store_opens_on_a_full_disk_and_works_when_there_is_room(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        await store.write([insert(record(), direction(1))])
    free_bytes = 1 << 20
    async with edge(tmp_path, free_bytes=lambda _: free_bytes) as store:
        with pytest.raises(StoreDownError, match="not open"):
            await store.count()
        with pytest.raises(StoreDownError, match="nearly full"):
            await store.write([insert(record(), direction(1))])
        free_bytes = 1 << 30
        await store.write([insert(record(), direction(1))])
        assert await store.count() == 2
    with pytest.raises(StoreDownError, match="closed"):
        await store.write([insert(record(), direction(1))])


async def test_an_unusable_path_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"store\.path .* cannot be used"):
        await EdgeStore(tmp_path / "file", dimension=DIMENSION).open()


async def test_upkeep_after_an_erasure_writes_the_records_anew(tmp_path: Path) -> None:
    gone, later = record(task="zebra"), record(task="horse")
    kept = [record() for _ in range(30)]
    kept[0].evidence = {"0a": evidence()}
    ledger = record(embedder=None)
    async with edge(tmp_path) as store:
        await store.write([insert(each, direction(1)) for each in (gone, later, *kept)])
        await store.write([insert(ledger), Delete(gone.id, "local")])
        assert await store.upkeep()
        assert not holds(tmp_path, b"zebra")
        assert not await store.upkeep()
        await store.write([Delete(later.id, "local")])
        assert await store.upkeep()
        assert not holds(tmp_path, b"horse")
    async with edge(tmp_path) as store:
        assert set(await found(store, limit=99)) == {each.id for each in kept}
        for each in (kept[0], ledger):
            assert await store.get(each.id, tenant="local") == each
        rows = await store.by_time(Wanted("local"), newest_first=True, limit=99)
        assert len(rows) == 31


async def test_what_is_erased_while_the_copy_is_made_is_not_in_it(tmp_path: Path) -> None:
    kept = [record() for _ in range(60)]
    gone = kept[:20]
    copying = "import shutil, sys, time; time.sleep(0.4); shutil.rmtree(sys.argv[1]); "
    copying += "shutil.copytree(sys.argv[3], sys.argv[1])"
    optimizer = Optimizer((sys.executable, "-c", copying))
    async with edge(tmp_path, optimizer=optimizer) as store:
        await store.write([insert(each, direction(1)) for each in kept])
        await store.write([Delete(gone[0].id, "local")])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            for each in gone[1:]:
                await store.write([Delete(each.id, "local")])
        assert set(await found(store, limit=99)) == {each.id for each in kept[20:]}
        # Bytes of the later ones are in the copy, so that it is not the last one.
        assert (tmp_path / "edge" / "ERASED").exists()
    async with edge(tmp_path) as store:
        assert set(await found(store, limit=99)) == {each.id for each in kept[20:]}


async def test_a_copy_that_lost_records_is_never_put_in_force(tmp_path: Path) -> None:
    kept, gone = record(), record()
    async with edge(tmp_path, optimizer=slowly(0)) as store:
        await store.write([insert(each, direction(1)) for each in (kept, gone)])
        await store.write([Delete(gone.id, "local")])
        with pytest.raises(StoreError, match="not all of the 1 records"):
            await store.upkeep()
        assert await found(store) == [kept.id]
    async with edge(tmp_path) as store:
        assert await found(store) == [kept.id]
        assert [path.name for path in (tmp_path / "edge").glob("generation-*")] == [
            "generation-000001"
        ]
