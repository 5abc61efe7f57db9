"""Hands finished records to the outbox, and delivers them from there to the store."""

import asyncio
import logging
import math
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from app.delivery import BATCH_RECORDS, Delivery
from app.errors import OutboxError, StoreDownError
from app.records import Evidence, Record, Vector
from app.store.outbox import Outbox
from app.store.protocol import Insert, Operation, RecordStore, note_of, with_evidence

logger = logging.getLogger(__name__)

REMEMBERED_IDS = 4096
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
GATHER_S = 0.05
"""How long records are gathered after a delivery: one by one they cost several times as much."""
# The embedded engine's flush holds the interpreter's lock for some 10 to 100 ms.
TIDY_S = 30.0
DELIVERY_S = 5.0


class RecordSink(Protocol):
    """Whoever keeps records: the outbox's worker, or a replay's memory."""

    def submit(self, record: Record, vector: Vector | None) -> bool:
        """Write the record down; whether it is acknowledged. Never raises."""

    def note(self, record_id: str, tenant: str, evidence: Evidence) -> bool:
        """Write down what became known later; whether it is acknowledged. Never raises."""

    async def get(self, record_id: str, *, tenant: str) -> Record | None: ...


class Recorder:
    """One worker between the outbox and the store.

    `observe` gets every submitted record once, and whether it was acknowledged. `jitter` gives
    the share of a pause to wait, drawn anew each time. `stored` is the store's size when it was
    last counted, every `tidy_s`; not a number while nobody could count.
    """

    def __init__(
        self,
        store: RecordStore,
        outbox: Outbox,
        observe: Callable[[Record, bool], None],
        *,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311
        tidy_s: float = TIDY_S,
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._observe = observe
        self._jitter = jitter
        self._tidy_s = tidy_s
        self._submitted: OrderedDict[str, bool] = OrderedDict()
        self._wake = asyncio.Event()
        self._delivery = Delivery(store, outbox)
        self._refusing = False
        self.refused = 0
        self.stored = math.nan
        self.alive = False

    @property
    def backlog(self) -> int:
        """How many operations wait for the store."""
        return self._outbox.depth

    @property
    def trouble(self) -> str | None:
        """Why the store does not take them, where it does not."""
        return self._delivery.trouble

    @property
    def outbox_state(self) -> Literal["taking", "unsynced", "refusing"]:
        """`unsynced`: what is written down now would not survive a power cut."""
        if self._refusing:
            return "refusing"
        return "unsynced" if self._outbox.unsynced else "taking"

    def submit(self, record: Record, vector: Vector | None) -> bool:
        """Write the record down; whether it is acknowledged. Once per id; never raises.

        A record that must teach nothing is kept without its vector: it is nobody's neighbour. One
        that is not acknowledged says so: it is degraded by `outbox`.
        """
        if record.id in self._submitted:
            return self._submitted[record.id]
        taught = vector if record.learn else None
        acknowledged = self._append(
            lambda: Insert(record.id, record.tenant, record.to_json(), taught)
        )
        if not acknowledged:
            record.degraded += ("outbox",)
        self._submitted[record.id] = acknowledged
        if len(self._submitted) > REMEMBERED_IDS:
            self._submitted.popitem(last=False)
        self._wake.set()
        try:
            self._observe(record, acknowledged)
        except Exception:
            logger.exception("a record could not be observed", extra={"record_id": record.id})
        return acknowledged

    def note(self, record_id: str, tenant: str, evidence: Evidence) -> bool:
        """Write down evidence about a record submitted before; whether it is. Never raises.

        Of a judge or a tool the first word counts; whoever gave feedback may think again, and what
        was said last counts. For a record that is not there, or another tenant's, it has no effect.
        """
        acknowledged = self._append(lambda: note_of(record_id, tenant, evidence))
        self._wake.set()
        return acknowledged

    async def get(self, record_id: str, *, tenant: str) -> Record | None:
        """The record with its evidence, delivered or not.

        Errors: StoreError.
        """
        waiting, evidence = self._in_outbox(record_id, tenant)
        if waiting is not None:
            return waiting
        stored = await self._store.get(record_id, tenant=tenant)
        return stored and with_evidence(stored, evidence)

    async def deliver(self, *, limit_s: float = DELIVERY_S) -> None:
        """Have everything in the store that is written down by now.

        Errors: StoreDownError, also where it takes too long.
        """
        until_s = time.monotonic() + limit_s
        # Turns go in order: this many suffice.
        for _ in range(self.backlog // BATCH_RECORDS + 1):
            # Not cancelled half-way: a write that goes on unseen could overtake a delete.
            if time.monotonic() > until_s:
                raise StoreDownError("records are still on their way to the store; try again later")
            if await self._delivery.turn() == "failed":
                raise StoreDownError(f"the record store is behind: {self.trouble}")

    async def erase(self, ids: Sequence[str], *, tenant: str, limit_s: float = DELIVERY_S) -> None:
        """Erase these records in the outbox, where it also stands from now on, and the store.

        Errors: OutboxError, nothing is erased; StoreDownError, the store follows later.
        """
        async with self._delivery.busy:
            self._outbox.erase(ids, tenant=tenant)
            self._delivery.erased(ids)
        await self.deliver(limit_s=limit_s)

    async def tidy(self) -> None:
        """Drop what the store has held for long enough, once synced; restore what it has lost.

        Errors: GatewayError.
        """
        async with self._delivery.busy:
            if await self._store.has_lost():
                self._outbox.offer_again()
                extra = {"entries": self.backlog}
                logger.warning("the store has lost its latest writes; written again", extra=extra)
                self._wake.set()
        if self._outbox.has_expired:
            await self._store.flush()
        while self._outbox.has_expired:
            self._outbox.forget(BATCH_RECORDS)
            await asyncio.sleep(0)

    async def run(self) -> None:
        """Deliver, sync, tidy and keep the store fast, until cancelled."""
        self.alive = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._deliver())
                tasks.create_task(self._tidy())
                tasks.create_task(self._outbox.run_checkpoints())
                tasks.create_task(self._store.run_upkeep())
        finally:
            self.alive = False

    async def drain(self, *, limit_s: float) -> None:
        """At shutdown, after `run` was cancelled: deliver what waits, then close the outbox.

        What cannot be delivered in time stays in the outbox for the next start.
        """
        try:
            async with asyncio.timeout(limit_s):
                while await self._delivery.turn() == "delivered":
                    pass
        except TimeoutError:
            pass
        finally:
            if self.backlog:
                logger.warning("records wait for the next start", extra={"backlog": self.backlog})
            self._outbox.close()

    def _in_outbox(
        self, record_id: str, tenant: str
    ) -> tuple[Record | None, Mapping[str, Evidence]]:
        """The record, if it is still there, and what is there of its evidence."""
        try:
            waiting = self._outbox.get(record_id, tenant=tenant)
            return waiting, self._outbox.evidence(record_id, tenant=tenant)
        except OutboxError as exc:
            logger.warning("the outbox could not be read", extra={"why": str(exc)})
            return None, {}

    def _append(self, operation: Callable[[], Operation]) -> bool:
        try:
            self._outbox.append(operation())
        except Exception as exc:  # noqa: BLE001 - the reply goes out whatever becomes of its record
            self.refused += 1
            if not self._refusing:
                logger.warning("records are refused", extra={"why": str(exc)})
            self._refusing = True
            return False
        if self._refusing:
            logger.info("records are taken again", extra={"refused": self.refused})
        self._refusing = False
        return True

    async def _deliver(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            self._wake.clear()
            match await self._delivery.turn():
                case "delivered":
                    pause_s = FIRST_PAUSE_S
                    if self.backlog < BATCH_RECORDS:
                        await asyncio.sleep(GATHER_S)
                case "idle":
                    await self._wake.wait()
                case "failed":
                    await asyncio.sleep(pause_s * self._jitter())
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _tidy(self) -> None:
        while True:
            await self._count()
            await asyncio.sleep(self._tidy_s)
            try:
                await self.tidy()
            except Exception as exc:  # noqa: BLE001 - they are kept longer, which harms nothing
                logger.warning("the outbox could not be tidied", extra={"why": str(exc)})

    async def _count(self) -> None:
        try:
            self.stored = await self._store.count(exact=False)
        except Exception:  # noqa: BLE001 - deliveries already say that the store is down
            self.stored = math.nan
