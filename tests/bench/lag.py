"""How late the gateway's event loop comes: under twice the load it can bear, and in upkeep."""

import re
import time
from pathlib import Path

from tests.bench.load import Target, closed_loop, open_loop
from tests.bench.stands import Stand

CONNECTIONS = 16
OVERLOAD_S = 5.0
UPKEEP_RECORDS = 10_000
"""So many new records make the gateway index them, as settings have it."""
UPKEEP_WITHIN_S = 300.0
PACE_PER_S = 50
_BUCKET = re.compile(r'^autoshift_event_loop_lag_seconds_bucket{le="([^"]+)"} (\S+)$', re.MULTILINE)


async def lags(
    stand: Stand, target: Target, store: Path, *, case: str, scale: float
) -> dict[str, float]:
    """Upper bounds, in milliseconds, of the longest time that the loop was late."""
    found: dict[str, float] = {}
    requests = max(1, round(2_000 * scale))
    took_s = await closed_loop(target, connections=CONNECTIONS, requests=requests)
    per_s = 2 * requests / took_s
    while True:
        before, generation = _buckets(stand), _generation(store)
        await open_loop(target, per_s=per_s, requests=max(1, round(per_s * OVERLOAD_S * scale)))
        if _generation(store) == generation:  # else once more: the other figure is for that
            break
    found[f"twice the sustainable load, {case}"] = _longest_ms(stand, before)
    generation = _generation(store)
    before, begun_s = _buckets(stand), time.monotonic()
    await closed_loop(target, connections=CONNECTIONS, requests=UPKEEP_RECORDS)
    while _generation(store) == generation:
        if time.monotonic() - begun_s > UPKEEP_WITHIN_S:
            raise SystemExit(f"{case}: the store was not indexed; not measured")
        await open_loop(target, per_s=PACE_PER_S, requests=PACE_PER_S)
    found[f"store indexed meanwhile, {case}"] = _longest_ms(stand, before)
    return found


def _generation(store: Path) -> str:
    return (store / "edge" / "CURRENT").read_text(encoding="utf-8")


def _buckets(stand: Stand) -> dict[float, float]:
    """How often the loop was at most so late, in seconds."""
    return {float(most): float(times) for most, times in _BUCKET.findall(stand.metrics())}


def _longest_ms(stand: Stand, before: dict[float, float]) -> float:
    """The upper bound of the highest bucket that something was added to."""
    time.sleep(0.1)
    added = {most: times - before[most] for most, times in _buckets(stand).items()}
    everything = max(added.values())
    if not everything:
        raise SystemExit("the event loop's lateness was not measured")
    return 1000 * min(most for most, times in added.items() if times == everything)
