"""What every record store can do, and the operations it is given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from uuid import UUID

import numpy as np
import orjson

from app.errors import StoreError
from app.records import Neighbour, Record, Vector, record_from_payload

VECTOR_NAME = "question"
Payload: TypeAlias = dict[str, object]


@dataclass(frozen=True, slots=True, eq=False)
class Insert:
    """A record to be kept; it never overwrites. `body` is `Record.to_json()`.

    Without a vector the record can be fetched and is counted, but is nobody's neighbour.
    """

    id: str
    tenant: str
    body: bytes
    vector: Vector | None


Operation: TypeAlias = Insert


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
        """Apply the operations, in order; doing so twice is the same as once."""
        ...

    async def get(self, record_id: str, *, tenant: str) -> Record | None: ...

    async def count(self) -> int: ...

    async def flush(self) -> None:
        """Make everything written so far survive a power cut, if the store does not by itself."""
        ...

    async def run_upkeep(self) -> None:
        """Keep searches fast, until cancelled; never raises."""
        ...


def payload_of(operation: Operation, *, dimension: int) -> Payload:
    """The record as decoded JSON.

    Errors: StoreError where no store could ever hold this operation.
    """
    if not is_point_id(operation.id):
        raise StoreError(f"the record's id {operation.id!r} is not a UUID")
    try:
        payload = orjson.loads(operation.body)
    except orjson.JSONDecodeError as exc:
        raise StoreError(f"record {operation.id} is not JSON") from exc
    if not isinstance(payload, dict) or payload.get("tenant") != operation.tenant:
        raise StoreError(f"record {operation.id} is not one of tenant {operation.tenant}")
    vector = operation.vector
    if vector is not None and (vector.shape != (dimension,) or not np.isfinite(vector).all()):
        raise StoreError(
            f"record {operation.id} has a vector of shape {vector.shape}; "
            f"it must be {dimension} finite numbers"
        )
    return payload


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
