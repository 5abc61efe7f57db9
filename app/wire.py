"""A chat request as OpenAI's clients send it; fields we do not know are kept.

Source: openai/openai-openapi, `CreateChatCompletionRequest`.
"""

from dataclasses import dataclass, field

from app.errors import InvalidJsonError, RequestError
from app.extension import Extension, parse_extension
from app.jsontext import Json, number_of, parse_json
from app.parameters import check_parameters, wrong_type

ROLES = ("assistant", "developer", "function", "system", "tool", "user")
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

_PART_NEEDS = {"image_url": "vision", "input_audio": "audio", "file": "files"}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request: `body` as the client sent it, without our extension.

    `sample`: which of a tier's answers to it this asks for; from 1 on it is asked once more.
    """

    body: Json
    model: str
    messages: list[Json]
    stream: bool
    include_usage: bool
    extension: Extension
    sample: int = field(default=0, kw_only=True)

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
        """The most tokens the client wants, the smaller of the two names it may have given."""
        caps = (self.body.get("max_completion_tokens"), self.body.get("max_tokens"))
        given = [int(cap) for value in caps if (cap := number_of(value)) is not None]
        return min(given, default=None)

    @property
    def single(self) -> bool:
        """Whether one tier must do it all, unjudged: several choices, token ids, provider state."""
        body = self.body
        return bool(
            (body.get("n") or 1) > 1
            or body.get("logit_bias")
            or body.get("audio")
            or any(_file_id(part.get("file")) for part in self._parts())
            or any(message.get("audio") for message in self.messages)
        )

    @property
    def tool_turn(self) -> bool:
        """Whether tools are under way: what follows belongs to the tier that called them."""
        return any(
            message["role"] in ("tool", "function") or message.get("tool_calls")
            for message in self.messages
        )

    @property
    def bound(self) -> bool:
        """Whether the answer cannot be judged or moved, so that it teaches nothing."""
        return self.single or self.tool_turn

    def needs(self) -> frozenset[str]:
        """What a tier must be able to do to serve this."""
        body = self.body
        wanted = {
            "tools": bool(self.tools or body.get("functions")),
            "custom_tools": any(tool.get("type") == "custom" for tool in self.tools),
            "logprobs": bool(body.get("logprobs")),
            "web_search": body.get("web_search_options") is not None,
            "moderation": body.get("moderation") is not None,
            "prefill": self.messages[-1]["role"] == "assistant",
        }
        needs = {need for need, is_wanted in wanted.items() if is_wanted}
        if self.wants_json:
            needs.add(str(body["response_format"]["type"]))
        kinds = {_PART_NEEDS.get(str(part.get("type"))) for part in self._parts()}
        if body.get("audio"):
            kinds.add("audio")
        return frozenset(needs | {kind for kind in kinds if kind is not None})

    def prompt_tokens(self) -> int:
        """How long the prompt is, roughly: four characters a token, images aside."""
        characters = sum(len(str(part.get("text") or "")) for part in self._parts())
        return characters // 4

    def _parts(self) -> list[Json]:
        return [part for message in self.messages for part in parts(message)]


def _file_id(file: object) -> object:
    return file.get("file_id") if isinstance(file, dict) else None


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
    extension = parse_extension(body.pop("autoshift", None), headers)
    model = body.get("model")
    if model is None:
        raise RequestError(
            "model is missing; 'auto' lets the gateway choose",
            code="missing_required_parameter",
            param="model",
        )
    if not isinstance(model, str):
        raise wrong_type("model", "a string")
    check_parameters(body)
    stream = bool(body.get("stream"))
    options = body.get("stream_options") or {}
    return ChatRequest(
        body=body,
        model=model,
        messages=_messages(body.get("messages")),
        stream=stream,
        include_usage=stream and bool(options.get("include_usage")),
        extension=extension,
    )


def _messages(messages: object) -> list[Json]:
    if messages is None:
        raise RequestError(
            "messages is missing", code="missing_required_parameter", param="messages"
        )
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array")
    if not messages:
        raise RequestError("messages is empty; it must hold at least one message", param="messages")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise wrong_type(where, "an object")
        if message.get("role") not in ROLES:
            raise RequestError(
                f"{where}.role must be one of {', '.join(ROLES)}", param=f"{where}.role"
            )
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise wrong_type(f"{where}.content", "a string or an array of parts")
        _check_calls(message.get("tool_calls"), f"{where}.tool_calls")
    return messages


def _check_calls(calls: object, where: str) -> None:
    if calls is None:
        return
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise wrong_type(where, "an array of objects")
