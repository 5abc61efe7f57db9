"""Exact checks of an answer: free, certain, and made before any judge is paid."""

from typing import Any

import jsonschema_rs
import orjson

from app.answers import Answer, ToolCall
from app.jsontext import Json
from app.records import Verdict
from app.wire import ChatRequest

CHECKS = ("finished", "not_empty", "json", "schema", "tool", "tool_arguments", "tool_choice")


def check(request: ChatRequest, answer: Answer) -> Verdict | None:
    """A refusal where an exact check fails; None where there is nothing to object to."""
    if answer.finish_reason == "length":
        return _refuse("finished", "the answer was cut off")
    if answer.empty:
        return _refuse("not_empty", "the answer is empty")
    if answer.refusal:
        return None
    if answer.tool_calls:
        return _check_tool_calls(request, answer)
    if _must_call(request):
        return _refuse("tool_choice", "no tool was called, though one had to be")
    return _check_json(request, answer.text) if request.wants_json else None


def _check_json(request: ChatRequest, text: str) -> Verdict | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _refuse("json", "the answer is not JSON")
    if request.json_schema is None:
        return None if isinstance(value, dict) else _refuse("json", "the answer is no JSON object")
    return None if _fits(value, request.json_schema) else _refuse("schema", "schema violated")


def _check_tool_calls(request: ChatRequest, answer: Answer) -> Verdict | None:
    choice = request.body.get("tool_choice")
    named = _named(choice)
    if choice == "none":
        return _refuse("tool_choice", "a tool was called, though none may be")
    known = {name: tool for tool in request.tools if (name := _named(tool))}
    for call in answer.tool_calls:
        if known and call.name not in known:
            return _refuse("tool", "a tool was called that does not exist")
        if named is not None and call.name != named:
            return _refuse("tool_choice", "another tool was called than the one asked for")
        if call.name in known and known[call.name].get("type") == "function":
            refusal = _check_arguments(call, _function(known[call.name]).get("parameters"))
            if refusal is not None:
                return refusal
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


def _must_call(request: ChatRequest) -> bool:
    choice = request.body.get("tool_choice")
    return bool(request.tools) and (choice == "required" or _named(choice) is not None)


def _named(choice: object) -> str | None:
    """The name of this tool, or of the tool this choice demands."""
    name = _function(choice).get("name") if isinstance(choice, dict) else None
    return name if isinstance(name, str) else None


def _function(tool: Json) -> Json:
    """What a tool, or a choice of one, says about it."""
    inner = tool.get("function") or tool.get("custom")
    return inner if isinstance(inner, dict) else {}


def _refuse(name: str, reason: str) -> Verdict:
    return Verdict(valid=False, by=f"check:{name}", reason=reason, confidence=1.0)
