"""A gateway killed 300 times under load loses no record it acknowledged, and keeps none twice."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.support.killing import killed

KILLS = 300
ACKS_EACH = 50


def run(*, scale: float) -> dict[str, object]:
    """At least fifty acknowledgements between two kills, whatever the scale."""
    kills = max(2, round(KILLS * scale))
    started_s = time.monotonic()

    def told(number: int) -> None:
        if number % 25 == 0:
            sys.stderr.write(f"  {number} of {kills} kills\n")

    with tempfile.TemporaryDirectory(prefix="autoshift-kills-") as folder:
        each = killed(Path(folder), kills=kills, acks_each=ACKS_EACH, seed=1, told=told)
        came = asyncio.run(each)
    assert not came.discrepancies, f"{len(came.discrepancies)}, such as {came.discrepancies[:3]}"
    assert came.fewest_acknowledged >= ACKS_EACH, f"only {came.fewest_acknowledged} before a kill"
    return {
        "kills": came.kills,
        "acknowledged": came.acknowledged,
        "fewest before a kill": came.fewest_acknowledged,
        "lost": 0,
        "kept twice": 0,
        "in the store": came.in_store,
        "a kill and a start take, s": round((time.monotonic() - started_s) / kills, 2),
    }
