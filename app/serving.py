"""ASGI applications on sockets, inside the running event loop."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import uvicorn
from starlette.types import ASGIApp

from app.errors import SettingsError
from app.http_guard import GuardedProtocol, HttpLimits

KEEP_ALIVE_S = 75
DRAIN_S = 5.0
LAST_WORDS_S = 2
LIMITS = HttpLimits()
PENDING_CONNECTIONS = 2048


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that is up; `url` is where."""

    url: str
    server: uvicorn.Server

    async def until_stopped(self) -> None:
        """Serve until `stop` was called."""
        await self.server.main_loop()

    def stop(self) -> None:
        """Fit for a signal handler."""
        self.server.should_exit = True


@asynccontextmanager
async def serving(
    app: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    drain_s: float = DRAIN_S,
    at_end: Callable[[], None] = lambda: None,
    limits: HttpLimits = LIMITS,
) -> AsyncGenerator[Listening, None]:
    """The application answers until the block is left; then requests under way get `drain_s`.

    After that `at_end` has them end, and whoever does not within a moment is cut off.

    Port 0 is any free one. There are no signal handlers. The lifespan is the caller's business, so
    that what goes wrong in it reaches the caller as it is.
    Errors: SettingsError when the port is taken.
    """
    listener = _bound(host, port)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=type("LimitedProtocol", (GuardedProtocol,), {"limits": limits}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=PENDING_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(drain_s)) + LAST_WORDS_S,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        name, bound_port = listener.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        yield Listening(f"http://{shown}:{bound_port}", server)
    finally:
        ending = asyncio.get_running_loop().call_later(drain_s, at_end)
        with anyio.CancelScope(shield=True):
            await server.shutdown(sockets=[listener])
        ending.cancel()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With protocol 0 asyncio does not set TCP_NODELAY: a small reply would wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise SettingsError(
            f"{host}:{port} cannot be listened on: {exc.strerror}; choose another server.port"
        ) from exc
    return listener
