"""A loop that is blocked is seen to be, whenever that happens."""

import asyncio
import time

import pytest

from app.reporting.tracker import Tracker
from app.vitals import Vitals


@pytest.mark.anyio
@pytest.mark.parametrize("at_s", [0.05, 0.31, 0.42])
async def test_a_tenth_of_a_second_is_never_missed(at_s: float) -> None:
    lags_s: list[float] = []
    vitals = Vitals(
        tracker=Tracker(),
        kept=lambda _: {},
        target=None,
        over=lambda: None,
        lagged=lags_s.append,
    )
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(vitals.run())
        await asyncio.sleep(at_s)
        time.sleep(0.1)  # noqa: ASYNC251 - what must not happen
        await asyncio.sleep(0.3)
        watching.cancel()
    assert max(lags_s) >= 0.05
