"""A proxy of the same stack that only passes on: FastAPI, one httpx client, no routing.

`python -m tests.bench.bare UPSTREAM`, on the gateway's transport; `--transport httpx`: on its own.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator

import httpx
import orjson
import uvloop
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from app.serving import serving
from app.upstreams.transport import Transport


def bare_proxy(upstream: str, client: httpx.AsyncClient) -> FastAPI:
    """One route: read, ask, hand back."""
    app = FastAPI(openapi_url=None)

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        raw = await request.body()
        sent = client.build_request(
            "POST",
            f"{upstream}/v1/chat/completions",
            content=raw,
            headers={"content-type": "application/json"},
        )
        reply = await client.send(sent, stream=True)
        if not orjson.loads(raw).get("stream"):
            body = b"".join([piece async for piece in reply.aiter_raw()])
            await reply.aclose()
            return Response(body, reply.status_code, media_type="application/json")

        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                async for piece in reply.aiter_raw():
                    yield piece
            finally:
                await reply.aclose()

        return StreamingResponse(pieces(), reply.status_code, media_type="text/event-stream")

    return app


async def main() -> None:
    """Serve on any free port until terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    parser.add_argument("--transport", choices=("gateway", "httpx"), default="gateway")
    given = parser.parse_args()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    client = (
        httpx.AsyncClient(transport=Transport(), trust_env=False, timeout=60)
        if given.transport == "gateway"
        else httpx.AsyncClient(trust_env=False, limits=limits, timeout=60)
    )
    async with client, serving(bare_proxy(given.upstream, client)) as listening:
        print(f"the bare proxy listens on {listening.url}", file=sys.stderr, flush=True)  # noqa: T201
        await listening.until_stopped()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
