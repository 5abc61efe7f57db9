"""One provider: asks it for completions and gives its answer as normalised chunks."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass

import httpx

from app.errors import (
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamError,
    UpstreamTimeoutError,
)
from app.jsontext import Json, dump_json
from app.patience import Patience
from app.tiers import Timeouts
from app.upstreams.access import Access
from app.upstreams.reading import Reading, Streamed, Whole, parse_answer
from app.upstreams.statuses import refusal
from app.upstreams.transport import CONNECTION, FRESH, Connection, translate

ANSWER_BYTES = 16 * 1024 * 1024
ERROR_BYTES = 64 * 1024
EVENTS_AT_ONCE = 100
"""So many events that came together are read before others have their turn."""
_OWN_HEADERS = {"accept-encoding": "identity", "user-agent": "autoshift"}
DRAIN_S = 0.02


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A provider's reply that is passed on: of its headers only those that say how to read it."""

    status: int
    headers: dict[str, str]
    body: AsyncGenerator[bytes, None]

    @property
    def is_stream(self) -> bool:
        return self.headers["content-type"].startswith("text/event-stream")


class Upstream:
    """An OpenAI-compatible provider over HTTP."""

    def __init__(self, *, name: str, access: Access, transport: httpx.AsyncBaseTransport) -> None:
        self._name = name
        self._access = access
        self._transport = transport
        self._headers = httpx.Headers({**access.request_headers(), **_OWN_HEADERS})
        self._urls: dict[str, httpx.URL] = {}

    async def complete(
        self, body: Json, timeouts: Timeouts, *, fresh: bool = False
    ) -> AsyncGenerator[Json, None]:
        """The answer to this request body: chunks of a stream, or one completion.

        `fresh`: over a new connection, none that was kept.
        Errors: UpstreamError. A stream that ends without `finish_reason` is one as well.
        """
        request = self._request("POST", "chat/completions", dump_json(body), timeouts, fresh)
        reading: Reading = Streamed(self._name) if body.get("stream") else Whole(self._name)
        with Patience() as patience:
            response = await self._send(request, timeouts, patience)
            try:
                if response.status_code != httpx.codes.OK:
                    raise await self._refusal(response, timeouts, patience)
                async with aclosing(self._body(response, timeouts, patience)) as received:
                    async for piece in received:
                        for number, chunks in enumerate(reading.feed(piece), start=1):
                            if number % EVENTS_AT_ONCE == 0:
                                await asyncio.sleep(0)
                            for chunk in chunks:
                                yield chunk
                        if reading.done:
                            await _drain(received)
                            return
                for chunks in reading.end():
                    for chunk in chunks:
                        yield chunk
            finally:
                await response.aclose()

    @asynccontextmanager
    async def forward(
        self, path: str, raw: bytes, timeouts: Timeouts, *, fresh: bool = False
    ) -> AsyncGenerator[Forwarded, None]:
        """What the provider says to this body under `path`, as it says it.

        Errors: UpstreamError, also for any status but a success, and while the body is read.
        """
        request = self._request("POST", path, raw, timeouts, fresh)
        with Patience() as patience:
            response = await self._send(request, timeouts, patience)
            try:
                if not response.is_success:
                    raise await self._refusal(response, timeouts, patience)
                headers = {"content-type": "application/json"}
                for name in ("content-type", "content-encoding"):
                    if name in response.headers:
                        headers[name] = response.headers[name]
                async with aclosing(self._body(response, timeouts, patience)) as received:
                    yield Forwarded(response.status_code, headers, received)
            finally:
                await response.aclose()

    async def ping(self, timeouts: Timeouts) -> list[str]:
        """The provider's model names. Errors: UpstreamError."""
        request = self._request("GET", "models", b"", timeouts)
        with Patience() as patience:
            response = await self._send(request, timeouts, patience)
            try:
                if response.status_code != httpx.codes.OK:
                    raise await self._refusal(response, timeouts, patience)
                async with aclosing(self._body(response, timeouts, patience)) as received:
                    body = parse_answer(b"".join([piece async for piece in received]), self._name)
            finally:
                await response.aclose()
        models = body.get("data")
        return [str(m.get("id")) for m in models or [] if isinstance(m, dict)]

    def _request(
        self, method: str, path: str, raw: bytes, timeouts: Timeouts, fresh: bool = False
    ) -> httpx.Request:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._access.url(path))
        return httpx.Request(
            method,
            url,
            headers=self._headers,
            stream=httpx.ByteStream(raw),
            extensions={"timeout": {"connect": timeouts.connect_s}, FRESH: fresh},
        )

    async def _send(
        self, request: httpx.Request, timeouts: Timeouts, patience: Patience
    ) -> httpx.Response:
        connection = request.extensions[CONNECTION] = Connection()
        try:
            asked = self._transport.handle_async_request(request)
            return await patience.wait(asked, timeouts.first_byte_s)
        except Exception as exc:
            if type(exc) is TimeoutError:  # the transport has some that are more than that
                raise self._silent(timeouts.first_byte_s, connection) from None
            raise translate(exc, self._name, connection) from exc

    async def _body(
        self, response: httpx.Response, timeouts: Timeouts, patience: Patience
    ) -> AsyncGenerator[bytes, None]:
        pieces = aiter(_stream_of(response))
        wait_s = timeouts.first_byte_s
        total_bytes = 0
        while True:
            try:
                piece = await patience.wait(anext(pieces), wait_s)
            except StopAsyncIteration:
                return
            except Exception as exc:
                if type(exc) is TimeoutError:
                    raise self._silent(wait_s) from None
                # Its frames lead to the request, and the reader of the body keeps it: a circle.
                exc.__traceback__ = None
                raise translate(exc, self._name) from exc
            total_bytes += len(piece)
            if total_bytes > ANSWER_BYTES:
                raise UpstreamBrokenError(f"{self._name}: the answer is longer than 16 MiB")
            wait_s = timeouts.idle_s
            yield piece

    async def _refusal(
        self, response: httpx.Response, timeouts: Timeouts, patience: Patience
    ) -> UpstreamError:
        """Our error for a provider's status; its message is kept only where the client can act."""
        received = b""
        try:
            async with aclosing(self._body(response, timeouts, patience)) as pieces:
                async for piece in pieces:
                    received += piece
                    if len(received) > ERROR_BYTES:
                        break
        except UpstreamError:
            received = b""
        retry_after = response.headers.get("retry-after")
        return refusal(self._name, response.status_code, received, retry_after)

    def _silent(self, waited_s: float, connection: Connection | None = None) -> UpstreamError:
        if connection is not None and not connection.established:
            return UpstreamConnectError(f"{self._name}: no connection within {waited_s:g} s")
        return UpstreamTimeoutError(f"{self._name}: no byte within {waited_s:g} s")


def _stream_of(response: httpx.Response) -> httpx.AsyncByteStream:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - the transport's own
    return response.stream


async def _drain(received: AsyncGenerator[bytes, None]) -> None:
    """Read to the end of the body, which mostly is there: then the connection can be kept."""
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(DRAIN_S):
            async for _ in received:
                pass
