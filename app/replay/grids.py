"""Figures as they are written down: tables without a terminal, and how a number looks in one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.replay.bootstrap import Estimated
from app.replay.curves import Point

SMALL_USD = 0.1
UNKNOWN = "—"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. The first head and cell of a row name it; names in `strong` stand out."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[str] = frozenset()


def grid(
    title: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    strong: Iterable[str] = (),
) -> Grid:
    """The table; what is missing at the end of a row is left empty."""
    filled = [[*row, *[""] * (1 + len(heads) - len(row))] for row in rows]
    return Grid(title, ["", *heads], filled, frozenset(strong))


def cell(point: Point) -> str:
    return f"{point.accuracy:.3f} ${usd(point.usd)}"


def points(gain: Estimated | None) -> str:
    """A difference of accuracies in points, with its interval."""
    if gain is None:
        return UNKNOWN
    low, high = (100 * end for end in (gain.interval.low, gain.interval.high))
    return f"{100 * gain.value:+.1f} [{low:.1f}, {high:.1f}]"


def ratio(found: Estimated | None) -> str:
    """How many times the cost, with its interval."""
    return UNKNOWN if found is None else f"{found.value:.2f} {between(found, '.2f')}"


def between(figure: Estimated, form: str) -> str:
    return f"[{figure.interval.low:{form}}, {figure.interval.high:{form}}]"


def maybe(value: float | None, form: str) -> str:
    return UNKNOWN if value is None else f"{value:{form}}"


def usd(amount: float) -> str:
    """Two decimals; three digits where that would say little."""
    return f"{amount:.2f}" if amount == 0 or amount >= SMALL_USD else f"{amount:.3g}"
