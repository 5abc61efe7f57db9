"""What a Qdrant server is asked: indexes, conditions, updates."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from qdrant_client import models

from app.store.payloads import evidence_payload_of
from app.store.protocol import Note
from app.store.wanted import Wanted

INDEXES: Mapping[str, models.KeywordIndexParams | models.FloatIndexParams] = {
    "tenant": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    "embedder": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "conversation": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "policy": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "task": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "principal": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "attempts[].tier": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD),
    "time_s": models.FloatIndexParams(type=models.FloatIndexType.FLOAT),
}

RECORDS = models.Filter(
    must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key="tenant"))]
)


def words_of(words: Mapping[str, str]) -> list[models.Condition]:
    """What must be in the payload word for word, by its place there."""
    return [
        models.FieldCondition(key=key, match=models.MatchValue(value=value))
        for key, value in words.items()
    ]


def filter_of(wanted: Wanted) -> models.Filter:
    must = words_of(wanted.words)
    if wanted.id is not None:
        must.append(models.HasIdCondition(has_id=[wanted.id]))
    if wanted.since_s is not None or wanted.before_s is not None:
        times = models.Range(gte=wanted.since_s, lt=wanted.before_s)
        must.append(models.FieldCondition(key="time_s", range=times))
    return models.Filter(must=must)


class InTime(TypedDict):
    """Which points of a scroll, in what order, and how many."""

    scroll_filter: models.Filter
    order_by: models.OrderBy
    limit: int


def in_time(wanted: Wanted, *, newest_first: bool, limit: int) -> InTime:
    """The wanted points, in order of their times."""
    direction = models.Direction.DESC if newest_first else models.Direction.ASC
    order_by = models.OrderBy(key="time_s", direction=direction)
    return InTime(scroll_filter=filter_of(wanted), order_by=order_by, limit=limit)


def these(ids: Sequence[str], *, tenant: str) -> models.FilterSelector:
    """The points of these ids that are the tenant's."""
    must = [models.HasIdCondition(has_id=[*ids]), *words_of({"tenant": tenant})]
    return models.FilterSelector(filter=models.Filter(must=must))


def addition(note: Note) -> models.SetPayloadOperation:
    """Add the evidence to the record's, if the record is its tenant's and has none of that id."""
    missing = models.IsEmptyCondition(
        is_empty=models.PayloadField(key=f"evidence.{note.evidence_id}")
    )
    this = models.HasIdCondition(has_id=[note.id])
    must = [this, *words_of({"tenant": note.tenant}), missing]
    return models.SetPayloadOperation(
        set_payload=models.SetPayload(
            payload=evidence_payload_of(note), filter=models.Filter(must=must), key="evidence"
        )
    )
