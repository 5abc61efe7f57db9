"""Hostile bodies: a refusal or a reply for each, never an error of ours, a stall or a leak."""

import asyncio
import json
import sys
import time
from pathlib import Path

import pytest

from tests.support.gateway import gateway
from tests.support.hostile import BODIES

pytestmark = pytest.mark.anyio

SMALL = 6_000_000
BLOCK_S = 1.0
"""On a machine that counts to a million in `COUNTED_S`; on a slower one, as much longer."""
COUNTED_S = 0.06
TRACED = 3.0
"""How many times longer the gateway's code takes while coverage counts its lines, at most."""
GROWTH_KIB = 96 * 1024
"""Of the whole test process, which is client, gateway and provider in one."""
HEADERS = {"content-type": "application/json"}


class Watch:
    """Notes for how long nothing else could run on the event loop, in its thread's own time."""

    longest_s = 0.0

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            started_s = time.thread_time()
            await asyncio.sleep(0.005)
            self.longest_s = max(self.longest_s, time.thread_time() - started_s)


def slowness() -> float:
    """How many times slower than that machine this one is, at the moment; at least 1."""
    started_s = time.thread_time()
    for _ in range(1_000_000):
        pass
    slower = max(1.0, (time.thread_time() - started_s) / COUNTED_S)
    return slower if sys.gettrace() is None else slower * TRACED


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0])


# aiohttp warns of writing more than 1 MiB at once; nobody sees it outside of tests.
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_no_hostile_body_is_an_error_of_ours_or_holds_others_up(tmp_path: Path) -> None:
    assert len(BODIES) > 60
    watch, known = Watch(), {name: make for name, make in BODIES.items() if "31 MB" not in name}
    async with gateway(tmp_path) as gate, asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.run())
        await gate.ask(model="small")
        for name, make in known.items():
            body, before_kib = make(), resident_kib()
            if len(body) > SMALL and "10,000,000" not in name:
                continue
            watch.longest_s = 0.0
            reply = await gate.http.post("/v1/chat/completions", content=body, headers=HEADERS)
            assert reply.status_code in {200, 400}, (name, reply.text[:200])
            if reply.status_code == 400:
                assert json.loads(reply.text)["error"]["type"] == "invalid_request_error", name
            # Of 31 MB the client's own part, on the same loop, is most.
            longest_s = slowness() * (BLOCK_S if len(body) < SMALL else 4 * BLOCK_S)
            assert watch.longest_s < longest_s, name
            assert resident_kib() - before_kib < GROWTH_KIB, name
        watching.cancel()
        assert (await gate.ask()).status_code == 200
