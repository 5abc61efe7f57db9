"""A gateway's end: it says so, finishes what is under way, tells the rest, keeps the records."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.embedder import build_embedder
from app.settings import EmbedderSection
from app.store import EdgeStore, Wanted
from tests.flow.test_serve import Served, config_file, served, start
from tests.support.gateway import chat, until
from tests.support.ledger import Exchange, understood
from tests.support.provider import Hangs, Provider, Says, provider
from tests.support.qdrant import Faults, fake_qdrant

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
PATIENT = {"connect_s": 1, "first_byte_s": 60, "idle_s": 60}


def patient(directory: Path, behind: Provider, **server: object) -> Path:
    """A configuration whose providers may think for a minute."""
    tiers = [
        {"name": name, "provider": "scripted", "model": f"model-{name}", "prior": prior}
        | {"timeouts": PATIENT}
        for name, prior in (("small", 0.55), ("large", 0.9))
    ]
    settings = {"port": 0, "pre_stop_s": 0, "drain_s": 1, **server}
    return config_file(directory, behind.url, tiers=tiers, server=settings)


@asynccontextmanager
async def under_way(
    gate: Served, behind: Provider, **more: Any
) -> AsyncGenerator["asyncio.Task[Exchange]", None]:
    """A request that the provider is at work on."""
    before = behind.open
    async with asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(exchange(gate.http, **more))
        await until(lambda: behind.open == before + 1)
        yield asking


async def exchange(http: httpx.AsyncClient, **more: Any) -> Exchange:
    """A chat request's reply as it came; without a status where there was none."""
    got = Exchange(0, httpx.Headers())
    with suppress(httpx.TransportError):
        async with http.stream("POST", CHAT, json=chat(**more)) as reply:
            got.status, got.headers = reply.status_code, reply.headers
            async for piece in reply.aiter_raw():
                got.body += piece
            got.ended = True
    return got


async def kept(directory: Path) -> list[tuple[str, str | None]]:
    """Outcome and error of every record in the store, which is closed by now."""
    store = EdgeStore(directory / "store", dimension=build_embedder(EmbedderSection()).dimension)
    await store.open()
    try:
        rows, _ = await store.scan(Wanted("local"), start=None, limit=100)
    finally:
        await store.close()
    return [(row.record.outcome, row.record.error) for row in rows if row.record is not None]


async def test_what_does_not_finish_in_time_is_told_so_and_its_record_kept(tmp_path: Path) -> None:
    never = asyncio.Event()
    async with provider() as behind:
        behind.answers("model-small", Hangs())
        behind.answers("model-large", Says(pieces=["one", "two"], gate=never))
        async with (
            served("--config", patient(tmp_path, behind)) as gate,
            under_way(gate, behind) as plain,
            under_way(gate, behind, stream=True) as held,
            under_way(gate, behind, model="large", stream=True) as live,
        ):
            assert await gate.stop() == 0
        assert behind.left_early == 3
    for asking in (plain, held):
        got = await asking
        assert got.status == 503
        assert b"shutting_down" in got.body
        assert got.headers["retry-after"]
    got = await live
    assert got.status == 200
    assert b"one" in got.body
    assert b"shutting_down" in got.body
    assert understood(got).end == "error"
    assert await kept(tmp_path) == [("failed", "shutting_down")] * 3


async def test_a_judge_that_still_thinks_is_not_waited_for_either(tmp_path: Path) -> None:
    """P2, in mid-judge: what was held is not served unjudged, and the call to the judge ends."""
    async with provider() as behind:
        behind.answers("model-small", Says("held until it is judged"))
        behind.verdicts("model-large", Hangs())
        async with served("--config", patient(tmp_path, behind)) as gate:
            asking = [exchange(gate.http, model="auto:cascade", stream=s) for s in (False, True)]
            async with asyncio.TaskGroup() as tasks:
                begun = [tasks.create_task(each) for each in asking]
                await until(lambda: len(behind.asked(judging=True)) == 2)
                assert await gate.stop() == 0
        await until(lambda: behind.open == 0)
        assert len(behind.calls) == 4
    for each in begun:
        got = each.result()
        assert got.status == 503
        assert b"shutting_down" in got.body
        assert b"held until" not in got.body
    assert await kept(tmp_path) == [("failed", "shutting_down")] * 2


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
async def test_records_that_wait_for_a_store_that_is_down_outlast_the_end(tmp_path: Path) -> None:
    """P2, with a backlog: the end is not put off, and the next start delivers."""
    async with fake_qdrant() as server, provider() as behind:
        store = {"path": str(tmp_path / "store"), "url": server.url}
        config = config_file(tmp_path, behind.url, store=store)
        server.faults = Faults(write_status_code=503)
        async with served("--config", config) as gate:
            replies = [await gate.http.post(CHAT, json=chat(f"{n}")) for n in range(5)]
            assert await gate.stop() == 0
        assert server.asked
        server.faults = Faults()
        async with served("--config", config) as gate:
            wanted = {reply.headers["x-autoshift-decision"] for reply in replies}

            async def are_there() -> bool:
                return "upsert" in server.asked and wanted <= set(await server.ids())

            await until(are_there, 15)
            assert await gate.stop() == 0


async def test_it_is_not_ready_at_once_and_still_answers_for_a_while(tmp_path: Path) -> None:
    async with provider() as behind:
        config = patient(tmp_path, behind, pre_stop_s=1.5)
        async with served("--config", config) as gate:
            assert (await gate.http.get("/readyz")).status_code == 200
            gate.process.send_signal(signal.SIGTERM)

            async def says_no() -> bool:
                ready = await gate.http.get("/readyz")
                return ready.status_code == 503 and ready.json()["status"] == "draining"

            await until(says_no, within_s=1)
            # On a connection of its own: new ones are taken.
            async with httpx.AsyncClient(base_url=gate.http.base_url, trust_env=False) as late:
                assert (await late.post(CHAT, json=chat())).status_code == 200
            async with asyncio.timeout(15):
                assert await gate.process.wait() == 0
        assert await kept(tmp_path) == [("answered", None)]


async def test_a_second_signal_is_not_kept_waiting(tmp_path: Path) -> None:
    async with provider() as behind:
        behind.answers("model-small", Hangs())
        config = patient(tmp_path, behind, drain_s=60)
        async with served("--config", config) as gate:
            async with under_way(gate, behind) as asking:
                gate.process.send_signal(signal.SIGTERM)
                await until(lambda: refuses(gate))
                gate.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(2):
                    assert await gate.process.wait() == 128 + signal.SIGTERM
            assert (await asking).status == 0


async def refuses(gate: Served) -> bool:
    """Whether it takes no more connections."""
    try:
        async with httpx.AsyncClient(base_url=gate.http.base_url, trust_env=False) as late:
            await late.get("/healthz")
    except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
        return True  # or the system had taken it already, and it was closed unread
    return False


async def test_a_signal_while_it_starts_ends_it_and_harms_nothing(tmp_path: Path) -> None:
    async with provider() as behind:
        config = patient(tmp_path, behind)
        for after_s in (0.3, 1.0, 1.6, 2.2):
            process = await start("--config", config)
            await asyncio.sleep(after_s)
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                _, said = await process.communicate()
            # Before Python has come as far as to listen to signals, the signal itself ends it.
            assert process.returncode in {0, -signal.SIGTERM}
            assert b"Traceback" not in said
        async with served("--config", config) as gate:
            assert (await gate.http.post(CHAT, json=chat())).status_code == 200
            assert await gate.stop() == 0
