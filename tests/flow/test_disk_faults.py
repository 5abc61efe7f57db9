"""Disks that are full, read-only or broken: requests are served, what is acknowledged is kept."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.flow.test_serve import Served, config_file, refusal, served
from tests.support.gateway import Json, chat, metric, until
from tests.support.outbox_writer import can_fail_writes, failing_writes
from tests.support.provider import provider

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
DISK_MIB = 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:  # noqa: S603
        pytest.skip("a small disk needs root and the right to mount")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)  # noqa: S603, S607


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)  # noqa: S603, S607


class Filling:
    """A file that leaves so much room on its disk."""

    def __init__(self, disk: Path) -> None:
        self._path = disk / "filling"

    def leave(self, free_bytes: int) -> None:
        """So much at most: others may write meanwhile."""
        with self._path.open("ab", buffering=0) as file:
            for size_bytes in (1 << 20, 1 << 12):
                with suppress(OSError):
                    while self._free_bytes() >= free_bytes + size_bytes or not free_bytes:
                        file.write(bytes(size_bytes))

    def _free_bytes(self) -> int:
        stat = os.statvfs(self._path.parent)
        return stat.f_bavail * stat.f_frsize

    def remove(self) -> None:
        self._path.unlink()


async def asked(gate: Served, **more: object) -> httpx.Response:
    reply = await gate.http.post(CHAT, json={**chat(), **more})
    assert reply.status_code == 200, reply.text
    return reply


async def ready(gate: Served) -> Json:
    reply = await gate.http.get("/readyz")
    assert reply.status_code == 200
    told: Json = reply.json()
    return told


async def test_a_disk_that_fills_up_costs_acknowledgements_and_no_answer(small_disk: Path) -> None:
    filling, ids = Filling(small_disk), list[str]()
    async with provider() as behind:
        config = config_file(small_disk.parent, behind.url, store={"path": str(small_disk)})
        async with served("--config", config) as gate:
            ids.append((await asked(gate)).headers["x-autoshift-decision"])
            filling.leave(8 << 20)  # under the floor: the engine is not asked to write
            ids.append((await asked(gate)).headers["x-autoshift-decision"])

            async def store_is_down() -> bool:
                return bool((await ready(gate))["store"] == "down")

            await until(store_is_down)
            filling.leave(0)
            reply = await asked(gate)
            assert "x-autoshift-decision" not in reply.headers
            assert reply.json()["autoshift"]["decision"] is None
            assert reply.headers["x-autoshift-degraded"] == "outbox"
            stream = (await asked(gate, stream=True)).text
            assert '"decision":null' in stream
            assert '"outbox"' in stream
            told = await ready(gate)
            assert (told["outbox"], told["records_refused"]) == ("refusing", 2)
            metrics = (await gate.http.get("/metrics")).text
            assert metric(metrics, "autoshift_degraded_requests_total", reason="outbox") == 2
            filling.remove()
            ids.append((await asked(gate)).headers["x-autoshift-decision"])

            async def all_is_well() -> bool:
                told = await ready(gate)
                states = (told["store"], told["outbox"], told["outbox_entries"])
                return states == ("up", "taking", 0)

            await until(all_is_well, 12)
            assert await gate.stop() == 0
        async with served("--config", config) as gate:
            for decision in ids:
                assert (await gate.http.get(f"/v1/decisions/{decision}")).status_code == 200


async def test_on_a_full_disk_it_starts_and_serves(small_disk: Path) -> None:
    filling = Filling(small_disk)
    filling.leave(0)
    async with provider() as behind:
        config = config_file(small_disk.parent, behind.url, store={"path": str(small_disk)})
        async with served("--config", config) as gate:
            reply = await asked(gate)
            assert set(reply.headers["x-autoshift-degraded"].split(",")) == {"store", "outbox"}
            filling.remove()
            reply = await asked(gate)
            decision = reply.headers["x-autoshift-decision"]

            async def is_kept() -> bool:
                told = await ready(gate)
                return (told["store"], told["outbox_entries"]) == ("up", 0)

            await until(is_kept, 12)
            assert (await gate.http.get(f"/v1/decisions/{decision}")).status_code == 200


async def test_a_read_only_disk_is_told_in_one_line_at_the_start(small_disk: Path) -> None:
    make_read_only(small_disk)
    config = config_file(small_disk.parent, store={"path": str(small_disk)})
    said = await refusal("--config", config)
    assert str(small_disk) in said
    assert "Read-only file system" in said


@pytest.mark.skipif(
    not can_fail_writes(), reason="strace is missing: no system call can be made to fail"
)
@pytest.mark.parametrize(
    ("call", "error", "first"),
    [
        ("pwrite64", "EIO", 30),
        ("pwrite64", "EROFS", 50),
        ("pwrite64", "ENOSPC", 40),
        ("fdatasync", "EIO", 8),
    ],
)
def test_calls_that_fail_cost_acknowledgements_and_no_acknowledged_record(
    tmp_path: Path, call: str, error: str, first: int
) -> None:
    written = failing_writes(tmp_path, call=call, error=error, first=first, last=first + 5)
    assert written.shows_a_loss() is None
    assert len(written.acknowledged) >= 10
