"""A provider that says sixty-four words as fast as it is read, and finds every answer valid."""

import asyncio
import sys

import uvloop

from app.serving import serving
from tests.bench.first_token import PIECES
from tests.support.provider import Provider, Says


async def main() -> None:
    """Serve until terminated."""
    provider = Provider()
    for name in ("small", "medium", "large"):
        provider.answers(f"model-{name}", Says(pieces=PIECES))
    async with serving(provider) as listening:
        print(f"the provider listens on {listening.url}", file=sys.stderr, flush=True)  # noqa: T201
        await listening.until_stopped()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
