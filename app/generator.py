"""The Generator: one tier's answer to a request, as a stream of chunks."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Protocol

from app.tiers import Tier
from app.upstreams.client import Upstream
from app.wire import ChatRequest, Json

_TOKEN_PARAMS = ("max_tokens", "max_completion_tokens")


class Generator(Protocol):
    """Whoever answers for a tier: a provider, or a recording of one."""

    def generate(self, tier: Tier, request: ChatRequest) -> AsyncGenerator[Json, None]:
        """Normalised chunks: of a stream where the request streams, else one completion.

        Errors: UpstreamError; an answer that is cut off is one.
        """
        ...


class UpstreamGenerator:
    """Asks the tier's provider."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    async def generate(self, tier: Tier, request: ChatRequest) -> AsyncGenerator[Json, None]:
        """As the protocol says."""
        upstream = self._upstreams[tier.provider]
        async with aclosing(upstream.complete(upstream_body(tier, request), tier.timeouts)) as got:
            async for chunk in got:
                yield chunk


def upstream_body(tier: Tier, request: ChatRequest) -> Json:
    """The client's body as this tier's provider should get it; unknown fields go along.

    Usage is always asked for. `store` stays here: it leaves the user's data with a third party.
    """
    left_out = {"store", "stream", "stream_options", *_TOKEN_PARAMS}
    body = {key: value for key, value in request.body.items() if key not in left_out}
    body["model"] = tier.model
    if request.token_cap is not None:
        body[tier.token_param] = request.token_cap
    if request.stream:
        body["stream"] = True
        given = request.body.get("stream_options") or {}
        body["stream_options"] = {**given, "include_usage": True}
    return body
