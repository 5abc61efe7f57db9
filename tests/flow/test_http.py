"""HTTP itself: what is no proper request is refused, and nobody can hold a connection for ever."""

import asyncio
import json
import resource
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from app.api.door import guard
from app.api.room import Room
from app.errors import OverloadedError
from app.http_guard import HttpLimits
from app.main import create_app
from app.serving import serving
from app.settings import Server
from app.settings.configuration import build_settings
from tests.support.gateway import chat, configuration, gateway, until
from tests.support.provider import Provider, Says, provider

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
CHAT = "/v1/chat/completions"
BODY = json.dumps(chat(model="small")).encode()
HOST = b"host: localhost\r\n"
JSON = b"content-type: application/json\r\n"
ORIGIN = "https://chat.example.com"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as it came over the socket."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> Json:
        """The error in the envelope, which has to be whole."""
        error: Json = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


@dataclass(frozen=True, slots=True)
class Door:
    """A gateway, and raw connections to it."""

    url: str
    behind: Provider

    @asynccontextmanager
    async def connection(
        self,
    ) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            yield reader, writer
        finally:
            writer.close()

    async def says(self, sent: bytes) -> Reply:
        """The reply to these bytes."""
        async with self.connection() as (reader, writer):
            writer.write(sent)
            return await read_reply(reader)


async def read_reply(reader: asyncio.StreamReader) -> Reply:
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        if "content-length" not in headers:
            return Reply(int(head[0].split(" ")[1]), headers, b"")
        body = await reader.readexactly(int(headers["content-length"]))
    return Reply(int(head[0].split(" ")[1]), headers, body)


@asynccontextmanager
async def door(
    store: Path,
    host: str = "127.0.0.1",
    limits: HttpLimits | None = None,
    *,
    admin: bool = False,
    **more: Any,
) -> AsyncGenerator[Door, None]:
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(provider())
        app = create_app(build_settings(configuration(behind.url, store, **more)))
        await stack.enter_async_context(app.router.lifespan_context(app))
        listening = await stack.enter_async_context(
            serving(
                app.state.admin if admin else app, host, drain_s=1, limits=limits or HttpLimits()
            )
        )
        yield Door(listening.url, behind)


def post(*lines: bytes, body: bytes = BODY, host: bytes = HOST) -> bytes:
    """A chat request with these header lines."""
    length = b"content-length: %d\r\n" % len(body)
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        + host
        + JSON
        + length
        + b"".join(lines)
        + (b"\r\n" + body)
    )


def chunked(*lines: bytes) -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + JSON + b"".join(lines)
    return head + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


TE = b"transfer-encoding: chunked\r\n"
WRONG: dict[str, tuple[bytes, int]] = {
    "length and chunks": (post(TE), 400),
    "two codings": (chunked(TE, TE), 400),
    "two codings in one": (chunked(b"transfer-encoding: gzip, chunked\r\n"), 400),
    "another coding": (chunked(b"transfer-encoding: xchunked\r\n"), 400),
    "a space before the colon": (chunked(b"transfer-encoding : chunked\r\n"), 400),
    "the same length twice": (post(b"content-length: %d\r\n" % len(BODY)), 400),
    "different lengths": (post(b"content-length: 1\r\n"), 400),
    "a length with a sign": (post().replace(b"length: ", b"length: +"), 400),
    "bare line feeds": (post().replace(b"\r\n", b"\n"), 400),
    "a folded header": (post(b"x-a: 1\r\n 2\r\n"), 400),
    "a NUL": (post(b"x-a: \x00\r\n"), 400),
    "no Host": (post(host=b""), 400),
    "two Hosts": (post(HOST), 400),
    "two different Hosts": (post(b"host: evil.example\r\n"), 400),
    "absolute, another host": (post().replace(b"POST ", b"POST http://evil.example"), 400),
    "absolute, no path": (b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64, 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "one huge header": (post(b"x-a: " + b"a" * 1024 * 1024 + b"\r\n"), 431),
    "an endless header": (post(b"x-a: " + b"a" * 2 * 1024 * 1024)[:-200], 431),
    "over 64 KiB of headers": (post(*(b"x-%d: %s\r\n" % (n, b"a" * 1500) for n in range(50))), 431),
    "2,000 headers": (post(*(b"x-%d: a\r\n" % n for n in range(2000))), 431),
    "an endless trailer": (chunked(TE)[:-2] + b"x-a: " + b"a" * 2 * 1024 * 1024, 431),
    "an endless chunk extension": (chunked(TE)[:-5] + b"5;" + b"a" * 2 * 1024 * 1024, 431),
    "a long URL": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "an endless URL": (b"GET /" + b"a" * 1024 * 1024, 414),
}


IN_THE_BODY = {"an endless trailer", "an endless chunk extension"}


@pytest.mark.parametrize("admin", [False, True], ids=["main", "admin"])
async def test_what_is_no_proper_request_is_refused_in_the_envelope(
    tmp_path: Path, admin: bool
) -> None:
    # There is no such route at the admin port, which it says before the body is here.
    wrong = {what: case for what, case in WRONG.items() if not (admin and what in IN_THE_BODY)}
    async with door(tmp_path, admin=admin) as gate:
        for what, (sent, status) in wrong.items():
            async with gate.connection() as (reader, writer):
                writer.write(sent)
                reply = await read_reply(reader)
                assert (what, reply.status) == (what, status)
                assert reply.error["type"] == "invalid_request_error", what
                assert reply.headers["x-request-id"], what
                assert reply.headers["connection"] == "close", what
                async with asyncio.timeout(5):
                    assert await reader.read() == b"", what
        assert gate.behind.calls == []
        well = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n" if admin else post()
        assert (await gate.says(well)).status == 200


H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
RIGHT: dict[str, bytes] = {
    "chunks": chunked(TE),
    "chunks in capitals": chunked(b"Transfer-Encoding: CHUNKED\r\n"),
    "200 trailers": chunked(TE)[:-2] + b"x-autoshift-policy: none\r\n" * 200 + b"\r\n",
    "absolute, the same host": post().replace(b"POST ", b"POST http://LOCALHOST"),
    "99 headers": post(*(b"x-%d: a\r\n" % n for n in range(96))),
    "60 KiB of headers": post(b"x-a: " + b"a" * 60_000 + b"\r\n"),
    "no media type": post().replace(JSON, b""),
    "an offer of HTTP/2": post(H2C),
    "an offer of a WebSocket": post(b"connection: upgrade\r\nupgrade: websocket\r\n"),
    "HTTP/1.0 without a Host": post(host=b"").replace(b"1.1", b"1.0"),
    "an identity encoding": post(b"content-encoding: identity\r\n"),
    "an empty line before it": b"\r\n" + post(),
}


async def test_unusual_but_proper_requests_are_served(tmp_path: Path) -> None:
    async with door(tmp_path) as gate:
        for what, sent in RIGHT.items():
            reply = await gate.says(sent)
            assert (what, reply.status) == (what, 200), reply.body
            assert reply.headers["x-request-id"]
            assert int(reply.headers["openai-processing-ms"]) >= 0
        assert len(gate.behind.calls) == len(RIGHT)


async def test_an_upload_that_asks_first_is_told_to_continue(tmp_path: Path) -> None:
    async with door(tmp_path) as gate, gate.connection() as (reader, writer):
        head, body = post(b"expect: 100-continue\r\n").split(b"\r\n\r\n", 1)
        writer.write(head + b"\r\n\r\n")
        assert (await read_reply(reader)).status == 100
        writer.write(body)
        assert (await read_reply(reader)).status == 200


async def test_an_offer_of_another_protocol_does_not_cost_the_body(tmp_path: Path) -> None:
    async with door(tmp_path) as gate, gate.connection() as (reader, writer):
        for _ in range(3):
            for sent in (post(H2C)[:20], post(H2C)[20:-20], post(H2C)[-20:]):
                writer.write(sent)
                await asyncio.sleep(0.02)  # so that the pieces come one by one
            assert (await read_reply(reader)).status == 200


async def test_one_connection_serves_a_thousand_requests(tmp_path: Path) -> None:
    async with door(tmp_path) as gate, gate.connection() as (reader, writer):
        for number in range(1000):
            if number % 50:
                writer.write(b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n")
            else:
                writer.write(post())
            assert (await read_reply(reader)).status == 200
        assert len(gate.behind.calls) == 20


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with door(tmp_path, limits=HttpLimits(head_s=0.1)) as gate:
        gate.behind.answers("model-small", Says("first", delay_s=0.4), Says("second"))
        async with gate.connection() as (reader, writer):
            models = b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"
            writer.write(post() + models + post() + post()[:40])
            replies = [await read_reply(reader) for _ in range(3)]
            assert [b"first" in r.body for r in replies] == [True, False, False]
            assert b"list" in replies[1].body
            assert b"second" in replies[2].body


async def test_what_follows_a_request_under_way_cannot_get_into_its_reply(tmp_path: Path) -> None:
    async with door(tmp_path) as gate, gate.connection() as (reader, writer):
        gate.behind.answers("model-small", Says(delay_s=0.5))
        writer.write(post())
        await until(lambda: gate.behind.open == 1)
        writer.write(b"nonsense\r\n\r\n")
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        await until(lambda: gate.behind.open == 0)


async def test_the_gateway_listens_on_ipv6(tmp_path: Path) -> None:
    async with door(tmp_path, host="::1", server={"host": "::1", "port": 0}) as gate:
        assert gate.url.startswith("http://[::1]:")
        async with httpx.AsyncClient(base_url=gate.url, trust_env=False) as http:
            assert (await http.post(CHAT, json=chat())).status_code == 200


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\n"
SLOW = 1000
SPARE_FILES = 400


@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_thousand_slow_senders_are_not_waited_for(tmp_path: Path, part: str) -> None:
    before, drop = (HEAD, b"x: a\r\n") if part == "head" else (post()[:-10], b" ")
    limits = HttpLimits(head_s=1.0)
    with connections(SLOW) as count:
        async with (
            door(tmp_path, limits=limits, server={"port": 0, "body_s": 1.0}) as gate,
            AsyncExitStack() as stack,
        ):
            slow = [await stack.enter_async_context(gate.connection()) for _ in range(count)]

            async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                """As long as it may."""
                writer.write(before)
                for _ in range(3):
                    await asyncio.sleep(0.25)
                    writer.write(drop)
                assert await _ended(reader, 408 if part == "body" else None)

            async with asyncio.TaskGroup() as tasks:
                # The first one never says anything.
                for connection in slow[1:]:
                    tasks.create_task(drip(*connection))
                # Meanwhile others are served.
                assert (await gate.says(post())).status == 200
            assert await _ended(slow[0][0])
            assert (await gate.says(post())).status == 200


@contextmanager
def connections(wanted: int) -> Generator[int]:
    """How many may be open, both ends here; fewer where the system forbids so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = min(max(soft, 2 * wanted + SPARE_FILES), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    try:
        yield min(wanted, (allowed - SPARE_FILES) // 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def _ended(reader: asyncio.StreamReader, status: int | None = None) -> bool:
    """Whether it ended, after this reply or without any; who was still sending may miss it."""
    async with asyncio.timeout(10):
        try:
            left = await reader.read()
            return left.startswith(b"HTTP/1.1 %d " % status) if status else left == b""
        except ConnectionError:
            return True


async def test_an_idle_connection_outlasts_the_time_that_headers_have(tmp_path: Path) -> None:
    async with (
        door(tmp_path, limits=HttpLimits(head_s=0.2)) as gate,
        gate.connection() as (reader, writer),
    ):
        for _ in range(3):
            writer.write(post())
            assert (await read_reply(reader)).status == 200
            await asyncio.sleep(0.4)  # an idle time is what this is about


async def test_a_slow_upload_is_told_so_once(tmp_path: Path) -> None:
    async with (
        door(tmp_path, server={"port": 0, "body_s": 0.3}) as gate,
        gate.connection() as (reader, writer),
    ):
        writer.write(post()[:-10])
        reply = await read_reply(reader)
        assert reply.status == 408
        assert reply.error["code"] == "request_timeout"
        assert reply.headers["x-should-retry"] == "false"
        assert await _ended(reader)
        assert gate.behind.calls == []


async def test_an_upload_that_keeps_its_pace_gets_more_time(tmp_path: Path) -> None:
    large = json.dumps(chat("x" * 400_000, model="small")).encode()
    async with (
        door(tmp_path, server={"port": 0, "body_s": 0.3}) as gate,
        gate.connection() as (reader, writer),
    ):
        sent = post(body=large)
        for start in range(0, len(sent), 50_000):
            writer.write(sent[start : start + 50_000])
            await asyncio.sleep(0.1)  # a pace is what this is about
        assert (await read_reply(reader)).status == 200


async def test_the_rest_of_a_refused_upload_is_not_waited_for(tmp_path: Path) -> None:
    limits = HttpLimits(head_s=0.3)
    async with (
        door(tmp_path, limits=limits, server={"port": 0, "body_bytes": 1000}) as gate,
        gate.connection() as (reader, writer),
    ):
        writer.write(post(body=b"x" * 10_000)[:-10])
        assert (await read_reply(reader)).status == 413
        writer.write(b"x")
        assert await _ended(reader)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path, stream: bool) -> None:
    large = "x" * 1000
    pieces = [large] * (15_000 if stream else 1)
    says = Says(pieces=pieces) if stream else Says(large * 15_000)
    async with door(tmp_path, limits=HttpLimits(reader_s=0.5)) as gate:
        gate.behind.answers("model-small", says)
        async with gate.connection() as (_, writer):
            transport: Any = writer.transport
            transport.pause_reading()
            body = json.dumps(chat(model="small", stream=stream)).encode()
            writer.write(post(body=body))
            await until(lambda: len(gate.behind.calls) == 1)
            await until(lambda: gate.behind.open == 0)
            if stream:
                assert gate.behind.left_early == 1
            transport.resume_reading()
        assert (await gate.says(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")).status == 200


async def test_a_client_that_reads_slowly_gets_everything(tmp_path: Path) -> None:
    async with door(tmp_path, limits=HttpLimits(reader_s=0.2)) as gate:
        gate.behind.answers("model-small", Says("x" * 10_000_000))
        async with gate.connection() as (reader, writer):
            writer.write(post())
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            received = 0
            while received < length:
                received += len(await reader.read(1024 * 1024))
                await asyncio.sleep(0.01)
            assert received == length


async def test_other_hosts_are_refused_on_loopback(tmp_path: Path) -> None:
    async with door(tmp_path) as gate:
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "x@localhost"):
            reply = await gate.says(post(host=f"host: {host}:8080\r\n".encode()))
            assert reply.status == 403, host
            assert reply.error["type"] == "permission_denied"
            assert "127.0.0.1" in reply.error["message"]
            assert reply.headers["x-request-id"]
        for host in ("localhost", "LocalHost:1", "127.0.0.1:8080", "[::1]", "[::1]:9"):
            assert (await gate.says(post(host=f"host: {host}\r\n".encode()))).status == 200, host
        assert len(gate.behind.calls) == 5


async def test_a_page_of_another_site_cannot_spend(tmp_path: Path) -> None:
    async with door(tmp_path) as gate:
        origin = b"origin: https://evil.example\r\n"
        for kind in (b"", b"content-type: text/plain\r\n"):
            assert (await gate.says(post(origin).replace(JSON, kind))).status == 415
        assert gate.behind.calls == []


PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}


async def test_listed_origins_may_ask_and_read(tmp_path: Path) -> None:
    async with gateway(tmp_path, server={"port": 0, "cors": [ORIGIN]}) as gate:
        told = await gate.http.options(CHAT, headers=PREFLIGHT)
        assert told.status_code == 204
        assert told.headers["access-control-allow-origin"] == ORIGIN
        wanted = PREFLIGHT["access-control-request-headers"]
        assert told.headers["access-control-allow-headers"] == wanted
        assert "POST" in told.headers["access-control-allow-methods"]
        assert "Origin" in told.headers["vary"]
        for stream, status in ((False, 200), (True, 200), ("x", 400)):
            reply = await gate.ask(stream=stream, headers={"origin": ORIGIN})
            assert reply.status_code == status
            assert reply.headers["access-control-allow-origin"] == ORIGIN
            assert reply.headers["vary"] == "Origin"
            exposed = reply.headers["access-control-expose-headers"].split(", ")
            ours = {name for name in reply.headers if name.startswith("x-")}
            ours -= {"x-accel-buffering"}
            assert ours <= set(exposed)


async def test_other_origins_may_not_read(tmp_path: Path) -> None:
    for cors in ([ORIGIN], []):
        async with gateway(tmp_path / str(cors), server={"port": 0, "cors": cors}) as gate:
            headers = {**PREFLIGHT, "origin": "https://evil.example"}
            told = await gate.http.options(CHAT, headers=headers)
            assert told.status_code == 405
            reply = await gate.ask(headers={"origin": "https://evil.example"})
            for answer in (told, reply):
                assert not [n for n in answer.headers if n.startswith("access-control-")]


async def test_a_wrong_method_is_told_the_right_one(tmp_path: Path) -> None:
    async with gateway(tmp_path, passthrough={"embeddings": "scripted"}) as gate:
        right = {CHAT: "POST", "/v1/embeddings": "POST", "/v1/models": "GET", "/readyz": "GET"}
        for path, allowed in right.items():
            for method in ("HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "PROPFIND"):
                reply = await gate.http.request(method, path)
                assert reply.status_code == 405, (method, path)
                assert allowed in reply.headers["allow"]
                assert reply.headers["content-type"] == "application/json"
                assert reply.headers["x-request-id"]
                if method != "HEAD":
                    assert reply.json()["error"]["code"] == "method_not_allowed"


async def test_a_bug_is_told_as_an_error_of_ours_and_nothing_more() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/early")
    async def early() -> None:
        raise RuntimeError("secret")

    @app.get("/late")
    async def late() -> StreamingResponse:
        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"first"
            raise RuntimeError("secret")

        return StreamingResponse(pieces())

    guard(app, Server(), lambda: "an-id", Room(10**9, lambda: OverloadedError("full")), keyed=False)
    async with serving(app) as listening, httpx.AsyncClient(trust_env=False) as http:
        reply = await http.get(f"{listening.url}/early")
        assert reply.status_code == 500
        assert reply.json()["error"]["code"] == "internal_error"
        assert reply.headers["x-request-id"] == "an-id"
        assert "secret" not in reply.text
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(f"{listening.url}/late")


async def test_every_reply_says_which_request_it_is_for(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        seen = set()
        for method, path in (
            *(("GET", p) for p in ("/healthz", "/v1/models", "/nothing", "/openapi.json")),
            *(("POST", p) for p in (CHAT, "/v1/models")),
        ):
            started_s = time.monotonic()
            reply = await gate.http.request(method, path)
            seen.add(reply.headers["x-request-id"])
            took_ms = int(reply.headers["openai-processing-ms"])
            assert 0 <= took_ms <= 1000 * (time.monotonic() - started_s) + 1
        assert len(seen) == 6
