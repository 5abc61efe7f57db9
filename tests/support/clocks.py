"""A clock that stands still until a test moves it."""


class HandClock:
    """Both clocks in one; `move_s` moves them."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def move_s(self, seconds: float) -> None:
        self.now_s += seconds

    def time_s(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s
