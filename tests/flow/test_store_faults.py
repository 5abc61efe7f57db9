"""A store that is down, slow, refuses, forgets or lies: requests are served, records are kept."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pytest

from app.settings import StoreSection
from app.store import Delete, Outbox, build_store
from tests.support.gateway import Gateway, gateway, metric, until
from tests.support.qdrant import Faults, fake_qdrant
from tests.support.records import (
    DIMENSION,
    delivered,
    direction,
    evidence,
    record,
    running,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

Json: TypeAlias = dict[str, Any]
REFUSALS = (400, 403, 404, 408, 409, 429, 500, 503, 507)


async def asked(gate: Gateway) -> tuple[str, str, float]:
    """One request: how it was degraded, its decision's id, and what the search took."""
    reply = await gate.ask()
    assert reply.status_code == 200
    assert reply.json()["choices"][0]["message"]["content"] == "ok"
    told = await gate.decision_of(reply)
    return reply.headers["x-autoshift-degraded"], told["id"], told["phases_s"]["search"]


async def nothing_waits(gate: Gateway) -> bool:
    ready = (await gate.http.get("/readyz")).json()
    return bool(ready["outbox_entries"] == 0)


async def is_well(gate: Gateway) -> bool:
    degraded, _, _ = await asked(gate)
    return degraded == "none"


async def test_a_store_that_is_down_at_the_start_and_again_later_loses_nothing(
    tmp_path: Path,
) -> None:
    async with fake_qdrant() as server:
        pass
    ids: list[str] = []
    async with gateway(tmp_path, store_url=server.url) as gate:
        for _ in range(2):
            for _ in range(3):
                degraded, decision, _ = await asked(gate)
                assert degraded == "store"
                ids.append(decision)
            async with server.up():
                await until(lambda: nothing_waits(gate), 12)
                assert set(ids) <= set(await server.ids())
                await until(lambda: is_well(gate), 12)
    kept = await server.ids()
    assert len(kept) == len(set(kept))


async def test_a_slow_search_is_waited_for_once_and_then_costs_next_to_nothing(
    tmp_path: Path,
) -> None:
    async with (
        fake_qdrant() as server,
        gateway(tmp_path, store_url=server.url) as gate,
    ):
        assert (await asked(gate))[0] == "none"
        server.faults = Faults(read_delay_s=0.2)
        degraded, _, took_s = await asked(gate)
        assert (degraded, took_s >= 0.2) == ("none", True)
        server.faults = Faults(read_delay_s=10)
        degraded, _, took_s = await asked(gate)
        assert degraded == "store"
        assert took_s == pytest.approx(0.3, abs=0.2)
        searches = server.asked.count("query")
        waits = [await asked(gate) for _ in range(20)]
        assert {degraded for degraded, _, _ in waits} == {"store"}
        assert statistics.median(took_s for _, _, took_s in waits) <= 0.005
        # What asks again in the background has asked a few times at most.
        assert server.asked.count("query") - searches <= 3
        server.faults = Faults(write_delay_s=0.4)
        await until(lambda: is_well(gate), 12)


async def test_whatever_the_store_answers_requests_are_served_and_records_arrive(
    tmp_path: Path,
) -> None:
    async with (
        fake_qdrant() as server,
        gateway(tmp_path, store_url=server.url) as gate,
    ):
        ids: list[str] = []
        for status in REFUSALS:
            server.faults = Faults(read_status=status, write_status_code=status)
            degraded, decision, _ = await asked(gate)
            assert degraded == "store", status
            ids.append(decision)
            told = (await gate.http.get("/readyz")).json()
            assert told["status"] == "ready", status
        server.faults = Faults(cut_reads=True, cut_writes=True)
        degraded, decision, _ = await asked(gate)
        assert degraded == "store"
        ids.append(decision)

        async def tells_why() -> bool:
            told = (await gate.http.get("/readyz")).json()
            return bool(told["store"] == "down")

        await until(tells_why)
        server.faults = Faults()
        await until(lambda: nothing_waits(gate), 12)
        kept = await server.ids()
        assert set(ids) <= set(kept)
        assert len(kept) == len(set(kept))


@pytest.mark.parametrize("fault", ["acknowledged", "wait_timeout", "cut"])
async def test_a_write_whose_end_is_unknown_is_repeated_and_kept_once(
    tmp_path: Path, fault: str
) -> None:
    async with fake_qdrant() as server:
        store = build_store(StoreSection(url=server.url), dimension=DIMENSION, api_key=None)
        await store.open()
        server.faults = Faults(cut_writes=True) if fault == "cut" else Faults(write_status=fault)
        outbox = Outbox(tmp_path, capacity_bytes=1 << 20)
        async with running(store, outbox) as recorder:
            kept = record()
            recorder.submit(kept, direction(1))
            recorder.note(kept.id, kept.tenant, evidence())

            async def was_asked_twice() -> bool:
                return server.asked.count("upsert") >= 2

            await until(was_asked_twice)
            assert recorder.backlog == 2
            server.faults = Faults()
            await delivered(recorder)
        assert await store.count() == 1
        found = await store.get(kept.id, tenant="local")
        assert found is not None
        assert len(found.evidence) == 1
        await store.close()


async def test_what_a_store_forgets_in_a_power_cut_is_written_again(tmp_path: Path) -> None:
    async with fake_qdrant() as server:
        store = build_store(StoreSection(url=server.url), dimension=DIMENSION, api_key=None)
        async with running(store, Outbox(tmp_path, capacity_bytes=1 << 20)) as recorder:
            early, noted, gone = record(), record(), record()
            for each in (early, noted, gone):
                recorder.submit(each, direction(1))
            await delivered(recorder)
            await server.sync()
            recorder.note(noted.id, noted.tenant, evidence())
            await recorder.erase([gone.id], tenant="local")
            late = [record() for _ in range(5)]
            for each in late:
                recorder.submit(each, direction(2))
            await delivered(recorder)
            await server.lose_power()
            wanted = {each.id for each in (early, noted, *late)}

            async def is_restored() -> bool:
                found = await store.get(noted.id, tenant="local")
                restored = found is not None and len(found.evidence) == 1
                return restored and {*await server.ids()} >= wanted

            await until(is_restored)
            assert await store.get(gone.id, tenant="local") is None
            assert await store.count() == len(wanted)
        await store.close()


async def test_what_another_gateway_erased_does_not_come_back(tmp_path: Path) -> None:
    async with fake_qdrant() as server:
        section = StoreSection(url=server.url)
        store = build_store(section, dimension=DIMENSION, api_key=None)
        other = build_store(section, dimension=DIMENSION, api_key=None)
        async with running(store, Outbox(tmp_path, capacity_bytes=1 << 20)) as recorder:
            kept = record()
            recorder.submit(kept, direction(1))
            await delivered(recorder)
            await other.write([Delete(kept.id, "local")])
            looked = server.asked.count("retrieve")

            async def looked_often() -> bool:
                return server.asked.count("retrieve") > looked + 5

            await until(looked_often)
            assert await store.get(kept.id, tenant="local") is None
        await store.close()
        await other.close()


def _other_tenants(row: Json) -> Json:
    return {**row, "payload": {**row["payload"], "tenant": "somebody"}}


def _other_embedders(row: Json) -> Json:
    return {**row, "payload": {**row["payload"], "embedder": "another/3"}}


def _told(row: Json, **otherwise: object) -> Json:
    record = {**orjson.loads(row["payload"]["record"]), **otherwise}
    return {**row, "payload": {**row["payload"], "record": orjson.dumps(record).decode()}}


LIES: dict[str, Callable[[Json], Json]] = {
    "another tenant's row": _other_tenants,
    "another embedder's row": _other_embedders,
    "no payload": lambda row: {**row, "payload": None},
    "junk": lambda row: {**row, "payload": {"tenant": "local", "attempts": 7}},
    "no text": lambda row: {**row, "payload": {**row["payload"], "record": 7}},
    "an old schema": lambda row: _told(row, attempts=None, ladder="s"),
    "no cosine": lambda row: {**row, "score": 7.5},
    "no number": lambda row: {**row, "score": "near"},
    "an answer that was not given": lambda row: _told(row, served=99),
}


async def test_rows_that_are_no_answer_to_what_was_asked_teach_nothing(tmp_path: Path) -> None:
    async with (
        fake_qdrant() as server,
        gateway(tmp_path, store_url=server.url) as gate,
    ):
        await asked(gate)
        await until(lambda: nothing_waits(gate))
        before = await metric_of(gate, "autoshift_store_rows_refused_total")
        assert before == 0
        for lie, twist in LIES.items():
            server.faults = Faults(twist=lambda rows, twist=twist: [twist(row) for row in rows])  # type: ignore[misc]
            told = await gate.decision_of(await gate.ask(autoshift={"learn": False}))
            assert told["start"]["neighbours"] == 0, lie
            passed_over = await metric_of(gate, "autoshift_store_rows_refused_total")
            # A reply that cannot be read at all is a store that is down.
            assert (passed_over > before) != ("store" in told["degraded"]), lie
            before = passed_over
            server.faults = Faults()
            await until(lambda: is_well(gate))
        server.faults = Faults(twist=lambda rows: 3 * rows[:1])
        told = await gate.decision_of(await gate.ask(autoshift={"learn": False}))
        assert told["start"]["neighbours"] == 1


async def metric_of(gate: Gateway, name: str) -> float:
    return metric((await gate.http.get("/metrics")).text, name)


async def test_a_bad_vector_is_never_sent_to_the_store(tmp_path: Path) -> None:
    async with fake_qdrant() as server:
        store = build_store(StoreSection(url=server.url), dimension=DIMENSION, api_key=None)
        async with running(store, Outbox(tmp_path, capacity_bytes=1 << 20)) as recorder:
            bad, good = record(), record()
            recorder.submit(bad, direction(1, dimension=DIMENSION + 1))
            recorder.submit(good, direction(1))
            await delivered(recorder)
            assert good.id in await server.ids()
            assert bad.id not in await server.ids()
        await store.close()
