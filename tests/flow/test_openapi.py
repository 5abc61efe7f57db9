"""The description of the API is true: whatever it lets one ask, the reply is one it describes."""

from pathlib import Path
from typing import Any, TypeAlias

import jsonschema_rs
import pytest
import requests
import schemathesis
from anyio import to_thread
from fastapi.openapi.utils import get_openapi
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.api.render import send_json
from app.serving import serving
from tests.support.gateway import Gateway, chat, gateway
from tests.support.provider import provider

pytestmark = pytest.mark.anyio

Json: TypeAlias = dict[str, Any]
CASES = 300
CHAT = "/v1/chat/completions"


async def described(gate: Gateway) -> Json:
    reply = await gate.http.get("/openapi.json")
    assert reply.status_code == 200
    document: Json = reply.json()
    return document


async def test_every_route_is_described_and_nothing_else(tmp_path: Path) -> None:
    async with gateway(tmp_path, passthrough={"embeddings": "scripted"}) as gate:
        framework = get_openapi(title="", version="", routes=gate.app.routes)["paths"]
        served = {path: set(item) for path, item in framework.items()}
        for route in gate.app.routes:
            if isinstance(route, Route):
                served[route.path] = {method.lower() for method in route.methods or ()}
        document = await described(gate)
        assert {path: set(item) for path, item in document["paths"].items()} == served
        for path in served:
            wrong = await gate.http.patch(path.format(name="auto", decision_id="x"))
            assert wrong.status_code == 405, path


async def test_the_parameters_are_described_as_they_are_checked(tmp_path: Path) -> None:
    async with gateway(tmp_path) as gate:
        document = await described(gate)
        schema = {**document["components"]["schemas"]["ChatRequest"], **document}
        request = jsonschema_rs.validator_for(schema)
        for more, status in (
            ({}, 200),
            ({"temperature": 2}, 200),
            ({"temperature": None, "tools": None, "stop": ["a"]}, 200),
            ({"temperature": 2.5}, 400),
            ({"n": 0}, 400),
            ({"stop": ["a"] * 5}, 400),
            ({"stop": [1]}, 400),
            ({"logit_bias": {"1": 101}}, 400),
            ({"metadata": {"a": 1}}, 400),
            ({"metadata": {"a" * 65: "a"}}, 400),
            ({"tools": ["x"]}, 400),
            ({"tools": [{"type": "function", "function": {"name": 1}}]}, 400),
            ({"response_format": {"type": "xml"}}, 400),
            ({"messages": []}, 400),
            ({"messages": [{"role": "king"}]}, 400),
            ({"autoshift": {"stream": "fast"}}, 400),
        ):
            body = {**chat(model="small"), **more}
            assert request.is_valid(body) == (status == 200), more
            assert (await gate.http.post(CHAT, json=body)).status_code == status, more


async def test_every_reply_is_one_that_is_described(tmp_path: Path) -> None:
    async with (
        provider() as behind,
        serving(_embeddings) as other,
        gateway(
            tmp_path,
            behind,
            providers={"scripted": {"base_url": behind.url}, "other": {"base_url": other.url}},
            passthrough={"embeddings": "other"},
        ) as gate,
    ):
        await to_thread.run_sync(_try_out, await described(gate), gate.url)
        assert (await gate.ask()).status_code == 200


def _to_a_model(case: Case[Any]) -> Case[Any]:
    """A model that exists, so that more is looked at than its name."""
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = ("auto", "small")[len(case.body["model"]) % 2]
    return case


async def _embeddings(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send_json(send, 200, b'{"object": "list", "data": []}', {})


def _try_out(document: Json, url: str) -> None:
    """Ask as the description allows, and as it does not."""
    api = schemathesis.openapi.from_dict(document)
    operations = [api[path][method] for path, item in document["paths"].items() for method in item]
    right, wrong = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    cases = [op.as_strategy(generation_mode=mode) for op in operations for mode in (right, wrong)]
    chats = api[CHAT]["POST"].as_strategy(generation_mode=right).map(_to_a_model)
    wrong_chats = api[CHAT]["POST"].as_strategy(generation_mode=wrong).map(_to_a_model)
    load_all_checks()
    checks: list[Any] = CHECKS.get_by_names(
        [
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        ]
    )
    asked: list[str] = []

    @settings(
        max_examples=CASES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(chats, wrong_chats, st.one_of(cases)))
    def try_one(case: Case[Any]) -> None:
        reply = case.call_and_validate(base_url=url, session=session, checks=checks)
        asked.append(f"{case.method} {case.path} {reply.status_code}")
        if reply.status_code >= 400:
            assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
        assert reply.headers["x-request-id"]

    with requests.Session() as session:
        session.trust_env = False
        try_one()
    assert len(asked) >= CASES
    assert {f"POST {CHAT} {status}" for status in (200, 400)} <= set(asked)
