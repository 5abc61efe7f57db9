"""Records are kept for so long, and so many of them: near-duplicates go first, then the oldest."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.archive import Archive
from app.retention import DAY_S, THINNED, Retention
from app.settings import Keep
from app.store import EdgeStore, Outbox
from tests.support.records import DIMENSION, delivered, direction, found, record, running, until

pytestmark = pytest.mark.anyio

NOW_S = 1_000 * DAY_S


class Noon:
    """A clock that stands."""

    def time_s(self) -> float:
        return NOW_S

    def monotonic_s(self) -> float:
        return 0.0


@asynccontextmanager
async def kept_so(
    path: Path,
    keep: Keep,
    angles_deg: list[float],
    tenant: str = "local",
    *,
    old_every_s: float = 3600.0,
    thinned: int = THINNED,
    unlearn: Callable[[], None] = lambda: None,
) -> AsyncGenerator[tuple[Retention, EdgeStore, list[str]]]:
    """Records of these directions, a day apart, the last one from now; and who looks after them."""
    store, outbox = EdgeStore(path, dimension=DIMENSION), Outbox(path, capacity_bytes=1 << 22)
    await store.open()
    async with running(store, outbox) as recorder:
        ids = []
        for number, angle_deg in enumerate(angles_deg, start=1 - len(angles_deg)):
            made = record(time_s=NOW_S + number * DAY_S, tenant=tenant)
            recorder.submit(made, direction(angle_deg))
            ids.append(made.id)
        await delivered(recorder)
        archive = Archive(recorder=recorder, store=store, outbox=outbox, unlearn=unlearn)
        retention = Retention(
            archive=archive,
            store=store,
            clock=Noon(),
            tenants=lambda: ["local"],
            keep=keep,
            every_s=0.01,
            old_every_s=old_every_s,
            thinned=thinned,
        )
        yield retention, store, ids
    await store.close()


async def test_what_is_too_old_goes(tmp_path: Path) -> None:
    keep = Keep(days=2.5, per_tenant=None)
    async with kept_so(tmp_path, keep, [0, 20, 40, 60, 80]) as (retention, store, ids):
        assert await retention.tidy("local") == 2
        assert set(await found(store)) == set(ids[2:])
        assert await retention.tidy("local") == 0


async def test_of_too_many_near_duplicates_go_before_older_ones(tmp_path: Path) -> None:
    keep = Keep(days=None, per_tenant=4)
    async with kept_so(tmp_path, keep, [0, 30, 60, 30.5, 60.5, 90]) as (retention, store, ids):
        assert await retention.tidy("local") == 2
        assert set(await found(store)) == {ids[0], ids[3], ids[4], ids[5]}


@pytest.mark.parametrize(("thinned", "gone"), [(THINNED, {0, 5}), (1, {0, 1})])
async def test_where_many_must_go_only_the_first_are_looked_at_for_near_duplicates(
    tmp_path: Path, thinned: int, gone: set[int]
) -> None:
    keep, angles_deg = Keep(days=None, per_tenant=6), [0, 20, 40, 60, 80, 100, 0.5, 100.5]
    async with kept_so(tmp_path, keep, angles_deg, thinned=thinned) as (retention, store, ids):
        assert await retention.tidy("local") == 2
        assert set(ids) - set(await found(store)) == {ids[at] for at in gone}


async def test_without_near_duplicates_the_oldest_go(tmp_path: Path) -> None:
    keep = Keep(days=None, per_tenant=40)
    angles_deg = [float(angle) * 6 for angle in range(50)]
    async with kept_so(tmp_path, keep, angles_deg) as (retention, store, ids):
        assert await retention.tidy("local") == 10
        assert set(await found(store, limit=60)) == set(ids[10:])


async def test_other_tenants_lose_nothing(tmp_path: Path) -> None:
    keep = Keep(days=1, per_tenant=1)
    async with kept_so(tmp_path, keep, [0, 30, 60], tenant="other") as (retention, store, _):
        assert await retention.tidy("local") == 0
        assert await store.count("other") == 3
        assert await store.count("local") == 0
        assert await store.count() == 3


async def test_without_limits_nothing_goes(tmp_path: Path) -> None:
    async with kept_so(tmp_path, Keep(days=None, per_tenant=None), [0, 0]) as (retention, store, _):
        assert await retention.tidy("local") == 0
        assert await store.count() == 2


async def test_their_number_is_looked_at_often_and_their_age_now_and_then(tmp_path: Path) -> None:
    relearned: list[None] = []
    angles_deg = [float(angle) * 6 for angle in range(20)]
    keep = Keep(days=4.5, per_tenant=10)
    kept = kept_so(
        tmp_path, keep, angles_deg, old_every_s=2.0, unlearn=lambda: relearned.append(None)
    )
    async with kept as (retention, store, ids):

        async def only(left: int) -> bool:
            return set(await found(store, limit=60)) == set(ids[-left:])

        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(retention.run())
            await until(lambda: only(10))
            assert not relearned  # what was learned of them fades, and nobody asked to erase it
            await until(lambda: only(5), 20)
            assert relearned == [None]
            looking.cancel()


async def test_one_too_many_is_not_worth_the_work(tmp_path: Path) -> None:
    keep = Keep(days=None, per_tenant=100)
    angles_deg = [angle * 3.0 for angle in range(101)]
    kept = kept_so(tmp_path, keep, angles_deg)
    async with kept as (retention, store, _), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(retention.run())
        await asyncio.sleep(0.1)
        assert await store.count() == 101
        looking.cancel()
