"""A proxy that cuts a connection when nothing came from the server for a while, as real ones do."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

PIECE_BYTES: Final = 64 * 1024


@asynccontextmanager
async def proxy(port: int, idle_s: float) -> AsyncGenerator[int, None]:
    """The port, on loopback, that leads to this one."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(_pass_on(reader, ahead, None))
                await _pass_on(behind, writer, idle_s)
                sending.cancel()
        except asyncio.CancelledError:
            pass  # all is over, which Python 3.11 takes for a bug
        finally:
            writer.transport.abort()
            ahead.transport.abort()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pass_on(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, idle_s: float | None
) -> None:
    """Until the source ends, fails, or is silent for too long; then the sink is closed."""
    try:
        while piece := await asyncio.wait_for(source.read(PIECE_BYTES), idle_s):
            sink.write(piece)
            await sink.drain()
        sink.close()
        await sink.wait_closed()
    except (ConnectionError, TimeoutError):
        sink.transport.abort()
