"""What every record store must do, and what only the embedded or the server's one must."""

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import orjson
import pytest
from pydantic import SecretStr
from qdrant_client import AsyncQdrantClient

from app.errors import StoreDownError, StoreError, StoreLockedError, StoreMismatchError
from app.settings import StoreSection
from app.store import EdgeStore, Insert, RecordStore, build_store
from app.store.optimizer import Optimizer
from app.store.server import ServerStore, connect
from tests.support.records import DIMENSION, EMBEDDER, direction, insert, new_id, record, until

QDRANT_URL = os.environ.get("QDRANT_URL")  # noqa: TID251 - where the tests' own server is

pytestmark = [
    pytest.mark.anyio,
    # The client library's in-process stand-in for a server has no indexes, and says so.
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]


class Stores:
    """Makes stores of one kind that share their records."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind = kind
        self._path = path
        self._collection = f"test-{uuid.uuid4()}"
        self._client = AsyncQdrantClient(":memory:") if kind == "client" else None

    def make(self, dimension: int = DIMENSION) -> RecordStore:
        if self.kind == "edge":
            return EdgeStore(self._path, dimension=dimension)
        url = QDRANT_URL or "http://127.0.0.1:6333"
        return ServerStore(
            self._client or connect(url, None),
            url=url,
            collection=self._collection,
            dimension=dimension,
        )

    @asynccontextmanager
    async def open(self, dimension: int = DIMENSION) -> AsyncGenerator[RecordStore]:
        store = self.make(dimension)
        await store.open()
        try:
            yield store
        finally:
            if self._client is None:
                await store.close()

    async def remove(self) -> None:
        if self._client is not None:
            await self._client.close()
        elif self.kind == "server":
            client = AsyncQdrantClient(url=QDRANT_URL, check_compatibility=False)
            await client.delete_collection(self._collection)
            await client.close()


@pytest.fixture(
    params=[
        "edge",
        "client",
        pytest.param(
            "server",
            marks=[
                pytest.mark.qdrant,
                pytest.mark.skipif(QDRANT_URL is None, reason="QDRANT_URL names no server"),
            ],
        ),
    ]
)
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Stores]:
    made = Stores(request.param, tmp_path)
    yield made
    await made.remove()


async def found(
    store: RecordStore, *, tenant: str = "local", embedder: str = EMBEDDER, limit: int = 10
) -> list[str]:
    neighbours = await store.search(direction(0), tenant=tenant, embedder=embedder, limit=limit)
    return [neighbour.record.id for neighbour in neighbours]


async def test_the_most_similar_record_comes_first(stores: Stores) -> None:
    near, middle, far = record(), record(), record()
    async with stores.open() as store:
        await store.write(
            [
                insert(far, direction(120)),
                insert(near, direction(5)),
                insert(middle, direction(60)),
            ]
        )
        neighbours = await store.search(direction(0), tenant="local", embedder=EMBEDDER, limit=2)
        assert [neighbour.record for neighbour in neighbours] == [near, middle]
        assert neighbours[1].similarity == pytest.approx(0.5, abs=1e-3)
        assert await found(store) == [near.id, middle.id, far.id]


async def test_a_record_comes_back_as_it_was(stores: Stores) -> None:
    kept = record(task="sums")
    async with stores.open() as store:
        await store.write([insert(kept, direction(1))])
        assert await store.get(kept.id, tenant="local") == kept
        assert await store.get(new_id(), tenant="local") is None
        assert await store.get("no such id", tenant="local") is None


async def test_an_insert_never_overwrites(stores: Stores) -> None:
    first = record(task="first")
    second = record(first.id, task="second")
    async with stores.open() as store:
        await store.write([insert(first, direction(1))])
        await store.write([insert(second, direction(90)), insert(first, direction(1))])
        assert await store.count() == 1
        assert await store.get(first.id, tenant="local") == first
        (neighbour,) = await store.search(direction(1), tenant="local", embedder=EMBEDDER, limit=9)
        assert neighbour.similarity == pytest.approx(1, abs=1e-3)


async def test_tenants_and_embedders_never_see_each_other(stores: Stores) -> None:
    mine, theirs, older = record(), record(tenant="other"), record(embedder="older-8")
    async with stores.open() as store:
        await store.write([insert(kept, direction(1)) for kept in (mine, theirs, older)])
        assert await found(store) == [mine.id]
        assert await found(store, tenant="other") == [theirs.id]
        assert await found(store, embedder="older-8") == [older.id]
        assert await found(store, tenant="third") == []
        assert await store.get(theirs.id, tenant="local") is None
        assert await store.get(theirs.id, tenant="other") == theirs


async def test_an_id_of_another_tenant_is_neither_shown_nor_overwritten(stores: Stores) -> None:
    mine = record()
    copied = record(mine.id, tenant="other")
    async with stores.open() as store:
        await store.write([insert(mine, direction(1))])
        await store.write([insert(copied, direction(1))])
        assert await store.get(mine.id, tenant="local") == mine
        assert await store.get(mine.id, tenant="other") is None
        assert await found(store, tenant="other") == []


async def test_a_ledger_row_is_counted_and_fetched_but_is_no_neighbour(stores: Stores) -> None:
    ledger, routed = record(embedder=None), record()
    async with stores.open() as store:
        await store.write([insert(ledger), insert(routed, direction(3))])
        assert await store.count() == 2
        assert await store.get(ledger.id, tenant="local") == ledger
        assert await found(store) == [routed.id]


async def test_a_row_that_is_no_record_is_skipped(stores: Stores) -> None:
    good, junk_id = record(), new_id()
    junk = orjson.dumps({"tenant": "local", "embedder": EMBEDDER, "attempts": 7})
    async with stores.open() as store:
        await store.write(
            [Insert(junk_id, "local", junk, direction(0)), insert(good, direction(9))]
        )
        assert await found(store) == [good.id]
        assert await store.get(junk_id, tenant="local") is None


async def test_what_can_never_be_stored_is_refused_for_good(stores: Stores) -> None:
    kept = record()
    async with stores.open() as store:
        for hopeless in (
            Insert("not-a-uuid", "local", kept.to_json(), None),
            Insert(kept.id, "local", b"{", None),
            Insert(kept.id, "other", kept.to_json(), None),
            insert(kept, direction(0, dimension=3)),
            insert(kept, direction(float("nan"))),
        ):
            with pytest.raises(StoreError) as caught:
                await store.write([hopeless])
            assert not caught.value.retryable
        assert await store.count() == 0


async def test_records_are_there_after_a_reopening(stores: Stores) -> None:
    kept = record()
    async with stores.open() as store:
        await store.write([insert(kept, direction(1))])
    async with stores.open() as store:
        assert await found(store) == [kept.id]


async def test_another_embedders_dimension_is_refused_at_opening(stores: Stores) -> None:
    async with stores.open() as store:
        await store.write([insert(record(), direction(1))])
    other = stores.make(dimension=16)
    with pytest.raises(StoreMismatchError, match="or the earlier embedder"):
        await other.open()
    async with stores.open() as store:
        assert await store.count() == 1


# The embedded store


@asynccontextmanager
async def edge(path: Path, **options: object) -> AsyncGenerator[EdgeStore]:
    store = EdgeStore(path, dimension=DIMENSION, **options)  # type: ignore[arg-type]
    await store.open()
    try:
        yield store
    finally:
        await store.close()


_OPEN = """
import asyncio, sys
from pathlib import Path
from app.errors import StoreLockedError
from app.store import EdgeStore
try:
    asyncio.run(EdgeStore(Path(sys.argv[1]), dimension=8).open())
except StoreLockedError as exc:
    sys.exit(str(exc))
"""


async def test_a_second_process_is_refused_with_the_way_out(tmp_path: Path) -> None:
    async with edge(tmp_path):
        second = await anyio.run_process([sys.executable, "-c", _OPEN, str(tmp_path)], check=False)
        assert second.returncode == 1
        message = second.stderr.decode()
        assert len(message.splitlines()) == 1
        assert "in use by another process" in message
        assert "store.url" in message
        with pytest.raises(StoreLockedError):
            await EdgeStore(tmp_path, dimension=DIMENSION).open()
    third = await anyio.run_process([sys.executable, "-c", _OPEN, str(tmp_path)], check=False)
    assert (third.returncode, third.stderr) == (0, b"")


def slowly(seconds: float, then: str = "0") -> Optimizer:
    """A real child process that takes its time and then ends with this status."""
    code = f"import sys, time; time.sleep({seconds}); sys.exit({then})"
    return Optimizer((sys.executable, "-c", code))


async def test_records_survive_upkeep_and_the_writes_during_it(tmp_path: Path) -> None:
    before, during = [record() for _ in range(40)], [record() for _ in range(100)]
    async with edge(tmp_path, optimizer=slowly(0.3)) as store:
        await store.write([insert(kept, direction(1)) for kept in before])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.upkeep)
            for kept in during:
                await store.write([insert(kept, direction(1))])
                assert kept.id in await found(store, limit=200)
        assert await store.count() == 140
        assert {kept.id for kept in before + during} == set(await found(store, limit=200))
        after = record()
        await store.write([insert(after, direction(1))])
    async with edge(tmp_path) as store:
        assert await store.count() == 141
        assert [path.name for path in (tmp_path / "edge").glob("generation-*")] == [
            "generation-000002"
        ]


async def test_upkeep_starts_by_itself_after_enough_new_records(tmp_path: Path) -> None:
    async with (
        edge(tmp_path, upkeep_records=10, optimizer=slowly(0)) as store,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(store.run_upkeep)
        await store.write([insert(record(), direction(1)) for _ in range(9)])
        await anyio.wait_all_tasks_blocked()
        assert (tmp_path / "edge/CURRENT").read_text() == "generation-000001"
        await store.write([insert(record(), direction(1))])

        async def renewed() -> bool:
            return (tmp_path / "edge/CURRENT").read_text() == "generation-000002"

        await until(renewed)
        assert await store.count() == 10
        tasks.cancel_scope.cancel()


async def test_the_real_optimizer_runs_in_its_own_process(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        await store.write([insert(record(), direction(1)) for _ in range(10)])
        assert not await store.upkeep()  # too few to be worth an index
        assert await store.count() == 10


@pytest.mark.parametrize(
    "command", ["import os; os.abort()", "raise SystemExit(1)", "syntax error"]
)
async def test_a_crash_of_the_optimizer_harms_nothing(tmp_path: Path, command: str) -> None:
    kept = record()
    async with edge(tmp_path, optimizer=Optimizer((sys.executable, "-c", command))) as store:
        await store.write([insert(kept, direction(1))])
        with pytest.raises(StoreError, match="optimizer"):
            await store.upkeep()
        await store.write([insert(record(), direction(2))])
        assert len(await found(store)) == 2
        assert len(list((tmp_path / "edge").glob("generation-*"))) == 1
    async with edge(tmp_path) as store:
        assert await store.count() == 2


async def test_closing_ends_an_upkeep_at_once(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        async with edge(tmp_path, upkeep_records=1, optimizer=slowly(60)) as store:
            tasks.start_soon(store.run_upkeep)
            await store.write([insert(record(), direction(1))])

            async def copied() -> bool:
                return any((tmp_path / "edge").glob("*.unfinished"))

            await until(copied)
        with anyio.fail_after(3):
            tasks.cancel_scope.cancel()
    async with edge(tmp_path) as store:
        assert await store.count() == 1


_DIE_IN_UPKEEP = """
import asyncio, os, sys, uuid
from pathlib import Path
from app.store import EdgeStore
from app.store.optimizer import Optimizer
from tests.support.records import insert, record, direction
async def main():
    code = "import os, signal, sys; os.kill(int(sys.argv[2]), signal.SIGKILL)"
    store = EdgeStore(Path(sys.argv[1]), dimension=8, optimizer=Optimizer((sys.executable, "-c", code)))
    await store.open()
    await store.write([insert(record(), direction(1)) for _ in range(20)])
    await store.upkeep()
asyncio.run(main())
"""


async def test_a_process_killed_during_upkeep_leaves_the_old_generation(tmp_path: Path) -> None:
    killed = await anyio.run_process(
        [sys.executable, "-c", _DIE_IN_UPKEEP, str(tmp_path)], check=False
    )
    assert killed.returncode == -9
    assert list((tmp_path / "edge").glob("*.unfinished"))
    async with edge(tmp_path) as store:
        assert await store.count() == 20
        assert not list((tmp_path / "edge").glob("*.unfinished"))


async def test_a_lost_current_file_loses_no_record(tmp_path: Path) -> None:
    async with edge(tmp_path) as store:
        await store.write([insert(record(), direction(1))])
    (tmp_path / "edge/CURRENT").write_bytes(b"\xff../../etc")
    async with edge(tmp_path) as store:
        assert await store.count() == 1


async def test_a_nearly_full_disk_stops_writes_but_not_searches(tmp_path: Path) -> None:
    free_bytes = 1 << 30
    kept = record()
    async with edge(tmp_path, free_bytes=lambda _: free_bytes) as store:
        await store.write([insert(kept, direction(1))])
        free_bytes = 1 << 20
        with pytest.raises(StoreDownError, match="disk is nearly full: 1 MiB"):
            await store.write([insert(record(), direction(1))])
        assert await found(store) == [kept.id]


async def test_an_unusable_path_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"store\.path .* cannot be used"):
        await EdgeStore(tmp_path / "file", dimension=DIMENSION).open()


# The server's store, where there is none


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


async def test_a_wrong_answer_of_the_server_is_translated() -> None:
    """Anything else on that port: here a server that knows no collections."""
    code = "import http.server as h; h.test(h.BaseHTTPRequestHandler, port=0, bind='127.0.0.1')"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline().split(b" port ")[1].split()[0])
        store = build_store(
            StoreSection(url=f"http://127.0.0.1:{port}"), dimension=DIMENSION, api_key=None
        )
        with pytest.raises(StoreDownError, match="status 501"):
            await store.write([insert(record(), direction(1))])
        await store.close()
        other.kill()
