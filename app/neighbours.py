"""Past records near a question: what every search looks at at hand, the rest decoded when asked."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

from typing_extensions import override

from app.records import Record, Vector, record_from_json

LOOKED_INTO = 1024
"""So many of those that were decoded stay so."""


class Words(Protocol):
    """What a search may ask for, word for word."""

    @property
    def tenant(self) -> str: ...

    @property
    def embedder(self) -> str | None: ...

    @property
    def principal(self) -> str | None: ...


class Kept(NamedTuple):
    """A record as it is kept to be found again: one small object, where decoded it is eighty."""

    id: str
    tenant: str
    embedder: str | None
    principal: str | None
    time_s: float
    evidences: int
    text: bytes

    @classmethod
    def of(cls, record: Record, text: bytes) -> "Kept":
        """The record as it is now, and as JSON."""
        return cls(
            record.id,
            record.tenant,
            record.embedder,
            record.principal,
            record.time_s,
            len(record.evidence),
            text,
        )


class Neighbour:
    """A past record and how near its question is (cosine, -1 to 1); its vector if asked for."""

    __slots__ = ("_of", "similarity", "vector")

    def __init__(self, similarity: float, of: Record | Kept, vector: Vector | None = None) -> None:
        self._of = of
        self.similarity = similarity
        self.vector = vector

    @property
    def id(self) -> str:
        return self._of.id

    @property
    def principal(self) -> str | None:
        return self._of.principal

    @property
    def time_s(self) -> float:
        return self._of.time_s

    @property
    def evidences(self) -> int:
        """How many words on it have come in: what was read of it before may be out of date."""
        return self._of.evidences if isinstance(self._of, Kept) else len(self._of.evidence)

    @property
    def record(self) -> Record:
        """All that is known of it. Not to be changed: others see the same."""
        if isinstance(self._of, Kept):
            self._of = _decoded(self._of.text)
        return self._of

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Neighbour):
            return NotImplemented
        return self.similarity == other.similarity and self.record == other.record

    __hash__ = None  # type: ignore[assignment]

    @override
    def __repr__(self) -> str:
        return f"Neighbour({self.similarity}, {self.record})"


def fits(record: Words, words: Mapping[str, str]) -> bool:
    """Whether the record has these words: the query's filter is not trusted."""
    for place, word in words.items():  # noqa: SIM110 - a generator doubles what fifty rows take
        if getattr(record, place) != word:
            return False
    return True


@lru_cache(LOOKED_INTO)
def _decoded(text: bytes) -> Record:
    record = record_from_json(text)
    assert record is not None  # noqa: S101 - it was a record when it was kept
    return record
