"""What of a request one tier's provider gets: its own names and limits, nothing it rejects."""

import hashlib
import re
from itertools import islice

from app.jsontext import Json
from app.parameters import HINTS, PARAMETERS
from app.tiers import Tier
from app.wire import ChatRequest

_OURS = frozenset({"model", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
_PRIVATE = frozenset({"metadata", "safety_identifier", "store", "user"})
"""They identify users or keep their data elsewhere: for tiers `trusted_with` them only."""

DENIED = frozenset(
    {
        "api_base",
        "api_key",
        "api_version",
        "aws_bedrock_runtime_endpoint",
        "azure_ad_token",
        "azure_endpoint",
        "base_url",
        "callbacks",
        "custom_llm_provider",
        "default_headers",
        "extra_headers",
        "extra_query",
        "failure_callback",
        "fallbacks",
        "headers",
        "mock_response",
        "model_list",
        "organization",
        "proxies",
        "success_callback",
        "user_config",
        "vertex_credentials",
    }
)
TOLD = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DENIED_STARTS = ("litellm_", "proxy")


def tailor(tier: Tier, request: ChatRequest, tenant: str) -> Json:
    """The client's body as this tier's provider should get it; unknown fields go along.

    Usage is always asked for. Keys with which other gateways let a caller redirect a request or its
    key are taken out of whatever we do not know, at every depth; what we do know (messages, tools,
    schemas) is data, and stays as it is.
    """
    body: Json = {"model": tier.model}
    for name, value in request.body.items():
        kept = _kept(tier, name, value, tenant)
        if kept is not None:
            body[name] = kept
    if request.token_cap is not None:
        caps = [request.token_cap, tier.max_output_tokens]
        body[tier.token_param] = min(cap for cap in caps if cap is not None)
    if request.stream:
        options = request.body.get("stream_options") or {}
        body |= {"stream": True, "stream_options": {**options, "include_usage": True}}
    return body


def left_out(tier: Tier, request: ChatRequest) -> tuple[str, ...]:
    """The client's parameters that this tier does not get; the first few, by names that are names.

    They are told in a header and kept on records, and whoever asks may call them anything.
    """
    names = (
        name
        for name, value in request.body.items()
        if name not in _OURS
        and value is not None
        and _NAME.fullmatch(name)
        and _kept(tier, name, value, "") is None
    )
    return tuple(islice(names, TOLD))


def rejected(tier: Tier, request: ChatRequest) -> str | None:
    """The first parameter of the request that this tier neither takes nor may go without."""
    for name in sorted(tier.drops):
        if request.body.get(name) is None:
            continue
        droppable = name in HINTS if tier.on_unsupported is None else tier.on_unsupported == "drop"
        if not droppable:
            return name
    return None


def _kept(tier: Tier, name: str, value: object, tenant: str) -> object | None:
    """The parameter's value for this tier; None where it does not get it."""
    if name in _OURS or name in tier.drops or (name in _PRIVATE and name not in tier.trusted_with):
        return None
    match name:
        case "messages" if not tier.developer_role:
            return [_as_system(message) for message in value] if isinstance(value, list) else value
        case "prompt_cache_key":
            # Tenants share the gateway's account at the provider; their caches must not meet.
            return hashlib.blake2b(f"{tenant}\0{value}".encode(), digest_size=16).hexdigest()
        case _ if name in tier.maps and isinstance(value, str):
            return tier.maps[name].get(value, value)
        case _ if name in PARAMETERS or name == "messages":
            return value
        case _:
            return None if _denied(name) else _without_denied(value)


def _as_system(message: Json) -> Json:
    return {**message, "role": "system"} if message.get("role") == "developer" else message


def _denied(name: str) -> bool:
    plain = name.lower().replace("-", "_")
    return plain in DENIED or plain.startswith(DENIED_STARTS)


def _without_denied(value: object) -> object:
    match value:
        case dict():
            return {k: _without_denied(inner) for k, inner in value.items() if not _denied(k)}
        case list():
            return [_without_denied(inner) for inner in value]
        case _:
            return value
