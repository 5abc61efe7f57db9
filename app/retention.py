"""How long records are kept: by age, and by number a tenant, so that a store need not grow."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from math import inf, nextafter

from app.archive import Archive
from app.clock import Clock
from app.errors import GatewayError
from app.learning.influence import NEAR_DUPLICATE
from app.settings import Keep
from app.store import RecordStore, Stored, Wanted

logger = logging.getLogger(__name__)

EVERY_S = 15.0
"""Little and often: what is over in one pass is soon erased, and requests hardly notice."""
OLD_EVERY_S = 3600.0
DAY_S = 86_400.0
EXCESS_SHARE = 0.01
"""Of those that are kept: so many more are there before some are erased."""
READ_AT_ONCE = 32
ERASED_AT_ONCE = 256
PATIENCE_S = 60.0
"""Nobody waits for it, and where the store is slow it is needed most."""
LOOKED_AT = 4
"""For each record that is to go, how many of the oldest are looked at for near-duplicates."""
THINNED = 16
"""For so many at a time: each look is a search, and records may come faster than that goes."""
ALIKE = 8


class Retention:
    """Erases what is too old; of too many, the old near-duplicates first, then the oldest.

    A near-duplicate tells what a newer record of the same task tells again. Their number is looked
    at four times a minute, their age once an hour.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        store: RecordStore,
        clock: Clock,
        tenants: Callable[[], Iterable[str]],
        keep: Keep,
        every_s: float = EVERY_S,
        old_every_s: float = OLD_EVERY_S,
        thinned: int = THINNED,
    ) -> None:
        self._archive = archive
        self._store = store
        self._clock = clock
        self._tenants = tenants
        self._keep = keep
        self._every_s = every_s
        self._old_every_s = old_every_s
        self._thinned = thinned

    async def run(self) -> None:
        """Look after all tenants now and then, until cancelled; never raises."""
        old_looked_at_s = time.monotonic()
        while True:
            await asyncio.sleep(self._every_s)
            is_hour = time.monotonic() - old_looked_at_s >= self._old_every_s
            if is_hour:
                old_looked_at_s = time.monotonic()
            for tenant in sorted(self._tenants()):
                try:
                    if is_hour or await self._has_many(tenant):
                        await self.tidy(tenant, old=is_hour)
                except GatewayError as exc:
                    logger.warning("old records could not be erased", extra={"why": exc.message})
                except Exception:  # they are kept longer, which harms nothing
                    logger.exception("old records could not be erased")

    async def _has_many(self, tenant: str) -> bool:
        most = self._keep.per_tenant
        if most is None:
            return False
        return await self._store.count(tenant, exact=False) > (1 + EXCESS_SHARE) * most

    async def tidy(self, tenant: str, *, old: bool = True) -> int:
        """Erase what this tenant has too much of; how many records that were.

        `old`: what is too old as well. Errors: StoreError, OutboxError.
        """
        erased = 0
        if old and self._keep.days is not None:
            before_s = self._clock.time_s() - self._keep.days * DAY_S
            erased += await self._archive.erase(Wanted(tenant, before_s=before_s))
        if self._keep.per_tenant is not None:
            excess = await self._store.count(tenant) - self._keep.per_tenant
            if excess > 0:
                erased += await self._erase_excess(tenant, excess)
        if erased:
            logger.info("old records are erased", extra={"tenant": tenant, "records": erased})
        return erased

    async def _erase_excess(self, tenant: str, excess: int) -> int:
        """Erase so many records, those that will be missed least; how many that were."""
        repeated = await self._repeated(tenant, LOOKED_AT * min(excess, self._thinned))
        erased = await self._erase(repeated[:excess], tenant)
        while erased < excess:
            portion = min(ERASED_AT_ONCE, excess - erased)
            ids = await self._store.oldest(tenant, limit=portion)
            if not ids:
                break
            erased += await self._erase(ids, tenant)
        return erased

    async def _repeated(self, tenant: str, looked_at: int) -> list[str]:
        """Of so many of the oldest records, the ids of those that a newer one repeats."""
        repeated: list[str] = []
        seen: set[str] = set()
        since_s = -inf
        while len(seen) < looked_at:
            started_s = time.monotonic()
            wanted = Wanted(tenant, since_s=None if since_s == -inf else since_s)
            rows = await self._store.by_time(
                wanted, newest_first=False, limit=READ_AT_ONCE, vectors=True
            )
            new = [row for row in rows if row.id not in seen][: looked_at - len(seen)]
            seen.update(row.id for row in new)
            repeated += [row.id for row in new if await self._is_repeated(row, tenant)]
            if len(rows) < READ_AT_ONCE:
                break
            times_s = [row.record.time_s for row in rows if row.record is not None]
            since_s = max(times_s, default=since_s) if new else nextafter(since_s, inf)
            await asyncio.sleep(time.monotonic() - started_s)  # as long for requests
        return repeated

    async def _is_repeated(self, row: Stored, tenant: str) -> bool:
        """Whether a newer record of the same task is about nearly the same question."""
        record = row.record
        if record is None or row.vector is None or record.embedder is None:
            return False
        near = await self._store.search(
            row.vector, tenant=tenant, embedder=record.embedder, limit=ALIKE
        )
        return any(
            one.similarity > NEAR_DUPLICATE
            and one.record.id != record.id
            and one.record.task == record.task
            and one.record.time_s > record.time_s
            for one in near
        )

    async def _erase(self, ids: list[str], tenant: str) -> int:
        for begun in range(0, len(ids), ERASED_AT_ONCE):
            some = ids[begun : begun + ERASED_AT_ONCE]
            await self._archive.erase_named(some, tenant, limit_s=PATIENCE_S)
            await asyncio.sleep(0)
        return len(ids)
