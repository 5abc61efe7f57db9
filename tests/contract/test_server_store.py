"""How the server's store asks, and what it makes of silence, refusals and strange answers."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from typing import ClassVar

import anyio
import orjson
import pytest
from pydantic import SecretStr
from typing_extensions import override

from app.errors import StoreDownError, StoreError
from app.settings import StoreSection
from app.store import Delete, build_store
from tests.support.records import (
    DIMENSION,
    direction,
    evidence,
    found,
    insert,
    note,
    record,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def silent_url() -> object:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def dead_url() -> str:
    """A port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["dead_url", "silent_url"])
async def test_a_server_that_is_down_is_said_so_within_a_second(
    fault: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(fault)
    store = build_store(
        StoreSection(url=url), dimension=DIMENSION, api_key=SecretStr("never in a message")
    )
    await store.open()  # logged only
    calls: list[Callable[[], object]] = [
        lambda: store.write([insert(record(), direction(1))]),
        lambda: found(store),
        store.count,
    ]
    for call in calls:
        with anyio.fail_after(1), pytest.raises(StoreDownError) as caught:
            await call()  # type: ignore[misc]
        assert "never in a message" not in caught.value.message
    await store.close()


async def test_a_dead_server_delays_one_search_and_not_the_next(silent_url: str) -> None:
    store = build_store(StoreSection(url=silent_url), dimension=DIMENSION, api_key=None)
    with pytest.raises(StoreDownError, match="does not answer"):
        await found(store)
    with anyio.fail_after(0.1), pytest.raises(StoreDownError, match="a moment ago"):
        await found(store)
    await store.close()


class ScriptedQdrant(http.server.BaseHTTPRequestHandler):
    """Speaks as much of Qdrant's REST interface as a write needs."""

    write_status = "completed"
    http_status = 200
    indexes: tuple[str, ...] = ()
    asked: ClassVar[list[tuple[str, str, bytes]]] = []

    def do_GET(self) -> None:
        vectors = {"question": {"size": DIMENSION, "distance": "Cosine"}}
        if self.path.endswith("/exists"):
            self._answer({"exists": bool(self.asked)})
        else:
            self._answer(
                {
                    "status": "green",
                    "optimizer_status": "ok",
                    "segments_count": 1,
                    "config": {
                        "params": {"vectors": vectors},
                        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 1},
                        "optimizer_config": {
                            "deleted_threshold": 0.2,
                            "vacuum_min_vector_number": 1,
                            "default_segment_number": 0,
                            "flush_interval_sec": 5,
                        },
                    },
                    "payload_schema": {
                        name: {"data_type": "keyword", "points": 0} for name in self.indexes
                    },
                }
            )

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append((self.path, self.headers.get("api-key", ""), body))
        if "/points" in self.path or "/index" in self.path:
            self._answer({"operation_id": 1, "status": type(self).write_status})
        else:
            self._answer(True)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append((self.path, self.headers.get("api-key", ""), body))
        if "/points/delete" in self.path:
            self._answer({"operation_id": 1, "status": type(self).write_status})
            return
        self._answer(
            [
                {"operation_id": number, "status": type(self).write_status}
                for number, _ in enumerate(orjson.loads(body)["operations"])
            ]
        )

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, result: object) -> None:
        body = orjson.dumps({"result": result, "status": "ok", "time": 0.0})
        self.send_response(type(self).http_status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def qdrant() -> Iterator[tuple[type[ScriptedQdrant], str]]:
    class Handler(ScriptedQdrant):
        asked: ClassVar[list[tuple[str, str, bytes]]] = []

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Handler, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_the_servers_collection_is_made_and_written_to(
    qdrant: tuple[type[ScriptedQdrant], str],
) -> None:
    server, url = qdrant
    store = build_store(StoreSection(url=url), dimension=DIMENSION, api_key=SecretStr("key"))
    await store.open()
    kept = record()
    await store.write([insert(kept, direction(1))])
    await store.close()
    (create, _, vectors), *indexes, (write, key, points), _, _ = server.asked
    assert (create, key) == ("/collections/autoshift", "key")
    assert orjson.loads(vectors)["vectors"]["question"]["size"] == DIMENSION
    assert [orjson.loads(body) for _, _, body in indexes] == [
        {"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": True}},
        {"field_name": "embedder", "field_schema": {"type": "keyword"}},
        {"field_name": "conversation", "field_schema": {"type": "keyword"}},
        {"field_name": "policy", "field_schema": {"type": "keyword"}},
        {"field_name": "task", "field_schema": {"type": "keyword"}},
        {"field_name": "principal", "field_schema": {"type": "keyword"}},
        {"field_name": "attempts[].tier", "field_schema": {"type": "keyword"}},
        {"field_name": "time_s", "field_schema": {"type": "float"}},
    ]
    assert write == "/collections/autoshift/points?wait=true"
    assert orjson.loads(points)["update_mode"] == "insert_only"
    assert orjson.loads(points)["points"][0]["id"] == kept.id


async def test_a_collection_of_an_earlier_version_gets_the_indexes_it_lacks(
    qdrant: tuple[type[ScriptedQdrant], str],
) -> None:
    server, url = qdrant
    server.indexes = ("tenant", "embedder")
    server.asked.append(("it exists", "", b""))
    store = build_store(StoreSection(url=url), dimension=DIMENSION, api_key=None)
    await store.open()
    await store.close()
    assert [orjson.loads(body)["field_name"] for _, _, body in server.asked[1:]] == [
        "conversation",
        "policy",
        "task",
        "principal",
        "attempts[].tier",
        "time_s",
    ]


async def test_notes_are_one_request_after_the_inserts_before_them(
    qdrant: tuple[type[ScriptedQdrant], str],
) -> None:
    server, url = qdrant
    store = build_store(StoreSection(url=url), dimension=DIMENSION, api_key=None)
    await store.open()
    first, second = record(), record()
    await store.write(
        [
            insert(first),
            note(first, "0a", evidence()),
            insert(second),
            note(second, "0b", evidence()),
        ]
    )
    (inserted, _, points), (noted, _, body), _ = server.asked[-3:]
    assert inserted == "/collections/autoshift/points?wait=true"
    assert len(orjson.loads(points)["points"]) == 2
    assert noted == "/collections/autoshift/points/batch?wait=true"
    operations = [each["set_payload"] for each in orjson.loads(body)["operations"]]
    assert [each["key"] for each in operations] == ["evidence", "evidence"]
    assert operations[0]["payload"]["0a"]["by"] == "large"
    assert operations[1]["filter"]["must"] == [
        {"has_id": [second.id]},
        {"key": "tenant", "match": {"value": "local"}},
        {"is_empty": {"key": "evidence.0b"}},
    ]
    server.write_status = "wait_timeout"
    with pytest.raises(StoreDownError, match="wait_timeout"):
        await store.write([note(first, "0c", evidence())])
    await store.close()


async def test_deletes_are_one_request_a_tenant_before_what_follows_them(
    qdrant: tuple[type[ScriptedQdrant], str],
) -> None:
    server, url = qdrant
    store = build_store(StoreSection(url=url), dimension=DIMENSION, api_key=None)
    await store.open()
    first, second, third = record(), record(), record(tenant="other")
    gone = [Delete(each.id, each.tenant) for each in (first, second, third)]
    await store.write([*gone, insert(first)])
    (mine, _, body), (theirs, _, others), (inserted, _, _), _ = server.asked[-4:]
    assert mine == theirs == "/collections/autoshift/points/delete?wait=true"
    assert orjson.loads(body)["filter"]["must"] == [
        {"has_id": [first.id, second.id]},
        {"key": "tenant", "match": {"value": "local"}},
    ]
    assert orjson.loads(others)["filter"]["must"][0] == {"has_id": [third.id]}
    assert inserted == "/collections/autoshift/points?wait=true"
    server.write_status = "acknowledged"
    with pytest.raises(StoreDownError, match="acknowledged"):
        await store.write([gone[0]])
    await store.close()


@pytest.mark.parametrize(
    ("write_status", "http_status", "retryable"),
    [
        ("wait_timeout", 200, True),
        ("acknowledged", 200, True),
        ("completed", 400, False),
        ("completed", 403, True),
        ("completed", 404, True),
        ("completed", 429, True),
        ("completed", 500, True),
        ("completed", 507, True),
    ],
)
async def test_only_a_completed_write_counts(
    qdrant: tuple[type[ScriptedQdrant], str], write_status: str, http_status: int, retryable: bool
) -> None:
    server, url = qdrant
    store = build_store(StoreSection(url=url), dimension=DIMENSION, api_key=None)
    await store.open()
    server.write_status, server.http_status = write_status, http_status
    with pytest.raises(StoreError) as caught:
        await store.write([insert(record(), direction(1))])
    assert caught.value.retryable is retryable
    server.write_status, server.http_status = "completed", 200
    await store.write([insert(record(), direction(1))])
    await store.close()
