"""No URL that a caller gives is asked for, and no key that redirects a request reaches a tier."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.jsontext import Json
from app.tailor import DENIED
from tests.support.gateway import chat, gateway

pytestmark = pytest.mark.anyio

CHAT, JSON = "/v1/chat/completions", {"content-type": "application/json"}


@dataclass(slots=True)
class Attacker:
    """A server that notes whoever connects."""

    url: str = ""
    visits: list[bytes] = field(default_factory=list)

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note what comes."""
        self.visits.append(await reader.read(1000))
        writer.close()


@asynccontextmanager
async def attacking() -> AsyncGenerator[Attacker, None]:
    attacker = Attacker()
    server = await asyncio.start_server(attacker.meet, "127.0.0.1", 0)
    attacker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield attacker


def hidden(name: str, value: object) -> list[str]:
    """The same key in bodies that hide it: nested, in arrays, escaped, given twice."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    plain, said = f'"{name}": {json.dumps(value)}', json.dumps(value)
    keys = (plain, f'"{escaped}": {said}', f'"{name}": null, {plain}', f'{plain}, "{name}": 1')
    around = ("KEY", '"extra_body": {KEY}', '"extra": [1, {"deep": {KEY}}, [{KEY}]]')
    return [form.replace("KEY", key) for key in keys for form in around]


async def test_no_key_that_redirects_a_request_reaches_a_tier_or_is_followed(
    tmp_path: Path,
) -> None:
    async with attacking() as attacker, gateway(tmp_path) as gate:
        head = json.dumps(chat(model="small"))[:-1]
        names = sorted({*DENIED, "litellm_params", "proxy", "proxy_url", "API_BASE", "api-key"})
        assert len(names) >= 14
        bodies = [f"{head}, {body}}}" for name in names for body in hidden(name, attacker.url)]
        for start in range(0, len(bodies), 40):
            replies = await asyncio.gather(
                *(gate.http.post(CHAT, content=body, headers=JSON) for body in bodies[start:][:40])
            )
            assert {reply.status_code for reply in replies} == {200}
        assert len(gate.provider.calls) == len(bodies)
        for call in gate.provider.calls:
            sent = json.dumps(call.body)
            assert attacker.url not in sent
            assert not [name for name in names if f'"{name}"' in sent], sent
        assert attacker.visits == []


async def test_no_url_in_a_request_is_fetched(tmp_path: Path) -> None:
    async with attacking() as attacker, gateway(tmp_path, judge={"by": "next"}) as gate:
        url = f"{attacker.url}/x.png"
        parts: list[Json] = [
            {"type": "text", "text": f"What is at {url}?"},
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "file", "file": {"file_url": url, "filename": url}},
            {"type": "input_audio", "input_audio": {"data": url, "format": "wav"}},
        ]
        schema = {"$schema": url, "$ref": url, "type": "object", "properties": {"a": {"$ref": url}}}
        tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        bodies: list[Json] = [
            {"messages": [{"role": "user", "content": parts}]},
            {"messages": [{"role": "user", "content": url}]},
            {"tools": [tool]},
            {"response_format": wanted},
            {"callback_url": url, "webhook": {"url": url}, "web_search_options": {"url": url}},
            {"metadata": {"callback": url}, "user": url, "prompt_cache_key": url},
            {"autoshift": {"task": url}},
        ]
        headers = {"x-callback-url": url, "referer": url, "x-forwarded-host": url, "origin": url}
        for more in bodies:
            for stream in (False, True):
                body = chat(model="auto:cascade", stream=stream) | more
                reply = await gate.http.post(CHAT, json=body, headers=headers)
                assert reply.status_code in {200, 400}, (more, reply.text)
        given = await gate.ask()
        said = {"decision": given.headers["x-autoshift-decision"], "correct": True, "comment": url}
        assert (await gate.http.post("/v1/feedback", json=said)).status_code == 200
        assert attacker.visits == []


async def test_no_parameters_name_writes_headers_or_fills_records(tmp_path: Path) -> None:
    hostile: Json = {
        "proxy\r\nset-cookie: a=b": 1,
        "litellm_x\nx-evil: 1": 1,
        "proxy,x-autoshift-tier": 1,
        "proxy\u00e9": 1,
        "litellm_" + "x" * 100_000: 1,
        "api_base": 1,
    }
    many: Json = {f"litellm_{number}": 1 for number in range(20_000)}
    async with gateway(tmp_path) as gate:
        for stream in (False, True):
            reply = await gate.ask(**hostile, stream=stream)
            assert reply.status_code == 200
            assert not {"set-cookie", "x-evil"} & set(reply.headers)
            assert reply.headers["x-autoshift-dropped"] == "api_base"
            told = await gate.decision_of(reply)
            assert told["attempts"][0]["dropped"] == ["api_base"]
            reply = await gate.ask(**many, stream=stream)
            assert len(reply.headers["x-autoshift-dropped"]) < 2000
            assert "litellm_" not in str(gate.provider.calls[-1].body)
