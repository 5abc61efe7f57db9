"""An embedder that is slow, broken or wrong: the request is served, and nothing bad is kept."""

import asyncio
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from app.errors import EmbedderError
from app.records import Vector
from tests.support.embedder import DIMENSION, ScriptedEmbedder, unit
from tests.support.gateway import Gateway, gateway, metric, until

pytestmark = pytest.mark.anyio

NUMBERS = count()
"""No question twice: the vector of one that was asked before is at hand."""

FAULTS: dict[str, Vector | Exception] = {
    "an error": EmbedderError("no"),
    "a bug": RuntimeError("a bug"),
    "not a number": np.full(DIMENSION, np.nan, dtype=np.float32),
    "infinite": np.full(DIMENSION, np.inf, dtype=np.float32),
    "zero": unit(length=0.0),
    "of another length": unit(length=7.0),
    "of another dimension": unit(DIMENSION + 1),
    "of another shape": np.ones((2, DIMENSION), dtype=np.float32),
}


async def degraded(gate: Gateway, *, stream: bool = False) -> str:
    reply = await gate.ask(f"What is {next(NUMBERS)} + 2?", stream=stream)
    assert reply.status_code == 200
    return reply.headers["x-autoshift-degraded"]


async def test_without_a_sound_vector_requests_are_served_and_no_bad_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = ScriptedEmbedder()
    monkeypatch.setattr("app.parts.build_embedder", lambda _: embedder)
    async with gateway(tmp_path) as gate:
        assert await degraded(gate) == "none"
        for fault, given in FAULTS.items():
            embedder.gives = given
            for stream in (False, True):
                assert await degraded(gate, stream=stream) == "embedder", fault
        embedder.gives, embedder.takes_s = unit(), 60.0
        async with asyncio.timeout(5):
            assert await degraded(gate) == "embedder"
        metrics = (await gate.http.get("/metrics")).text
        wanted = 2 * len(FAULTS) + 1
        assert metric(metrics, "autoshift_degraded_requests_total", reason="embedder") == wanted

        async def all_is_kept() -> bool:
            return bool((await gate.http.get("/readyz")).json()["outbox_entries"] == 0)

        await until(all_is_kept)
        page = (await gate.http.get("/v1/records?limit=100&vectors=true")).json()
        assert len(page["data"]) == wanted + 1
        assert sum(each["vector"] is not None for each in page["data"]) == 1
        embedder.takes_s = 0.0
        told = await gate.decision_of(await gate.ask())
        assert told["degraded"] == []
        assert told["start"]["neighbours"] == 1
