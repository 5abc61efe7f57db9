"""The circuit breaker: an upstream that keeps failing is left alone for a while, then tried again.

Source: Envoy's outlier detection, for the growing time and the last one that is never left alone.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from app.clock import Clock
from app.errors import UpstreamAuthError, UpstreamDownError, UpstreamError
from app.settings.pressure import BreakerSection
from app.upstreams.recent import Recent

logger = logging.getLogger(__name__)

State: TypeAlias = Literal["closed", "half-open", "open"]
STATES: tuple[State, ...] = ("closed", "half-open", "open")


class CircuitBreaker:
    """Closed: calls are made. Open: none is. Half-open: one is, and decides.

    `may_open` says whether there is anything left to ask without this upstream.
    """

    def __init__(
        self,
        name: str,
        rule: BreakerSection,
        clock: Clock,
        may_open: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self._rule = rule
        self._clock = clock
        self._may_open = may_open
        self._calls = Recent(rule.window_s, clock)
        self._failures = Recent(rule.window_s, clock)
        self._in_a_row = 0
        self._open_s = rule.open_s
        self._until_s: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        if self._until_s is None:
            return "closed"
        return "open" if self._clock.monotonic_s() < self._until_s else "half-open"

    @property
    def admits(self) -> bool:
        """Whether a call may be made now."""
        state = self.state
        return state == "closed" or (state == "half-open" and not self._probing)

    @property
    def left_s(self) -> float:
        """For how long no call will be made."""
        return max(0.0, (self._until_s or 0.0) - self._clock.monotonic_s())

    @contextmanager
    def watch(self, *, excused: type[UpstreamError] | None = None) -> Iterator[Callable[[], None]]:
        """While a call is made: notes how it ends. Gives what to call at its first byte.

        A call that is cut off from our side says nothing; nor does an `excused` failure.
        Errors: UpstreamDownError where no call may be made; else the call's own.
        """
        if not self.admits:
            raise self.down()
        probe = self.state == "half-open"
        self._probing = self._probing or probe
        try:
            yield self._close
        except UpstreamError as exc:
            if not exc.down or (excused is not None and isinstance(exc, excused)):
                self._succeeded()
            else:
                self._failed(exc, probe=probe)
            raise
        else:
            self._succeeded()
        finally:
            if probe:
                self._probing = False

    def down(self) -> UpstreamDownError:
        """What is said instead of a call."""
        return UpstreamDownError(
            f"{self.name}: failed too often, so it is left alone for a while",
            retry_after_s=self.left_s,
        )

    def _close(self) -> None:
        """A first byte came; how it ends is still open."""
        if self.state == "half-open":
            logger.warning("an upstream is back", extra={"upstream": self.name})
            self._until_s = None
            self._in_a_row = 0
            self._calls.clear()
            self._failures.clear()

    def _succeeded(self) -> None:
        self._close()
        if self._until_s is None:
            self._calls.add()
            self._in_a_row = 0
            self._open_s = self._rule.open_s

    def _failed(self, exc: UpstreamError, *, probe: bool) -> None:
        if isinstance(exc, UpstreamAuthError):
            logger.error("a provider refused the gateway's key", extra={"upstream": self.name})
        if self._until_s is not None:
            # Calls from before it opened tell nothing new.
            if probe:
                self._open(exc)
            return
        self._calls.add()
        self._failures.add()
        self._in_a_row += 1
        calls, failures = len(self._calls), len(self._failures)
        often = calls >= self._rule.calls and failures >= self._rule.share * calls
        if (often or self._in_a_row >= self._rule.in_a_row) and self._may_open():
            self._open(exc)

    def _open(self, exc: UpstreamError) -> None:
        """Leave it alone, longer each time, and at least as long as it asks for."""
        wanted_s = min(exc.retry_after_s or 0.0, self._rule.open_max_s)
        open_s = max(self._open_s, wanted_s)
        self._until_s = self._clock.monotonic_s() + open_s
        self._open_s = min(2 * self._open_s, self._rule.open_max_s)
        logger.warning(
            "an upstream is down",
            extra={"upstream": self.name, "error": type(exc).code, "for_s": open_s},
        )
