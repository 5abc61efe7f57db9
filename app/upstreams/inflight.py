"""How much may be in flight at once; for the rest a short queue, then load shed."""

import asyncio
from collections.abc import Callable

BUSY = 0.75
"""The share of the places from which on whatever can wait gives way."""


class InFlightLimit:
    """So many places; who finds none waits its turn, with a few others and not for long.

    `full` makes the error of who gets none; `admitted` is told of who gets one.
    """

    def __init__(
        self,
        *,
        places: int,
        waiting: int,
        waiting_s: float,
        full: Callable[[int], Exception],
        admitted: Callable[[], None] = lambda: None,
    ) -> None:
        self._places = places
        self._waiting_max = waiting
        self._waiting_s = waiting_s
        self._full = full
        self._admitted = admitted
        self._free = asyncio.Semaphore(places)
        self.in_flight = 0
        self.waiting = 0

    @property
    def busy(self) -> bool:
        """Whether what can wait had better do so."""
        return self.waiting > 0 or self.in_flight >= BUSY * self._places

    def place(self) -> "Place":
        """A place, until the block is left; who is cancelled while waiting leaves the queue.

        Errors: what `full` makes.
        """
        return Place(self)

    async def enter(self) -> None:
        """Take a place. Errors: what `full` makes."""
        await self._take()
        self.in_flight += 1
        self._admitted()

    def leave(self) -> None:
        """Give it back."""
        self.in_flight -= 1
        self._free.release()

    async def _take(self) -> None:
        if not self._free.locked():
            await self._free.acquire()  # without waiting
            return
        if self.waiting >= self._waiting_max:
            raise self._full(self.in_flight)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._waiting_s):
                await self._free.acquire()
        except TimeoutError:
            raise self._full(self.in_flight) from None
        finally:
            self.waiting -= 1


class Place:
    """One of a limit's places, for as long as the block lasts."""

    def __init__(self, limit: InFlightLimit) -> None:
        self._limit = limit

    async def __aenter__(self) -> None:
        await self._limit.enter()

    async def __aexit__(self, *_: object) -> None:
        self._limit.leave()
