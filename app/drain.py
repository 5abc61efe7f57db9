"""The gateway's last minute: it is not ready, what is under way finishes, the rest is told so."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.errors import ShuttingDownError

SHUTTING_DOWN = "the gateway is shutting down"


class Drain:
    """`on_begin` is called once, when it begins.

    `began`: no longer ready, though still answering. `over`: nothing is waited for any more.
    """

    def __init__(self, on_begin: Callable[[], None]) -> None:
        self._on_begin = on_begin
        self._under_way: set[asyncio.Task[object]] = set()
        self.began = False
        self.over = False

    def begin(self) -> None:
        """From now on nothing is begun that nobody has asked for."""
        if not self.began:
            self.began = True
            self._on_begin()

    def end(self) -> None:
        """End whatever is still under way; each request is told why."""
        self.over = True
        for task in self._under_way:
            task.cancel(SHUTTING_DOWN)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While a request is served by this task. Errors: ShuttingDownError where it was ended."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a request is served by a task
        self._under_way.add(task)
        try:
            yield
        except asyncio.CancelledError as exc:
            if not was_ended(exc):
                raise  # the client has left
            task.uncancel()
            message = f"{SHUTTING_DOWN}, and this request took too long to finish; send it again"
            raise ShuttingDownError(message) from None
        finally:
            self._under_way.discard(task)


def was_ended(exc: BaseException) -> bool:
    """Whether it was the gateway that ended this, and not its client."""
    return exc.args == (SHUTTING_DOWN,)
