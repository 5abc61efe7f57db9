"""On which numbers a choice hangs, and how far they would have to move for another one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Do: TypeAlias = Literal["ask", "judge", "compare", "serve"]
HALVINGS = 24


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do with which tier."""

    do: Do
    tier: str


@dataclass(frozen=True, slots=True)
class Lever:
    """A number, where it stands, and what would be chosen if it stood elsewhere.

    `tier` is whose number it is, if any one's. Shape: `looked_at` rises; what lies between two of
    its values is looked at only where they lead to different choices.
    """

    name: str
    now: float
    looked_at: Sequence[float]
    chosen: Callable[[float], Choice | None]
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """From `at` on, as seen from where the lever stands now, `then` is chosen instead."""

    name: str
    tier: str | None
    now: float
    at: float
    then: Choice | None


def flips(lever: Lever) -> Iterator[Flip]:
    """The nearest flip below and the nearest above, where there is one."""
    usual = lever.chosen(lever.now)
    for values in (
        [value for value in reversed(lever.looked_at) if value < lever.now],
        [value for value in lever.looked_at if value > lever.now],
    ):
        same = lever.now
        for value in values:
            if lever.chosen(value) != usual:
                at = _edge(lever, usual, same, value)
                yield Flip(lever.name, lever.tier, lever.now, at, lever.chosen(at))
                break
            same = value


def _edge(lever: Lever, usual: Choice | None, same: float, other: float) -> float:
    """The value nearest to `same` at which the choice is another one, by bisection."""
    for _ in range(HALVINGS):
        middle = (same + other) / 2
        if lever.chosen(middle) == usual:
            same = middle
        else:
            other = middle
    return other
