"""Secrets and prompts: looked for in everything that a run with faults leaves behind or tells."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from starlette.routing import Route

from app.serving import serving
from app.telemetry import logs
from tests.support.gateway import Gateway, Json, chat, gateway, until
from tests.support.provider import Fails, Reply, Says, Sends, provider

pytestmark = pytest.mark.anyio

KEYS = {
    "CLIENT_KEY": "ask-Qv7mZt2LwXc9Rb4Kd8Jf",
    "OTHER_KEY": "ask-Hn3pYs6GvTq1Ux5We0Ao",
    "UPSTREAM_KEY": "sk-proj-Mi8rEk4DzNb7Lo2Cy6",
    "QDRANT_KEY": "qd-Wj5xPu9SaVf3Ht1Ig7Zl",
}
WRONG_KEY = "ask-Bd2gKc8NeRm6Ty4Qp0Xs"
SYSTEM, PROMPT, EMAIL = "quokka-directive-5519", "axolotl-question-7731", "zoe.canary@mail.example"
FORGED = 'x\r\n{"level": "ERROR", "message": "forged-line"}\r\n\x1b[31mred\u2028\x85'


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Path]:
    """Where everything that is logged at DEBUG goes, as the gateway formats it."""
    root = logging.getLogger()
    before, level, stderr = root.handlers[:], root.level, sys.stderr
    path = tmp_path / "log"
    with path.open("w", encoding="utf-8", buffering=1) as log:
        stream: TextIO = log
        sys.stderr = stream
        logs.configure("DEBUG")
        yield path
        sys.stderr = stderr
        root.handlers, root.level = before, level
        logging.captureWarnings(capture=False)


def pieces(secret: str) -> set[str]:
    """Every run of eight characters of its random part."""
    bare = secret.rpartition("-")[2]
    return {bare[at : at + 8] for at in range(len(bare) - 7)}


def leaks(where: str, text: str, *, prompts: bool) -> list[str]:
    found = [
        f"{name} in {where}"
        for name, key in {**KEYS, "WRONG_KEY": WRONG_KEY}.items()
        if any(piece in text for piece in pieces(key))
    ]
    wanted = (SYSTEM, PROMPT, EMAIL) if prompts else ()
    return found + [f"{word} in {where}" for word in wanted if word in text]


def files_under(path: Path) -> list[tuple[str, str]]:
    return [
        (str(file), file.read_bytes().replace(b"\0", b"").decode("latin-1"))
        for file in path.rglob("*")
        if file.is_file()
    ]


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


async def run_with_faults(gate: Gateway) -> list[tuple[str, str]]:
    """Replies of all kinds, and what every GET tells; as the place and the text."""
    key = KEYS["UPSTREAM_KEY"]
    echo = (
        f'{{"error": {{"message": "Incorrect API key provided: {key}. {PROMPT}", "code": null}}}}'
    )
    mine = {"authorization": f"Bearer {KEYS['CLIENT_KEY']}"}
    said: list[tuple[str, str]] = []
    faults: list[Reply] = [
        Says("fine"),
        Fails(400, echo.encode()),
        Fails(401, echo.encode()),
        Fails(500, echo.encode()),
        Sends(b"data: {" + key.encode() + b"\n\n"),
        Sends(key.encode(), "application/json"),
    ]
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": PROMPT}]
    for fault in faults:
        for name in ("model-small", "model-medium", "model-large"):
            gate.provider.answers(name, fault)
        for stream in (False, True):
            more: Json = {"stream": stream, "user": EMAIL, "messages": messages}
            reply = await gate.ask(headers=mine, **more)
            said.append((f"the reply to {fault}", f"{reply.headers}{reply.text}"))
    gate.provider.answers("model-small", Says("fine"))
    body = chat(messages=messages, user=EMAIL)
    wrong = {"authorization": f"Bearer {WRONG_KEY}"}
    odd = {**mine, "user-agent": PROMPT, "x-client-request-id": "a\\r\\nb", "referer": EMAIL}
    for headers, content in (
        (wrong, body),
        (mine, body | {"model": FORGED}),
        (mine, body | {"n": -1}),
        (mine, body | {"autoshift": {FORGED: 1}}),
        (odd, body),
    ):
        for path in ("/v1/chat/completions", "/v1/explain", f"/v1/{'x' * 20}"):
            reply = await gate.http.post(path, json=content, headers=headers)
            said.append((f"POST {path}", f"{reply.headers}{reply.text}"))
    reply = await gate.http.get("/v1/models", headers=mine, params={"api_key": WRONG_KEY})
    said.append(("GET with a key in the query", reply.text))
    known = await gate.http.get("/v1/records", headers=mine)
    ids = (
        [one["id"] for one in known.json().get("data", [])][:1] if known.status_code == 200 else []
    )
    for route in gate.app.routes:
        if isinstance(route, Route) and "GET" in (route.methods or ()):
            for one in ids or ["x"]:
                path = route.path_format.format(name="page.js", decision_id=one)
                for given in ({}, mine, wrong):
                    reply = await gate.http.get(path, headers=given)
                    said.append((f"GET {path}", f"{reply.headers}{reply.text}"))
    return said


@pytest.mark.parametrize("store", ["embedded", "dead server"])
async def test_no_secret_and_no_prompt_is_left_anywhere(
    tmp_path: Path, told: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    for name, secret in KEYS.items():
        monkeypatch.setenv(name, secret)
    keys = [
        {"name": "mine", "key_env": "CLIENT_KEY", "tenant": "acme", "role": "admin"},
        {"name": "other", "key_env": "OTHER_KEY", "tenant": "acme"},
    ]
    async with provider() as behind:
        upstream = {"base_url": behind.url, "api_key_env": "UPSTREAM_KEY"}
        providers = {"scripted": upstream}
        if store == "dead server":
            monkeypatch.setenv("AUTOSHIFT_STORE__URL", "http://127.0.0.1:9")
            monkeypatch.setenv("AUTOSHIFT_STORE__API_KEY_ENV", "QDRANT_KEY")
        data = tmp_path / "data"
        async with gateway(data, behind, keys=keys, providers=providers, policy="value") as gate:
            said = await run_with_faults(gate)
            async with serving(gate.app.state.admin) as admin:
                for path in ("/metrics", "/readyz", "/healthz", "/v1/report"):
                    mine = {"authorization": f"Bearer {KEYS['CLIENT_KEY']}"}
                    reply = await gate.http.get(f"{admin.url}{path}", headers=mine)
                    said.append((f"admin GET {path}", reply.text))
            assert behind.calls[0].headers["authorization"] == f"Bearer {KEYS['UPSTREAM_KEY']}"
        left = files_under(tmp_path / "data")
        assert left
    logging.getLogger("app").warning("the end")
    await until(lambda: "the end" in read(told))
    log = read(told)
    assert len(log.splitlines()) > 5
    assert not [line for line in log.split("\n") if line and not line.startswith('{"time": ')]
    assert "\x1b" not in log
    assert log.isascii()
    assert leaks("here", f"…{KEYS['UPSTREAM_KEY'][-9:-1]}… {EMAIL}", prompts=True)
    found = [leak for where, text in said for leak in leaks(where, text, prompts=False)]
    for where, text in [("the log", log), *left]:
        found += leaks(where, text, prompts=True)
    assert not found
