"""A value that fits a JSON schema, made up around a hint."""

import re

from app.wire import Json

_DEPTH = 8
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
    if schema.get("enum"):
        return schema["enum"][0]
    if isinstance(schema.get("$ref"), str):
        return fitting(_resolve(schema["$ref"], root), hint, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return fitting(schema[word][0], hint, root, depth + 1)
    return _of_type(schema, hint, root, depth)


def _of_type(schema: Json, hint: str, root: Json, depth: int) -> object:
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    value: object
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties") or {}
            value = {k: fitting(inner, hint, root, depth + 1) for k, inner in properties.items()}
        case "array":
            count = min(max(int(schema.get("minItems") or 1), 0), _DEPTH)
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
            longest = schema.get("maxLength")
            text = hint[:longest] if isinstance(longest, int) else hint
            return text.ljust(int(schema.get("minLength") or 0), "…")


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
