"""Whether a failed call is made once more, and when: one budget for the whole gateway.

Source: Finagle and Linkerd, for the budget; AWS Builders' Library, for full jitter.
"""

from random import Random

from app.clock import Clock
from app.errors import UpstreamError, UpstreamRateLimitError
from app.settings.pressure import RetriesSection
from app.upstreams.recent import Recent


class RetryBudget:
    """Retries are at most `share` of the requests of late, and `per_s` more each second.

    Requests are the clients', not the calls made for them: else the healthy hops of a request would
    pay for retries of the one tier that is down.
    """

    def __init__(self, rule: RetriesSection, clock: Clock, rng: Random) -> None:
        self._rule = rule
        self._rng = rng
        self._requests = Recent(rule.window_s, clock)
        self._retries = Recent(rule.window_s, clock)

    def request(self) -> None:
        """A client's request was let in."""
        self._requests.add()

    def withdraw(self, exc: UpstreamError) -> float | None:
        """How long to wait before the call that failed so is made again; None: it is not.

        Units: seconds.
        """
        asked_s = exc.retry_after_s
        rule = self._rule
        # Whoever gets too much and does not say when it can take more is not pressed.
        silent = isinstance(exc, UpstreamRateLimitError) and asked_s is None
        if not exc.transient or silent or (asked_s or 0.0) > rule.retry_after_s:
            return None
        allowed = rule.share * len(self._requests) + rule.per_s * rule.window_s
        if len(self._retries) + 1 > allowed:
            return None
        self._retries.add()
        backoff_s = self._rng.uniform(rule.backoff_min_s, rule.backoff_max_s)
        return max(backoff_s, asked_s or 0.0)
