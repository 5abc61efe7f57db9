"""The tool calls a simulated model makes, and what it makes of their results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import orjson

from app.errors import InvalidJsonError
from app.jsontext import Json, dump_json, parse_json
from app.sandbox.asked import asked_text, tool_turns
from app.sandbox.models import chance
from app.sandbox.questions import Solved
from app.sandbox.schemas import fitting
from app.wire import ChatRequest, text_of

_WANTS_TOOL = re.compile(
    r"\b(?:weather|look ?up|search|find|call|use|get|fetch|check)\b", re.IGNORECASE
)
_PLACE = re.compile(r"\b(?:in|for|at|of|to) ([A-Z]\w+(?: [A-Z]\w+)*)")
_FAILED = re.compile(r"\W*(?:error|exception|traceback|failed)\b", re.IGNORECASE)
_TRIES = 2


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model makes it; `arguments` are JSON in a string."""

    id: str
    name: str
    arguments: str


def offers(request: ChatRequest, solved: Solved) -> bool:
    """Whether the request lets the model make the calls that its question wants."""
    choice = request.body.get("tool_choice")
    free = choice in (None, "auto", "required")
    return free and bool(solved.tools) and all(tool in request.tools for tool in solved.tools)


def calls_of(answer: str, request: ChatRequest) -> tuple[ToolCall, ...]:
    """The calls that this answer, a JSON array, consists of; one where the client wants no more."""
    calls = orjson.loads(answer)
    if request.body.get("parallel_tool_calls") is False:
        calls = calls[:1]
    return tuple(
        _call(request, position, call["name"], call["arguments"])
        for position, call in enumerate(calls)
    )


def said_of(calls: Sequence[object]) -> str:
    """The answer, a JSON array, that these calls of a message or of a judge's data make up."""
    said = [
        {"name": inner.get("name"), "arguments": _parsed(inner.get("arguments"))}
        for inner in map(_called, calls)
    ]
    return dump_json(said).decode()


def made_up_calls(request: ChatRequest) -> tuple[ToolCall, ...]:
    """One call of a tool we know nothing of, where it is demanded or the text sounds like it."""
    choice = request.body.get("tool_choice")
    may_decline = choice is None or choice == "auto"
    text = asked_text(request)
    after_tool = bool(tool_turns(request))
    if choice == "none" or (may_decline and (after_tool or not _WANTS_TOOL.search(text))):
        return ()
    functions = [inner for tool in request.tools if isinstance(inner := tool.get("function"), dict)]
    if isinstance(choice, dict) and isinstance(named := choice.get("function"), dict):
        functions = [inner for inner in functions if inner.get("name") == named.get("name")]
    if not functions:
        return ()
    place = _PLACE.search(text)
    arguments = fitting(functions[0].get("parameters") or {}, place[1] if place else text)
    return (_call(request, 0, str(functions[0].get("name")), arguments),)


def tool_rounds(request: ChatRequest) -> list[list[str]]:
    """What the tools gave since the last user turn: a list of results for each round of calls."""
    rounds: list[list[str]] = []
    for turn in tool_turns(request):
        if turn["role"] != "tool":
            rounds.append([])
        elif rounds:
            rounds[-1].append(text_of(turn))
        else:
            rounds.append([text_of(turn)])
    return rounds


def failures(rounds: Sequence[Sequence[str]]) -> int:
    """How many rounds in a row, up to the last one, had an error among their results."""
    return len(list(takewhile(lambda results: any(map(_is_failure, results)), reversed(rounds))))


def may_try_again(request: ChatRequest) -> bool:
    """Whether the tools failed, but not too often yet, and may still be called."""
    callable_still = bool(request.tools) and request.body.get("tool_choice") != "none"
    return callable_still and 0 < failures(tool_rounds(request)) < _TRIES


def repeated_calls(request: ChatRequest) -> tuple[ToolCall, ...]:
    """The last calls once more, as they were."""
    for turn in reversed(tool_turns(request)):
        if isinstance(calls := turn.get("tool_calls"), list):
            return tuple(
                _call(request, i, str(inner.get("name")), _parsed(inner.get("arguments")))
                for i, inner in enumerate(map(_called, calls))
            )
    return ()


def _called(call: object) -> Json:
    """What a call calls; as the wire has it, or already taken out of its wrapping."""
    outer = call if isinstance(call, dict) else {}
    inner = outer.get("function", outer)
    return inner if isinstance(inner, dict) else {}


def _is_failure(result: str) -> bool:
    found = _parsed(result)
    if isinstance(found, dict):
        return bool(found.get("error"))
    return bool(_FAILED.match(result))


def _call(request: ChatRequest, position: int, name: str, arguments: object) -> ToolCall:
    """A call whose id no other call of this conversation has."""
    share = chance("call", asked_text(request), len(request.messages), position)
    written = dump_json(arguments if isinstance(arguments, dict) else {}).decode()
    return ToolCall(id=f"call_{int(share * 2**48):012x}", name=name, arguments=written)


def _parsed(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        parsed: object = parse_json(text.encode())
    except (ValueError, InvalidJsonError):
        return text
    return parsed
