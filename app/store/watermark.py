"""A point that rises with every write, by which a server's loss of its latest writes is seen.

A Qdrant server syncs every 5 seconds, so a power cut takes the last writes with it, completed ones
too; the mark then stands lower than it was set. That records are missing would not tell: another
gateway may have erased them.
"""

from uuid import uuid4

from qdrant_client import AsyncQdrantClient, models

FIELD = "mark"


class Watermark:
    """One process's mark in this collection; it is no record of any tenant's."""

    def __init__(self, client: AsyncQdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._id: str | None = None
        self._height = 0

    async def rise(self) -> list[models.UpdateResult]:
        """One higher, but only from where it was left: a mark that fell stays where it fell to."""
        if self._id is None:
            # Not the same again: one that fell must not be taken for one that was just made.
            mark_id, height = str(uuid4()), 0
            point = models.PointStruct(id=mark_id, vector={}, payload={FIELD: 0})
            results = [await self._client.upsert(self._collection, [point], wait=True)]
        else:
            mark_id, height = self._id, self._height + 1
            step = models.SetPayloadOperation(
                set_payload=models.SetPayload(payload={FIELD: height}, filter=self._left_at())
            )
            results = await self._client.batch_update_points(self._collection, [step], wait=True)
        self._id, self._height = mark_id, height
        return results

    async def fell(self) -> bool:
        """Whether it stands lower than it was set, or is gone; then the next is a new one."""
        if self._id is None:
            return False
        points = await self._client.retrieve(self._collection, [self._id], with_payload=True)
        found = (points[0].payload or {}).get(FIELD) if points else None
        if isinstance(found, int) and found >= self._height:
            return False
        self._id = None
        return True

    async def remove(self) -> None:
        """At the end; after a crash it stays, and nobody minds."""
        if self._id is not None:
            await self._client.delete(self._collection, [self._id], wait=False)

    def _left_at(self) -> models.Filter:
        assert self._id is not None  # noqa: S101 - it has been made
        here = models.FieldCondition(key=FIELD, match=models.MatchValue(value=self._height))
        return models.Filter(must=[models.HasIdCondition(has_id=[self._id]), here])
