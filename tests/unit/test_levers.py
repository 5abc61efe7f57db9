"""What would flip a choice is found on either side, as near as it is."""

import pytest

from app.planning.levers import Choice, Lever, flips

GRID = [at / 10 for at in range(11)]


def stepped(value: float) -> Choice:
    return Choice("ask", "small" if value < 0.33 else "medium" if value < 0.77 else "large")


def test_the_nearest_flip_on_either_side_is_found_to_many_places() -> None:
    below, above = flips(Lever("threshold", 0.5, GRID, stepped))

    assert below.at == pytest.approx(0.33, abs=1e-6)
    assert above.at == pytest.approx(0.77, abs=1e-6)
    assert (below.then, above.then) == (Choice("ask", "small"), Choice("ask", "large"))
    assert stepped(below.at) != stepped(below.now) != stepped(above.at)


def test_where_nothing_would_change_there_is_no_flip() -> None:
    assert list(flips(Lever("threshold", 0.5, GRID, lambda _: Choice("ask", "small")))) == []
