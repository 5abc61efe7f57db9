"""Asking a tier again: the same question once more, or with another prompt."""

from collections.abc import Sequence
from dataclasses import replace

from app.jsontext import Json
from app.records import Arrival, Attempt
from app.wire import ChatRequest

AGAIN: frozenset[Arrival] = frozenset({"resample", "reprompt"})
PROMPT = (
    "Work through this step by step: say what is asked, solve it, and check the result in another "
    "way. Then give the final answer in just the form that was asked for."
)
"""The other prompt. Source: Adaptive-Solver (Zhou et al. 2023, arXiv 2310.01446)."""


def varies(request: ChatRequest) -> bool:
    """Whether the same question again may bring another answer."""
    return request.body.get("seed") is None and request.body.get("temperature") != 0


def again(
    request: ChatRequest, arrived: Arrival, tier: str, attempts: Sequence[Attempt]
) -> ChatRequest:
    """The request for this call: itself, but where its tier is asked once more."""
    if arrived not in AGAIN:
        return request
    sample = sum(attempt.tier == tier for attempt in attempts)
    request = replace(request, sample=sample)
    if arrived == "resample" or request.wants_json or request.tools:
        return request
    messages = _prompted(request.messages)
    return replace(request, messages=messages, body=request.body | {"messages": messages})


def _prompted(messages: list[Json]) -> list[Json]:
    """Behind the instructions there are, before the conversation."""
    at = next(
        (n for n, m in enumerate(messages) if m["role"] not in {"system", "developer"}),
        len(messages),
    )
    return [*messages[:at], {"role": "system", "content": PROMPT}, *messages[at:]]
