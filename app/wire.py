"""A chat request as OpenAI's clients send it; fields we do not know are kept.

Source: openai/openai-openapi, `CreateChatCompletionRequest`.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from app.errors import InvalidJsonError, NotYetError, RequestError
from app.jsontext import parse_json

Json: TypeAlias = dict[str, Any]

ROLES = ("assistant", "developer", "function", "system", "tool", "user")
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

_EXTENSION_KEYS = frozenset({"policy", "task", "stream", "learn"})
_LATER_EXTENSION_KEYS = frozenset(
    {"quality_per_dollar", "max_cost_usd", "conversation", "explore", "dry_run"}
)


@dataclass(frozen=True, slots=True)
class Extension:
    """What the client asks of the gateway itself: `autoshift: {…}` or `x-autoshift-*` headers."""

    policy: str | None = None
    task: str | None = None
    learn: bool = True


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request: `body` as the client sent it, without our extension."""

    body: Json
    model: str
    messages: list[Json]
    stream: bool
    include_usage: bool
    extension: Extension

    @property
    def tools(self) -> list[Json]:
        return [tool for tool in self.body.get("tools") or [] if isinstance(tool, dict)]

    @property
    def json_schema(self) -> Json | None:
        """The schema the answer must fit, if the client gave one."""
        wanted = self.body.get("response_format") or {}
        if wanted.get("type") != "json_schema":
            return None
        schema = (wanted.get("json_schema") or {}).get("schema")
        return schema if isinstance(schema, dict) else {}

    @property
    def wants_json(self) -> bool:
        wanted = self.body.get("response_format") or {}
        return wanted.get("type") in {"json_object", "json_schema"}

    @property
    def token_cap(self) -> int | None:
        caps = (self.body.get("max_completion_tokens"), self.body.get("max_tokens"))
        given = [cap for cap in caps if isinstance(cap, int)]
        return min(given) if given else None

    @property
    def one_tier_only(self) -> bool:
        """Whether one tier must do it all: several choices, token ids, audio, tools under way."""
        body = self.body
        return bool(
            (body.get("n") or 1) > 1
            or body.get("logit_bias")
            or body.get("audio")
            or any(m.get("role") == "tool" or m.get("tool_calls") for m in self.messages)
        )

    def needs(self) -> frozenset[str]:
        """What a tier must be able to do to serve this."""
        needs = set()
        if self.tools or self.body.get("functions"):
            needs.add("tools")
        if self.wants_json:
            needs.add(str(self.body["response_format"]["type"]))
        if self.body.get("logprobs"):
            needs.add("logprobs")
        kinds = {"image_url": "vision", "input_audio": "audio", "file": "files"}
        for part in self._parts():
            if kind := kinds.get(str(part.get("type"))):
                needs.add(kind)
        return frozenset(needs)

    def prompt_tokens(self) -> int:
        """How long the prompt is, roughly: four characters a token, images aside."""
        characters = sum(len(str(part.get("text") or "")) for part in self._parts())
        return characters // 4

    def _parts(self) -> list[Json]:
        return [part for message in self.messages for part in parts(message)]


def parts(message: Json) -> list[Json]:
    """A message's content as a list of parts, whatever form it came in."""
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content or [] if isinstance(part, dict)]


def text_of(message: Json) -> str:
    """The text of a message, parts joined."""
    return "\n".join(str(p.get("text") or "") for p in parts(message) if p.get("type") == "text")


def parse_request(raw: bytes, headers: dict[str, str]) -> ChatRequest:
    """The request in these bytes, with the extension of body and headers.

    Errors: RequestError that names the parameter.
    """
    body = parse_json(raw)
    if not isinstance(body, dict):
        raise InvalidJsonError("the body must be a JSON object")
    extension = _extension(body.pop("autoshift", None), headers)
    model = body.get("model")
    if model is None:
        raise RequestError(
            "model is missing; 'auto' lets the gateway choose",
            code="missing_required_parameter",
            param="model",
        )
    if not isinstance(model, str):
        raise _wrong_type("model", "a string")
    stream = _boolean(body, "stream")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _wrong_type("stream_options", "an object")
    request = ChatRequest(
        body=body,
        model=model,
        messages=_messages(body.get("messages")),
        stream=stream,
        include_usage=stream and bool((options or {}).get("include_usage")),
        extension=extension,
    )
    _check_parameters(body)
    return request


def _messages(messages: object) -> list[Json]:
    if messages is None:
        raise RequestError(
            "messages is missing", code="missing_required_parameter", param="messages"
        )
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array")
    if not messages:
        raise RequestError("messages is empty; it must hold at least one message", param="messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _wrong_type(where, "an object")
        if message.get("role") not in ROLES:
            raise RequestError(
                f"{where}.role must be one of {', '.join(ROLES)}", param=f"{where}.role"
            )
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise _wrong_type(f"{where}.content", "a string or an array of parts")
    return messages


def _check_parameters(body: Json) -> None:
    for name, kind, wanted in (
        ("tools", list, "an array"),
        ("tool_choice", str | dict, "a string or an object"),
        ("response_format", dict, "an object"),
        ("logit_bias", dict, "an object"),
        ("n", int, "an integer"),
        ("max_tokens", int, "an integer"),
        ("max_completion_tokens", int, "an integer"),
    ):
        value = body.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise _wrong_type(name, wanted)
    for name in ("n", "max_tokens", "max_completion_tokens"):
        if isinstance(body.get(name), int) and body[name] < 1:
            raise RequestError(f"{name} is {body[name]}; it must be at least 1", param=name)
    for index, tool in enumerate(body.get("tools") or []):
        _check_tool(tool, f"tools[{index}]")
    if isinstance(body.get("tool_choice"), dict):
        _check_tool(body["tool_choice"], "tool_choice")
    _check_format(body.get("response_format") or {})


def _check_tool(tool: object, where: str) -> None:
    if not isinstance(tool, dict):
        raise _wrong_type(where, "an object")
    for kind in ("function", "custom"):
        inner = tool.get(kind)
        if inner is None:
            continue
        if not isinstance(inner, dict):
            raise _wrong_type(f"{where}.{kind}", "an object")
        if not isinstance(inner.get("name"), str):
            raise _wrong_type(f"{where}.{kind}.name", "a string")


def _check_format(wanted: Json) -> None:
    if wanted and wanted.get("type") not in ("text", "json_object", "json_schema"):
        raise RequestError(
            "response_format.type must be text, json_object or json_schema",
            param="response_format.type",
        )
    if not isinstance(wanted.get("json_schema"), dict | None):
        raise _wrong_type("response_format.json_schema", "an object")


def _extension(given: object, headers: dict[str, str]) -> Extension:
    if given is not None and not isinstance(given, dict):
        raise _wrong_type("autoshift", "an object")
    values: Json = dict(given or {})
    for name in _EXTENSION_KEYS | _LATER_EXTENSION_KEYS:
        header = headers.get(f"x-autoshift-{name.replace('_', '-')}")
        if header is not None:
            values.setdefault(name, header)
    for name, value in values.items():
        where = f"autoshift.{name}"
        if name in _LATER_EXTENSION_KEYS or (name == "stream" and value in ("direct", "auto")):
            raise NotYetError(f"{where}: not yet supported; leave it out", param=where)
        if name not in _EXTENSION_KEYS:
            known = ", ".join(sorted(_EXTENSION_KEYS))
            raise RequestError(f"{where} is unknown; known: {known}", param=where)
        if name == "stream" and value not in (None, "verified"):
            raise RequestError(f"{where} must be 'verified'", param=where)
        if name in {"policy", "task"} and not isinstance(value, str | None):
            raise _wrong_type(where, "a string")
    return Extension(
        policy=values.get("policy"),
        task=values.get("task"),
        learn=_learn(values.get("learn")),
    )


def _learn(value: object) -> bool:
    match value:
        case None | True | "true":
            return True
        case False | "false":
            return False
        case _:
            raise _wrong_type("autoshift.learn", "a boolean")


def _boolean(body: Json, name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _wrong_type(name, "a boolean")
    return bool(value)


def _wrong_type(name: str, wanted: str) -> RequestError:
    return RequestError(f"{name} must be {wanted}", code="invalid_type", param=name)
