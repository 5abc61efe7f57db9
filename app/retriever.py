"""What similar past requests there are: embeds the question, asks the store."""

import asyncio
import hashlib
import logging
from collections import OrderedDict

import numpy as np

from app.clock import Clock
from app.embedder import Embedder, question_text
from app.errors import EmbedderError, StoreError
from app.learning.influence import neighbours_for
from app.learning.sketches import sketch_of
from app.neighbours import Neighbour
from app.records import Record, Vector
from app.store import RecordStore
from app.wire import ChatRequest

logger = logging.getLogger(__name__)

EMBEDDING_S = 2.0
SEARCH_S = 0.5
"""More than a server is given, so that its own time limit tells why."""
LENGTH_OFF = 1e-3
REMEMBERED = 4096
"""How many questions' vectors are kept, in case they are asked again: a kilobyte each."""


class Retriever:
    """Learning never breaks serving: without a vector or a store the neighbours are none."""

    def __init__(
        self,
        *,
        embedder: Embedder,
        store: RecordStore,
        clock: Clock,
        embedding_s: float = EMBEDDING_S,
        search_s: float = SEARCH_S,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._clock = clock
        self._embedding_s = embedding_s
        self._search_s = search_s
        self._vectors: OrderedDict[tuple[str, bytes], Vector] = OrderedDict()

    def forget(self, tenant: str) -> None:
        """Keep no vector of this tenant's questions any longer."""
        for key in [key for key in self._vectors if key[0] == tenant]:
            del self._vectors[key]

    async def embed(self, request: ChatRequest, record: Record) -> Vector | None:
        """The question's vector; what happened is noted on the record."""
        started_s = self._clock.monotonic_s()
        record.embedder = self._embedder.tag
        try:
            vector = await self._vector(question_text(request), record.tenant)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the request is served without
            _tell("there is no vector for a question", exc, record)
            record.degraded += ("embedder",)
            return None
        finally:
            record.phases_s["embed"] = self._clock.monotonic_s() - started_s
        if record.learn:
            record.sketch = sketch_of(vector)
        return vector

    async def search(self, vector: Vector | None, record: Record, limit: int) -> list[Neighbour]:
        """This tenant's most similar records, at most `limit`, and few of any one other key."""
        if vector is None or not limit:
            return []
        started_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(self._search_s):
                return await neighbours_for(
                    record, vector, self._embedder.tag, store=self._store, limit=limit
                )
        except Exception as exc:  # noqa: BLE001 - whatever it is, the request is served without
            if not isinstance(exc, StoreError):  # of those the store itself tells
                _tell("similar records cannot be looked up", exc, record)
            record.degraded += ("store",)
            return []
        finally:
            record.phases_s["search"] = self._clock.monotonic_s() - started_s

    async def _vector(self, text: str, tenant: str) -> Vector | None:
        """The text's vector; of a text that this tenant asked before, from memory.

        Never of another's: how long it took would tell that somebody had asked the same.
        """
        key = (tenant, hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest())
        known = self._vectors.get(key)
        if known is not None:
            self._vectors.move_to_end(key)
            return known
        async with asyncio.timeout(self._embedding_s):
            vector = await self._embedder.embed(text)
        if vector is not None:
            self._vectors[key] = vector = self._sound(vector)
            if len(self._vectors) > REMEMBERED:
                self._vectors.popitem(last=False)
        return vector

    def _sound(self, vector: Vector) -> Vector:
        """The vector, where it is one to compare by and to keep.

        Errors: EmbedderError.
        """
        wanted = (self._embedder.dimension,)
        if vector.shape != wanted:
            raise EmbedderError(f"the vector's shape is {vector.shape}; it must be {wanted}")
        length = float(np.linalg.norm(vector))
        if not abs(length - 1) < LENGTH_OFF:  # not a number is nowhere near 1 either
            raise EmbedderError(f"the vector's length is {length}; it must be 1")
        return vector


def _tell(what: str, exc: Exception, record: Record) -> None:
    """Log it; a bug with where it happened."""
    bug = not isinstance(exc, EmbedderError | TimeoutError)
    why = str(exc) or type(exc).__name__
    extra = {"why": why, "request_id": record.id}
    logger.warning(what, extra=extra, exc_info=exc if bug else None)
