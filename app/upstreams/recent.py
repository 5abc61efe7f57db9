"""Counts what happened lately."""

from collections import deque

from app.clock import Clock


class Recent:
    """How often something happened within the last `window_s`."""

    def __init__(self, window_s: float, clock: Clock) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times_s: deque[float] = deque()

    def add(self) -> None:
        """It happened now."""
        self._forget()
        self._times_s.append(self._clock.monotonic_s())

    def clear(self) -> None:
        """As if it had never happened."""
        self._times_s.clear()

    def __len__(self) -> int:
        self._forget()
        return len(self._times_s)

    def _forget(self) -> None:
        since_s = self._clock.monotonic_s() - self._window_s
        while self._times_s and self._times_s[0] <= since_s:
            self._times_s.popleft()
