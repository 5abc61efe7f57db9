"""The record store on a Qdrant server, which several gateways may share."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TypeVar

from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from app.errors import StoreDownError, StoreError, StoreMismatchError
from app.neighbours import Neighbour
from app.records import Record, Vector
from app.store.payloads import neighbours_of, payload_of, record_of, stored_of
from app.store.protocol import (
    VECTOR_NAME,
    Insert,
    Operation,
    Stage,
    chunks_of,
    is_point_id,
    stages_of,
)
from app.store.read_breaker import ReadBreaker
from app.store.requests import INDEXES, RECORDS, addition, filter_of, in_time, these, words_of
from app.store.wanted import ANY, Sought, Stored, Wanted
from app.store.watermark import Watermark

logger = logging.getLogger(__name__)

CHUNK_RECORDS = 64
READ_TIMEOUT_S = 0.3
WRITE_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 0.8

Answer = TypeVar("Answer")


def connect(url: str, api_key: SecretStr | None) -> AsyncQdrantClient:
    """A REST client; nothing is sent before the first call."""
    # As a header: the client's own `api_key` warns about every http:// URL, sidecars included.
    headers = {} if api_key is None else {"api-key": api_key.get_secret_value()}
    return AsyncQdrantClient(
        url=url,
        headers=headers,
        prefer_grpc=False,
        check_compatibility=False,
        timeout=int(WRITE_TIMEOUT_S),
    )


class ServerStore:
    """Records in one collection; see `RecordStore`.

    Reads for a request have little time and go through a circuit breaker. Writes always ask: the
    recorder spaces them.
    """

    def __init__(
        self,
        client: AsyncQdrantClient,
        *,
        url: str,
        collection: str,
        dimension: int,
        clock: Callable[[], float] = time.monotonic,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._refused = refused
        self._client = client
        self._url = url
        self._collection = collection
        self._dimension = dimension
        self._prepared = False
        self._breaker = ReadBreaker(url, clock)
        self._watermark = Watermark(client, collection)

    async def open(self) -> None:
        try:
            async with self._asking("open", WRITE_TIMEOUT_S):
                pass
        except StoreDownError as exc:
            logger.warning("the record store is down; routing by priors", extra={"why": str(exc)})

    async def close(self) -> None:
        with suppress(StoreError):
            async with self._asking("close", READ_TIMEOUT_S):
                await self._watermark.remove()
        await self._client.close()

    async def search(
        self, vector: Vector, *, tenant: str, embedder: str, limit: int, sought: Sought = ANY
    ) -> list[Neighbour]:
        words = sought.words(tenant, embedder)
        wanted = models.Filter(must=words_of(words))
        response = await self._read(
            "search",
            lambda: self._client.query_points(
                self._collection,
                query=vector.tolist(),
                using=VECTOR_NAME,
                query_filter=wanted,
                limit=limit,
                with_payload=True,
                with_vectors=sought.vectors,
            ),
        )
        rows = ((point.score, point.payload, point.vector) for point in response.points)
        return neighbours_of(rows, words, self._refused)[:limit]

    async def write(self, operations: Sequence[Operation]) -> None:
        for stage in stages_of(operations):
            await self._write(stage)
        async with self._asking("write", WRITE_TIMEOUT_S):
            results = await self._watermark.rise()
        for result in results:
            self._require_completed(result)

    async def get(self, record_id: str, *, tenant: str) -> Record | None:
        if not is_point_id(record_id):
            return None
        points = await self._read(
            "read a record",
            lambda: self._client.retrieve(self._collection, [record_id], with_payload=True),
        )
        return record_of(points[0].payload, tenant=tenant) if points else None

    async def last_in_conversation(self, conversation: str, *, tenant: str) -> Record | None:
        wanted = Wanted(tenant, conversation=conversation)
        points, _ = await self._read(
            "find a conversation",
            lambda: self._client.scroll(
                self._collection, **in_time(wanted, newest_first=True, limit=1), with_payload=True
            ),
        )
        return record_of(points[0].payload, tenant=tenant) if points else None

    async def by_time(
        self, wanted: Wanted, *, newest_first: bool, limit: int, vectors: bool = False
    ) -> list[Stored]:
        async with self._asking("list records", WRITE_TIMEOUT_S):
            asked = in_time(wanted, newest_first=newest_first, limit=limit)
            points, _ = await self._client.scroll(
                self._collection, **asked, with_payload=True, with_vectors=vectors
            )
        return [stored_of(p.id, p.payload, p.vector, tenant=wanted.tenant) for p in points]

    async def oldest(self, tenant: str, *, limit: int) -> list[str]:
        async with self._asking("list records", WRITE_TIMEOUT_S):
            asked = in_time(Wanted(tenant), newest_first=False, limit=limit)
            points, _ = await self._client.scroll(self._collection, **asked, with_payload=False)
        return [str(point.id) for point in points]

    async def scan(
        self, wanted: Wanted, *, start: str | None, limit: int, vectors: bool = False
    ) -> tuple[list[Stored], str | None]:
        async with self._asking("scan records", WRITE_TIMEOUT_S):
            points, following = await self._client.scroll(
                self._collection,
                scroll_filter=filter_of(wanted),
                offset=start,
                limit=limit,
                with_payload=True,
                with_vectors=vectors,
            )
        rows = [stored_of(p.id, p.payload, p.vector, tenant=wanted.tenant) for p in points]
        return rows, None if following is None else str(following)

    async def count(self, tenant: str | None = None, *, exact: bool = True) -> int:
        wanted = RECORDS if tenant is None else models.Filter(must=words_of({"tenant": tenant}))
        async with self._asking("count", WRITE_TIMEOUT_S):
            found = await self._client.count(self._collection, count_filter=wanted, exact=exact)
        return found.count

    async def flush(self) -> None:
        """Nothing to do: a server flushes every 5 seconds."""

    async def has_lost(self) -> bool:
        async with self._asking("check what it holds", WRITE_TIMEOUT_S):
            return await self._watermark.fell()

    async def run_upkeep(self) -> None:
        """Let reads through again when the server is well; it optimises by itself."""
        await self._breaker.run()

    async def _write(self, stage: Stage) -> None:
        for tenant, ids in stage.deleted_ids().items():
            async with self._asking("erase records", WRITE_TIMEOUT_S):
                result = await self._client.delete(
                    self._collection, these(ids, tenant=tenant), wait=True
                )
            self._require_completed(result)
        points = [self._point(each) for each in stage.inserts]
        additions = [addition(each) for each in stage.notes]
        for chunk in chunks_of(points, CHUNK_RECORDS):
            async with self._asking("write", WRITE_TIMEOUT_S):
                result = await self._client.upsert(
                    self._collection,
                    chunk,
                    wait=True,
                    update_mode=models.UpdateMode.INSERT_ONLY,
                )
            self._require_completed(result)
        for batch in chunks_of(additions, CHUNK_RECORDS):
            async with self._asking("add evidence", WRITE_TIMEOUT_S):
                results = await self._client.batch_update_points(self._collection, batch, wait=True)
            for result in results:
                self._require_completed(result)

    def _point(self, insert: Insert) -> models.PointStruct:
        payload = payload_of(insert, dimension=self._dimension)
        vector = insert.vector
        named = {} if vector is None else {VECTOR_NAME: vector.tolist()}
        return models.PointStruct(id=insert.id, vector=named, payload=payload)

    def _require_completed(self, result: models.UpdateResult) -> None:
        if result.status != models.UpdateStatus.COMPLETED:
            raise StoreDownError(f"{self._url} answered a write with {result.status}")

    async def _read(self, doing: str, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What the server answers, in little time."""

        async def in_time() -> Answer:
            async with self._asking(doing, READ_TIMEOUT_S):
                return await ask()

        return await self._breaker.read(in_time)

    @asynccontextmanager
    async def _asking(self, doing: str, timeout_s: float) -> AsyncGenerator[None]:
        """Within the time limit, on a prepared collection, with the client's errors translated."""
        try:
            async with asyncio.timeout(timeout_s):
                if not self._prepared:
                    await self._prepare()
                yield
        except (TimeoutError, ApiException, QdrantException, OSError, ValueError) as exc:
            raise self._translated(exc, doing) from exc

    async def _prepare(self) -> None:
        """Make the collection and the indexes that are missing; check its dimension."""
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            exists = await self._client.collection_exists(self._collection)
        if not exists:
            await self._create()
        info = await self._client.get_collection(self._collection)
        config = info.config.params.vectors
        found = config.get(VECTOR_NAME) if isinstance(config, dict) else None
        if found is None or found.size != self._dimension:
            raise StoreMismatchError(
                f"the collection {self._collection!r} at {self._url} holds vectors of "
                f"{found.size if found else 'another kind'}, this embedder makes "
                f"{self._dimension}: use another store.collection, or the earlier embedder"
            )
        for name, index in INDEXES.items():
            if name not in info.payload_schema:
                # Not awaited: on a large collection of an earlier version it takes long.
                await self._client.create_payload_index(
                    self._collection, name, field_schema=index, wait=False
                )
        self._prepared = True

    async def _create(self) -> None:
        vector = models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)
        try:
            await self._client.create_collection(
                self._collection, vectors_config={VECTOR_NAME: vector}
            )
        except UnexpectedResponse as exc:
            if exc.status_code != HTTPStatus.CONFLICT:  # another gateway was faster
                raise

    def _translated(self, exc: Exception, doing: str) -> StoreError:
        """A 4xx is about what was asked; everything else may be better later."""
        status = exc.status_code if isinstance(exc, UnexpectedResponse) else None
        match status:
            case None:
                return StoreDownError(f"{self._url} does not answer ({doing}): {_reason(exc)}")
            case 404:
                self._prepared = False
                return StoreDownError(f"the collection {self._collection!r} is gone; made anew")
            case 401 | 403:
                return StoreDownError(f"{self._url} refuses our key (status {status})")
            case 400 | 413 | 422:
                return StoreError(f"{self._url} could not {doing}: status {status}")
            case _:
                return StoreDownError(f"{self._url} could not {doing}: status {status}")


def _reason(exc: Exception) -> str:
    cause = getattr(exc, "source", exc)
    return str(cause) or type(cause).__name__
