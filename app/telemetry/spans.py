"""Spans, read off finished records and exported in the background over OTLP.

Source: OpenTelemetry's semantic conventions for generative AI. No prompt, answer or reason of a
judge is in any of them. A request's steps follow one another, so spans are laid end to end.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from typing_extensions import override

from app.records import Attempt, Evidence, Record, Verdict
from app.telemetry.traceparent import ids_of, parent_of
from app.tiers import TierLadder

logger = logging.getLogger(__name__)

EXPORT_S, CLOSE_MS = 5, 2000
NS = 1_000_000_000
Value: TypeAlias = str | bool | int | float | list[str]
Facts: TypeAlias = Mapping[str, Value | None]


class Spans:
    """The only one who makes any. `sample` is the share of requests that have some."""

    def __init__(self, endpoint: str, sample: float, *, ladder: TierLadder, version: str) -> None:
        url = (
            endpoint if urlsplit(endpoint).path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
        )
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "autoshift", "service.version": version}),
            id_generator=self._ids,
            sampler=ALWAYS_ON,
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("autoshift", version)
        self._sample = sample
        self._tiers = {tier.name: tier for tier in ladder}

    def observe(self, record: Record) -> None:
        """The request, its embedding and search, every attempt and every verdict."""
        with _guarded(record):
            if self._is_sampled(record):
                self._request(record)

    def observe_later(self, record: Record, evidence: Evidence) -> None:
        """What lessons asked, in the trace of their request."""
        with _guarded(record):
            if self._is_sampled(record):
                self._later(record, evidence)

    def close(self) -> None:
        """Send what waits."""
        self._provider.force_flush(CLOSE_MS)
        self._provider.shutdown()

    def _is_sampled(self, record: Record) -> bool:
        parent = parent_of(record)
        if parent is not None:
            return parent.sampled
        digest = hashlib.blake2b(record.id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self._sample * 2**64

    def _request(self, record: Record) -> None:
        served, start = record.served_attempt, record.start
        asked = "auto" if record.kind == "routed" else (record.eligible or ("",))[0]
        parent, own = parent_of(record), ids_of(record)
        around = None
        if parent is not None:
            around = _inside(parent.trace_id, parent.span_id)
        self._ids.next = own
        facts: Facts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": asked,
            "gen_ai.response.model": served.model if served else None,
            "gen_ai.request.stream": record.stream,
            "gen_ai.conversation.id": record.conversation,
            "autoshift.decision": record.id,
            "autoshift.tenant": record.tenant,
            "autoshift.kind": record.kind,
            "autoshift.policy": record.policy,
            "autoshift.outcome": record.outcome,
            "autoshift.start.tier": start.tier if start else None,
            "autoshift.tier": served.tier if served else None,
            "autoshift.verified": record.verified,
            "autoshift.cost_usd": record.cost_usd,
            "autoshift.degraded": list(record.degraded),
            "autoshift.trial_of": record.trial_of,
            "error.type": record.error,
        }
        ends_s = record.time_s + record.latency_s
        name = f"chat {asked}"
        root = self._span(name, SpanKind.SERVER, (record.time_s, ends_s), facts, around)
        at_s = self._phases(record, set_span_in_context(root))
        for attempt in record.attempts:
            at_s = self._attempt(attempt, at_s, set_span_in_context(root))

    def _phases(self, record: Record, within: Context) -> float:
        """Embedding and search; when they were over."""
        at_s = record.time_s
        for phase, operation in (("embed", "embeddings"), ("search", "retrieval")):
            took_s = record.phases_s.get(phase)
            if took_s is not None:
                facts: Facts = {"gen_ai.operation.name": operation}
                name = f"{operation} {record.embedder or ''}".strip()
                self._span(name, SpanKind.INTERNAL, (at_s, at_s + took_s), facts, within)
                at_s += took_s
        return at_s

    def _attempt(self, attempt: Attempt, at_s: float, within: Context) -> float:
        """One tier's answer, and what was said of it; when that was over."""
        took_s = 0.0 if attempt.reused else attempt.latency_s
        usage = attempt.usage
        facts: dict[str, Value | None] = {
            **self._asked(attempt.tier),
            "gen_ai.response.model": attempt.model,
            "gen_ai.response.time_to_first_chunk": attempt.first_byte_s,
            "autoshift.tier": attempt.tier,
            "autoshift.arrived": attempt.arrived,
            "autoshift.outcome": attempt.outcome,
            "autoshift.cost_usd": attempt.cost_usd,
            "autoshift.reused": attempt.reused,
            "error.type": attempt.error,
        }
        if attempt.finish_reason is not None:
            facts["gen_ai.response.finish_reasons"] = [attempt.finish_reason]
        if usage is not None:
            facts |= _usage(usage.input_tokens, usage.output_tokens)
            facts["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
            facts["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
        verdicts = attempt.verdicts
        ends_s = at_s + took_s
        name = f"chat {facts['gen_ai.request.model']}"
        span = self._begun(name, SpanKind.CLIENT, at_s, facts, within)
        for verdict in verdicts:
            _evaluate(span, verdict, ends_s)
        span.end(round(ends_s * NS))
        inside = set_span_in_context(span)
        for verdict in verdicts:
            ends_s = self._verdict(verdict, ends_s, inside)
        return ends_s

    def _verdict(self, verdict: Verdict, at_s: float, within: Context) -> float:
        """A judge's call; an exact check is none."""
        if verdict.exact:
            return at_s
        facts = {
            **self._asked(verdict.by.rpartition(":")[2]),
            "autoshift.purpose": "judge",
            "autoshift.cost_usd": verdict.cost_usd,
        }
        if verdict.usage is not None:
            facts |= _usage(verdict.usage.input_tokens, verdict.usage.output_tokens)
        ends_s = at_s + verdict.latency_s
        name = f"judge {verdict.by}"
        self._span(name, SpanKind.CLIENT, (at_s, ends_s), facts, within)
        return ends_s

    def _later(self, record: Record, evidence: Evidence) -> None:
        within = _inside(*ids_of(record))
        took_s = sum(attempt.latency_s for attempt in evidence.attempts if not attempt.reused)
        took_s += sum(verdict.latency_s for verdict in evidence.verdicts.values())
        facts: Facts = {
            "autoshift.purpose": evidence.source,
            "autoshift.by": evidence.by,
            "autoshift.cost_usd": evidence.cost_usd,
        }
        at_s = evidence.time_s - took_s
        name = f"lesson {evidence.source}" if evidence.source != "lesson" else "lesson"
        span = self._begun(name, SpanKind.INTERNAL, at_s, facts, within)
        if evidence.source in {"judge", "arbiter"}:
            verdict = Verdict(evidence.valid, evidence.by)
            _evaluate(span, verdict, evidence.time_s)
        span.end(round(evidence.time_s * NS))
        for attempt in evidence.attempts:
            at_s = self._attempt(attempt, at_s, set_span_in_context(span))
        for verdict in evidence.verdicts.values():
            at_s = self._verdict(verdict, at_s, set_span_in_context(span))

    def _asked(self, name: str) -> dict[str, Value | None]:
        """What was asked for of a tier that may be configured no more."""
        tier = self._tiers.get(name)
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": tier.provider if tier else None,
            "gen_ai.request.model": tier.model if tier else name,
        }

    def _span(
        self,
        name: str,
        kind: SpanKind,
        during_s: tuple[float, float],
        facts: Facts,
        within: Context | None,
    ) -> Span:
        span = self._begun(name, kind, during_s[0], facts, within)
        span.end(round(during_s[1] * NS))
        return span

    def _begun(
        self, name: str, kind: SpanKind, at_s: float, facts: Facts, within: Context | None
    ) -> Span:
        known = {key: fact for key, fact in facts.items() if fact is not None}
        span = self._tracer.start_span(
            name, within or Context(), kind=kind, attributes=known, start_time=round(at_s * NS)
        )
        if "error.type" in known:
            span.set_status(Status(StatusCode.ERROR))
        return span


class _Ids(RandomIdGenerator):
    """A request's span has the ids that are read off its record; all others are drawn."""

    def __init__(self) -> None:
        self.next: tuple[int, int] | None = None

    @override
    def generate_span_id(self) -> int:
        if self.next is None:
            return super().generate_span_id()
        (_, span_id), self.next = self.next, None
        return span_id

    @override
    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.next is None else self.next[0]


def _inside(trace_id: int, span_id: int) -> Context:
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(context), Context())


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Value | None]:
    return {
        "gen_ai.usage.input_tokens": input_tokens,
        "gen_ai.usage.output_tokens": output_tokens,
    }


def _evaluate(span: Span, verdict: Verdict, at_s: float) -> None:
    """A verdict, as an event on what it is about."""
    word = {True: "valid", False: "invalid", None: "none"}[verdict.valid]
    named = verdict.by if verdict.exact else "agreement" if verdict.against is not None else "judge"
    facts: dict[str, Value] = {
        "gen_ai.evaluation.name": named,
        "gen_ai.evaluation.score.label": word,
        "autoshift.by": verdict.by,
    }
    if verdict.valid is not None:
        facts["gen_ai.evaluation.score.value"] = float(verdict.valid)
    span.add_event("gen_ai.evaluation.result", facts, round(at_s * NS))


@contextmanager
def _guarded(record: Record) -> Iterator[None]:
    try:
        yield
    except Exception:
        # Whoever watches must not stop what is watched.
        logger.exception("spans could not be made", extra={"record_id": record.id})
