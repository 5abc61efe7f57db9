"""What every record store can do, and the operations it is given."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from app.errors import StoreError
from app.records import Evidence, Neighbour, Record, Vector, record_from_payload

VECTOR_NAME = "question"
Payload: TypeAlias = dict[str, object]
Item = TypeVar("Item")

_evidence_adapter = TypeAdapter(Evidence)


@dataclass(frozen=True, slots=True, eq=False)
class Insert:
    """A record to be kept; it never overwrites. `body` is `Record.to_json()`.

    Without a vector the record can be fetched and is counted, but is nobody's neighbour.
    """

    id: str
    tenant: str
    body: bytes
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Note:
    """Evidence to be added to the record `id`; it never overwrites. `body` is its JSON.

    It follows the record's insert. For a record that is not there, or another tenant's, it does
    nothing.
    """

    id: str
    tenant: str
    evidence_id: str
    body: bytes


Operation: TypeAlias = Insert | Note


class RecordStore(Protocol):
    """Errors of every method: StoreError; a `retryable` one says that later may go better."""

    async def open(self) -> None:
        """Make the store ready. One that is down for now is only logged: writes try again.

        Errors: StoreLockedError, StoreMismatchError.
        """
        ...

    async def close(self) -> None: ...

    async def search(
        self, vector: Vector, *, tenant: str, embedder: str, limit: int
    ) -> list[Neighbour]:
        """Past records of this tenant and embedder, most similar first."""
        ...

    async def write(self, operations: Sequence[Operation]) -> None:
        """Apply the operations; doing so twice is the same as once.

        A note finds the records inserted before it, here or in an earlier call.
        """
        ...

    async def get(self, record_id: str, *, tenant: str) -> Record | None: ...

    async def last_in_conversation(self, conversation: str, *, tenant: str) -> Record | None:
        """The latest record of this conversation, by its time."""
        ...

    async def count(self) -> int: ...

    async def flush(self) -> None:
        """Make everything written so far survive a power cut, if the store does not by itself."""
        ...

    async def run_upkeep(self) -> None:
        """Keep searches fast, until cancelled; never raises."""
        ...


def payload_of(insert: Insert, *, dimension: int) -> Payload:
    """The record as decoded JSON.

    Errors: StoreError where no store could ever hold this record.
    """
    if not is_point_id(insert.id):
        raise StoreError(f"the record's id {insert.id!r} is not a UUID")
    try:
        payload = orjson.loads(insert.body)
    except orjson.JSONDecodeError as exc:
        raise StoreError(f"record {insert.id} is not JSON") from exc
    if not isinstance(payload, dict) or payload.get("tenant") != insert.tenant:
        raise StoreError(f"record {insert.id} is not one of tenant {insert.tenant}")
    vector = insert.vector
    if vector is not None and (vector.shape != (dimension,) or not np.isfinite(vector).all()):
        raise StoreError(
            f"record {insert.id} has a vector of shape {vector.shape}; "
            f"it must be {dimension} finite numbers"
        )
    return payload


def evidence_payload_of(note: Note) -> Payload:
    """The evidence as decoded JSON, under its id.

    Errors: StoreError where it would make its record unreadable, or could not be asked for.
    """
    if not is_point_id(note.id):
        raise StoreError(f"evidence is about {note.id!r}, which is not a UUID")
    if not _EVIDENCE_ID.fullmatch(note.evidence_id):
        raise StoreError(f"evidence about {note.id} has an id that is not a plain word")
    if evidence_from_json(note.body) is None:
        raise StoreError(f"evidence {note.evidence_id} about {note.id} is not one")
    return {note.evidence_id: orjson.loads(note.body)}


# It becomes part of a path into the payload, where dots and brackets have a meaning.
_EVIDENCE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def evidence_from_json(body: bytes) -> Evidence | None:
    """The evidence, or None where the data is not one."""
    try:
        return _evidence_adapter.validate_json(body)
    except ValidationError:
        return None


def with_evidence(record: Record, evidence: Mapping[str, Evidence]) -> Record:
    """The record with this evidence added; what it has already stays as it is."""
    return replace(record, evidence={**evidence, **record.evidence})


def is_point_id(record_id: str) -> bool:
    """Whether the engine takes this as a point's id."""
    try:
        return str(UUID(record_id)) == record_id
    except ValueError:
        return False


def neighbours_of(
    rows: Iterable[tuple[float, object]], *, tenant: str, embedder: str
) -> list[Neighbour]:
    """The rows that are records of this tenant and embedder; the query's filter is not trusted."""
    found = []
    for similarity, payload in rows:
        record = record_from_payload(payload)
        if record is not None and (record.tenant, record.embedder) == (tenant, embedder):
            found.append(Neighbour(similarity=similarity, record=record))
    return found


def record_of(payload: object, *, tenant: str) -> Record | None:
    """The record in this row, if it is one and this tenant's."""
    record = record_from_payload(payload)
    return record if record is not None and record.tenant == tenant else None


def chunks_of(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in order, `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
