"""The wall clock jumps, forwards and back: requests are served, and records found, as before."""

from pathlib import Path

import pytest

from app.clock import SystemClock
from tests.support.gateway import gateway

pytestmark = pytest.mark.anyio

DAY_S, HOUR_S = 86_400.0, 3_600.0


@pytest.mark.parametrize("policy", ["llm_at", "value"])
async def test_a_clock_that_jumps_neither_fails_requests_nor_hides_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    real, shifts_s = SystemClock.time_s, [0.0]
    monkeypatch.setattr(SystemClock, "time_s", lambda clock: real(clock) + shifts_s[-1])
    async with gateway(tmp_path, policy=policy) as gate:
        asked, neighbours = 0, 0
        for shift_s in (0.0, DAY_S, 0.0, -HOUR_S, 30 * DAY_S):
            shifts_s.append(shift_s)
            for _ in range(2):
                reply = await gate.ask()
                assert reply.status_code == 200
                assert reply.headers["x-autoshift-degraded"] == "none"
                told = await gate.decision_of(reply)
                assert 0 <= told["latency_s"] < 10
                asked, neighbours = asked + 1, told["start"]["neighbours"]
            page = (await gate.http.get("/v1/records?limit=100")).json()
            assert len(page["data"]) == asked
        if policy == "llm_at":
            assert neighbours == 5
        assert (await gate.http.get("/v1/report")).status_code == 200
