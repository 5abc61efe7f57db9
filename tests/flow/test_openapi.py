"""The description of the API is true: whatever it lets one ask, the reply is one it describes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema_rs
import pytest
import schemathesis
from anyio import to_thread
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
CASES = 60
CHAT = "/v1/chat/completions"


async def described(gate: Gateway) -> Json:
    reply = await gate.http.get("/openapi.json")
    assert reply.status_code == 200
    document: Json = reply.json()
    return document


async def test_every_route_is_described_and_nothing_else(tmp_path: Path) -> None:
    async with gateway(tmp_path, passthrough={"embeddings": "scripted"}) as gate:
        served: dict[str, set[str]] = {}
        for route in gate.app.routes:
            assert isinstance(route, Route)
            methods = {method.lower() for method in route.methods or ()}
            served.setdefault(route.path_format, set()).update(methods)
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


@pytest.mark.parametrize("kind", ["chats", "wrong chats", "all routes"])
@pytest.mark.timeout(60)  # sixty cases, with coverage on
async def test_every_reply_is_one_that_is_described(tmp_path: Path, kind: str) -> None:
    async with described_gateway(tmp_path) as gate:
        document = await described(gate)
        statuses = await to_thread.run_sync(try_out, document, gate.url, kind)
        assert {"chats": 200, "wrong chats": 400, "all routes": 404}[kind] in statuses
        assert (await gate.ask()).status_code == 200


@asynccontextmanager
async def described_gateway(store: Path) -> AsyncGenerator[Gateway, None]:
    """A gateway with everything that the description can be about."""
    async with (
        provider() as behind,
        serving(_embeddings) as other,
        gateway(
            store,
            behind,
            providers={"scripted": {"base_url": behind.url}, "other": {"base_url": other.url}},
            passthrough={"embeddings": "other"},
        ) as gate,
    ):
        yield gate


def _to_a_model(case: Case[Any]) -> Case[Any]:
    """A model that exists, so that more is looked at than its name."""
    if isinstance(case.body, dict):
        model = case.body.get("model")
        if isinstance(model, str):
            case.body["model"] = ("auto", "small")[len(model) % 2]
    return case


async def _embeddings(_: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send_json(send, 200, b'{"object": "list", "data": []}', {})


def _cases(document: Json, kind: str) -> st.SearchStrategy[Case[Any]]:
    """What the description allows to ask, and what it does not."""
    api = schemathesis.openapi.from_dict(document)
    right, wrong = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    if kind == "all routes":
        every = [api[path][method] for path, item in document["paths"].items() for method in item]
        return st.one_of(
            [op.as_strategy(generation_mode=m) for op in every for m in (right, wrong)]
        )
    mode = right if kind == "chats" else wrong
    return api[CHAT]["POST"].as_strategy(generation_mode=mode).map(_to_a_model)


def try_out(
    document: Json, url: str, kind: str, cases: int = CASES, *, repeatable: bool = True
) -> list[int]:
    """Ask as is described, or not; the statuses that came. Errors: what was not described."""
    load_all_checks()
    checks: list[Any] = CHECKS.get_by_names(
        [
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        ]
    )
    statuses: list[int] = []

    @settings(
        max_examples=cases,
        derandomize=repeatable,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=_cases(document, kind))
    def try_one(case: Case[Any]) -> None:
        reply = case.call_and_validate(base_url=url, checks=checks)
        statuses.append(reply.status_code)
        if reply.status_code >= 400:
            assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
        assert reply.headers["x-request-id"]

    try_one()
    assert len(statuses) >= cases
    return statuses
