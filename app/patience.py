"""Time limits for what one task waits for, one thing after the other, over a single timer."""

import asyncio
from collections.abc import Awaitable
from math import inf
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Patience:
    """As `asyncio.timeout` around each wait, at a fraction of its price: streams wait thousandfold.

    The timer is set when it would ring too late, and left alone otherwise: when it rings too early,
    it is set again. Used by one task, inside `with`, never two waits at a time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = inf
        self._due_s = inf
        self._expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._rings_s = None, inf

    async def wait(self, awaited: Awaitable[T], limit_s: float) -> T:
        """What is awaited. Errors: TimeoutError where it takes longer; its own."""
        task = self._task
        assert task is not None  # noqa: S101 - only tasks await
        cancelling = task.cancelling()
        self._due_s = self._loop.time() + limit_s
        if self._due_s < self._rings_s:
            self._set()
        cancelled = False
        try:
            return await awaited
        except asyncio.CancelledError:
            cancelled = True
            raise
        finally:
            self._due_s = inf
            if self._expired:
                self._expired = False
                if task.uncancel() <= cancelling and cancelled:
                    raise TimeoutError

    def _set(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = self._due_s
        self._timer = self._loop.call_at(self._due_s, self._ring)

    def _ring(self) -> None:
        self._timer, self._rings_s = None, inf
        if self._loop.time() < self._due_s:
            if self._due_s < inf:
                self._set()
            return
        assert self._task is not None  # noqa: S101 - it waits
        self._expired = True
        self._task.cancel()
