"""Endpoints that are forwarded as they are: nothing is routed, recorded, leaked or held back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import orjson
import pytest
from starlette.types import Receive, Scope, Send

from app.errors import SettingsError
from app.serving import serving
from tests.support.faulty_gateway import QUICK
from tests.support.gateway import Gateway, configuration, gateway, metric, until
from tests.support.provider import Provider

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
ASKED = b'{"model": "text-embedding-3-small",  "input": ["a"], "user": 12345678901234567890}'
ANSWER = b'{"object": "list", "data": [{"embedding": [0.1, 0.2]}], "usage": {"total_tokens": 1}}'
PARTS = (b'data: {"choices": [{"text": "a"}]}\n\n', b"data: [DONE]\n\n")
KEY = "sk-of-the-gateway"


@dataclass
class Other:
    """A provider of other endpoints: one reply for all, and a note of what was asked."""

    status: int = 200
    parts: tuple[bytes, ...] = (ANSWER,)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    gate: asyncio.Event | None = None
    cut: bool = False
    url: str = ""
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    got: list[dict[str, str]] = field(default_factory=list)
    left: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.got.append({name.decode(): value.decode() for name, value in scope["headers"]})
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        if self.gate and not self.parts:
            await self._wait(receive)
            return
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            if self.gate:
                await self._wait(receive)
        if not self.cut:
            await send({"type": "http.response.body", "body": b""})

    async def _wait(self, receive: Receive) -> None:
        """Until the gate opens, or whoever asked has left."""
        assert self.gate is not None
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(self.gate.wait())
            leaving = tasks.create_task(_heard(receive))
            await asyncio.wait((opening, leaving), return_when=asyncio.FIRST_COMPLETED)
            self.left += leaving.done()
            opening.cancel()
            leaving.cancel()


async def _heard(receive: Receive) -> None:
    await receive()


@asynccontextmanager
async def forwarding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> AsyncGenerator[tuple[Gateway, Other], None]:
    """A gateway that forwards embeddings and completions to another provider than the tiers'.

    `more`: of every tier.
    """
    monkeypatch.setenv("OTHER_KEY", KEY)
    other = Other()
    async with serving(other, drain_s=1) as listening:
        nowhere = Provider()
        nowhere.url = "http://127.0.0.1:1/v1"
        providers = {
            "scripted": {"base_url": nowhere.url},
            "other": {"base_url": f"{listening.url}/base/v1", "api_key_env": "OTHER_KEY"},
        }
        async with gateway(
            tmp_path,
            nowhere,
            providers=providers,
            passthrough={"embeddings": "other", "completions": "other"},
            tiers=[
                {**tier, "provider": "other", **more}
                for tier in configuration("", tmp_path)["tiers"]
            ],
        ) as gate:
            yield gate, other


async def embed(gate: Gateway, path: str = "/v1/embeddings", **headers: str) -> httpx.Response:
    usual = {"content-type": "application/json"}
    return await gate.http.post(path, content=ASKED, headers={**usual, **headers})


def error_of(reply: httpx.Response) -> Json:
    error: Json = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def test_body_and_answer_are_forwarded_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        for path in ("/v1/embeddings", "/embeddings", "/v1/embeddings/"):
            reply = await embed(gate, path)
            assert reply.status_code == 200
            assert reply.content == ANSWER
            assert reply.headers["content-type"] == "application/json"
            assert reply.headers["x-request-id"]
        assert other.bodies == [ASKED] * 3
        assert other.paths == ["/base/v1/embeddings"] * 3


async def test_headers_of_either_side_stay_on_their_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = {
        "authorization": "Bearer sk-of-the-client",
        "api-key": "sk-of-the-client",
        "cookie": "session=1",
        "openai-organization": "org-client",
        "openai-project": "client",
        "x-forwarded-for": "10.0.0.1",
        "x-stainless-lang": "python",
        "x-openwebui-user-email": "a@b.example",
        "x-autoshift-policy": "llm_at",
    }
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        theirs = {"set-cookie": "a=b", "server": "other", "openai-organization": "org-ours"}
        other.headers |= {**theirs, "x-ratelimit-limit-requests": "5", "x-request-id": "theirs"}
        reply = await embed(gate, **secret)
        assert reply.status_code == 200
        sent = other.got[0]
        assert sent.pop("authorization") == f"Bearer {KEY}"
        assert not set(sent) & set(secret)
        assert "client" not in str(sent)
        assert not set(reply.headers) & {*theirs, "x-ratelimit-limit-requests"}
        assert reply.headers["x-request-id"] != "theirs"


async def test_a_stream_is_forwarded_as_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        other.parts, other.gate = PARTS, asyncio.Event()
        other.headers = {"content-type": "text/event-stream; charset=utf-8"}
        async with gate.http.stream("POST", "/v1/completions", json={"model": "m"}) as reply:
            assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
            received = reply.aiter_bytes()
            assert await anext(received) == PARTS[0]
            other.gate.set()
            assert b"".join([piece async for piece in received]) == PARTS[1]


async def test_a_stream_that_breaks_off_ends_in_an_error_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        other.parts, other.cut = PARTS[:1], True
        other.headers = {"content-type": "text/event-stream"}
        reply = await gate.http.post("/v1/completions", json={"model": "m"})
        first, last = (event for event in reply.text.split("\n\n") if event)
        assert first.encode() == PARTS[0].strip()
        assert (
            orjson.loads(last.strip().removeprefix("data: "))["error"]["code"] == "upstream_broken"
        )
        other.headers = {"content-type": "application/json"}
        reply = await embed(gate)
        assert reply.status_code == 502
        assert error_of(reply)["code"] == "upstream_broken"


STATUSES = {
    400: (400, "upstream_rejected"),
    401: (502, "upstream_auth"),
    403: (502, "upstream_auth"),
    404: (404, "model_not_found"),
    429: (429, "upstream_rate_limited"),
    500: (502, "upstream_failed"),
    503: (502, "upstream_failed"),
    307: (502, "upstream_failed"),
}


async def test_errors_are_in_the_envelope_and_tell_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        other.parts = (
            b'{"error": {"message": "key sk-secret1234 at https://other.example of org-abc12345"}}',
        )
        other.headers |= {"location": "http://127.0.0.1:1/", "retry-after": "3600"}
        for theirs, (ours, code) in STATUSES.items():
            other.status = theirs
            reply = await embed(gate)
            assert (theirs, reply.status_code) == (theirs, ours)
            assert error_of(reply)["code"] == code
            for secret in ("sk-secret", "https://", "org-abc", KEY):
                assert secret not in reply.text
            if ours == 429:
                assert reply.headers["retry-after"] == "60"
            if ours >= 500:
                assert reply.headers["x-should-retry"] == "false"


async def test_a_silent_provider_is_a_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch, timeouts=QUICK) as (gate, other):
        for parts in ((), (b"",), (ANSWER[:9],)):
            other.parts, other.gate = parts, asyncio.Event()
            reply = await embed(gate)
            assert reply.status_code == 504
            assert error_of(reply)["type"] == "timeout_error"


async def test_a_client_that_leaves_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        other.gate = asyncio.Event()
        for parts in ((), PARTS):
            left = other.left
            other.parts, calls = parts, len(other.bodies)
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(embed(gate))
                await until(lambda before=calls: len(other.bodies) > before)
                asking.cancel()
            await until(lambda before=left: other.left > before, within_s=1)


async def test_what_is_wrong_does_not_reach_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, other):
        for sent, headers, status in (
            (b"{", {}, 400),
            (b"", {}, 400),
            (ASKED, {"content-type": "text/plain"}, 415),
            (ASKED, {"content-encoding": "gzip"}, 415),
            (b" " * 33 * 1024 * 1024, {}, 413),
        ):
            reply = await gate.http.post(
                "/v1/embeddings",
                content=sent,
                headers={"content-type": "application/json", **headers},
            )
            assert reply.status_code == status
            error_of(reply)
        reply = await gate.http.get("/v1/embeddings")
        assert reply.status_code == 405
        assert reply.headers["allow"] == "POST"
        assert other.paths == []


async def test_forwarded_calls_leave_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with forwarding(tmp_path, monkeypatch) as (gate, _):
        assert (await embed(gate)).status_code == 200
        text = (await gate.http.get("/metrics")).text
        for name in ("autoshift_requests_total", "autoshift_store_records"):
            assert metric(text, name) == 0


async def test_what_is_not_forwarded_is_told_where_to_go(tmp_path: Path) -> None:
    async with gateway(tmp_path, passthrough={"embeddings": "scripted"}) as gate:
        chat = "/v1/chat/completions"
        for method, path, wanted in (
            ("POST", "/v1/completions", "passthrough.completions"),
            ("POST", "/v1/moderations", "passthrough.moderations"),
            ("POST", "/images/generations", "passthrough.images/generations"),
            ("POST", "/v1/responses", chat),
            ("POST", "/v1/messages", chat),
            ("GET", f"{chat}/chatcmpl-1", chat),
            ("DELETE", f"{chat}/chatcmpl-1", chat),
            ("POST", "/v1/assistants", chat),
        ):
            reply = await gate.http.request(method, path)
            assert reply.status_code == 404, path
            assert error_of(reply)["code"] == "unsupported_endpoint"
            assert wanted in error_of(reply)["message"]
            assert chat in error_of(reply)["message"]


@pytest.mark.parametrize("given", [{"embeddings": "nobody"}, {"chat/completions": "scripted"}])
async def test_a_wrong_passthrough_is_refused_at_the_start(
    tmp_path: Path, given: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match="passthrough"):
        async with gateway(tmp_path, passthrough=given):
            pass
