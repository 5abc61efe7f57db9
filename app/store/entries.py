"""An operation as a row of the outbox, and back."""

from dataclasses import dataclass

import numpy as np

from app.store.protocol import Delete, Insert, Note, Operation
from app.store.salvage import Row

ROW_BYTES = 128


@dataclass(frozen=True, slots=True)
class Entry:
    """An operation and its place in the order of writing."""

    number: int
    operation: Operation

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.operation)


def size_bytes(operation: Operation) -> int:
    """What the operation takes up in the outbox, about."""
    match operation:
        case Insert(_, tenant, body, vector):
            vector_bytes = 0 if vector is None else 4 * vector.size
            return len(body) + vector_bytes + len(tenant) + ROW_BYTES
        case Note(_, tenant, _, body):
            return len(body) + len(tenant) + ROW_BYTES
        case Delete(_, tenant):
            return len(tenant) + ROW_BYTES


def row_of(operation: Operation) -> Row:
    match operation:
        case Insert(record_id, tenant, body, None):
            return "insert", record_id, tenant, body, None, None
        case Insert(record_id, tenant, body, vector):
            encoded = np.ascontiguousarray(vector, dtype=np.float32).tobytes()
            return "insert", record_id, tenant, body, encoded, None
        case Note(record_id, tenant, evidence_id, body):
            return "label", record_id, tenant, body, None, evidence_id
        case Delete(record_id, tenant):
            return "delete", record_id, tenant, b"", None, None


def entry_of(number: int, *row: *Row) -> Entry:
    kind, record_id, tenant, body, vector, evidence_id = row
    if kind == "delete":
        return Entry(number, Delete(record_id, tenant))
    if kind == "label" and evidence_id is not None:
        return Entry(number, Note(record_id, tenant, evidence_id, body))
    decoded = None if vector is None else np.frombuffer(vector, dtype=np.float32)
    return Entry(number, Insert(record_id, tenant, body, decoded))
