"""What goes on in the background, between opening what is kept and closing it again."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from app.recorder import Recorder
from app.store import Outbox, RecordStore

DELIVERY_LIMIT_S = 5.0


class Worker(Protocol):
    """What goes on in the background."""

    async def run(self) -> None:
        """Work, until cancelled."""
        ...


class Kept(Protocol):
    """Records, and what brings them there."""

    @property
    def store(self) -> RecordStore: ...

    @property
    def outbox(self) -> Outbox: ...

    @property
    def recorder(self) -> Recorder: ...


@asynccontextmanager
async def working(kept: Kept, workers: Sequence[Worker]) -> AsyncGenerator[None, None]:
    """Store and outbox open, and the background workers at work."""
    failure: Exception | None = None
    await kept.store.open()
    try:
        kept.outbox.open()
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(worker.run()) for worker in workers]
            try:
                yield
            except Exception as exc:  # noqa: BLE001 - raised below: the group would wrap it
                failure = exc
            finally:
                for work in working:
                    work.cancel()
        await kept.recorder.drain(limit_s=DELIVERY_LIMIT_S)
    finally:
        await kept.store.close()
    if failure is not None:
        raise failure
