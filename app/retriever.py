"""What similar past requests there are: embeds the question, asks the store."""

from app.clock import Clock
from app.embedder import Embedder, question_text
from app.errors import EmbedderError, StoreError
from app.records import Neighbour, Record, Vector
from app.store import RecordStore
from app.wire import ChatRequest


class Retriever:
    """Learning never breaks serving: without a vector or a store the neighbours are none."""

    def __init__(self, *, embedder: Embedder, store: RecordStore, clock: Clock) -> None:
        self._embedder = embedder
        self._store = store
        self._clock = clock

    async def embed(self, request: ChatRequest, record: Record) -> Vector | None:
        """The question's vector; what happened is noted on the record."""
        started_s = self._clock.monotonic_s()
        record.embedder = self._embedder.tag
        try:
            return await self._embedder.embed(question_text(request))
        except EmbedderError:
            record.degraded += ("embedder",)
            return None
        finally:
            record.phases_s["embed"] = self._clock.monotonic_s() - started_s

    async def search(self, vector: Vector | None, record: Record, limit: int) -> list[Neighbour]:
        """This tenant's most similar records, at most `limit`."""
        if vector is None or not limit:
            return []
        started_s = self._clock.monotonic_s()
        try:
            return await self._store.search(
                vector, tenant=record.tenant, embedder=self._embedder.tag, limit=limit
            )
        except StoreError:
            record.degraded += ("store",)
            return []
        finally:
            record.phases_s["search"] = self._clock.monotonic_s() - started_s
