"""The strategies: a collection of their own, in which they are found, written down and erased."""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass

from app.advice import can_be_advised, read_strategy, writing_request
from app.answers import Answer
from app.archive import Archive
from app.asking import accounted
from app.clock import Clock
from app.errors import StoreError, UpstreamError
from app.events import Order
from app.generator import Generator
from app.lessons import Lesson, Served
from app.neighbours import Neighbour
from app.policy import Strategist, Strategy
from app.recorder import Recorder, RecordSink
from app.records import Attempt, Record, Vector
from app.settings import Settings
from app.settings.configuration import secret
from app.store import Outbox, RecordStore, build_outbox, build_store
from app.store.wanted import Sought

logger = logging.getLogger(__name__)

SEARCH_S = 0.5
WRITING_S = 120.0
TO_ERASE = 1_000


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where strategies are kept: as records, each with the id of the decision it is from.

    So they are of the same tenant and key, and whatever erases a decision can erase them.
    """

    store: RecordStore
    outbox: Outbox
    recorder: Recorder
    archive: Archive


def build_shelf(settings: Settings, *, dimension: int) -> Shelf | None:
    """The shelf, not yet open; None where strategies neither are nor were written.

    What was written before is there to be erased. On a server that cannot be seen beforehand.
    """
    section = settings.store
    path = section.path / "strategies"
    there = section.url is None and path.is_dir()
    if not (settings.inter_cascade.strategies or there):
        return None
    section = section.model_copy(
        update={"path": path, "collection": f"{section.collection}-strategies"}
    )
    api_key = secret(section.api_key_env, wanted_by="store")
    store = build_store(section, dimension=dimension, api_key=api_key)
    outbox = build_outbox(section)
    recorder = Recorder(store, outbox, lambda _record, _acknowledged: None)
    archive = Archive(recorder=recorder, store=store, outbox=outbox)
    return Shelf(store, outbox, recorder, archive)


class Strategies:
    """One gateway's. Without a shelf there are none.

    `records` keeps the decisions that they are from. Errors: none; serving never waits for more
    than a search, and goes on without.
    """

    def __init__(
        self,
        shelf: Shelf | None,
        *,
        embedder: str,
        records: RecordSink,
        generator: Generator,
        clock: Clock,
    ) -> None:
        self.shelf = shelf
        self._embedder = embedder
        self._records = records
        self._generator = generator
        self._clock = clock
        self._useless: asyncio.Queue[tuple[str, str]] = asyncio.Queue(TO_ERASE)

    async def near(
        self, order: Order, vector: Vector | None, record: Record
    ) -> tuple[Strategy, ...]:
        """What this key's similar questions left behind, the most similar first.

        What does not help is left out, and erased.
        """
        policy = order.policy
        if self.shelf is None or vector is None or not isinstance(policy, Strategist):
            return ()
        if not policy.strategies or not can_be_advised(order.request):
            return ()
        found = []
        for near in await self._search(self.shelf, vector, record, policy.strategies):
            tier, text = near.record.attempts[0].tier, near.record.text
            if near.record.principal != record.principal or text is None:
                continue
            if policy.helps(record, near.record.id):
                found.append(Strategy(near.record.id, tier, text, near.similarity))
            elif not self._useless.full():
                self._useless.put_nowait((near.record.id, near.record.tenant))
        return tuple(found)

    def writer(self, served: Served) -> str | None:
        """The tier that is to write one after this request; None: nobody."""
        policy = served.order.policy
        if self.shelf is None or served.vector is None or not isinstance(policy, Strategist):
            return None
        return policy.written_by(served.record) if can_be_advised(served.order.request) else None

    async def write(self, served: Served, tier: str, lesson: Lesson) -> None:
        """Have the tier write one, and keep it; what that cost is noted on the lesson."""
        order, record = served.order, served.record
        refused = next(at for at, attempt in enumerate(record.attempts) if attempt.refused)
        by = order.ladder[tier]
        request = writing_request(
            by, order.request, served.answers[refused], served.answers[record.served or 0]
        )
        if not await order.purse.for_answer(by, request):
            return
        attempt, answer = Attempt(tier, "lesson"), Answer()
        lesson.writing = attempt
        chunks = self._generator.generate(by, request, order.tenant)
        try:
            with accounted(by, attempt, answer, self._clock):
                async with asyncio.timeout(WRITING_S), aclosing(chunks):
                    async for chunk in chunks:
                        answer.add(chunk, keep=False)
                attempt.outcome = "complete"
        except UpstreamError:
            return  # it is on the attempt
        finally:
            order.purse.settle(attempt.paid_usd, attempt.usage)
        text = read_strategy(answer.text)
        if text is not None:
            await self._keep(served, tier, text)

    async def run(self) -> None:
        """Erase what does not help, until cancelled."""
        while True:
            record_id, tenant = await self._useless.get()
            try:
                if self.shelf is not None:
                    await self.shelf.archive.erase_named([record_id], tenant)
            except Exception as exc:  # noqa: BLE001 - it is left out all the same
                logger.warning("a strategy could not be erased", extra={"why": str(exc)})

    async def _keep(self, served: Served, tier: str, text: str) -> None:
        """Keep it, unless its decision was erased meanwhile."""
        record = served.record
        if self.shelf is None or await self._records.get(record.id, tenant=record.tenant) is None:
            return
        kept = Record(
            id=record.id,
            time_s=record.time_s,
            tenant=record.tenant,
            kind=record.kind,
            policy=record.policy,
            policy_version=record.policy_version,
            ladder=record.ladder,
            eligible=record.eligible,
            principal=record.principal,
            embedder=record.embedder,
            task=record.task,
            conversation=record.conversation,
            attempts=[Attempt(tier, "lesson", outcome="complete")],
            text=text,
        )
        self.shelf.recorder.submit(kept, served.vector)

    async def _search(
        self, shelf: Shelf, vector: Vector, record: Record, limit: int
    ) -> list[Neighbour]:
        sought = Sought(record.principal)
        try:
            async with asyncio.timeout(SEARCH_S):
                return await shelf.store.search(
                    vector,
                    tenant=record.tenant,
                    embedder=self._embedder,
                    limit=limit,
                    sought=sought,
                )
        except (StoreError, TimeoutError) as exc:
            extra = {"request_id": record.id, "why": str(exc) or type(exc).__name__}
            logger.warning("strategies cannot be looked up", extra=extra)
            return []
