"""A Qdrant server on loopback that does what ours is asked for, and goes wrong as it is told.

Behind the REST interface stands the client library's own in-process store, so that filters, orders
and insert-only writes mean what they mean there.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel
from qdrant_client import AsyncQdrantClient, models
from starlette.types import Receive, Scope, Send

from app.serving import serving

Json: TypeAlias = dict[str, Any]
READS = ("query", "scroll", "retrieve", "count")


@dataclass(slots=True)
class Faults:
    """What goes wrong from now on, with reads and with writes.

    A status other than 200: refused. `delay_s`: before it is done. `cut`: the connection ends
    instead of an answer; of a write, after it was done. `write_status`: what a write that was done
    is said to be. `twist` changes the rows of a search.
    """

    read_status: int = 200
    write_status_code: int = 200
    read_delay_s: float = 0.0
    write_delay_s: float = 0.0
    cut_reads: bool = False
    cut_writes: bool = False
    write_status: str = "completed"
    twist: Callable[[list[Json]], list[Json]] = field(default=lambda rows: rows)


class FakeQdrant:
    """`asked` has the calls in order: their kind, or their path."""

    def __init__(self) -> None:
        self.url = ""
        self.faults = Faults()
        self.asked: list[str] = []
        self._client = AsyncQdrantClient(":memory:")
        self._done: list[tuple[str, str, Json]] = []
        self._synced = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The server as an ASGI application."""
        body = await _body(receive)
        _, _, name, *rest = scope["path"].split("/")
        kind = self._kind(scope["method"], rest)
        self.asked.append(kind)
        faults, reads = self.faults, kind in READS
        await asyncio.sleep(faults.read_delay_s if reads else faults.write_delay_s)
        status = faults.read_status if reads else faults.write_status_code
        if status != 200:
            await _answer(send, status, {"status": {"error": "told to"}, "time": 0.0})
            return
        if kind not in {"exists", "create"} and not await self._client.collection_exists(name):
            await _answer(send, 404, {"status": {"error": "no such collection"}, "time": 0.0})
            return
        result = await self._do(kind, name, body)
        if faults.cut_reads if reads else faults.cut_writes:
            # Begun and not ended: the server cuts the connection.
            await send({"type": "http.response.start", "status": 200, "headers": []})
            return
        await _answer(send, 200, {"result": result, "status": "ok", "time": 0.0})

    async def ids(self, collection: str = "autoshift") -> list[str]:
        """The points that are there, whatever goes wrong."""
        points, _ = await self._client.scroll(collection, limit=1_000_000, with_payload=False)
        return [str(point.id) for point in points]

    async def sync(self) -> None:
        """What was written so far survives a power cut, as it does on a real one in 5 seconds."""
        self._synced = len(self._done)

    async def lose_power(self) -> None:
        """Forget every write since the last `sync`, acknowledged or not."""
        await self._client.close()
        self._client = AsyncQdrantClient(":memory:")
        kept, self._done = self._done[: self._synced], []
        for kind, name, body in kept:
            await self._do(kind, name, orjson.dumps(body))

    @asynccontextmanager
    async def up(self) -> AsyncGenerator[None, None]:
        """It listens, from the second time on where it did before; what it holds it keeps."""
        port = int(self.url.rpartition(":")[2] or 0)
        async with serving(self, port=port, drain_s=1) as listening:
            self.url = listening.url
            yield

    @staticmethod
    def _kind(method: str, rest: list[str]) -> str:
        plain = {"GET": "info", "PUT": "create"}
        points = {"PUT": "upsert", "POST": "retrieve"}
        match rest:
            case []:
                return plain[method]
            case ["points"]:
                return points[method]
            case _:
                return rest[-1]

    async def _do(self, kind: str, name: str, raw: bytes) -> object:
        body: Json = orjson.loads(raw) if raw else {}
        if kind in {"create", "upsert", "batch", "delete"}:
            self._done.append((kind, name, body))
            return await self._write(kind, name, body)
        if kind == "exists":
            return {"exists": await self._client.collection_exists(name)}
        if kind == "info":
            return _json_of(await self._client.get_collection(name))
        if kind == "index":
            return self._updated()
        return await self._read(kind, name, body)

    async def _write(self, kind: str, name: str, body: Json) -> object:
        match kind:
            case "create":
                vectors = {
                    key: models.VectorParams(**value) for key, value in body["vectors"].items()
                }
                return await self._client.create_collection(name, vectors_config=vectors)
            case "upsert":
                points = models.PointsList(**body)
                await self._client.upsert(name, points.points, update_mode=points.update_mode)
                return self._updated()
            case "batch":
                operations = models.UpdateOperations(**body).operations
                await self._client.batch_update_points(name, operations)
                return [self._updated() for _ in operations]
            case _:
                selector = models.FilterSelector if "filter" in body else models.PointIdsList
                await self._client.delete(name, selector(**body))
                return self._updated()

    async def _read(self, kind: str, name: str, body: Json) -> object:
        client = self._client
        match kind:
            case "query":
                query = models.QueryRequest(**body)
                found = await client.query_points(
                    name,
                    query=query.query,
                    using=query.using,
                    query_filter=query.filter,
                    limit=query.limit or 10,
                    with_payload=True,
                )
                return {"points": self.faults.twist([_json_of(p) for p in found.points])}
            case "scroll":
                scroll = models.ScrollRequest(**body)
                points, following = await client.scroll(
                    name,
                    scroll_filter=scroll.filter,
                    order_by=scroll.order_by,
                    offset=scroll.offset,
                    limit=scroll.limit or 10,
                    with_payload=True,
                    with_vectors=scroll.with_vector or False,
                )
                return {"points": [_json_of(p) for p in points], "next_page_offset": following}
            case "retrieve":
                found_points = await client.retrieve(name, body["ids"], with_payload=True)
                return [_json_of(point) for point in found_points]
            case _:
                counted = models.CountRequest(**body)
                return {"count": (await client.count(name, count_filter=counted.filter)).count}

    def _updated(self) -> Json:
        return {"operation_id": 1, "status": self.faults.write_status}


@asynccontextmanager
async def fake_qdrant() -> AsyncGenerator[FakeQdrant, None]:
    """A server that is up; `url` is where."""
    server = FakeQdrant()
    async with server.up():
        yield server


def _json_of(model: BaseModel) -> Json:
    dumped: Json = model.model_dump(mode="json")
    return dumped


async def _answer(send: Send, status: int, body: Mapping[str, object]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(body)})


async def _body(receive: Receive) -> bytes:
    received, more = b"", True
    while more:
        message = await receive()
        received += message.get("body", b"")
        more = message.get("more_body", False)
    return received
