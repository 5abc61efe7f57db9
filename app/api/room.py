"""How much memory the bodies of requests under way may take together."""

from collections.abc import Callable

from app.container import memory_limit_bytes
from app.errors import OverloadedError
from app.jsontext import values_at_most
from app.settings.keys import Limits
from app.upstreams.build import ShedMeter

SMALL_BYTES = 16 * 1024
"""A smaller body is not weighed: the number of requests under way bounds those."""
BYTE_BYTES = 6
"""What one byte takes: as it came, as text, as it is sent on, and in both connections' buffers."""
VALUE_BYTES = 350
"""What one comma or bracket takes. Both as measured: forty bodies of 31 MiB; of 120,000 objects."""
SHARE = 8
"""Bodies may take this part of what a container allows; the rest is for what is learned, for
answers, and for the child that indexes the store."""
USUAL_BYTES = 1024 * 1024 * 1024


class Room:
    """Of `limit_bytes`; a request that is alone may take more than that.

    `full` makes the error of who finds none.
    """

    def __init__(self, limit_bytes: int, full: Callable[[], Exception]) -> None:
        self._limit_bytes = limit_bytes
        self._full = full
        self.held_bytes = 0

    def body(self) -> "Held":
        """For one request's body, of which nothing has come yet."""
        return Held(self)

    def take(self, wanted_bytes: int, held_bytes: int) -> None:
        """For who holds so much already. Errors: what `full` makes."""
        if self.held_bytes > held_bytes and self.held_bytes + wanted_bytes > self._limit_bytes:
            raise self._full()
        self.held_bytes += wanted_bytes


class Held:
    """What one body takes of a room until it is let go."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._held_bytes = 0

    def add(self, piece: bytes, *, last: bool) -> None:
        """One more piece of the body. Errors: what the room's `full` makes."""
        self._pieces.append(piece)
        self._size_bytes += len(piece)
        if self._size_bytes > SMALL_BYTES:
            weight_bytes = BYTE_BYTES * self._size_bytes
            if last:
                weight_bytes += VALUE_BYTES * values_at_most(b"".join(self._pieces))
            self._take(weight_bytes - self._held_bytes)
        if last:
            self._pieces.clear()

    def let_go(self) -> None:
        """The request is over."""
        self._room.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _take(self, more_bytes: int) -> None:
        self._room.take(more_bytes, self._held_bytes)
        self._held_bytes += more_bytes


def build_room(limits: Limits, meter: ShedMeter) -> Room:
    """For all requests of the gateway."""

    def full() -> OverloadedError:
        meter.shed("body")
        return OverloadedError("load shed: requests under way take all memory they may; try again")

    return Room(limits.held_bytes or usual_bytes(memory_limit_bytes()), full)


def usual_bytes(allowed_bytes: int | None) -> int:
    """What bodies may take where no setting says, in a container that allows so much."""
    return USUAL_BYTES if allowed_bytes is None else min(USUAL_BYTES, allowed_bytes // SHARE)
