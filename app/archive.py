"""One's own records: told page by page, scanned, erased."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeAlias

from app.errors import RequestError
from app.recorder import DELIVERY_S, Recorder
from app.records import Record, Vector
from app.store.outbox import Outbox
from app.store.protocol import RecordStore, is_point_id
from app.store.wanted import Stored, Wanted

SCANNED_AT_ONCE = 256
READ_AT_ONCE = 32
"""An engine in the process keeps everybody waiting for as long as it reads."""
SAME_S = 1e-6
"""Times this near count as one: a store's index and what it gives back differ in the last bits."""


Found: TypeAlias = tuple[Record, Vector | None]
Place: TypeAlias = tuple[float, str]
"""In the order of time, then of ids."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in order of time, and whether more follow."""

    rows: list[Found]
    has_more: bool


class Archive:
    """What the store holds, after everything that waits has been delivered to it.

    `forget`: told which records, of which tenant, are erased, for whoever remembers them;
    `unlearn`: called when somebody wanted them erased. What is kept `beside` them, under the same
    ids, is erased with them.

    Errors of every method: StoreError; a `retryable` one says that later may go better.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        store: RecordStore,
        outbox: Outbox,
        forget: Callable[[str, Collection[str]], None] = lambda *_: None,
        unlearn: Callable[[], None] = lambda: None,
        beside: "Archive | None" = None,
    ) -> None:
        self._beside = beside
        self._recorder = recorder
        self._store = store
        self._outbox = outbox
        self._forget = forget
        self._unlearn = unlearn

    async def page(
        self,
        wanted: Wanted,
        *,
        after: str | None,
        limit: int,
        newest_first: bool,
        vectors: bool = False,
    ) -> Page:
        """At most `limit` records that follow the record `after`.

        Records of one time are in order of their ids. Errors: RequestError where `after` is gone.
        """
        await self._recorder.deliver()
        found: dict[Place, Found] = {}
        if after is not None:
            last = await self._named(after, wanted.tenant)
            tied = await self._tied(wanted, last.time_s, vectors=vectors)
            place = (last.time_s, last.id)
            found = {
                at: row for at, row in tied.items() if at != place and (at < place) == newest_first
            }
            before_s, since_s = last.time_s - SAME_S, last.time_s + SAME_S
            wanted = wanted.within(*((None, before_s) if newest_first else (since_s, None)))
        more = await self._store.by_time(
            wanted, newest_first=newest_first, limit=limit + 1, vectors=vectors
        )
        placed = _placed(more)
        found |= placed
        if placed and len(more) > limit:
            # Of records of one time any may have been left out: those of the last are asked for.
            last_s, _ = min(placed) if newest_first else max(placed)
            found |= await self._tied(wanted, last_s, vectors=vectors)
        rows = [found[at] for at in sorted(found, reverse=newest_first)]
        return Page(rows[:limit], has_more=len(rows) > limit)

    async def latest(self, tenant: str, most: int) -> dict[Place, bytes]:
        """The tenant's newest records, about so many, as JSON without their texts.

        As bytes, since the garbage collector would look through so many records again and again.
        Leaves as much time to others as it takes.
        """
        await self._recorder.deliver()
        wanted, found = Wanted(tenant), dict[Place, bytes]()
        while len(found) < most:
            started_s = time.monotonic()
            placed = _placed(
                await self._store.by_time(wanted, newest_first=True, limit=READ_AT_ONCE)
            )
            if not placed:
                break
            last_s, _ = min(placed)
            before_s = last_s + SAME_S
            if placed.keys() <= found.keys():
                # There may be more of one time than are read at once.
                placed, before_s = await self._tied(wanted, last_s, vectors=False), last_s - SAME_S
            for place in placed.keys() - found.keys():
                found[place] = replace(placed[place][0], text=None, example=None).to_json()
            wanted = wanted.within(None, before_s)
            await asyncio.sleep(time.monotonic() - started_s)
        return found

    async def scan(self, wanted: Wanted, *, vectors: bool) -> AsyncGenerator[list[Stored], None]:
        """Everything that is wanted, some rows at a time, in order of the ids."""
        await self._recorder.deliver()
        start = None
        while True:
            rows, start = await self._store.scan(
                wanted, start=start, limit=SCANNED_AT_ONCE, vectors=vectors
            )
            yield rows
            if start is None:
                return

    async def count(self) -> int:
        """Everybody's."""
        await self._recorder.deliver()
        return await self._store.count()

    async def erase(self, wanted: Wanted) -> int:
        """Erase what is wanted; how many records that were.

        Each part is on disk, as something to be erased, before it is erased. Errors: OutboxError.
        """
        if wanted.id is not None and not is_point_id(wanted.id):
            return 0
        await self._recorder.deliver()
        erased = 0
        try:
            async with aclosing(self._named_by(wanted)) as named:
                async for ids in named:
                    erased += len(ids)
                    await self.erase_named(ids, wanted.tenant)
        finally:
            if erased:
                self._unlearn()
        if self._beside is not None:
            await self._beside.erase(wanted)
        return erased

    async def _named_by(self, wanted: Wanted) -> AsyncGenerator[list[str], None]:
        """The ids of what is wanted, some at a time."""
        # Those the store would not take are nowhere else.
        yield self._outbox.ids(wanted)
        start = None
        while True:
            rows, start = await self._store.scan(wanted, start=start, limit=SCANNED_AT_ONCE)
            yield [row.id for row in rows]
            if start is None:
                return

    async def erase_named(
        self, ids: Sequence[str], tenant: str, *, limit_s: float = DELIVERY_S
    ) -> int:
        """Erase these; how many that were. What was learned of them stays, and fades.

        Errors: OutboxError, StoreDownError; also where it takes longer than `limit_s`.
        """
        if ids:
            try:
                await self._recorder.erase(ids, tenant=tenant, limit_s=limit_s)
            finally:
                self._forget(tenant, ids)
            if self._beside is not None:
                await self._beside.erase_named(ids, tenant, limit_s=limit_s)
        return len(ids)

    async def _named(self, record_id: str, tenant: str) -> Record:
        record = await self._store.get(record_id, tenant=tenant)
        if record is None:
            raise RequestError(
                f"there is no record {record_id[:64]!r} to go on after", param="after"
            )
        return record

    async def _tied(self, wanted: Wanted, time_s: float, *, vectors: bool) -> dict[Place, Found]:
        """The wanted records of this time."""
        this = wanted.within(time_s - SAME_S, time_s + SAME_S)
        tied: dict[Place, Found] = {}
        start = None
        while True:
            rows, start = await self._store.scan(
                this, start=start, limit=SCANNED_AT_ONCE, vectors=vectors
            )
            tied |= _placed(rows)
            if start is None:
                return tied


def _placed(rows: Sequence[Stored]) -> dict[Place, Found]:
    """The rows that are records, by their place."""
    return {
        (row.record.time_s, row.id): (row.record, row.vector)
        for row in rows
        if row.record is not None
    }
