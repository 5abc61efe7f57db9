"""A process that is frozen, or has too few file descriptors: it sheds, does not crash, recovers."""

import asyncio
import resource
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.flow.test_serve import Served, config_file, served
from tests.support.gateway import chat, until
from tests.support.provider import Says, provider

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
DESCRIPTORS = 128


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
