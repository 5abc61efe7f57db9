"""How a process that serves comes to its end: the first signal asks, the second does not wait."""

import asyncio
import os
import signal
import sys

from app.drain import Drain
from app.serving import Listening


class Signals:
    """SIGINT and SIGTERM, from its making on. `asked`: one has come."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._at_once = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._note, number)

    async def until_told(self, listening: Listening, drain: Drain, *, pre_stop_s: float) -> None:
        """Serve until a signal; after SIGTERM `pre_stop_s` longer, while it says it is not ready.

        An orchestrator goes on sending requests for a moment; whoever presses Ctrl-C does not.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listening.until_stopped())
            await self.asked.wait()
            drain.begin()
            if not self._at_once:
                await asyncio.sleep(pre_stop_s)
            listening.stop()

    def _note(self, number: int) -> None:
        if self.asked.is_set():
            # Records that wait are in the outbox, which a kill cannot harm.
            print("autoshift: stopped at once", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(128 + number)
        self._at_once = number == signal.SIGINT
        self.asked.set()
