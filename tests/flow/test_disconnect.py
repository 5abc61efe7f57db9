"""Clients that leave: their work ends at once, and nothing is asked for them afterwards."""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

import orjson
import pytest

from tests.support.gateway import Gateway, chat, gateway, metric, until
from tests.support.provider import INVALID, Hangs, Reply, Says

pytestmark = pytest.mark.anyio

End: TypeAlias = Literal["FIN", "RST"]
ENDS_WITHIN_S = 0.25


@asynccontextmanager
async def raw_client(
    gate: Gateway, end: End, **more: Any
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """A client that has sent its request; it leaves when the block ends."""
    host, port = gate.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = orjson.dumps(chat(**more))
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    try:
        yield reader, writer
    finally:
        if end == "RST":
            linger = struct.pack("ii", 1, 0)
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()


async def requests(gate: Gateway, outcome: str) -> float:
    text = (await gate.http.get("/metrics")).text
    series = ("llm_at", "cascade", "always:small", "always:large")
    name = "autoshift_requests_total"
    return sum(metric(text, name, policy=policy, outcome=outcome) for policy in series)


async def leaves_nothing_running(gate: Gateway) -> None:
    """The provider is left in peace, and stays so."""
    await until(lambda: gate.provider.open == 0, within_s=ENDS_WITHIN_S)
    calls = len(gate.provider.calls)
    # Whatever comes next in this loop has run once other requests have been through it.
    for _ in range(3):
        await gate.http.get("/healthz")
    assert (len(gate.provider.calls), gate.provider.open) == (calls, 0)


PHASES: dict[str, tuple[str, str, Reply]] = {
    "waiting for the first tier": ("model-small", "answer", Hangs()),
    "in the middle of its answer": ("model-small", "answer", Hangs(after_headers=True)),
    "waiting for the judge": ("model-medium", "verdict", Hangs()),
    "waiting for the last tier": ("model-large", "answer", Hangs()),
}


@pytest.mark.parametrize("end", ["FIN", "RST"])
async def test_a_client_that_leaves_stops_the_spending(tmp_path: Path, end: End) -> None:
    async with gateway(tmp_path) as gate:
        left = 0
        for phase, (model, kind, reply) in PHASES.items():
            for stream in (False, True):
                for name in ("model-small", "model-medium", "model-large"):
                    gate.provider.answers(name, Says())
                    gate.provider.verdicts(name, INVALID)
                say = gate.provider.answers if kind == "answer" else gate.provider.verdicts
                say(model, reply)
                gate.provider.calls.clear()
                async with raw_client(gate, end, model="auto:cascade", stream=stream):
                    await until(partial(_reached, gate, model, kind))
                await leaves_nothing_running(gate)
                left += 1
                assert await requests(gate, "abandoned") == left, phase
        assert await requests(gate, "answered") + await requests(gate, "failed") == 0


def _reached(gate: Gateway, model: str, kind: str) -> bool:
    """Whether the provider is at work on this, and on nothing else."""
    if gate.provider.open != 1:
        return False
    last = gate.provider.calls[-1]
    return last.model == model and last.judging == (kind == "verdict")


@pytest.mark.parametrize("end", ["FIN", "RST"])
@pytest.mark.parametrize("model", ["auto:cascade", "large"], ids=["held", "live"])
async def test_a_client_that_leaves_in_mid_stream_stops_the_spending(
    tmp_path: Path, model: str, end: End
) -> None:
    async with gateway(tmp_path, server={"hold_s": 0.05}) as gate:
        never = asyncio.Event()
        for name in ("small", "large"):
            gate.provider.answers(f"model-{name}", Says(pieces=["one", "two"], gate=never))
        async with raw_client(gate, end, model=model, stream=True) as (reader, _):
            received = b""
            async with asyncio.timeout(5), aclosing(_lines(reader)) as lines:
                async for line in lines:
                    received += line
                    if (b'"role"' in line and model != "large") or b"one" in line:
                        break
            assert b"200 OK" in received
            assert gate.provider.open == 1
            decision = received.partition(b"x-request-id: ")[2][:36].decode()
        await leaves_nothing_running(gate)
        told = await gate.decision(decision)
        assert told["outcome"] == "abandoned"
        assert [attempt["outcome"] for attempt in told["attempts"]] == ["cancelled"]
        assert await requests(gate, "abandoned") == 1


async def _lines(reader: asyncio.StreamReader) -> AsyncGenerator[bytes, None]:
    while line := await reader.readline():
        yield line


async def test_a_client_that_closes_only_its_sending_side_has_left(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Hangs())
        async with raw_client(gate, "FIN", stream=True) as (_, writer):
            await until(lambda: gate.provider.open == 1)
            writer.write_eof()
            await leaves_nothing_running(gate)
        assert await requests(gate, "abandoned") == 1


async def test_a_client_that_leaves_with_its_body_unsent_leaves_no_record(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        host, port = gate.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\n{"
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await gate.ask()).status_code == 200
        assert await requests(gate, "abandoned") == 0
        assert await requests(gate, "answered") == 1


async def test_clients_that_leave_together_leave_one_record_each(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Hangs())
        leaving = [raw_client(gate, "RST", stream=bool(number % 2)) for number in range(20)]
        for client in leaving:
            await client.__aenter__()
        await until(lambda: gate.provider.open == 20)
        for client in leaving:
            await client.__aexit__(None, None, None)
        await leaves_nothing_running(gate)
        assert await requests(gate, "abandoned") == 20
        assert gate.provider.left_early == 20
