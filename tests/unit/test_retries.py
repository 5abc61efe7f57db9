"""The retry budget: what is tried again, after how long, and how often in all."""

from random import Random

import pytest

from app.errors import (
    UpstreamAwayError,
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamError,
    UpstreamFailedError,
    UpstreamRateLimitError,
    UpstreamTimeoutError,
    UpstreamUntrustedError,
)
from app.settings.pressure import RetriesSection
from app.upstreams.retries import RetryBudget
from app.upstreams.statuses import refusal, seconds
from tests.support.clocks import HandClock

AWAY = UpstreamAwayError("no")


def budget(clock: HandClock, **rule: float) -> RetryBudget:
    return RetryBudget(RetriesSection.model_validate(rule), clock, Random(1))  # noqa: S311


@pytest.mark.parametrize("requests", [0, 100, 1000])
def test_retries_are_a_fifth_of_the_requests_and_three_a_second(requests: int) -> None:
    limited = budget(HandClock())
    for _ in range(requests):
        limited.request()
    granted = [limited.withdraw(AWAY) is not None for _ in range(requests + 100)]
    assert sum(granted) == requests // 5 + 30


def test_ten_seconds_later_there_are_new_ones() -> None:
    clock = HandClock()
    limited = budget(clock)
    assert sum(limited.withdraw(AWAY) is not None for _ in range(100)) == 30
    clock.move_s(10)
    assert limited.withdraw(AWAY) is not None


def test_the_wait_is_random_between_its_bounds() -> None:
    waits = [budget(HandClock(), per_s=1000).withdraw(AWAY) for _ in range(3)]
    limited = budget(HandClock(), per_s=1000)
    waits += [limited.withdraw(AWAY) for _ in range(500)]
    assert all(wait is not None and 0.1 <= wait <= 0.5 for wait in waits)
    assert len(set(waits)) > 400


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (UpstreamConnectError("no"), True),
        (UpstreamUntrustedError("no"), False),
        (UpstreamAwayError("no"), True),
        (UpstreamAwayError("no", retry_after_s=30), False),
        (UpstreamRateLimitError("no"), False),
        (UpstreamRateLimitError("no", retry_after_s=1.5), True),
        (UpstreamRateLimitError("no", retry_after_s=2.5), False),
        (UpstreamFailedError("no"), False),
        (UpstreamTimeoutError("no"), False),
        (UpstreamBrokenError("no"), False),
    ],
)
def test_only_what_may_go_well_at_once_is_tried_again(failure: UpstreamError, again: bool) -> None:
    wait_s = budget(HandClock()).withdraw(failure)
    assert (wait_s is not None) is again
    if wait_s is not None and failure.retry_after_s is not None:
        assert wait_s >= failure.retry_after_s


@pytest.mark.parametrize(
    ("status", "again"),
    [(500, False), (501, False), (502, True), (503, True), (504, True), (529, False), (408, False)],
)
def test_statuses_say_whether_they_pass(status: int, again: bool) -> None:
    assert refusal("p", status, b"", None).transient is again


def test_retry_after_is_seconds_or_a_date() -> None:
    assert seconds("7") == 7
    assert seconds("-3") == 0
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    later = seconds("Wed, 21 Oct 2099 07:28:00 GMT")
    assert later is not None
    assert later > 3600
    for nonsense in (None, "", "soon", "Wed, 99 Oct"):
        assert seconds(nonsense) is None
