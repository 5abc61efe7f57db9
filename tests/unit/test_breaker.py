"""The circuit breaker: when it opens, for how long, and what closes it."""

from contextlib import suppress

import pytest

from app.errors import (
    UpstreamAuthError,
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamDownError,
    UpstreamError,
    UpstreamFailedError,
    UpstreamMissingError,
    UpstreamRateLimitError,
    UpstreamRejectedError,
    UpstreamStaleError,
    UpstreamTimeoutError,
)
from app.settings.pressure import BreakerSection
from app.upstreams.breaker import CircuitBreaker
from tests.support.clocks import HandClock

BROKEN = UpstreamBrokenError("no")


def breaker(clock: HandClock, *, may_open: bool = True, **rule: float) -> CircuitBreaker:
    return CircuitBreaker(
        "p/m", BreakerSection.model_validate(rule), clock, may_open=lambda: may_open
    )


def state_of(watched: CircuitBreaker) -> str:
    """Its state, of which mypy would else think that it cannot change."""
    return watched.state


def call(watched: CircuitBreaker, *failures: UpstreamError | None) -> None:
    """Calls that end so, one after the other."""
    for failure in failures:
        with suppress(UpstreamError), watched.watch():
            if failure is not None:
                raise failure


def test_it_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    watched = breaker(HandClock())
    call(watched, *[BROKEN] * 4, None, *[BROKEN] * 4)
    assert state_of(watched) == "closed"
    call(watched, BROKEN)
    assert state_of(watched) == "open"
    assert not watched.admits
    with pytest.raises(UpstreamDownError), watched.watch():
        pytest.fail("no call may be made")


@pytest.mark.parametrize(
    ("calls", "state"),
    [
        ([None, BROKEN] * 10, "open"),
        ([*[None, BROKEN] * 9, BROKEN], "closed"),
        ([*[None, BROKEN] * 9, None, None, BROKEN], "closed"),
    ],
    ids=["half of 20", "more of 19", "less of 21"],
)
def test_it_opens_when_half_of_at_least_twenty_calls_failed(
    calls: list[UpstreamError | None], state: str
) -> None:
    watched = breaker(HandClock())
    call(watched, *calls)
    assert state_of(watched) == state


def test_what_is_ten_seconds_ago_counts_no_more() -> None:
    clock = HandClock()
    watched = breaker(clock)
    call(watched, *[None, BROKEN] * 9)
    clock.move_s(10)
    call(watched, *[None, BROKEN] * 9)
    assert state_of(watched) == "closed"


@pytest.mark.parametrize(
    ("failure", "counts"),
    [
        (UpstreamConnectError("no"), True),
        (UpstreamTimeoutError("no"), True),
        (UpstreamFailedError("no"), True),
        (UpstreamBrokenError("no"), True),
        (UpstreamRateLimitError("no"), True),
        (UpstreamAuthError("no"), True),
        (UpstreamMissingError("no"), True),
        (UpstreamRejectedError("no"), False),
        (UpstreamStaleError("no"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, UpstreamError) else "",
)
def test_what_is_the_clients_own_fault_is_no_failure(failure: UpstreamError, counts: bool) -> None:
    watched = breaker(HandClock())
    call(watched, *[failure] * 5)
    assert state_of(watched) == ("open" if counts else "closed")


def test_one_call_is_let_through_after_five_seconds_and_decides() -> None:
    clock = HandClock()
    watched = breaker(clock)
    call(watched, *[BROKEN] * 5)
    clock.move_s(4.9)
    assert state_of(watched) == "open"
    clock.move_s(0.2)
    assert state_of(watched) == "half-open"
    with watched.watch():
        assert not watched.admits
        with pytest.raises(UpstreamDownError), watched.watch():
            pytest.fail("there is one probe already")
    assert state_of(watched) == "closed"


def test_its_first_byte_closes_it_for_everyone() -> None:
    clock = HandClock()
    watched = breaker(clock)
    call(watched, *[BROKEN] * 5)
    clock.move_s(5)
    with watched.watch() as answered:
        answered()
        assert watched.admits


def test_each_failed_probe_doubles_the_time_up_to_a_minute_and_success_ends_that() -> None:
    clock = HandClock()
    watched = breaker(clock)
    call(watched, *[BROKEN] * 5)
    for wait_s in (5, 10, 20, 40, 60, 60):
        assert watched.left_s == pytest.approx(wait_s)
        clock.move_s(wait_s)
        call(watched, BROKEN)
    clock.move_s(60)
    call(watched, None, *[BROKEN] * 5)
    assert watched.left_s == pytest.approx(5)


def test_it_stays_open_as_long_as_it_is_asked_to_but_no_longer_than_a_minute() -> None:
    for asked_s, left_s in ((30, 30), (3600, 60), (1, 5)):
        watched = breaker(HandClock())
        call(watched, *[UpstreamRateLimitError("no", retry_after_s=asked_s)] * 5)
        assert watched.left_s == pytest.approx(left_s)


def test_a_probe_that_we_cut_off_decides_nothing_and_the_next_one_may_go() -> None:
    clock = HandClock()
    watched = breaker(clock)
    call(watched, *[BROKEN] * 5)
    clock.move_s(5)
    with pytest.raises(GeneratorExit), watched.watch():
        raise GeneratorExit
    assert state_of(watched) == "half-open"
    assert watched.admits


def test_what_began_before_it_opened_neither_closes_it_nor_keeps_it_open() -> None:
    clock = HandClock()
    watched = breaker(clock)
    late = watched.watch()
    late.__enter__()
    call(watched, *[BROKEN] * 5)
    late.__exit__(None, None, None)
    assert state_of(watched) == "open"


def test_with_nobody_else_to_ask_it_never_opens() -> None:
    watched = breaker(HandClock(), may_open=False)
    call(watched, *[BROKEN] * 100)
    assert state_of(watched) == "closed"
