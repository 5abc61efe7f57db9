"""A real Redis server of a test's own, where one is installed."""

import asyncio
import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gateway import until

SERVER = shutil.which("redis-server")
PASSWORD = "canary-of-redis-41c7"  # noqa: S105 - of a server that lives for one test
needs_redis = pytest.mark.skipif(SERVER is None, reason="redis-server is not installed")


@dataclass(slots=True)
class Redis:
    """Where it is, and how to take it away and bring it back; what it knew is gone then."""

    port: int
    directory: Path
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        assert SERVER is not None
        self._process = await asyncio.create_subprocess_exec(
            *(SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""),
            *("--requirepass", PASSWORD, "--dir", str(self.directory), "--loglevel", "warning"),
            stdout=asyncio.subprocess.DEVNULL,
        )

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        await until(answers, within_s=15)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


@asynccontextmanager
async def redis(directory: Path) -> AsyncGenerator[Redis, None]:
    """A server that asks for `PASSWORD` and keeps nothing on disk."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Redis(free.getsockname()[1], directory)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
