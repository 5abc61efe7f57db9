"""`autoshift records export --format training`: answers to train a smaller model with."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import IO, Protocol

from app.learning.examples import Chosen, Fitness
from app.records import Record

Counts = dict[str, int]

_WHY: dict[Fitness, str] = {
    "lowest_tier": "of the lowest tier",
    "unverified": "that nothing says is right",
    "refused": "that were refused",
    "unused": "without an answer to learn from",
    "no_text": "whose words were not kept",
}
NO_TEXT = (
    "no record has kept its words, so there is nothing to train with: set records.text to "
    "exchange; what is answered from then on can be exported"
)


class Source(Protocol):
    """One tenant's records, wherever they are."""

    def records(self) -> AsyncGenerator[list[Record], None]:
        """All of them, some at a time."""
        ...


async def choose(source: Source, advance: Callable[[int], None], *, unverified: bool) -> Chosen:
    """Which examples are to be written. Errors: StoreError, OutboxError."""
    chosen = Chosen(unverified)
    async with aclosing(source.records()) as pages:
        async for page in pages:
            for record in page:
                chosen.look_at(record)
            advance(len(page))
    return chosen


async def write(source: Source, chosen: Chosen, file: IO[bytes]) -> Counts:
    """The chosen examples, a line each; what became of all records.

    They are read again, as all of them at once may not fit into memory. Errors: as `choose`.
    """
    ids, written = chosen.ids(), 0
    async with aclosing(source.records()) as pages:
        async for page in pages:
            lines = [record.example for record in page if record.id in ids]
            found = [line.encode() + b"\n" for line in lines if line is not None]
            file.writelines(found)
            written += len(found)
    return counts_of(chosen, written)


def counts_of(chosen: Chosen, written: int) -> Counts:
    """How many were exported, and of the others, how many were left out for what reason."""
    left_out: Counts = {why: chosen.counts.get(why, 0) for why in _WHY}
    return {"exported": written, "duplicates": chosen.duplicates, **left_out}


def said(counts: Counts) -> str:
    """The counts in words."""
    told = [f"{counts[why]:,} {words}" for why, words in _WHY.items() if counts[why]]
    if counts["duplicates"]:
        told.append(f"{counts['duplicates']:,} asked more than once")
    left_out = f"; left out: {', '.join(told)}" if told else ""
    return f"{counts['exported']:,} examples exported{left_out}"
