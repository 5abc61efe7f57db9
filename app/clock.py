"""The clock, handed in so that tests and replay can have their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one for timestamps, one for durations that no clock change may bend."""

    def time_s(self) -> float:
        """Unix time."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some point; only differences mean anything."""
        ...


class SystemClock:
    """The machine's own."""

    def time_s(self) -> float:
        """Unix time."""
        return time.time()

    def monotonic_s(self) -> float:
        """Seconds since some point."""
        return time.perf_counter()
