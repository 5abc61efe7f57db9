"""A process that is frozen, or short of file descriptors or memory: it sheds, and recovers."""

import asyncio
import json
import resource
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.flow.test_serve import Served, config_file, served
from tests.support.cgroup import kills, memory_group, within
from tests.support.gateway import chat, until
from tests.support.memory import peak_bytes
from tests.support.provider import Says, provider

pytestmark = pytest.mark.anyio

CONTAINER_BYTES = 256 * 2**20
CHAT = "/v1/chat/completions"
DESCRIPTORS = 128
MIB = 2**20
HELD_BYTES = 200 * MIB
AT_ONCE = 30
VALUES = 120_000


async def answers(gate: Served) -> bool:
    async with httpx.AsyncClient(base_url=gate.http.base_url, timeout=5, trust_env=False) as http:
        try:
            return (await http.post(CHAT, json=chat())).status_code == 200
        except httpx.TransportError:
            return False


async def test_a_process_that_was_frozen_answers_when_it_goes_on(tmp_path: Path) -> None:
    async with provider() as behind:
        opened = asyncio.Event()
        behind.answers("model-small", Says("thawed", gate=opened))
        async with (
            served("--config", config_file(tmp_path, behind.url)) as gate,
            asyncio.TaskGroup() as tasks,
        ):
            asking = tasks.create_task(gate.http.post(CHAT, json=chat()))
            await until(lambda: behind.open == 1)
            gate.process.send_signal(signal.SIGSTOP)
            opened.set()
            await asyncio.sleep(2)  # longer than a silent provider is waited for
            gate.process.send_signal(signal.SIGCONT)
            # Whichever it saw first, the answer or that time was up: then the next tier answers.
            assert (await asking).status_code == 200
            assert await answers(gate)
            assert await gate.stop() == 0


async def test_with_few_descriptors_it_survives_more_clients_than_it_can_have(
    tmp_path: Path,
) -> None:
    async with provider() as behind:
        config = config_file(tmp_path, behind.url)
        async with served("--config", config) as gate:
            pid = gate.process.pid
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
            host, port = gate.http.base_url.host, gate.http.base_url.port
            async with AsyncExitStack() as stack:
                for _ in range(2 * DESCRIPTORS):
                    _, writer = await asyncio.open_connection(host, port)
                    stack.callback(writer.close)
                # Those it has taken are served or told; nobody brings it down.
                await asyncio.gather(*(answers(gate) for _ in range(3)))
                assert gate.process.returncode is None
            await until(lambda: answers(gate), within_s=20)
            assert await gate.stop() == 0


async def test_large_bodies_take_no_more_memory_together_than_they_may(tmp_path: Path) -> None:
    # Each takes sixty times its bytes: thirty of them would take three gigabytes.
    body = json.dumps({**chat(), "x": [{"a": n} for n in range(VALUES)]}).encode()
    headers = {"content-type": "application/json"}
    async with provider() as behind:
        behind.answers("model-small", Says(delay_s=0.5))
        limits = {"held_bytes": HELD_BYTES}
        config = config_file(tmp_path, behind.url, limits=limits)
        async with served("--config", config) as gate:
            assert await answers(gate)
            before_bytes = peak_bytes(gate.process.pid)

            async def ask() -> httpx.Response:
                return await gate.http.post(CHAT, content=body, headers=headers, timeout=60)

            replies = await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
            assert peak_bytes(gate.process.pid) - before_bytes < 2 * HELD_BYTES
            assert {reply.status_code for reply in replies} == {200, 503}
            shed = [reply for reply in replies if reply.status_code == 503]
            assert {reply.json()["error"]["code"] for reply in shed} == {"overloaded"}
            assert all(reply.headers["retry-after"] for reply in shed)
            # All that was taken is free again.
            assert (await ask()).status_code == 200
            told = (await gate.http.get("/metrics")).text
            assert f'autoshift_sheds_total{{what="body"}} {len(shed)}.0' in told
            assert await gate.stop() == 0


async def test_in_a_small_container_it_sheds_what_would_have_it_killed(tmp_path: Path) -> None:
    # Row P3. By the usual limit all of these would be let in, and take a gigabyte.
    body = json.dumps({**chat(), "x": [{"a": n} for n in range(VALUES)]}).encode()
    headers = {"content-type": "application/json"}
    with memory_group(CONTAINER_BYTES) as group:
        if group is None:
            pytest.skip("this process may make no control group")
        async with provider() as behind:
            behind.answers("model-small", Says(delay_s=0.5))
            config = config_file(tmp_path, behind.url)
            async with served("--config", config, by=within(group)) as gate:

                async def ask() -> int:
                    reply = await gate.http.post(CHAT, content=body, headers=headers, timeout=60)
                    return reply.status_code

                statuses = await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
                assert set(statuses) == {200, 503}
                assert kills(group) == 0

                async def is_served() -> bool:
                    return await ask() == 200

                await until(is_served, within_s=20)
                assert await gate.stop() == 0
