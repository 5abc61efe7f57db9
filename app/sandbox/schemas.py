"""A value that fits a JSON schema, made up around a hint."""

import re

from app.jsontext import Json

_DEPTH = 8
_LONGEST = 1000
_WHOLE = re.compile(r"-?\d{1,15}")
_DECIMAL = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")


def fitting(schema: object, hint: str, root: Json | None = None, depth: int = 0) -> object:
    """A value for this schema; strings and numbers say the hint where they can.

    Knows what strict mode at OpenAI allows: objects, arrays, enum, const, anyOf and `$ref`.
    """
    if not isinstance(schema, dict) or depth > _DEPTH:
        return hint
    root = schema if root is None else root
    if "const" in schema:
        return schema["const"]
    if options := _options(schema, "enum"):
        return options[0]
    if isinstance(schema.get("$ref"), str):
        return fitting(_resolve(schema["$ref"], root), hint, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if options := _options(schema, word):
            return fitting(options[0], hint, root, depth + 1)
    return _of_type(schema, hint, root, depth)


def _of_type(schema: Json, hint: str, root: Json, depth: int) -> object:
    kinds = _options(schema, "type")
    value: object
    match kinds[0] if kinds else schema.get("type", _implied_type(schema)):
        case "object":
            inner = schema.get("properties")
            properties = inner if isinstance(inner, dict) else {}
            value = {k: fitting(v, hint, root, depth + 1) for k, v in properties.items()}
        case "array":
            count = min(_size(schema, "minItems") or 1, _DEPTH)
            value = [fitting(schema.get("items"), hint, root, depth + 1) for _ in range(count)]
        case "integer":
            value = _within(schema, int(hint) if _WHOLE.fullmatch(hint) else 1)
        case "number":
            value = _within(schema, float(hint) if _DECIMAL.fullmatch(hint) else 1.0)
        case "boolean":
            value = True
        case "null":
            value = None
        case _:
            value = _string(schema, hint)
    return value


def _string(schema: Json, hint: str) -> str:
    match schema.get("format"):
        case "date":
            return "2026-01-01"
        case "date-time":
            return "2026-01-01T12:00:00Z"
        case _:
            text = hint[: _size(schema, "maxLength") or len(hint)]
            return text.ljust(min(_size(schema, "minLength"), _LONGEST), "…")


def _options(schema: Json, key: str) -> list[object]:
    """The list under this key; empty where there is none."""
    found = schema.get(key)
    return found if isinstance(found, list) else []


def _size(schema: Json, key: str) -> int:
    """The length under this key; 0 where there is none."""
    found = schema.get(key)
    return max(found, 0) if isinstance(found, int) else 0


def _implied_type(schema: Json) -> str:
    return "object" if "properties" in schema else "string"


def _within(schema: Json, value: float) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    value = max(value, low) if isinstance(low, int | float) else value
    return min(value, high) if isinstance(high, int | float) else value


def _resolve(reference: str, root: Json) -> object:
    found: object = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if not isinstance(found, dict):
            return {}
        found = found.get(step, {}) if step else found
    return found
