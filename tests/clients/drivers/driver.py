"""What every driver in Python shares: a turn a line comes in, what the client saw goes out.

Runs in the client's own environment, so it imports nothing but the standard library.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Seen: TypeAlias = dict[str, Any]

WEATHER_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What the client is to do: `action` with this model and prompt."""

    base_url: str
    action: str
    model: str
    prompt: str
    retries: int


Action: TypeAlias = Callable[[Turn, Seen], Awaitable[None]]


def drive(actions: Mapping[str, Action]) -> None:
    """Do one turn a line until the input ends."""
    asyncio.run(_drive(actions))


async def _drive(actions: Mapping[str, Action]) -> None:
    for line in sys.stdin:
        turn = Turn(**json.loads(line))
        seen: Seen = {}
        try:
            await actions[turn.action](turn, seen)
        except Exception as exc:  # noqa: BLE001 - whatever the client raises is what it saw
            seen["raised"] = _told(exc)
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()


def _told(exc: BaseException) -> Seen:
    """The error as user code can know it: what it is, and what the innermost HTTP error says."""
    told: Seen = {"is": [c.__name__ for c in type(exc).__mro__], "message": str(exc)[:300]}
    for error in _chain(exc):
        if getattr(error, "status_code", None) is not None:
            body = getattr(error, "body", None)
            told["status"] = error.status_code  # type: ignore[attr-defined]
            told["code"] = body.get("code") if isinstance(body, dict) else None
            headers = getattr(getattr(error, "response", None), "headers", {})
            told["retry_after"] = headers.get("retry-after")
    return told


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__
