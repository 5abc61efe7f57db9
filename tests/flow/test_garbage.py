"""A request that is over leaves nothing that only the garbage collector could free.

The gateway lets it run seldom: what waits for it is memory that grows for a long time.
"""

import asyncio
import gc
from collections.abc import Generator
from pathlib import Path

import pytest

from app.policy import Context
from app.underway import Run
from tests.support.faults import Act, breaks, drips, event, fails, raw, says, sends
from tests.support.faulty_gateway import faulty_gateway
from tests.support.gateway import until

pytestmark = pytest.mark.anyio

FAULTS: dict[str, Act] = {
    "none": says("4"),
    "500": fails(500),
    "429": fails(429),
    "cut": breaks(2, "cut"),
    "reset": breaks(2, "reset"),
    "reset at once": raw(b"", "reset"),
    "garbage": sends(b"data: {{{\n\n"),
}


@pytest.fixture
def no_collector() -> Generator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left() -> list[object]:
    """What is there of requests."""
    return [each for each in gc.get_objects() if isinstance(each, Run | Context)]


@pytest.mark.parametrize("how", FAULTS)
@pytest.mark.parametrize("tiers", [1, 3], ids=["the first tier", "all tiers"])
@pytest.mark.usefixtures("no_collector")
async def test_a_request_that_ended_leaves_nothing(tmp_path: Path, how: str, tiers: int) -> None:
    async with faulty_gateway(tmp_path) as (gate, behind):
        for name in ("small", "medium", "large")[:tiers]:
            behind.plays(f"model-{name}", FAULTS[how])
        for stream in (False, True):
            for model in ("auto:cascade", "auto:value", "small"):
                await gate.ask(model=model, stream=stream)
        await until(lambda: not left())


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.usefixtures("no_collector")
async def test_a_client_that_left_leaves_nothing(tmp_path: Path, stream: bool) -> None:
    async with faulty_gateway(tmp_path) as (gate, behind):
        behind.plays("model-small", drips(event({"content": "a"}), 0.05))
        for model in ("auto:cascade", "small"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await gate.ask(model=model, stream=stream)
        await until(lambda: not left())
