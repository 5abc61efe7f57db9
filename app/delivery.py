"""The way from the outbox to the store: one batch at a time, in order, whatever the store says."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from app.errors import OutboxError, StoreError
from app.store.entries import Entry
from app.store.outbox import Outbox
from app.store.protocol import RecordStore

logger = logging.getLogger(__name__)

# Larger batches are hardly faster, and keep the event loop waiting longer.
BATCH_RECORDS = 64

Turn: TypeAlias = Literal["delivered", "idle", "failed"]


class Delivery:
    """`busy` is held while a batch is on its way. `trouble` says why the last one failed."""

    def __init__(self, store: RecordStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._set_aside: set[str] = set()
        self.busy = asyncio.Lock()
        self.trouble: str | None = None

    def erased(self, ids: Iterable[str]) -> None:
        """Of these records nothing is set aside any more."""
        self._set_aside.difference_update(ids)

    async def turn(self) -> Turn:
        """Deliver one batch. Never raises: one bad turn must not end the worker."""
        try:
            async with self.busy:
                entries = self._outbox.pending(BATCH_RECORDS)
                if not entries:
                    return "idle"
                await self._write(entries)
        except (StoreError, OutboxError) as exc:
            if self.trouble is None:
                extra = {"why": str(exc), "backlog": self._outbox.depth}
                logger.warning("records cannot be delivered; they wait in the outbox", extra=extra)
            self.trouble = str(exc)
            return "failed"
        except Exception as exc:
            self.trouble = f"{type(exc).__name__} while delivering"
            logger.exception("records cannot be delivered; they wait in the outbox")
            return "failed"
        if self.trouble is not None:
            logger.info("records are delivered again", extra={"backlog": self._outbox.depth})
        self.trouble = None
        return "delivered"

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Deliver these entries, all but those that follow a refused one of the same record."""
        wanted = [entry for entry in entries if entry.operation.id not in self._set_aside]
        try:
            await self._store.write([entry.operation for entry in wanted])
        except StoreError as exc:
            if exc.retryable:
                raise
            await self._write_singly(entries, exc)
        else:
            barred = [entry for entry in entries if entry.operation.id in self._set_aside]
            self._outbox.settle(wanted, barred)

    async def _write_singly(self, entries: Sequence[Entry], refusal: StoreError) -> None:
        """Find the entries the store refuses, and set them aside with what follows them.

        Only if it took another one: a store that refuses all of them is itself in trouble.
        """
        delivered: list[Entry] = []
        barred: list[Entry] = []
        refused: dict[str, StoreError] = {}
        try:
            for entry in entries:
                if entry.operation.id in self._set_aside | refused.keys():
                    barred.append(entry)
                    continue
                try:
                    await self._store.write([entry.operation])
                except StoreError as exc:
                    if exc.retryable:
                        raise
                    barred.append(entry)
                    refused[entry.operation.id] = exc
                else:
                    delivered.append(entry)
        finally:
            if delivered:
                self._outbox.settle(delivered, barred)
                self._set_aside |= refused.keys()
                for record_id, why in refused.items():
                    extra = {"record_id": record_id, "why": str(why)}
                    logger.error("a record is refused by the store; set aside", extra=extra)
        if not delivered:
            raise refusal
