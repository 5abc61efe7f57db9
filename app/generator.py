"""The Generator: one tier's answer to a request, as a stream of chunks."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Protocol

from app.jsontext import Json
from app.tailor import tailor
from app.tiers import Tier
from app.upstreams.client import Upstream
from app.wire import ChatRequest


class Generator(Protocol):
    """Whoever answers for a tier: a provider, or a recording of one."""

    def generate(self, tier: Tier, request: ChatRequest, tenant: str) -> AsyncGenerator[Json, None]:
        """Normalised chunks: of a stream where the request streams, else one completion.

        Errors: UpstreamError; an answer that is cut off is one.
        """
        ...


class UpstreamGenerator:
    """Asks the tier's provider."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    async def generate(
        self, tier: Tier, request: ChatRequest, tenant: str
    ) -> AsyncGenerator[Json, None]:
        """As the protocol says."""
        body = tailor(tier, request, tenant)
        upstream = self._upstreams[tier.provider]
        async with aclosing(upstream.complete(body, tier.timeouts)) as chunks:
            async for chunk in chunks:
                yield chunk
