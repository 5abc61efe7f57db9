"""Bodies under way take so much memory together, and no more."""

import pytest

from app.api.room import BYTE_BYTES, SMALL_BYTES, USUAL_BYTES, VALUE_BYTES, Room, usual_bytes

LARGE = b'"' + b"x" * SMALL_BYTES + b'"'
FULL = BYTE_BYTES * len(LARGE)


class FullError(Exception):
    """Nobody fits in any more."""


def room(limit_bytes: int) -> Room:
    return Room(limit_bytes, FullError)


def test_small_bodies_weigh_nothing() -> None:
    here = room(1)
    for _ in range(3):
        here.body().add(b"x" * SMALL_BYTES, last=True)
    assert here.held_bytes == 0


def test_what_is_held_is_let_go_once() -> None:
    here = room(FULL)
    one = here.body()
    one.add(LARGE, last=True)
    assert here.held_bytes == FULL
    with pytest.raises(FullError):
        here.body().add(LARGE, last=True)
    one.let_go()
    one.let_go()
    assert here.held_bytes == 0
    here.body().add(LARGE, last=True)


def test_who_is_refused_half_way_lets_go_of_what_it_had() -> None:
    here = room(3 * FULL)
    one, other = here.body(), here.body()
    one.add(LARGE, last=False)
    other.add(LARGE, last=False)
    one.add(LARGE, last=False)
    with pytest.raises(FullError):
        other.add(LARGE, last=False)
    other.let_go()
    assert here.held_bytes == 2 * FULL


def test_a_request_that_is_alone_may_take_more() -> None:
    here = room(1)
    alone = here.body()
    alone.add(LARGE, last=False)
    alone.add(LARGE, last=True)
    assert here.held_bytes > 2 * FULL - 1


def test_values_weigh_and_what_stands_in_a_text_does_not() -> None:
    here = room(10**9)
    many = b"[" + b",".join([b"{}"] * SMALL_BYTES) + b"]"
    held = here.body()
    for at in range(0, len(many), 1000):
        held.add(many[at : at + 1000], last=False)
    assert here.held_bytes == BYTE_BYTES * len(many)
    held.add(b"", last=True)
    assert here.held_bytes == BYTE_BYTES * len(many) + VALUE_BYTES * 2 * SMALL_BYTES
    held.let_go()
    text = b'"' + many + b'"'
    here.body().add(text, last=True)
    assert here.held_bytes == BYTE_BYTES * len(text)


def test_a_small_container_has_less_room() -> None:
    assert usual_bytes(None) == usual_bytes(2**40) == USUAL_BYTES
    assert usual_bytes(256 * 2**20) == 32 * 2**20
