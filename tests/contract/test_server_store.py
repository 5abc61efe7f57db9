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
from app.store import build_store
from tests.support.records import (
    DIMENSION,
    direction,
    found,
    insert,
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
                    "payload_schema": {},
                }
            )

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.asked.append((self.path, self.headers.get("api-key", ""), body))
        if "/points" in self.path or "/index" in self.path:
            self._answer({"operation_id": 1, "status": type(self).write_status})
        else:
            self._answer(True)

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
    (create, _, vectors), tenant, embedder, (write, key, points) = server.asked
    assert (create, key) == ("/collections/autoshift", "key")
    assert orjson.loads(vectors)["vectors"]["question"]["size"] == DIMENSION
    assert orjson.loads(tenant[2])["field_schema"] == {"type": "keyword", "is_tenant": True}
    assert orjson.loads(embedder[2])["field_name"] == "embedder"
    assert write == "/collections/autoshift/points?wait=true"
    assert orjson.loads(points)["update_mode"] == "insert_only"
    assert orjson.loads(points)["points"][0]["id"] == kept.id


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
