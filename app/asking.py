"""What asking a tier leaves on its attempt: the time it took, what it cost, and how it failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.answers import Answer
from app.clock import Clock
from app.errors import DeadlineError, UpstreamError
from app.records import Attempt
from app.tiers import Tier


@contextmanager
def accounted(tier: Tier, attempt: Attempt, answer: Answer, clock: Clock) -> Iterator[None]:
    """While the tier is asked: notes the facts, however it ends.

    Errors: the call's own.
    """
    started_s = clock.monotonic_s()
    billable = True
    try:
        yield
    except (UpstreamError, DeadlineError) as exc:
        attempt.outcome, attempt.error = "failed", exc.code
        # What has begun to come has begun to cost, whatever ended it.
        begun = attempt.live or not answer.empty
        billable = begun or not isinstance(exc, UpstreamError) or exc.billable
        raise
    finally:
        attempt.latency_s = clock.monotonic_s() - started_s
        attempt.usage, attempt.model = answer.usage, answer.model
        attempt.cost_usd = tier.cost_usd(answer.usage) if billable else 0.0
