"""The retriever: a question that a tenant asks again is not embedded again."""

from pathlib import Path

import pytest
from typing_extensions import override

from app.clock import SystemClock
from app.embedder import StaticEmbedder
from app.records import Vector
from app.retriever import REMEMBERED, Retriever
from app.store import EdgeStore
from app.wire import parse_request
from tests.bench.load import chat
from tests.support.records import record

pytestmark = pytest.mark.anyio


class Counting(StaticEmbedder):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    @override
    async def embed(self, text: str) -> Vector | None:
        self.asked += 1
        return await super().embed(text)


@pytest.fixture
def embedder() -> Counting:
    return Counting()


@pytest.fixture
def retriever(tmp_path: Path, embedder: Counting) -> Retriever:
    store = EdgeStore(tmp_path, dimension=embedder.dimension)
    return Retriever(embedder=embedder, store=store, clock=SystemClock())


async def embed(retriever: Retriever, text: str, tenant: str = "local") -> Vector | None:
    return await retriever.embed(parse_request(chat("auto", text), {}), record(tenant=tenant))


async def test_a_repeated_question_is_embedded_once(
    retriever: Retriever, embedder: Counting
) -> None:
    first = await embed(retriever, "What is a river?")
    again = await embed(retriever, "What is a river?")
    other = await embed(retriever, "What is a violin?")
    assert first is not None
    assert other is not None
    assert (first == again).all()
    assert not (first == other).all()
    assert embedder.asked == 2


async def test_what_another_tenant_asked_is_not_remembered_for_this_one(
    retriever: Retriever, embedder: Counting
) -> None:
    await embed(retriever, "What is a river?", "mine")
    await embed(retriever, "What is a river?", "yours")
    assert embedder.asked == 2


async def test_what_is_erased_is_forgotten(retriever: Retriever, embedder: Counting) -> None:
    for tenant in ("mine", "yours"):
        await embed(retriever, "What is a river?", tenant)
    retriever.forget("mine")
    for tenant in ("mine", "yours"):
        await embed(retriever, "What is a river?", tenant)
    assert embedder.asked == 3


async def test_what_was_asked_long_ago_makes_way(retriever: Retriever, embedder: Counting) -> None:
    for number in range(REMEMBERED + 1):
        await embed(retriever, f"What is {number}?")
    await embed(retriever, "What is 0?")
    await embed(retriever, f"What is {REMEMBERED}?")
    assert embedder.asked == REMEMBERED + 2
