"""The in-flight limit: places, a short queue, and what is turned away."""

import asyncio

import pytest

from app.errors import OverloadedError
from app.upstreams.inflight import InFlightLimit
from tests.support.gateway import until

pytestmark = pytest.mark.anyio


def limit(places: int = 2, waiting: int = 1, waiting_s: float = 5.0) -> InFlightLimit:
    return InFlightLimit(
        places=places,
        waiting=waiting,
        waiting_s=waiting_s,
        full=lambda count: OverloadedError(f"{count}"),
    )


async def hold(limited: InFlightLimit, leave: asyncio.Event) -> None:
    async with limited.place():
        await leave.wait()


async def test_who_finds_no_place_waits_and_then_gets_one() -> None:
    limited, leave = limit(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(hold(limited, leave)) for _ in range(3)]
        await until(lambda: limited.waiting == 1)
        assert limited.in_flight == 2
        assert limited.busy
        leave.set()
        await asyncio.gather(*held)
    assert (limited.in_flight, limited.waiting, limited.busy) == (0, 0, False)


async def test_with_the_queue_full_it_says_so_at_once() -> None:
    limited, leave = limit(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(hold(limited, leave))
        await until(lambda: limited.waiting == 1)
        async with asyncio.timeout(0.05):
            with pytest.raises(OverloadedError):
                await hold(limited, leave)
        leave.set()


async def test_nobody_waits_longer_than_is_set() -> None:
    limited, leave = limit(waiting_s=0.05), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(hold(limited, leave))
        await until(lambda: limited.in_flight == 2)
        with pytest.raises(OverloadedError):
            await hold(limited, leave)
        assert limited.waiting == 0
        leave.set()


async def test_who_leaves_the_queue_frees_its_turn() -> None:
    limited, leave = limit(places=1), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(hold(limited, leave))
        await until(lambda: limited.in_flight == 1)
        impatient = tasks.create_task(hold(limited, leave))
        await until(lambda: limited.waiting == 1)
        impatient.cancel()
        await until(lambda: limited.waiting == 0)
        patient = tasks.create_task(hold(limited, leave))
        await until(lambda: limited.waiting == 1)
        leave.set()
        await asyncio.gather(first, patient)
    async with limited.place():
        assert limited.in_flight == 1


async def test_a_place_freed_by_a_failure_is_free() -> None:
    limited = limit(places=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"):
            async with limited.place():
                raise ValueError("no")
