"""W3C Trace Context: which trace a request belongs to, as its client says; else its own.

Source: https://www.w3.org/TR/trace-context/, version 00; of later versions what is the same.
"""

import re
from dataclasses import dataclass
from uuid import UUID

from app.records import Record

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SPAN = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Parent:
    """The client's span. `sampled`: it is kept."""

    trace_id: int
    span_id: int
    sampled: bool


def traceparent_of(header: str | None) -> str | None:
    """The header's value; None where it is none, or not in its form, as the standard has it."""
    found = _FORM.fullmatch(header.strip()) if header is not None else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(span, 16):
        return None
    return f"00-{trace}-{span}-{flags}"


def parent_of(record: Record) -> Parent | None:
    """The client's span, if it said so."""
    if record.trace is None:
        return None
    _, trace, span, flags = record.trace.split("-")
    return Parent(int(trace, 16), int(span, 16), bool(int(flags, 16) & 1))


def ids_of(record: Record) -> tuple[int, int]:
    """The request's trace, and its own span in it.

    Without a client's trace both are read off the decision's id: who knows one knows the other.
    """
    own = UUID(record.id).int
    parent = parent_of(record)
    return (own if parent is None else parent.trace_id), own & _SPAN
