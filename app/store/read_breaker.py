"""The circuit breaker before a server's reads: a dead one costs one request its time, not all."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.errors import StoreDownError, StoreError

SILENCE_S = 1.0
LONGEST_PAUSE_S = 5.0

Answer = TypeVar("Answer")


class ReadBreaker:
    """Open after a failure: then reads are refused at once.

    While `run` runs, the same is asked again in the background, and reads are let through when it
    was answered; else one may try again after `SILENCE_S`. `name` is whose reads these are.
    """

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._open_until_s = -math.inf
        self._opened = asyncio.Event()
        self._again: Callable[[], Awaitable[object]] | None = None
        self._is_run = False

    async def read(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to a question that takes its own time limit. Errors: StoreError."""
        if self._clock() < self._open_until_s:
            raise StoreDownError(f"{self._name} failed a moment ago; not asked again yet")
        try:
            answer = await ask()
        except StoreDownError:
            self._again = ask
            self._open_until_s = math.inf if self._is_run else self._clock() + SILENCE_S
            self._opened.set()
            raise
        self._close()
        return answer

    async def run(self) -> None:
        """Ask again what failed, less and less often, until cancelled."""
        self._is_run = True
        while True:
            await self._opened.wait()
            pause_s = SILENCE_S / 2
            while self._opened.is_set():
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                await self._try_again()

    async def _try_again(self) -> None:
        try:
            if self._again is not None:
                await self._again()
        except StoreError:
            return
        self._close()

    def _close(self) -> None:
        self._open_until_s = -math.inf
        self._opened.clear()
        self._again = None
