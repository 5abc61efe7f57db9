"""The Generator: one tier's answer to a request, as a stream of chunks."""

from collections.abc import AsyncGenerator
from typing import Protocol

from app.jsontext import Json
from app.tailor import tailor
from app.tiers import Tier
from app.upstreams.turns import Exchange
from app.wire import ChatRequest


class Generator(Protocol):
    """Whoever answers for a tier: a provider, or a recording of one."""

    def generate(self, tier: Tier, request: ChatRequest, tenant: str) -> AsyncGenerator[Json, None]:
        """Normalised chunks: of a stream where the request streams, else one completion.

        Errors: UpstreamError; an answer that is cut off is one.
        """
        ...


class UpstreamGenerator:
    """Asks the tier's upstreams."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def generate(self, tier: Tier, request: ChatRequest, tenant: str) -> AsyncGenerator[Json, None]:
        """As the protocol says."""
        return self._exchange.complete(tier, tailor(tier, request, tenant))
