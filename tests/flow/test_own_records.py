"""One's own records: listed page by page, erased everywhere, and never come back."""

import asyncio
import json
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson
import pytest
from openai import AsyncOpenAI
from typing_extensions import override

from app.archive import Archive
from app.errors import OutboxError, StoreDownError
from app.recorder import Recorder
from app.records import Record
from app.store import EdgeStore, Operation, Outbox, RecordStore, Wanted
from tests.support.gateway import Gateway, Json, gateway
from tests.support.records import (
    EMBEDDER,
    delivered,
    direction,
    edge,
    evidence,
    holds,
    new_id,
    record,
    running,
)
from tests.support.scripted_store import ScriptedStore

pytestmark = pytest.mark.anyio

UUID_NAME = "5f1c0a4be2d84f0c9a7e6b3d2c1f0a9b"
"""As many clients name conversations; it looks like a digest and is none."""
NOBODYS = "0191d2f4-0000-7000-8000-000000000000"


def outbox_in(path: Path, capacity_bytes: int = 1 << 22) -> Outbox:
    return Outbox(path, capacity_bytes=capacity_bytes)


def archive_of(recorder: Recorder, store: RecordStore, outbox: Outbox) -> Archive:
    return Archive(recorder=recorder, store=store, outbox=outbox)


async def listed(gate: Gateway, **query: str) -> Json:
    reply = await gate.http.get("/v1/records", params=query)
    assert reply.status_code == 200, reply.text
    page: Json = reply.json()
    ids = [each["id"] for each in page["data"]]
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return page


def rounded(body: bytes) -> object:
    """The embedded engine gives numbers back with other last bits."""
    return json.loads(body, parse_float=lambda digits: round(float(digits), 5))


async def ids_of(gate: Gateway, **query: str) -> list[str]:
    return [each["id"] for each in (await listed(gate, **query))["data"]]


async def decided(gate: Gateway, count: int = 1, **more: Any) -> list[str]:
    replies = [await gate.ask(f"question {number}", **more) for number in range(count)]
    return [reply.headers["x-autoshift-decision"] for reply in replies]


async def test_records_are_listed_newest_first_and_as_the_decisions_are_told(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path) as gate:
        decisions = await decided(gate, 3)
        page = await listed(gate)
        assert [each["id"] for each in page["data"]] == decisions[::-1]
        assert page["has_more"] is False
        told = await gate.http.get(f"/v1/decisions/{decisions[-1]}")
        assert rounded(orjson.dumps(page["data"][0])) == rounded(told.content)
        assert await ids_of(gate, order="asc") == decisions


async def test_a_pinned_requests_ledger_row_is_listed(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        (pinned,) = await decided(gate, model="large")
        (row,) = (await listed(gate, vectors="true"))["data"]
        assert (row["id"], row["kind"], row["vector"]) == (pinned, "pinned", None)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_openais_client_pages_through_all_of_them(tmp_path: Path, order: str) -> None:
    async with gateway(tmp_path) as gate:
        decisions = await decided(gate, 7)
        found: list[str] = []
        async with AsyncOpenAI(base_url=f"{gate.url}/v1", api_key="none") as client:
            after: dict[str, str] = {}
            while True:
                query = {"limit": "3", "order": order, **after}
                page = await client.get(
                    "/records", options={"params": query}, cast_to=dict[str, Any]
                )
                found += [each["id"] for each in page["data"]]
                if not page["has_more"]:
                    break
                after = {"after": str(page["last_id"])}
        assert found == (decisions if order == "asc" else decisions[::-1])


async def test_the_list_is_narrowed_by_what_is_asked_for(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        (first,) = await decided(gate, autoshift={"task": "sums", "conversation": "a"})
        (second,) = await decided(gate, model="auto:cascade")
        (third,) = await decided(gate, model="large")
        talk = (await gate.decision(first))["conversation"]
        second_s = (await gate.decision(second))["time_s"]
        for query, expected in (
            ({"task": "sums"}, [first]),
            ({"conversation": talk}, [first]),
            ({"conversation": "a"}, [first]),
            ({"conversation": "b"}, []),
            ({"policy": "cascade"}, [second]),
            ({"tier": "large"}, [third]),
            ({"since": repr(second_s)}, [third, second]),
            ({"until": repr(second_s)}, [first]),
            ({"since": "2026-01-01"}, [third, second, first]),
            ({"until": "2026-01-01T00:00:00Z"}, []),
            ({"task": "none such"}, []),
        ):
            assert await ids_of(gate, **query) == expected, query


async def test_a_page_shows_feedback_that_was_given_a_moment_ago(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        (decision,) = await decided(gate)
        body = {"decision": decision, "correct": False}
        assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        (row,) = (await listed(gate))["data"]
        assert [each["valid"] for each in row["evidence"].values()] == [False]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_records_of_one_time_are_paged_through_as_well(
    tmp_path: Path, newest_first: bool
) -> None:
    times_s = [1.0] * 9 + [2.0] * 7 + [3.0, 4.0]
    kept = [record(time_s=time_s) for time_s in times_s]
    outbox = outbox_in(tmp_path)
    async with edge(tmp_path) as store, running(store, outbox) as recorder:
        for each in kept:
            recorder.submit(each, None)
        archive = archive_of(recorder, store, outbox)
        found: list[Record] = []
        has_more = True
        while has_more:
            page = await archive.page(
                Wanted("local"),
                after=found[-1].id if found else None,
                limit=4,
                newest_first=newest_first,
            )
            found += [each for each, _ in page.rows]
            has_more = page.has_more
            assert len(page.rows) == 4 or not has_more
    in_order = sorted(kept, key=lambda each: (each.time_s, each.id), reverse=newest_first)
    assert found == in_order


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1.5", "limit"),
        ("limit=ten", "limit"),
        ("limit=nan", "limit"),
        ("order=up", "order"),
        ("since=yesterday", "since"),
        ("until=1e400", "until"),
        ("until=inf", "until"),
        ("after=" + NOBODYS, "after"),
        ("after=..%2f..%00", "after"),
        ("after=" + "x" * 300, "after"),
        ("vectors=maybe", "vectors"),
        ("policy=", "policy"),
        ("before=3", "before"),
        ("limit=3&limit=4", "limit"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(tmp_path: Path, query: str, param: str) -> None:
    async with gateway(tmp_path) as gate:
        reply = await gate.http.get(f"/v1/records?{query}")
        error = reply.json()["error"]
        assert (reply.status_code, error["param"]) == (400, param), error


async def erased(reply: httpx.Response) -> int:
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body.pop("object") == "autoshift.records.deleted"
    assert set(body) == {"deleted"}
    return int(body["deleted"])


async def test_nothing_is_erased_unless_it_is_said_what(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        await decided(gate, 2)
        for query, body in (
            ("", None),
            ("", b"{}"),
            ("?all=false", None),
            ("?all=yes", None),
            ("?befor=1", None),
            ("?all=true&before=1", None),
            ("?all=true", b'{"all": true}'),
            ("", b'{"all": "true"}'),
            ("", b'{"all": 1}'),
            ("", b"[]"),
            ("", b"{"),
            ("?decision=", None),
            ("?before=soon", None),
            ("", b'{"before": true}'),
            ("", b'{"before": {}}'),
        ):
            reply = await gate.http.request("DELETE", f"/v1/records{query}", content=body)
            assert reply.status_code == 400, (query, body)
            assert reply.json()["error"]["type"] == "invalid_request_error"
        large = await gate.http.request("DELETE", "/v1/records", content=b"x" * 2_000_000)
        assert large.status_code == 413
        assert len(await ids_of(gate)) == 2


async def test_records_are_erased_by_what_is_said(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        decisions = await decided(gate, 4)
        (talk,) = await decided(gate, autoshift={"conversation": "a"})
        (named,) = await decided(gate, autoshift={"conversation": UUID_NAME})
        conversation = (await gate.decision(talk))["conversation"]
        second_s = (await gate.decision(decisions[1]))["time_s"]
        asked = gate.http.delete
        for query, count in (
            ({"decision": NOBODYS}, 0),
            ({"decision": "../../etc"}, 0),
            ({"decision": decisions[3]}, 1),
            ({"decision": decisions[3]}, 0),
            ({"conversation": conversation}, 1),
            ({"conversation": UUID_NAME}, 1),
            ({"before": repr(second_s)}, 1),
            ({"since": repr(second_s), "before": repr(second_s)}, 0),
            ({"all": "true"}, 2),
            ({"all": "true"}, 0),
        ):
            assert await erased(await asked("/v1/records", params=query)) == count, query
        for decision in (*decisions, talk, named):
            assert (await gate.http.get(f"/v1/decisions/{decision}")).status_code == 404
        (again,) = await decided(gate)
        body = b'{"all": true}'
        assert await erased(await gate.http.request("DELETE", "/records", content=body)) == 1
        feedback = {"decision": again, "correct": True}
        assert (await gate.http.post("/v1/feedback", json=feedback)).status_code == 404


async def test_what_was_erased_stays_away_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gone, kept = await decided(gate, 2)
        assert await erased(await gate.http.delete("/v1/records", params={"decision": gone})) == 1
    for _ in range(2):
        async with gateway(tmp_path) as gate:
            assert await ids_of(gate) == [kept]
            assert (await gate.http.get(f"/v1/decisions/{gone}")).status_code == 404


async def test_with_the_store_down_neither_a_list_nor_an_erasure_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSHIFT_STORE__URL", "http://127.0.0.1:1")
    async with gateway(tmp_path) as gate:
        (decision,) = await decided(gate)
        for reply in (
            await gate.http.get("/v1/records"),
            await gate.http.delete("/v1/records?all=true"),
        ):
            assert reply.status_code == 503
            assert reply.json()["error"]["code"] == "store_down"
        assert (await gate.decision(decision))["id"] == decision


async def test_erasing_leaves_other_tenants_alone(tmp_path: Path) -> None:
    mine, theirs = record(), record(tenant="other")
    outbox = outbox_in(tmp_path)
    async with edge(tmp_path) as store, running(store, outbox) as recorder:
        for each in (mine, theirs):
            recorder.submit(each, direction(1))
        archive = archive_of(recorder, store, outbox)
        assert await archive.erase(Wanted("local", id=theirs.id)) == 0
        assert await archive.erase(Wanted("local")) == 1
        assert await recorder.get(theirs.id, tenant="other") == theirs
        page = await archive.page(Wanted("local"), after=None, limit=9, newest_first=True)
        assert page.rows == []


async def test_a_late_note_does_not_bring_a_record_back(tmp_path: Path) -> None:
    gone, outbox = record(), outbox_in(tmp_path)
    async with edge(tmp_path) as store, running(store, outbox) as recorder:
        recorder.submit(gone, direction(1))
        assert await archive_of(recorder, store, outbox).erase(Wanted("local", id=gone.id)) == 1
        assert recorder.note(gone.id, "local", evidence())
        assert recorder.submit(gone, direction(1))
        await delivered(recorder)
        assert await recorder.get(gone.id, tenant="local") is None
        assert await store.count() == 0


async def test_a_record_on_its_way_to_a_slow_store_is_erased_behind_it(tmp_path: Path) -> None:
    class SlowStore(ScriptedStore):
        @override
        async def write(self, operations: Sequence[Operation]) -> None:
            writing.set()
            await asyncio.sleep(0.05)
            await super().write(operations)

    writing = anyio.Event()
    store, outbox, kept = SlowStore(), outbox_in(tmp_path), [record() for _ in range(100)]
    async with running(store, outbox) as recorder:
        for each in kept:
            recorder.submit(each, None)
        await writing.wait()
        await recorder.erase([each.id for each in kept[:70]], tenant="local")
        await delivered(recorder)
        assert set(store.kept) == {each.id for each in kept[70:]}
        assert outbox.depth == 0


async def test_an_erasure_that_is_written_down_reaches_the_store_later(tmp_path: Path) -> None:
    store, outbox, gone = ScriptedStore(), outbox_in(tmp_path), record()
    async with running(store, outbox) as recorder:
        recorder.submit(gone, None)
        await delivered(recorder)
        store.down = True
        with pytest.raises(StoreDownError):
            await recorder.erase([gone.id], tenant="local")
        assert gone.id in store.kept
    store.down = False
    async with running(store, outbox_in(tmp_path)) as recorder:
        await delivered(recorder)
    assert store.kept == {}


async def test_what_the_store_refused_is_erased_too(tmp_path: Path) -> None:
    store, outbox, kept = ScriptedStore(), outbox_in(tmp_path), [record() for _ in range(3)]
    store.poison = {kept[1].id}
    async with running(store, outbox) as recorder:
        for each in kept:
            recorder.submit(each, None)
        await delivered(recorder)
        assert outbox.quarantined == 1
        assert await archive_of(recorder, store, outbox).erase(Wanted("local")) == 3
        assert await recorder.get(kept[1].id, tenant="local") is None
        assert (outbox.quarantined, outbox.depth, store.kept) == (0, 0, {})


async def test_an_outbox_that_is_closed_erases_nothing(tmp_path: Path) -> None:
    outbox = outbox_in(tmp_path)
    recorder = Recorder(ScriptedStore(), outbox, lambda _record, _acknowledged: None)
    with pytest.raises(OutboxError):
        await recorder.erase([new_id()], tenant="local")


async def test_no_file_holds_a_word_of_what_was_erased(tmp_path: Path) -> None:
    gone = [record(task=f"zebra-{number}") for number in range(60)]
    kept = [record(task=f"horse-{number}") for number in range(60)]
    outbox = Outbox(tmp_path, capacity_bytes=1 << 22, keep_s=0.0)
    store = EdgeStore(tmp_path, dimension=8, purge_every_s=0.3)
    await store.open()
    async with running(store, outbox) as recorder:
        for each in (*gone, *kept):
            recorder.submit(each, direction(1))
        await delivered(recorder)
        assert holds(tmp_path, b"zebra")
        archive = archive_of(recorder, store, outbox)
        for each in gone:
            assert await archive.erase(Wanted("local", id=each.id)) == 1
        with anyio.fail_after(15):
            while holds(tmp_path, b"zebra"):
                await anyio.sleep(0.05)
        assert await store.count() == 60
        found = await store.search(direction(1), tenant="local", embedder=EMBEDDER, limit=200)
        assert {each.record.id for each in found} == {each.id for each in kept}
    await store.close()
    async with edge(tmp_path) as reopened:
        assert await reopened.count() == 60
    assert holds(tmp_path, b"horse")


@pytest.mark.parametrize("seed", range(5))
async def test_a_killed_gateway_brings_back_nothing_that_was_erased(
    tmp_path: Path, seed: int
) -> None:
    command = [sys.executable, "-m", "tests.support.kill_eraser", str(tmp_path), str(seed)]
    async with await anyio.open_process(command, stderr=None) as child:
        assert child.stdout is not None
        printed = await child.stdout.receive()
        with anyio.move_on_after(random.Random(seed).uniform(0.2, 1.5)):  # noqa: S311
            async for chunk in child.stdout:
                printed += chunk
        child.send_signal(signal.SIGKILL)
        async for chunk in child.stdout:
            printed += chunk
        assert await child.wait() == -signal.SIGKILL
    lines = [line.split() for line in printed.decode().rpartition("\n")[0].splitlines()]
    said: dict[str, set[str]] = {}
    for word, record_id in lines:
        said.setdefault(word, set()).add(record_id)
    kept = said["kept"] - said.get("erasing", set())
    assert said["erased"]
    async with edge(tmp_path) as store:
        outbox = outbox_in(tmp_path, capacity_bytes=1 << 26)
        async with running(store, outbox) as recorder:
            await delivered(recorder)
            for record_id in said["erased"]:
                assert await recorder.get(record_id, tenant="local") is None
            for record_id in kept:
                assert await recorder.get(record_id, tenant="local") is not None
        found = await store.search(direction(0), tenant="local", embedder=EMBEDDER, limit=100_000)
        ids = {neighbour.record.id for neighbour in found}
        assert not ids & said["erased"]
        assert kept <= ids
