"""What the long tests of faults share: a request, how it ended, and what it may have cost."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from tests.support.faults import Act, FaultyProvider, Hop, says
from tests.support.faulty_gateway import ended_well
from tests.support.gateway import Gateway

TIERS = ("small", "medium", "large")
DEADLINE_S = 10.0
SLACK_S = 10.0
"""For a machine with other things to do."""

ANSWERS_MAX = len(TIERS) * 2
"""I4: each tier once, and one retry each."""
CALLS_MAX = 8 * 2


def answer_of(hop: Hop) -> Act:
    """A proper answer that nobody else gets; as a judge, that it is valid."""
    return says("VALID" if hop.judging else f"{hop.model} on {hop.mark}", pieces=3)


@dataclass(slots=True)
class Tally:
    """How requests ended, and how long the slowest one took."""

    ends: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    def note(self, end: str, took_s: float) -> None:
        self.ends[end] += 1
        self.slowest_s = max(self.slowest_s, took_s)


async def ask(
    gate: Gateway, mark: str, tally: Tally, *, leaves_after_s: float | None = None, **more: Any
) -> None:
    """One request, which ends once and in time (I2, I3), and well if a tier can answer (I1)."""
    stream = bool(more.get("stream"))
    started_s = time.monotonic()
    try:
        async with asyncio.timeout(leaves_after_s):
            reply = await gate.ask(f"What is [{mark}]?", **more)
    except TimeoutError:
        tally.note("left", 0.0)
        return
    took_s = time.monotonic() - started_s
    assert took_s < DEADLINE_S + SLACK_S, f"{mark} took {took_s:.1f} s"
    if ended_well(reply, stream=stream):
        assert f"on {mark}" in whole_text(reply, stream=stream), f"{mark} got another's answer"
        tally.note("answered", took_s)
        return
    tally.note("error event" if reply.status_code == 200 else str(reply.status_code), took_s)
    if reply.status_code != 200 and not more.get("model", "").startswith("small"):
        await _justified(gate, mark, reply)


def whole_text(reply: httpx.Response, *, stream: bool) -> str:
    """What the client reads."""
    if not stream:
        return str(reply.json()["choices"][0]["message"]["content"])
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines()]
    chunks = [orjson.loads(line) for line in lines if line.startswith("{")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return "".join(delta.get("content") or "" for delta in deltas)


async def _justified(gate: Gateway, mark: str, reply: httpx.Response) -> None:
    found = await gate.http.get(f"/v1/decisions/{reply.headers['x-request-id']}")
    if found.status_code != 200:
        return  # it could not be written down
    failed = {one["tier"] for one in found.json()["attempts"] if one["outcome"] == "failed"}
    assert failed == set(TIERS), f"{mark} failed, and only {failed} had: {reply.text}"


def within_bounds(behind: FaultyProvider) -> int:
    """I4, for each request: the most calls that one has cost."""
    answers = Counter(hop.mark for hop in behind.log if not hop.judging and not hop.kept)
    calls = Counter(hop.mark for hop in behind.log)
    for mark, count in answers.items():
        assert count <= ANSWERS_MAX, f"{mark} cost {count} calls for an answer"
    most = max(calls.values(), default=0)
    assert most <= CALLS_MAX, f"one request cost {most} calls"
    return most


async def all_quiet(gate: Gateway, behind: FaultyProvider) -> None:
    """Everything that was under way is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SLACK_S):
            while behind.open or gate.app.state.parts.in_flight.in_flight:
                await asyncio.sleep(0.01)
    assert gate.app.state.parts.in_flight.in_flight == 0, "a place was never given back"
    assert behind.open == 0, "a call goes on that nobody waits for"
