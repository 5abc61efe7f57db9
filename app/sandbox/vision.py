"""Questions about a picture of coloured squares, from its one colour to its fullest row."""

from collections import Counter
from random import Random

from app.sandbox.pictures import COLOURS, EMPTY
from app.sandbox.templates import PICTURE, Slots, Solution, Template, solution

_NAMES = tuple(COLOURS.values())


def _only_colour(slots: Slots) -> Solution:
    right = _NAMES.index(_squares(slots)[0])
    return solution(_NAMES[right], [_NAMES[(right + step) % len(_NAMES)] for step in (1, 3, 4)])


def _count(slots: Slots) -> Solution:
    squares = _squares(slots)
    wanted = squares.count(slots["u1"])
    return _counts(wanted, wanted + 1, wanted - 1, len(squares))


def _difference(slots: Slots) -> Solution:
    first, second = (_squares(slots).count(slots[name]) for name in ("u1", "u2"))
    right = abs(first - second)
    return _counts(right, first + second, max(first, second), right + 1)


def _fullest_row(slots: Slots) -> Solution:
    counts = [_named(row).count(slots["u1"]) for row in slots[PICTURE].split("/")]
    right = counts.index(max(counts)) + 1
    return _counts(right, len(counts) + 1 - right, right % len(counts) + 1, max(counts), right + 1)


def _squares(slots: Slots) -> list[str]:
    """The colours of all squares, row by row."""
    return _named(slots[PICTURE])


def _named(picture: str) -> list[str]:
    return [COLOURS[letter] for letter in picture if letter in COLOURS]


def _counts(right: int, *wrong: int) -> Solution:
    return solution(str(right), [str(value) for value in wrong])


def _picture(rng: Random, letters: str, rows: int, columns: int) -> str:
    return "/".join("".join(rng.choices(letters, k=columns)) for _ in range(rows))


def _draw_one_colour(rng: Random) -> Slots:
    letter = rng.choice(list(COLOURS))
    return {PICTURE: f"{_picture(rng, letter + EMPTY, 3, 4)}/...{letter}"}


def _draw_count(rng: Random) -> Slots:
    letters = rng.sample(list(COLOURS), 3)
    picture = _picture(rng, "".join(letters) + EMPTY, 3, 5)
    return {PICTURE: picture, "u1": COLOURS[letters[0]]}


def _draw_difference(rng: Random) -> Slots:
    letters = rng.sample(list(COLOURS), 4)
    picture = _picture(rng, "".join(letters) + letters[0] + EMPTY, 4, 6)
    return {PICTURE: picture, "u1": COLOURS[letters[0]], "u2": COLOURS[letters[1]]}


def _draw_fullest_row(rng: Random) -> Slots:
    letters = rng.sample(list(COLOURS), 4)
    colour = COLOURS[letters[0]]
    while True:
        picture = _picture(rng, "".join(letters) + letters[0] + EMPTY, 5, 6)
        counts = Counter(_named(row).count(colour) for row in picture.split("/"))
        if counts[max(counts)] == 1:
            return {PICTURE: picture, "u1": colour}


TEMPLATES = (
    Template(
        "vision",
        1,
        (
            "Which colour are the squares in this picture?",
            "What colour do all squares in the picture have?",
        ),
        _draw_one_colour,
        _only_colour,
    ),
    Template(
        "vision",
        2,
        (
            "How many {u1} squares does this picture of coloured squares show?",
            "Count the squares that are {u1} in the picture. How many are there?",
        ),
        _draw_count,
        _count,
    ),
    Template(
        "vision",
        3,
        (
            "By how much do the number of {u1} squares and the number of {u2} squares in this "
            "picture of coloured squares differ?",
            "Count both the {u1} squares and the {u2} squares in the picture. How large is the "
            "difference between the two counts?",
        ),
        _draw_difference,
        _difference,
    ),
    Template(
        "vision",
        4,
        (
            "The picture shows rows of coloured squares on a white ground; some places are left "
            "empty. Which row holds the most {u1} squares, if the row at the top is number 1?",
            "Go through the picture row by row, the top one being row 1, and count only the {u1} "
            "squares in each of the rows. What is the number of the row with the most of them?",
        ),
        _draw_fullest_row,
        _fullest_row,
    ),
)
