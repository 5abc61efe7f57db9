"""Time limits over one timer: each wait has its own, and nobody else's cancelling is swallowed."""

import asyncio

import pytest

from app.patience import Patience

pytestmark = pytest.mark.anyio


async def test_a_wait_that_takes_longer_is_given_up() -> None:
    with Patience() as patience, pytest.raises(TimeoutError):
        await patience.wait(asyncio.sleep(5), 0.02)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_wait_has_its_own_limit_shorter_or_longer_than_the_last() -> None:
    with Patience() as patience:
        assert await patience.wait(asyncio.sleep(0.01, "first"), 5) == "first"
        with pytest.raises(TimeoutError):
            await patience.wait(asyncio.sleep(5), 0.02)
        assert await patience.wait(asyncio.sleep(0.06, "third"), 5) == "third"


async def test_between_two_waits_no_time_is_counted() -> None:
    with Patience() as patience:
        await patience.wait(asyncio.sleep(0), 0.02)
        await asyncio.sleep(0.06)
        assert await patience.wait(asyncio.sleep(0, "there"), 0.02) == "there"


async def test_it_can_be_used_again_after_it_was_left() -> None:
    patience = Patience()
    for _ in range(2):
        with patience, pytest.raises(TimeoutError):
            await patience.wait(asyncio.sleep(5), 0.02)


async def test_whoever_is_cancelled_meanwhile_is_cancelled() -> None:
    async def wait() -> None:
        with Patience() as patience:
            await patience.wait(asyncio.sleep(5), 5)

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel("by somebody else")
    assert waiting.cancelled()


async def test_of_one_wait_within_another_the_shorter_limit_ends_both() -> None:
    with Patience() as outer, Patience() as inner:
        with pytest.raises(TimeoutError):
            await outer.wait(inner.wait(asyncio.sleep(5), 5), 0.02)
        assert await inner.wait(asyncio.sleep(0.04, "there"), 5) == "there"


async def test_what_is_awaited_raises_its_own_errors() -> None:
    async def broken() -> None:
        raise KeyError("broken")

    with Patience() as patience, pytest.raises(KeyError):
        await patience.wait(broken(), 5)
