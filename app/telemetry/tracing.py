"""Traces: off unless an OTLP endpoint is configured, and nothing of OpenTelemetry loaded then."""

from typing import Annotated, Protocol

from pydantic import Field

from app.records import Evidence, Record
from app.section import Fraction, Section
from app.tiers import TierLadder


class TracingSection(Section):
    """Where spans go, over HTTP; null: nowhere.

    `sample` is the share of requests that are traced; where the client's own `traceparent` says
    whether a trace is kept, that decides.
    """

    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    sample: Fraction = 1.0


class Tracing(Protocol):
    """Whoever makes spans of what happened. Never raises, never waits."""

    def observe(self, record: Record) -> None:
        """A finished request."""
        ...

    def observe_later(self, record: Record, evidence: Evidence) -> None:
        """What became known of it afterwards: lessons, late verdicts, an arbiter's word."""
        ...

    def close(self) -> None:
        """Send what waits; blocks, but not for long."""
        ...


class Untraced:
    """Makes none."""

    def observe(self, record: Record) -> None:
        """As the protocol says."""

    def observe_later(self, record: Record, evidence: Evidence) -> None:
        """As the protocol says."""

    def close(self) -> None:
        """As the protocol says."""


def build_tracing(section: TracingSection, ladder: TierLadder, version: str) -> Tracing:
    """What the configuration asks for."""
    if section.otlp_endpoint is None:
        return Untraced()
    from app.telemetry.spans import Spans  # noqa: PLC0415 - tens of megabytes that most do without

    return Spans(section.otlp_endpoint, section.sample, ladder=ladder, version=version)
