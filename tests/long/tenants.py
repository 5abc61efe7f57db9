"""I11: five tenants do 10,000 things, and nobody sees, changes or can time what is another's."""

import asyncio
import random
import tempfile
import time
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.gateway import Gateway, gateway
from tests.support.isolation import QUESTION, Isolation, environment, keys

MACHINES, STEPS = 50, 200
"""10,000 operations, of a few requests each."""
LATENCIES = 20_000
T_MOST = 4.5
"""As dudect: above it a difference in time is taken to be there."""
CROPPED = 0.9
KNOWN = 300


def run(*, scale: float) -> dict[str, object]:
    """Operations, and the t of latencies where another tenant has neighbours and where nobody has.

    Errors: AssertionError.
    """
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="autoshift-tenants-") as directory,
    ):
        for variable, secret in environment().items():
            patch.setenv(variable, secret)
        operations = _operations(max(1, round(MACHINES * scale)))
        return {"operations": operations, "cross reads": 0} | asyncio.run(
            _run(Path(directory), scale)
        )


async def _run(directory: Path, scale: float) -> dict[str, object]:
    async with gateway(directory, keys=keys(), judge={"by": "none"}) as gate:
        t, samples = await _timing(gate, round(LATENCIES * scale))
    assert abs(t) < T_MOST, f"t = {t:.1f} over {samples} latencies"
    return {"latencies": samples, "t": round(t, 2)}


def _operations(machines: int) -> int:
    """How many things the tenants of so many state machines did, and saw nothing of each other."""
    run_state_machine_as_test(
        Isolation,
        settings=settings(
            max_examples=machines,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return Isolation.operations


async def _timing(gate: Gateway, samples: int) -> tuple[float, int]:
    """Welch's t of one tenant's latencies: what another has often asked, and what nobody has."""
    key_of = environment()

    async def ask(who: int, text: str) -> float:
        started_s = time.perf_counter()
        reply = await gate.ask(
            text,
            headers={"authorization": f"Bearer {key_of[f'KEY_OF_{who}']}"},
            autoshift={"learn": who == 0},
        )
        took_s = time.perf_counter() - started_s
        assert reply.status_code == 200
        return took_s

    for _ in range(KNOWN):
        await ask(0, QUESTION)
    rng = random.Random(2)  # noqa: S311
    nowhere = "Name some river, in Europe or in Asia, that is long; and say where?"
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(samples):
        coin = rng.random() < 0.5
        found[coin].append(await ask(1, nowhere if coin else QUESTION))
    limit_s = np.quantile(np.concatenate(found), CROPPED)
    one, other = (np.array([each for each in part if each <= limit_s]) for part in found)
    spread = sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return float((one.mean() - other.mean()) / spread), samples
