"""Exact checks of an answer: free, certain, and made before any judge is paid."""

from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from app.answers import Answer, ToolCall
from app.jsontext import Json
from app.judge.hollow import hollow
from app.records import Verdict
from app.wire import ChatRequest

CHECKS = (
    "finished",
    "not_empty",
    "hollow",
    "json",
    "schema",
    "tool",
    "tool_arguments",
    "tool_choice",
    "tool_repetition",
)
REPETITIONS = 3


def check(request: ChatRequest, answer: Answer) -> Verdict | None:
    """A refusal where an exact check fails; None where there is nothing to object to."""
    if answer.finish_reason == "length":
        return _refuse("finished", "the answer was cut off")
    if answer.empty:
        return _refuse("not_empty", "the answer is empty")
    if answer.refusal:
        return None
    choice = _choice(request)
    if answer.tool_calls:
        return _check_tool_calls(request, answer, choice) or _check_repetition(request, answer)
    return _check_text(request, answer, choice)


def _check_text(request: ChatRequest, answer: Answer, choice: "_Choice") -> Verdict | None:
    if choice.required and request.tools:
        return _refuse("tool_choice", "no tool was called, though one had to be")
    nothing_said = hollow(request, answer)
    if nothing_said is not None:
        return _refuse("hollow", nothing_said)
    return _check_json(request, answer.text) if request.wants_json else None


def _check_json(request: ChatRequest, text: str) -> Verdict | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _refuse("json", "the answer is not JSON")
    if request.json_schema is None:
        return None if isinstance(value, dict) else _refuse("json", "the answer is no JSON object")
    return None if _fits(value, request.json_schema) else _refuse("schema", "schema violated")


@dataclass(frozen=True, slots=True)
class _Choice:
    """What `tool_choice` comes to; `names` None is every tool there is."""

    allowed: bool = True
    required: bool = False
    names: frozenset[str] | None = None


def _choice(request: ChatRequest) -> _Choice:
    given = request.body.get("tool_choice")
    if isinstance(given, str):
        return _Choice(allowed=given != "none", required=given == "required")
    if not isinstance(given, dict):
        return _Choice()
    if isinstance(listed := given.get("allowed_tools"), dict):
        tools = [tool for tool in listed.get("tools") or [] if isinstance(tool, dict)]
        names = frozenset(name for tool in tools if (name := _named(tool)))
        return _Choice(required=listed.get("mode") == "required", names=names or None)
    name = _named(given)
    return _Choice() if name is None else _Choice(required=True, names=frozenset({name}))


def _check_tool_calls(request: ChatRequest, answer: Answer, choice: _Choice) -> Verdict | None:
    if not choice.allowed:
        return _refuse("tool_choice", "a tool was called, though none may be")
    known = {name: tool for tool in request.tools if (name := _named(tool))}
    for call in answer.tool_calls:
        if known and call.name not in known:
            return _refuse("tool", "a tool was called that does not exist")
        if choice.names is not None and call.name not in choice.names:
            return _refuse("tool_choice", "another tool was called than those asked for")
        if call.name in known and known[call.name].get("type") == "function":
            refusal = _check_arguments(call, _function(known[call.name]).get("parameters"))
            if refusal is not None:
                return refusal
    return None


def _check_repetition(request: ChatRequest, answer: Answer) -> Verdict | None:
    """Whether the model goes round in circles: the very same calls, time after time."""
    now = [(call.name, call.arguments) for call in answer.tool_calls]
    times = 0
    for message in reversed(request.messages):
        if message["role"] == "user":
            break
        if message.get("tool_calls"):
            functions = [_function(call) for call in message["tool_calls"]]
            if [(f.get("name"), f.get("arguments")) for f in functions] != now:
                break
            times += 1
    if times >= REPETITIONS:
        return _refuse("tool_repetition", "the same tool calls were made again and again")
    return None


def _check_arguments(call: ToolCall, schema: object) -> Verdict | None:
    try:
        arguments = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return _refuse("tool_arguments", "the tool's arguments are not JSON")
    if not isinstance(arguments, dict):
        return _refuse("tool_arguments", "the tool's arguments are no JSON object")
    if isinstance(schema, dict) and not _fits(arguments, schema):
        return _refuse("tool_arguments", "the tool's arguments do not fit its schema")
    return None


def _fits(value: Any, schema: Json) -> bool:
    """Whether the value fits; a schema we cannot use objects to nothing. Nothing is fetched."""
    try:
        validator = jsonschema_rs.validator_for(
            schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
        return validator.is_valid(value)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return True


def _named(choice: object) -> str | None:
    """The name of this tool, or of the tool this choice demands."""
    name = _function(choice).get("name") if isinstance(choice, dict) else None
    return name if isinstance(name, str) else None


def _function(tool: object) -> Json:
    """What a tool, a call or a choice of one says about it."""
    if not isinstance(tool, dict):
        return {}
    inner = tool.get("function") or tool.get("custom")
    return inner if isinstance(inner, dict) else {}


def _refuse(name: str, reason: str) -> Verdict:
    return Verdict(valid=False, by=f"check:{name}", reason=reason, confidence=1.0)
