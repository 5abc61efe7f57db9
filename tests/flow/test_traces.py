"""Traces as a collector on loopback gets them, and the line in the log that names the same ids."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as conventions
from starlette.types import Receive, Scope, Send

from app.serving import serving
from app.telemetry.logs import JsonFormatter
from app.telemetry.traceparent import traceparent_of
from tests.support.gateway import gateway, until
from tests.support.provider import INVALID, VALID, Fails, Says

pytestmark = pytest.mark.anyio

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HIDDEN = "what-nobody-shall-see"


class Collector:
    """Takes OTLP over HTTP, and keeps every span."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.raw = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"] == "/v1/traces"
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.raw += body
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            self.resources.append(facts_of(of_resource.resource))
            for of_scope in of_resource.scope_spans:
                self.spans.extend(of_scope.spans)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def facts_of(about: Any) -> dict[str, Any]:
    def value_of(value: Any) -> Any:
        kind = value.WhichOneof("value")
        if kind == "array_value":
            return [value_of(each) for each in value.array_value.values]
        return getattr(value, kind)

    return {each.key: value_of(each.value) for each in about.attributes}


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector, None]:
    listening = Collector()
    async with serving(listening, drain_s=1) as server:
        listening.url = server.url
        yield listening


async def test_a_request_is_one_trace_with_a_span_for_every_step(tmp_path: Path) -> None:
    async with collector() as there:
        tracing = {"otlp_endpoint": there.url}
        async with gateway(tmp_path, tracing=tracing) as gate:
            gate.provider.answers("model-small", Says(HIDDEN))
            gate.provider.verdicts("model-medium", INVALID, VALID)
            reply = await gate.ask(f"Is {HIDDEN} 2 + 2?")
            decision = reply.headers["x-autoshift-decision"]

    (root,) = there.named("chat auto")
    facts = facts_of(root)
    assert facts["autoshift.decision"] == decision
    assert root.trace_id.hex() == UUID(decision).hex
    assert facts["autoshift.tier"] == "medium"
    assert facts["autoshift.verified"] is True
    assert facts["autoshift.cost_usd"] == pytest.approx(
        float(reply.headers["x-autoshift-cost-usd"])
    )
    (small,), (medium,) = there.named("chat model-small"), there.named("chat model-medium")
    assert small.parent_span_id == medium.parent_span_id == root.span_id
    asked = facts_of(small)
    assert asked["gen_ai.provider.name"] == "scripted"
    assert asked["gen_ai.request.model"] == "model-small"
    assert asked["gen_ai.response.model"] == "model-small-2026"
    assert (asked["gen_ai.usage.input_tokens"], asked["gen_ai.usage.output_tokens"]) == (100, 50)
    assert asked["gen_ai.response.finish_reasons"] == ["stop"]
    (event,) = small.events
    assert event.name == "gen_ai.evaluation.result"
    assert facts_of(event)["gen_ai.evaluation.score.label"] == "invalid"
    assert facts_of(event)["gen_ai.evaluation.score.value"] == 0.0
    judged = there.named("judge medium")
    assert {span.parent_span_id for span in judged} == {small.span_id, medium.span_id}
    (embedded,), (searched,) = (
        [span for span in there.spans if span.name.startswith(name)]
        for name in ("embeddings", "retrieval")
    )
    assert embedded.end_time_unix_nano == searched.start_time_unix_nano
    assert small.start_time_unix_nano <= small.end_time_unix_nano <= medium.start_time_unix_nano
    assert abs(root.start_time_unix_nano / 1e9 - time.time()) < 60
    assert {span.trace_id for span in there.spans} == {root.trace_id}
    assert there.resources[0]["service.name"] == "autoshift"
    assert HIDDEN.encode() not in there.raw
    known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI")}
    used = {name for span in there.spans for name in facts_of(span) if name.startswith("gen_ai.")}
    used |= {name for name in facts_of(event) if name.startswith("gen_ai.")}
    assert used <= known


async def test_the_clients_trace_is_gone_on_with_and_its_word_on_sampling_counts(
    tmp_path: Path,
) -> None:
    async with collector() as there:
        tracing = {"otlp_endpoint": f"{there.url}/v1/traces", "sample": 0}
        async with gateway(tmp_path, tracing=tracing) as gate:
            for flags in ("01", "00"):
                kept = await gate.ask(headers={"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})
                assert kept.status_code == 200
            assert (await gate.ask()).status_code == 200
            sent = gate.provider.calls

    (root,) = there.named("chat auto")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
    assert all("traceparent" not in call.headers for call in sent)


async def test_lessons_and_failures_are_in_the_trace_of_their_request(tmp_path: Path) -> None:
    async with (
        collector() as there,
        gateway(
            tmp_path,
            policy="llm_at",
            tracing={"otlp_endpoint": there.url},
            mode="shadow",
            shadow={"share": 10},
        ) as gate,
    ):
        gate.provider.answers("model-medium", Fails(500))
        replies = [await gate.ask() for _ in range(8)]
        failed = await gate.ask(model="medium")

        async def is_taught() -> bool:
            page = (await gate.http.get("/v1/records?limit=100")).json()["data"]
            taught = [r for r in page if r["trial_of"] and r["evidence"]]
            return bool(taught)

        await until(is_taught)

    assert {reply.status_code for reply in replies} == {200}
    assert failed.status_code == 502
    roots = {span.trace_id: span for span in there.spans if not span.parent_span_id}
    lessons = there.named("lesson")
    assert lessons
    for lesson in lessons:
        assert lesson.parent_span_id == roots[lesson.trace_id].span_id
    broken = [span for span in there.spans if "error.type" in facts_of(span)]
    assert broken
    assert all(span.status.code == 2 for span in broken)


async def test_a_collector_that_is_down_costs_no_request_anything(tmp_path: Path) -> None:
    async with gateway(tmp_path, tracing={"otlp_endpoint": "http://127.0.0.1:1"}) as gate:
        replies = [await gate.ask() for _ in range(3)]
        began_s = time.monotonic()

    assert [reply.status_code for reply in replies] == [200] * 3
    assert time.monotonic() - began_s < 8


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded() -> None:
    program = """
import sys, app.main
heavy = "opentelemetry.sdk", "opentelemetry.exporter"
print([module for module in sys.modules if module.startswith(heavy)])
"""
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=15
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"01-{TRACE}-{SPAN}-01-more", True),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        ("x", False),
        (None, False),
    ],
)
def test_a_traceparent_counts_only_in_its_form(header: str | None, kept: bool) -> None:
    expected = f"00-{TRACE}-{SPAN}-01" if kept else None
    assert traceparent_of(header) == expected


async def test_every_request_leaves_one_line_with_its_ids_and_never_its_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway(tmp_path) as gate:
        gate.provider.answers("model-small", Says(HIDDEN))
        gate.provider.verdicts("model-medium", INVALID)
        reply = await gate.ask(
            f"Is {HIDDEN} 2 + 2?", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}
        )
        pinned = await gate.ask(model="small")
        gate.provider.answers("model-small", Fails(500))
        failed = await gate.ask(model="small")

    lines = [
        json.loads(JsonFormatter().format(record))
        for record in caplog.records
        if record.name == "app.telemetry.request_log"
    ]
    routed, named, broken = lines
    assert routed["message"] == "request"
    assert routed["decision"] == reply.headers["x-autoshift-decision"]
    assert routed["trace_id"] == TRACE
    assert routed["tenant"] == "local"
    assert routed["policy"] == "llm_at"
    assert routed["tiers"][:2] == ["small", "medium"]
    assert routed["tier"] == reply.headers["x-autoshift-tier"]
    assert routed["cost_usd"] == pytest.approx(float(reply.headers["x-autoshift-cost-usd"]))
    assert routed["latency_s"] > 0
    assert routed["degraded"] == []
    assert (named["kind"], named["decision"]) == (
        "pinned",
        pinned.headers["x-autoshift-decision"],
    )
    assert named["trace_id"] == UUID(named["decision"]).hex
    assert (broken["outcome"], broken["decision"]) == ("failed", failed.headers["x-request-id"])
    assert HIDDEN not in caplog.text
    assert all(HIDDEN not in JsonFormatter().format(record) for record in caplog.records)
