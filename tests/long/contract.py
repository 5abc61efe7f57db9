"""5,000 generated requests by the API's own description: every reply is one it describes."""

import asyncio
import logging
import tempfile
from pathlib import Path

from tests.flow.test_openapi import described, described_gateway, try_out

CASES = {"chats": 2_500, "wrong chats": 1_000, "all routes": 1_500}


def run(*, scale: float) -> dict[str, object]:
    """As many cases of each kind, drawn anew each time."""
    logging.disable(logging.ERROR)
    return asyncio.run(_run(scale))


async def _run(scale: float) -> dict[str, object]:
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with described_gateway(Path(folder)) as gate:
            document = await described(gate)
            for kind, most in CASES.items():
                cases = max(20, int(most * scale))
                statuses = await asyncio.to_thread(
                    try_out, document, gate.url, kind, cases, repeatable=False
                )
                assert max(statuses) < 500, statuses
                figures[kind] = len(statuses)
            assert (await gate.ask()).status_code == 200
    return {**figures, "errors of ours": 0}
