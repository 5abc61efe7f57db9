"""Reading a request body: its media type, its length, its pace, its bytes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.room import Room
from app.errors import BodyTooLargeError, MediaTypeError
from app.patience import Patience
from app.refusals import Refusal, upload_too_slow

BYTES_PER_S = 64 * 1024


class ClientLeft(Exception):  # noqa: N818 - not an error: nobody is there to be told
    """The client closed the connection."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, headers: dict[str, str], limit_bytes: int) -> bytes:
    """The body, at most `limit_bytes`.

    Errors: MediaTypeError, BodyTooLargeError; ClientLeft when there is nobody to answer.
    """
    _check_media_type(headers)
    if int(headers.get("content-length") or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    pieces: list[bytes] = []
    received_bytes = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        received_bytes += len(piece)
        if received_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        pieces.append(piece)
        more = message.get("more_body", False)
    return b"".join(pieces)


async def while_here(
    receive: Receive, serving: Coroutine[Any, Any, None], *beside: Coroutine[Any, Any, None]
) -> None:
    """Serve in this task, as long as the client is there; what runs `beside` ends with it.

    A client that leaves stops the spending: whatever is under way is cancelled.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - an application is called by a task
    cancelling, gone = task.cancelling(), False

    async def attend() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    try:
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(other) for other in (attend(), *beside)]
            try:
                await serving
            finally:
                for other in others:
                    other.cancel()
    except asyncio.CancelledError as exc:
        if not gone or task.cancelling() > cancelling + 1:
            raise
        # A task group's frame, to which it leads, leads to it: all of the request would stay.
        exc.__traceback__ = None
    finally:
        if gone:
            task.uncancel()


class Uploads:
    """Gives an upload `start_s` and a second for each 64 KiB that has come; then replies 408.

    What it takes of the `room` it has until the application is through with the request.
    """

    def __init__(self, app: ASGIApp, start_s: float, room: Room) -> None:
        self._app = app
        self._start_s = start_s
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """To the application, a client that is too slow has left.

        Errors: to who reads the body, what the room's `full` makes.
        """
        loop = asyncio.get_running_loop()
        patience, held = Patience(), self._room.body()
        until_s = loop.time() + self._start_s
        received_bytes = 0
        more = scope["type"] == "http"

        async def receive_in_time() -> Message:
            nonlocal until_s, received_bytes, more
            if not more:
                return await receive()
            try:
                with patience:
                    message = await patience.wait(receive(), until_s - loop.time())
            except TimeoutError:
                await send_refusal(send, upload_too_slow(received_bytes))
                return {"type": "http.disconnect"}
            piece = message.get("body", b"")
            received_bytes += len(piece)
            until_s += len(piece) / BYTES_PER_S
            more = message.get("more_body", False)
            held.add(piece, last=not more)
            return message

        try:
            await self._app(scope, receive_in_time, send)
        finally:
            held.let_go()


async def send_refusal(send: Send, refusal: Refusal) -> None:
    """One whole reply, after which the connection closes."""
    start = {"status": refusal.status, "headers": refusal.headers()}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": refusal.body()})


def _check_media_type(headers: dict[str, str]) -> None:
    # A page of any site may post bytes without a type, unasked; only a browser sends an Origin.
    usual = "" if "origin" in headers else "application/json"
    given = headers.get("content-type", usual).split(";")[0].strip().lower()
    if given != "application/json":
        raise MediaTypeError(f"content-type is {given[:80]!r}; it must be application/json")
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise MediaTypeError(f"content-encoding is {encoding[:80]!r}; send the body uncompressed")


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit_bytes // (1024 * 1024)} MiB")
