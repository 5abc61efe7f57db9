"""Keys: who is let in, as whom, and to what; and that nobody sees what is another tenant's."""

import asyncio
import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from anyio import to_thread
from starlette.routing import Route

from app.api.auth import Guarded
from app.cli import main
from app.serving import serving
from tests.support.gateway import Gateway, Json, chat, gateway, until
from tests.support.keys import SECRETS, bearer, keys_in

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
OPEN = {"/healthz", "/readyz", "/dashboard", "/dashboard/page.js"}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    return keys_in(monkeypatch)


def routes(gate: Gateway) -> list[tuple[str, str, Guarded]]:
    """Method, path and endpoint of everything that is served on the main port."""
    found = []
    for route in gate.app.routes:
        assert isinstance(route, Route)
        assert isinstance(route.endpoint, Guarded), route.path
        name = "page.js" if route.path.startswith("/dashboard") else "auto"
        path = route.path_format.format(name=name, decision_id="x")
        found += [(method, path, route.endpoint) for method in sorted(route.methods or ())]
    return found


async def test_every_route_asks_for_a_key_and_says_the_same_to_all_who_have_none(
    tmp_path: Path, keys: list[Json]
) -> None:
    key = SECRETS["a-1"]
    nobody: list[dict[str, str]] = [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {key}x"},
        {"authorization": f"Bearer {key[:-1]}"},
        {"authorization": f"Bearer {key.upper()}"},
        {"authorization": f"Basic {key}"},
        {"authorization": key},
        {"api-key": "a-1"},
        {"cookie": f"key={key}"},
    ]
    async with gateway(tmp_path, keys=keys, passthrough={"embeddings": "scripted"}) as gate:
        said = set()
        for method, path, endpoint in routes(gate):
            if path in OPEN:
                assert (await gate.http.request(method, path)).status_code == 200
                assert endpoint.right == "open"
                continue
            for headers in nobody if path == CHAT else nobody[:4:3]:
                reply = await gate.http.request(method, path, headers=headers)
                assert reply.status_code == 401, (method, path, headers)
                assert reply.headers["www-authenticate"] == "Bearer"
                said.add(reply.content)
            let_in = "prom" if path == "/metrics" else "a-1"
            kept_out = "a-1" if path == "/metrics" else "prom"
            reply = await gate.http.request(method, path, headers=bearer(let_in))
            assert reply.status_code not in {401, 403, 500}, (method, path)
            reply = await gate.http.request(method, path, headers=bearer(kept_out))
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "permission_denied")
        assert len(said) == 1
        assert b'"code":"invalid_api_key"' in said.pop()
        assert gate.provider.calls == []


def files_in(directory: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_a_key_may_come_in_either_header_and_goes_nowhere_else(
    tmp_path: Path, keys: list[Json], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = SECRETS["a-1"]
    async with gateway(tmp_path, keys=keys) as gate:
        seen = []
        for headers in (
            {"authorization": f"Bearer {key}"},
            {"authorization": f"bearer  {key}"},
            {"api-key": key},
            {"x-api-key": key},
            {"authorization": "Basic x", "api-key": key},
        ):
            reply = await gate.ask(headers=headers)
            assert reply.status_code == 200, headers
            seen += [reply.text, *reply.headers.values()]
            decision = reply.headers["x-autoshift-decision"]
            told = await gate.http.get(f"/v1/decisions/{decision}", headers=bearer("a-1"))
            assert (told.json()["tenant"], told.json()["principal"]) == ("tenant-a", "a-1")
            seen.append(told.text)
        for path in ("/readyz", "/openapi.json", "/v1/models", "/v1/report", "/v1/records"):
            seen.append((await gate.http.get(path, headers=bearer("a-1"))).text)
        seen.append((await gate.http.get("/metrics", headers=bearer("prom"))).text)
        for call in gate.provider.calls:
            assert not {"authorization", "api-key", "x-api-key"} & set(call.headers)
            seen += [*call.headers.values(), call.raw.decode()]
    seen += [str(vars(entry)) for entry in caplog.records if not entry.name.startswith("http")]
    for secret in SECRETS.values():
        pieces = {secret[i : i + 8] for i in range(len("sk-canary-"), len(secret) - 7)}
        assert not any(piece in text for text in seen for piece in pieces)
        assert not any(secret.encode() in written for written in files_in(tmp_path))


async def test_a_tenant_sees_only_what_is_its_own(tmp_path: Path, keys: list[Json]) -> None:
    async with gateway(tmp_path, keys=keys, records={"text": "full"}) as gate:
        asked = await gate.ask("the canary of tenant a", headers=bearer("a-1"))
        decision = asked.headers["x-autoshift-decision"]

        async def sees(name: str) -> tuple[int, int, int, float]:
            told = await gate.http.get(f"/v1/decisions/{decision}", headers=bearer(name))
            given = await gate.http.post(
                "/v1/feedback",
                json={"decision": decision, "score": 1, "by": name},
                headers=bearer(name),
            )
            listed = await gate.http.get("/v1/records", headers=bearer(name))
            report = await gate.http.get("/v1/report", headers=bearer(name))
            return (
                told.status_code,
                given.status_code,
                len(listed.json()["data"]),
                report.json()["requests"] + report.json()["left_out"],
            )

        async def is_counted() -> bool:
            return (await sees("a-1"))[3] > 0

        await until(is_counted)
        assert (await sees("a-1"))[:3] == (200, 200, 1)
        assert (await sees("a-2"))[:3] == (200, 200, 1)
        assert await sees("b-1") == (404, 404, 0, 0.0)
        assert await sees("root") == (404, 404, 0, 0.0)

        unknown = await gate.http.get(
            "/v1/decisions/0190a0a0-0000-7000-8000-000000000000", headers=bearer("b-1")
        )
        hidden = await gate.http.get(f"/v1/decisions/{decision}", headers=bearer("b-1"))
        assert hidden.text.replace(decision, "ID") == unknown.text.replace(
            "0190a0a0-0000-7000-8000-000000000000", "ID"
        )
        erased = await gate.http.delete("/v1/records?all=true", headers=bearer("b-1"))
        assert erased.json()["deleted"] == 0
        assert (await sees("a-1"))[0] == 200


async def test_only_an_admin_may_name_another_tenant(tmp_path: Path, keys: list[Json]) -> None:
    async with gateway(tmp_path, keys=keys) as gate:
        for name in ("a-1", "a-2", "a-2"):
            await gate.ask(headers=bearer(name))
        for method, path in (
            ("GET", "/v1/records?tenant=tenant-a"),
            ("DELETE", "/v1/records?tenant=tenant-a&principal=a-1"),
            ("GET", "/v1/report?tenant=tenant-a"),
            ("GET", "/v1/report?tenant=*"),
        ):
            refused = await gate.http.request(method, path, headers=bearer("b-1"))
            assert refused.status_code == 403, path
        listed = await gate.http.get("/v1/records?tenant=tenant-a", headers=bearer("root"))
        assert [record["principal"] for record in listed.json()["data"]] == ["a-2", "a-2", "a-1"]
        erased = await gate.http.delete(
            "/v1/records?tenant=tenant-a&principal=a-2", headers=bearer("root")
        )
        assert erased.json()["deleted"] == 2
        listed = await gate.http.get("/v1/records?principal=a-1", headers=bearer("a-1"))
        assert len(listed.json()["data"]) == 1
        for tenant in ("tenant-a", "*"):
            told = await gate.http.get(f"/v1/report?tenant={tenant}", headers=bearer("root"))
            assert told.status_code == 200


async def test_the_admin_port_tells_everybodys_report_to_admins_only(
    tmp_path: Path, keys: list[Json]
) -> None:
    async with (
        gateway(tmp_path, keys=keys) as gate,
        serving(gate.app.state.admin) as admin,
        httpx.AsyncClient(base_url=admin.url, trust_env=False) as http,
    ):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get("/v1/report")).status_code == 401
        assert (await http.get("/v1/report", headers=bearer("a-1"))).status_code == 403
        await gate.ask(headers=bearer("a-1"))

        async def is_counted() -> bool:
            told = await http.get("/v1/report", headers=bearer("root"))
            return bool(told.json()["left_out"] == 1.0)

        await until(is_counted)
        assert (await http.post(CHAT, json=chat(), headers=bearer("root"))).status_code == 404


async def test_a_keys_policy_is_what_auto_means_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = keys_in(monkeypatch, {"b-1": {"policy": "always:large"}})
    async with gateway(tmp_path, keys=keys) as gate:
        for name, tier in (("a-1", "small"), ("b-1", "large")):
            reply = await gate.ask(headers=bearer(name))
            assert reply.headers["x-autoshift-tier"] == tier
        named = await gate.ask(headers=bearer("b-1"), model="auto:always:medium")
        assert named.headers["x-autoshift-tier"] == "medium"


async def test_an_old_key_works_beside_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OLD", "old-key-0123456789")
    monkeypatch.setenv("KEY_NEW", "new-key-0123456789")
    keys = [{"name": "team", "key_env": ["KEY_NEW", "KEY_OLD"]}]
    async with gateway(tmp_path, keys=keys) as gate:
        for key, status in (
            ("new-key-0123456789", 200),
            ("old-key-0123456789", 200),
            ("new-key-012345678", 401),
        ):
            reply = await gate.ask(headers={"api-key": key})
            assert reply.status_code == status


async def test_no_token_gets_in_or_does_harm(tmp_path: Path, keys: list[Json]) -> None:
    """As CVE-2026-42208: a bearer token that became part of a query."""
    rng = random.Random(1)  # noqa: S311
    pieces = ["'", '"', "--", ";", " OR 1=1", "%00", "\\", "*", "{", "}", "$ne", "\t", "ü", "\x7f"]
    pieces += [SECRETS["a-1"][:-1], "' UNION SELECT ", "../", "a-1", "null", "[]", "A" * 500]
    async with gateway(tmp_path, keys=keys) as gate:

        async def status(token: str) -> int:
            head = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer "
            return await raw(gate, head + token.encode() + b"\r\nconnection: close\r\n\r\n")

        tokens = ["".join(rng.choices(pieces, k=rng.randint(1, 12))) for _ in range(480)]
        for start in range(0, len(tokens), 20):
            found = await asyncio.gather(*map(status, tokens[start : start + 20]))
            assert set(found) <= {400, 401}
        assert await status("A" * 60_000) == 401
        assert await status("A" * 70_000) == 431
        assert await status(SECRETS["a-1"]) == 200


async def raw(gate: Gateway, head: bytes) -> int:
    """The status that follows these bytes."""
    host, _, port = gate.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head)
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_what_a_request_calls_itself_does_not_change_what_it_may(
    tmp_path: Path, keys: list[Json]
) -> None:
    """As CVE-2026-49468: a Host header that changed which route was seen by the check."""
    key = SECRETS["a-1"].encode()
    async with gateway(tmp_path, keys=keys) as gate:
        paths = {(method, path) for method, path, _ in routes(gate) if path not in OPEN}
        for method, path in sorted(paths):
            for target, fields in (
                (path, b"host: x/healthz"),
                (path, b"host: localhost\r\nx-forwarded-for: 127.0.0.1"),
                (path, b"host: localhost\r\nx-forwarded-prefix: /healthz"),
                (path, b"host: localhost\r\nx-original-url: /healthz\r\nx-rewrite-url: /healthz"),
                (path, b"host: localhost\r\nx-http-method-override: OPTIONS"),
                (f"http://localhost{path}", b"host: localhost"),
                (f"{path}?/healthz", b"host: localhost"),
                (f"{path}#/healthz", b"host: localhost"),
                (f"{path}/", b"host: localhost"),
                (f"/{path}", b"host: localhost"),
                (f"/healthz/..{path}", b"host: localhost"),
                (path.replace("/", "/%2e/", 1), b"host: localhost"),
            ):
                line = f"{method} {target} HTTP/1.1\r\n".encode()
                status = await raw(gate, line + fields + b"\r\nconnection: close\r\n\r\n")
                assert status in {400, 401, 404, 405}, (method, target, fields)
        models = b"GET /v1/models HTTP/1.1\r\nauthorization: Bearer " + key + b"\r\n"
        for fields in (b"host: example.com", b"host: localhost\r\nx-forwarded-host: evil.example"):
            assert await raw(gate, models + fields + b"\r\nconnection: close\r\n\r\n") == 200
        twice = models + b"authorization: Bearer x\r\nhost: localhost\r\n\r\n"
        assert await raw(gate, twice) == 401


@pytest.mark.parametrize("stream", [False, True])
async def test_keys_are_asked_for_whatever_the_policy_streaming_or_not(
    tmp_path: Path, keys: list[Json], stream: bool
) -> None:
    """As aisix #204: checks that `stream: true` left out."""
    async with gateway(tmp_path, keys=keys) as gate:
        listed = await gate.http.get("/v1/models", headers=bearer("a-1"))
        for model in (each["id"] for each in listed.json()["data"]):
            for prefix in ("/v1", ""):
                body = chat(model=model, stream=stream)
                path = f"{prefix}/chat/completions"
                assert (await gate.http.post(path, json=body)).status_code == 401
                asked = len(gate.provider.calls)
                reply = await gate.http.post(path, json=body, headers=bearer("a-1"))
                assert reply.status_code == 200, model
                assert len(gate.provider.calls) > asked


async def test_with_keys_any_host_is_served_unless_they_are_listed(
    tmp_path: Path, keys: list[Json]
) -> None:
    docker = {"host": "host.docker.internal:8080", **bearer("a-1")}
    async with gateway(tmp_path / "any", keys=keys) as gate:
        assert (await gate.ask(headers=docker)).status_code == 200
    server = {"port": 0, "hosts": ["ai.example.com"]}
    async with gateway(tmp_path / "listed", keys=keys, server=server) as gate:
        assert (await gate.ask(headers=docker)).status_code == 403
        for host in ("AI.example.com", "ai.example.com:443", "localhost:1"):
            reply = await gate.ask(headers={"host": host, **bearer("a-1")})
            assert reply.status_code == 200, host
    async with gateway(tmp_path / "unkeyed", server=server) as gate:
        assert (await gate.ask(headers={"host": "ai.example.com"})).status_code == 200
        assert (await gate.ask(headers={"host": "evil.example"})).status_code == 403


async def test_similar_questions_of_another_tenant_decide_nothing(
    tmp_path: Path, keys: list[Json]
) -> None:
    async with gateway(tmp_path, keys=keys) as gate:

        async def start_of(name: str) -> Json:
            reply = await gate.ask("Prove the theorem of canaries", headers=bearer(name))
            decision = reply.headers["x-autoshift-decision"]
            told = await gate.http.get(f"/v1/decisions/{decision}", headers=bearer(name))
            start: Json = told.json()["start"]
            return start

        for _ in range(5):
            await start_of("a-1")

        async def is_known() -> bool:
            return bool((await start_of("a-2"))["neighbours"] == 5)

        await until(is_known)
        start = await start_of("b-1")
        assert (start["neighbours"], start["top_similarity"]) == (0, None)
        assert all(tier["accuracy"] == tier["prior"] for tier in start["estimates"].values())


async def test_commands_ask_a_running_gateway_with_a_key_from_the_environment(
    tmp_path: Path, keys: list[Json], capfd: pytest.CaptureFixture[str]
) -> None:
    async with gateway(tmp_path, keys=keys) as gate:
        for name in ("a-1", "a-2"):
            await gate.ask(headers=bearer(name))

        async def says(*arguments: str) -> Json:
            status = await to_thread.run_sync(main, [*arguments, "--url", gate.url, "--json"])
            assert status == 0, capfd.readouterr().err
            told: Json = json.loads(capfd.readouterr().out)
            return told

        delete = ("records", "delete", "--principal", "a-2", "--yes")
        with pytest.raises(AssertionError, match="the API key is missing or wrong"):
            await says(*delete)
        assert await says(*delete, "--key-env", "KEY_B_1") == {"deleted": 0}
        root = ("--key-env", "KEY_ROOT", "--tenant", "tenant-a")
        file = str(tmp_path / "saved.jsonl")
        assert await says("records", "export", file, *root) == {"exported": 2}
        assert await says("records", "export", file, "--key-env", "KEY_B_1") == {"exported": 0}
        assert (await says("report", *root))["object"] == "autoshift.report"
        assert (await says("explain", "hi", "--key-env", "KEY_A_1"))["sentence"]
