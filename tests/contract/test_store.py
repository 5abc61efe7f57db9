"""What every record store must do, embedded or on a server."""

import os
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from qdrant_client import AsyncQdrantClient

from app.errors import StoreError, StoreMismatchError
from app.store import Delete, EdgeStore, Insert, Note, Operation, RecordStore, Wanted
from app.store.server import ServerStore, connect
from app.store.wanted import Sought
from tests.support.records import (
    DIMENSION,
    EMBEDDER,
    direction,
    evidence,
    found,
    insert,
    new_id,
    note,
    record,
)

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


async def test_what_was_found_once_is_found_with_what_became_known_since(stores: Stores) -> None:
    kept = record()
    async with stores.open() as store:
        await store.write([insert(kept, direction(1))])
        (before,) = await store.search(direction(0), tenant="local", embedder=EMBEDDER, limit=2)
        await store.write([note(kept, "e1", evidence())])
        (after,) = await store.search(direction(0), tenant="local", embedder=EMBEDDER, limit=2)
        assert (before.record.evidence, after.record.evidence) == ({}, {"e1": evidence()})
        await store.write([Delete(kept.id, "local")])
        assert await found(store) == []


async def test_whoever_comes_later_takes_no_place_among_the_neighbours(stores: Stores) -> None:
    kept = [record(), record()]
    async with stores.open() as store:
        await store.write([insert(each, direction(50)) for each in kept])
        assert len(await found(store, limit=2)) == 2
        others = [record(tenant="other"), record(embedder="another-8"), record(tenant="third")]
        await store.write([insert(each, direction(0)) for each in others])
        assert set(await found(store, limit=2)) == {each.id for each in kept}
        assert await found(store, tenant="other", limit=2) == [others[0].id]
        assert await found(store, embedder="another-8", limit=2) == [others[1].id]
        assert await found(store, tenant="nobody", limit=2) == []
    async with stores.open() as store:
        assert set(await found(store, limit=2)) == {each.id for each in kept}


async def test_neighbours_can_be_one_keys_own_and_bring_their_vectors(stores: Stores) -> None:
    mine, theirs, nobodys = record(principal="a"), record(principal="b"), record()
    async with stores.open() as store:
        kept = zip((mine, theirs, nobodys), (20, 10, 30), strict=True)
        await store.write([insert(each, direction(angle)) for each, angle in kept])
        near = await store.search(direction(0), tenant="local", embedder=EMBEDDER, limit=9)
        assert [n.record.id for n in near] == [theirs.id, mine.id, nobodys.id]
        assert {n.vector for n in near} == {None}
        sought = Sought("a", vectors=True)
        (own,) = await store.search(
            direction(0), tenant="local", embedder=EMBEDDER, limit=9, sought=sought
        )
        assert own.record.id == mine.id
        assert own.vector is not None
        assert own.vector == pytest.approx(direction(20), abs=1e-6)


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
        # Mine is the farthest: a filter after the query, not in it, would find none of them.
        await store.write([insert(mine, direction(40))])
        await store.write([insert(kept, direction(1)) for kept in (theirs, older)])
        assert await found(store, limit=1) == [mine.id]
        assert await found(store, tenant="other", limit=1) == [theirs.id]
        assert await found(store, embedder="older-8", limit=1) == [older.id]
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
            Note("not-a-uuid", "local", "0a", orjson.dumps(evidence())),
            Note(kept.id, "local", "attempts[0].tier", orjson.dumps(evidence())),
            Note(kept.id, "local", "0a", b"{"),
            Note(kept.id, "local", "0a", b'{"valid": true}'),
            Delete("not-a-uuid", "local"),
        ):
            with pytest.raises(StoreError) as caught:
                await store.write([hopeless])
            assert not caught.value.retryable
        assert await store.count() == 0


async def test_a_note_adds_its_evidence_and_changes_nothing_else(stores: Stores) -> None:
    kept, other = record(task="sums"), record()
    first, second = evidence("large"), evidence("small", valid=False)
    async with stores.open() as store:
        await store.write([insert(kept, direction(1)), insert(other), note(kept, "0a", first)])
        await store.write([note(kept, "b-_1", second)])
        kept.evidence = {"0a": first, "b-_1": second}
        assert await store.get(kept.id, tenant="local") == kept
        assert await store.get(other.id, tenant="local") == other
        (neighbour,) = await store.search(direction(1), tenant="local", embedder=EMBEDDER, limit=9)
        assert neighbour.record == kept
        assert await store.count() == 2


async def test_the_first_evidence_of_an_id_stays(stores: Stores) -> None:
    kept = record()
    async with stores.open() as store:
        await store.write([insert(kept), note(kept, "0a", evidence(valid=False))])
        await store.write([note(kept, "0a", evidence(valid=False))])
        await store.write([note(kept, "0a", evidence(valid=True))])
        kept.evidence = {"0a": evidence(valid=False)}
        assert await store.get(kept.id, tenant="local") == kept


async def test_a_replayed_insert_keeps_the_evidence(stores: Stores) -> None:
    kept = record()
    operations: list[Operation] = [insert(kept, direction(1)), note(kept, "0a", evidence())]
    async with stores.open() as store:
        await store.write(operations)
        await store.write(operations[:1])
        await store.write(operations)
        kept.evidence = {"0a": evidence()}
        assert await store.get(kept.id, tenant="local") == kept


async def test_a_note_on_what_is_not_its_tenants_record_does_nothing(stores: Stores) -> None:
    mine, missing = record(), record()
    async with stores.open() as store:
        await store.write([insert(mine)])
        await store.write(
            [note(mine, "0a", evidence(), tenant="other"), note(missing, "0a", evidence())]
        )
        assert await store.get(mine.id, tenant="local") == mine
        assert await store.get(missing.id, tenant="local") is None
        assert await store.count() == 1


async def test_a_record_of_an_earlier_version_can_be_noted_on(stores: Stores) -> None:
    kept = record()
    body = orjson.loads(kept.to_json())
    del body["evidence"]
    async with stores.open() as store:
        await store.write([Insert(kept.id, "local", orjson.dumps(body), None)])
        await store.write([note(kept, "0a", evidence())])
        kept.evidence = {"0a": evidence()}
        assert await store.get(kept.id, tenant="local") == kept


async def test_many_operations_are_applied_in_one_write(stores: Stores) -> None:
    kept = [record() for _ in range(150)]
    async with stores.open() as store:
        operations: list[Operation] = []
        for one in kept:
            operations += [insert(one), note(one, "0a", evidence())]
        await store.write(operations)
        for one in kept:
            found_again = await store.get(one.id, tenant="local")
            assert found_again is not None
            assert found_again.evidence == {"0a": evidence()}


async def test_the_last_record_of_a_conversation_is_found(stores: Stores) -> None:
    talk = 'talk: "caf\u00e9"/1.0[]'
    turns = [record(conversation=talk, time_s=1.0 + turn) for turn in (*range(99), 120, *range(99))]
    async with stores.open() as store:
        await store.write([insert(record(time_s=500.0)), *map(insert, turns)])
        await store.write([insert(record(conversation="another", time_s=400.0))])
        await store.write([insert(record(conversation=talk, tenant="other", time_s=300.0))])
        assert await store.last_in_conversation(talk, tenant="local") == turns[99]
        assert await store.last_in_conversation("talk", tenant="local") is None
        assert await store.last_in_conversation("another", tenant="other") is None


async def scanned(store: RecordStore, wanted: Wanted, limit: int = 1000) -> set[str]:
    """The ids of everything that is wanted, `limit` rows at a time."""
    ids: list[str] = []
    start = None
    while True:
        rows, start = await store.scan(wanted, start=start, limit=limit)
        assert len(rows) <= limit
        ids += [row.id for row in rows]
        if start is None:
            assert len(ids) == len(set(ids))
            return set(ids)


async def test_a_deleted_record_is_gone_and_no_note_brings_it_back(stores: Stores) -> None:
    kept, erased = record(), record()
    async with stores.open() as store:
        await store.write([insert(each, direction(1)) for each in (kept, erased)])
        for _ in range(2):
            await store.write([Delete(erased.id, "local"), Delete(new_id(), "local")])
            await store.write([note(erased, "0a", evidence())])
            assert await store.get(erased.id, tenant="local") is None
            assert await found(store) == [kept.id]
            assert await store.count() == 1
        await store.write([insert(erased, direction(1))])
        assert await store.get(erased.id, tenant="local") == erased


async def test_operations_on_one_record_keep_their_order_in_one_write(stores: Stores) -> None:
    erased, again, late = record(), record(), record()
    again_later = record(again.id, task="again")
    async with stores.open() as store:
        await store.write([insert(late)])
        await store.write(
            [
                insert(erased),
                insert(again),
                note(erased, "0a", evidence()),
                note(again, "0a", evidence()),
                Delete(late.id, "local"),
                Delete(erased.id, "local"),
                Delete(again.id, "local"),
                note(erased, "0b", evidence()),
                insert(again_later),
                note(again, "0b", evidence()),
            ]
        )
        assert await store.get(erased.id, tenant="local") is None
        assert await store.get(late.id, tenant="local") is None
        again_later.evidence = {"0b": evidence()}
        assert await store.get(again.id, tenant="local") == again_later


async def test_no_tenant_deletes_or_lists_anothers_records(stores: Stores) -> None:
    mine, theirs = record(), record(tenant="other")
    async with stores.open() as store:
        await store.write([insert(mine), insert(theirs)])
        await store.write([Delete(theirs.id, "local"), Delete(mine.id, "other")])
        assert await store.count() == 2
        assert await scanned(store, Wanted("local")) == {mine.id}
        assert await scanned(store, Wanted("other")) == {theirs.id}
        assert await scanned(store, Wanted("local", id=theirs.id)) == set()
        rows = await store.by_time(Wanted("other"), newest_first=True, limit=9)
        assert [row.record for row in rows] == [theirs]


async def test_many_records_are_deleted_in_one_write(stores: Stores) -> None:
    erased, kept = [record() for _ in range(150)], record()
    async with stores.open() as store:
        await store.write([insert(one, direction(1)) for one in (*erased, kept)])
        await store.write([Delete(one.id, "local") for one in erased])
        assert await scanned(store, Wanted("local")) == {kept.id}


async def test_records_are_listed_by_their_times(stores: Stores) -> None:
    listed = [record(time_s=1e9 + number / 8) for number in (3, 1, 4, 0, 2)]
    in_order = sorted(listed, key=lambda each: each.time_s)
    async with stores.open() as store:
        await store.write([insert(each, direction(1)) for each in listed])
        for newest_first, expected in ((True, in_order[::-1]), (False, in_order)):
            rows = await store.by_time(Wanted("local"), newest_first=newest_first, limit=3)
            assert [row.record for row in rows] == expected[:3]
            assert [row.vector for row in rows] == [None] * 3
        span = Wanted("local", since_s=1e9 + 1 / 8, before_s=1e9 + 3 / 8)
        rows = await store.by_time(span, newest_first=False, limit=9, vectors=True)
        assert [row.record for row in rows] == in_order[1:3]
        assert all(row.vector == pytest.approx(direction(1), abs=1e-6) for row in rows)


async def test_the_oldest_of_a_tenant_are_named_oldest_first(stores: Stores) -> None:
    kept = [record(time_s=1e9 + number / 8) for number in (3, 1, 4, 0, 2)]
    theirs = record(tenant="other", time_s=1e9 - 1)
    async with stores.open() as store:
        await store.write([insert(each, direction(1)) for each in (*kept, theirs)])
        oldest = sorted(kept, key=lambda each: each.time_s)[:3]
        assert await store.oldest("local", limit=3) == [each.id for each in oldest]
        await store.write([Delete(oldest[0].id, "local")])
        assert await store.oldest("local", limit=1) == [oldest[1].id]
        assert await store.oldest("nobody", limit=1) == []


async def test_a_scan_gives_every_row_once_with_its_vector(stores: Stores) -> None:
    kept = [record() for _ in range(25)]
    junk = Insert(new_id(), "local", orjson.dumps({"tenant": "local", "time_s": 1.0}), None)
    async with stores.open() as store:
        await store.write([*[insert(each, direction(1)) for each in kept], junk])
        assert await scanned(store, Wanted("local"), 4) == {*(each.id for each in kept), junk.id}
        rows, _ = await store.scan(Wanted("local"), start=None, limit=100, vectors=True)
        vectors = {row.id: row.vector for row in rows}
        assert vectors.pop(junk.id) is None
        assert all(v == pytest.approx(direction(1), abs=1e-6) for v in vectors.values())


async def test_every_filter_narrows_what_is_wanted(stores: Stores) -> None:
    odd = 'caf\u00e9: "x"/[]'
    this = record(task=odd, conversation=odd, principal=odd, time_s=5.0)
    this.policy, this.attempts[0].tier = "value", "large"
    others = [record(task="t", conversation="c", time_s=9.0) for _ in range(3)]
    async with stores.open() as store:
        await store.write([insert(each) for each in (this, *others)])
        for only in (
            {"id": this.id},
            {"task": odd},
            {"conversation": odd},
            {"principal": odd},
            {"policy": "value"},
            {"tier": "large"},
            {"before_s": 9.0},
            {"since_s": 5.0, "before_s": 5.5},
        ):
            wanted = Wanted("local", **only)
            assert await scanned(store, wanted) == {this.id}, only
            assert [wanted.covers(each) for each in (this, *others)] == [True, *[False] * 3]
        assert await scanned(store, Wanted("local", since_s=9.0)) == {e.id for e in others}


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
