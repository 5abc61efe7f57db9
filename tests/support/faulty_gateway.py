"""A gateway before a provider of raw bytes, and what is to be seen of its replies."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.faults import FaultyProvider, faulty_provider
from tests.support.gateway import Gateway, Json, configuration, gateway_before

QUICK = {"connect_s": 0.2, "first_byte_s": 0.4, "idle_s": 0.4}
PATIENT = {"connect_s": 1, "first_byte_s": 5, "idle_s": 5}


@asynccontextmanager
async def faulty_gateway(
    store: Path, /, **more: Any
) -> AsyncGenerator[tuple[Gateway, FaultyProvider], None]:
    """A gateway before a provider of raw bytes."""
    async with faulty_provider() as behind:
        settings = {
            "providers": {"scripted": {"base_url": behind.url}},
            "tiers": tiers(),
            "server": {"port": 0, "deadline_s": 10},
            **more,
        }
        async with gateway_before(behind, store, **settings) as gate:
            yield gate, behind


def tiers(**changes: Any) -> list[Json]:
    """The usual tiers, changed by name; only `small` is given up quickly."""
    usual: list[Json] = configuration("", Path())["tiers"]
    timeouts = {"small": QUICK, "medium": PATIENT, "large": PATIENT}
    return [
        {**tier, "timeouts": timeouts[tier["name"]], **changes.get(tier["name"], {})}
        for tier in usual
    ]


def ended_well(reply: httpx.Response, *, stream: bool) -> bool:
    """Whether it is a whole answer; else it is one error, in the envelope. Never both, nor none."""
    if reply.status_code != 200:
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
        return False
    if not stream:
        assert reply.json()["choices"][0]["finish_reason"]
        return True
    events = re.findall(r"^data: (.*)$", reply.text, flags=re.MULTILINE)
    errors = [one for one in events if one.startswith('{"error"')]
    whole = bool(events[-1] == "[DONE]")
    assert events.count("[DONE]") + len(errors) == 1
    assert len(re.findall(r'"finish_reason":"\w+"', reply.text)) == whole
    return whole
