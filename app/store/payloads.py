"""A record as a row of a store, and back: nothing that a store gives back is trusted."""

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np
import orjson
from pydantic import TypeAdapter, ValidationError

from app.errors import StoreError
from app.neighbours import Kept, Neighbour, fits
from app.records import Evidence, Record, Vector, record_from_json, record_from_payload
from app.store.protocol import VECTOR_NAME, Insert, Note, evidence_from_json, is_point_id
from app.store.wanted import Stored

logger = logging.getLogger(__name__)

Payload: TypeAlias = dict[str, object]

SIMILARITY_MOST = 1.001
"""A cosine, with what rounding adds."""
RECORD = "record"
_evidences_adapter = TypeAdapter(dict[str, Evidence])


def payload_of(insert: Insert, *, dimension: int) -> Payload:
    """The record as JSON text, and beside it what it is looked up by.

    An engine takes several times as long for a tree of values as for the same as one text.
    Errors: StoreError where no store could ever hold this record.
    """
    if not is_point_id(insert.id):
        raise StoreError(f"the record's id {insert.id!r} is not a UUID")
    try:
        told = orjson.loads(insert.body)
    except orjson.JSONDecodeError as exc:
        raise StoreError(f"record {insert.id} is not JSON") from exc
    if not isinstance(told, dict) or told.get("tenant") != insert.tenant:
        raise StoreError(f"record {insert.id} is not one of tenant {insert.tenant}")
    vector = insert.vector
    if vector is not None and (vector.shape != (dimension,) or not np.isfinite(vector).all()):
        raise StoreError(
            f"record {insert.id} has a vector of shape {vector.shape}; "
            f"it must be {dimension} finite numbers"
        )
    attempts = told.get("attempts")
    asked = attempts if isinstance(attempts, list) else []
    return {
        **{name: told[name] for name in _LOOKED_UP if told.get(name) is not None},
        "attempts": [{"tier": each.get("tier")} for each in asked if isinstance(each, dict)],
        "evidence": told.get("evidence") or {},
        RECORD: insert.body.decode(),
    }


_LOOKED_UP = ("tenant", "principal", "embedder", "policy", "task", "conversation", "time_s")


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


def neighbours_of(
    rows: Iterable[tuple[float, object, object]],
    words: Mapping[str, str],
    refused: Callable[[], None],
) -> list[Neighbour]:
    """The rows that are records with these words, each once; no store is trusted.

    A row is the similarity, the payload, and the vector as numbers under its name, or not at all.
    `refused` is called for each of the others.
    """
    found: dict[str, Neighbour] = {}
    for similarity, payload, vector in rows:
        record = record_in(payload)
        if record is None or not fits(record, words) or not abs(similarity) <= SIMILARITY_MOST:
            logger.warning("a row of the store is passed over: it is no answer to what was asked")
            refused()
            continue
        found.setdefault(record.id, Neighbour(similarity, record, vector_of(vector)))
    return [*found.values()]


def stored_of(row_id: object, payload: object, vector: object, *, tenant: str) -> Stored:
    """A scanned row. The vector comes as numbers under its name, or not at all."""
    return Stored(
        id=str(row_id), record=record_of(payload, tenant=tenant), vector=vector_of(vector)
    )


def vector_of(vector: object) -> Vector | None:
    """The vector in what an engine gives back, if it was asked for."""
    named = vector.get(VECTOR_NAME) if isinstance(vector, dict) else None
    return None if named is None else np.asarray(named, dtype=np.float32)


def record_of(payload: object, *, tenant: str) -> Record | None:
    """The record in this row, if it is one and this tenant's."""
    record = record_in(payload)
    return record if record is not None and record.tenant == tenant else None


def record_in(payload: object) -> Record | None:
    """The record in a row, with the evidence that was added; None where there is none to trust."""
    if not isinstance(payload, dict) or RECORD not in payload:
        return record_from_payload(payload)  # a tree, as earlier versions wrote it
    if not isinstance(payload[RECORD], str):
        return None
    record = record_from_json(payload[RECORD])
    if record is None or any(payload.get(name) != getattr(record, name) for name in _CERTAIN):
        return None
    if payload.get("evidence"):
        try:
            record.evidence |= _evidences_adapter.validate_python(payload["evidence"])
        except ValidationError:
            return None
    return record


def kept_of(record: Record, payload: object) -> Kept:
    """The record that is in this row, as it is kept to be found again."""
    match payload:
        case {"record": str(text), "evidence": {**added}} if not added:
            return Kept.of(record, text.encode())
        case _:
            return Kept.of(record, record.to_json())


_CERTAIN = ("tenant", "principal", "embedder")
