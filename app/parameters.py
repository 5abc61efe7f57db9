"""The parameters of a chat request: what form each must have, and which are mere hints.

Source: openai/openai-openapi, `CreateChatCompletionRequest`. A parameter that is null is absent;
one that is not in the table is a provider's own, and passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from app.errors import RequestError
from app.jsontext import Json, number_of

Kind: TypeAlias = Literal["boolean", "integer", "number", "string", "array", "object"]

INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter's form.

    Units: `low` and `high` bound a number; `most` the items of an array, the keys of an object or
    the characters of a string.
    """

    kinds: tuple[Kind, ...]
    low: float | None = None
    high: float | None = None
    most: int | None = None


_BOOLEAN = Parameter(("boolean",))
_STRING = Parameter(("string",))
_OBJECT = Parameter(("object",))
_PENALTY = Parameter(("number",), -2, 2)
_COUNT = Parameter(("integer",), 1, INT64 - 1)
_CHOICE = Parameter(("string", "object"))

PARAMETERS: Mapping[str, Parameter] = {
    "audio": _OBJECT,
    "frequency_penalty": _PENALTY,
    "function_call": _CHOICE,
    "functions": Parameter(("array",), most=128),
    "logit_bias": _OBJECT,
    "logprobs": _BOOLEAN,
    "max_completion_tokens": _COUNT,
    "max_tokens": _COUNT,
    "metadata": Parameter(("object",), most=16),
    "modalities": Parameter(("array",)),
    "moderation": _OBJECT,
    "n": Parameter(("integer",), 1, 128),
    "parallel_tool_calls": _BOOLEAN,
    "prediction": _OBJECT,
    "presence_penalty": _PENALTY,
    "prompt_cache_key": _STRING,
    "prompt_cache_options": _OBJECT,
    "prompt_cache_retention": _STRING,
    "reasoning_effort": _STRING,
    "response_format": _OBJECT,
    "safety_identifier": Parameter(("string",), most=128),
    "seed": Parameter(("integer",), -INT64, INT64 - 1),
    "service_tier": _STRING,
    "stop": Parameter(("string", "array"), most=4),
    "store": _BOOLEAN,
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "temperature": Parameter(("number",), 0, 2),
    "tool_choice": _CHOICE,
    "tools": Parameter(("array",), most=128),
    "top_logprobs": Parameter(("integer",), 0, 20),
    "top_p": Parameter(("number",), 0, 1),
    "user": _STRING,
    "verbosity": _STRING,
    "web_search_options": _OBJECT,
}
"""All but `model` and `messages`, which `wire.py` reads itself."""

HINTS = frozenset(
    {
        "frequency_penalty",
        "metadata",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "top_p",
        "user",
        "verbosity",
    }
)
"""Without them the answer is still an answer to what was asked."""


def check_parameters(body: Json) -> None:
    """Errors: RequestError that names the parameter and says what it must be."""
    for name, value in body.items():
        parameter = PARAMETERS.get(name)
        if parameter is not None and value is not None:
            _check_form(name, value, parameter)
    _check_strings("stop", body.get("stop"))
    _check_strings("modalities", body.get("modalities"))
    _check_biases(body.get("logit_bias") or {})
    _check_metadata(body.get("metadata") or {})
    for group in ("tools", "functions"):
        for index, tool in enumerate(body.get(group) or []):
            _check_tool(tool, f"{group}[{index}]")
    if isinstance(body.get("tool_choice"), dict):
        _check_tool(body["tool_choice"], "tool_choice")
    _check_format(body.get("response_format") or {})


def wrong_type(name: str, wanted: str) -> RequestError:
    """The error for a value of the wrong JSON type."""
    return RequestError(f"{name} must be {wanted}", code="invalid_type", param=name)


def _check_form(name: str, value: object, parameter: Parameter) -> None:
    if not any(_is(kind, value) for kind in parameter.kinds):
        raise wrong_type(name, " or ".join(_A[kind] for kind in parameter.kinds))
    number = number_of(value)
    if number is not None:
        _check_range(name, number, parameter)
    if parameter.most is None or (isinstance(value, str) and "array" in parameter.kinds):
        return
    if isinstance(value, str | list | dict) and len(value) > parameter.most:
        what = {str: "characters", list: "items", dict: "keys"}[type(value)]
        raise RequestError(
            f"{name} has {len(value)} {what}; at most {parameter.most} are allowed", param=name
        )


def _check_range(name: str, number: float, parameter: Parameter) -> None:
    low, high = parameter.low, parameter.high
    if low is not None and number < low:
        raise RequestError(f"{name} is {number:g}; it must be at least {low:g}", param=name)
    if high is not None and number > high:
        raise RequestError(f"{name} is {number:g}; it must be at most {high:g}", param=name)


_A: Mapping[Kind, str] = {
    "boolean": "a boolean",
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "array": "an array",
    "object": "an object",
}


def _is(kind: Kind, value: object) -> bool:
    match kind:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            number = number_of(value)
            return number is not None and not isinstance(number, float)
        case "number":
            return number_of(value) is not None
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)


def _check_strings(name: str, value: object) -> None:
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise wrong_type(name, "an array of strings")


def _check_biases(biases: Json) -> None:
    for bias in biases.values():
        number = number_of(bias)
        if number is None:
            raise wrong_type("logit_bias", "an object of numbers")
        _check_range("logit_bias", number, Parameter(("number",), -100, 100))


def _check_metadata(metadata: Json) -> None:
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise wrong_type("metadata", "an object of strings")
        if len(key) > _METADATA_KEY or len(value) > _METADATA_VALUE:
            raise RequestError(
                f"metadata has a key over {_METADATA_KEY} or a value over {_METADATA_VALUE} "
                "characters",
                param="metadata",
            )


_METADATA_KEY, _METADATA_VALUE = 64, 512


def _check_tool(tool: object, where: str) -> None:
    if not isinstance(tool, dict):
        raise wrong_type(where, "an object")
    for kind in ("function", "custom"):
        inner = tool.get(kind)
        if inner is None:
            continue
        if not isinstance(inner, dict):
            raise wrong_type(f"{where}.{kind}", "an object")
        if not isinstance(inner.get("name"), str):
            raise wrong_type(f"{where}.{kind}.name", "a string")


def _check_format(wanted: Json) -> None:
    if wanted and wanted.get("type") not in ("text", "json_object", "json_schema"):
        raise RequestError(
            "response_format.type must be text, json_object or json_schema",
            param="response_format.type",
        )
    if not isinstance(wanted.get("json_schema"), dict | None):
        raise wrong_type("response_format.json_schema", "an object")
