"""The record store inside the process: Qdrant's own engine, one directory, one process."""

import asyncio
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from anyio import move_on_after, to_thread
from qdrant_edge import EdgeShard, UpdateOperation

from app.errors import StoreDownError, StoreError
from app.neighbours import Neighbour
from app.records import Record, Vector
from app.store.disk import Disk, free_bytes_of
from app.store.engine import (
    by_id,
    by_time,
    counted,
    create_shard,
    discard_shard,
    engine_errors,
    flush_shard,
    latest,
    load_shard,
    oldest,
    scroll,
    updates_of,
)
from app.store.generations import Generations, size_bytes
from app.store.lock import DirectoryLock
from app.store.optimizer import Optimizer
from app.store.payloads import record_of, stored_of
from app.store.protocol import Delete, Operation, is_point_id
from app.store.searching import Searching
from app.store.wanted import ANY, Sought, Stored, Wanted

logger = logging.getLogger(__name__)

UPKEEP_RETRY_S = 600.0
PURGE_EVERY_S = 600.0  # as long may bytes of what was erased stay in the engine's files


class EdgeStore:
    """Records under `path`; see `RecordStore`.

    Searches run on the event loop (the engine keeps the interpreter's lock anyway), writes in a
    thread. A thread that outlives its cancelled task still holds `_writing`, so nothing overlaps.
    """

    def __init__(
        self,
        path: Path,
        *,
        dimension: int,
        upkeep_records: int = 5000,
        optimizer: Optimizer | None = None,
        free_bytes: Callable[[Path], int] = free_bytes_of,
        upkeep_retry_s: float = UPKEEP_RETRY_S,
        purge_every_s: float = PURGE_EVERY_S,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self._path = path
        self._dimension = dimension
        self._upkeep_records = upkeep_records
        self._optimizer = optimizer or Optimizer()
        self._disk = Disk(path, free_bytes)
        self._upkeep_retry_s = upkeep_retry_s
        self._purge_every_s = purge_every_s
        self._lock = DirectoryLock(path)
        self._generations = Generations(path / "edge")
        self._shard: EdgeShard | None = None
        self._searching = Searching(refused=refused)
        self._writing = threading.Lock()
        self._renewing = threading.Lock()
        self._since_copy: deque[UpdateOperation] | None = None
        self._erases_since_copy = False
        self._new_records = 0
        self._upkeep_due = asyncio.Event()

    async def open(self) -> None:
        await to_thread.run_sync(self._open)
        self._note_upkeep_due()

    async def close(self) -> None:
        self._optimizer.stop()
        await to_thread.run_sync(self._close)

    async def search(
        self, vector: Vector, *, tenant: str, embedder: str, limit: int, sought: Sought = ANY
    ) -> list[Neighbour]:
        words = sought.words(tenant, embedder)
        nearest = self._searching.nearest
        return nearest(self._open_shard(), vector, words, limit=limit, vectors=sought.vectors)

    async def write(self, operations: Sequence[Operation]) -> None:
        await to_thread.run_sync(self._write, operations)
        self._note_upkeep_due()

    async def get(self, record_id: str, *, tenant: str) -> Record | None:
        if not is_point_id(record_id):
            return None
        with engine_errors("read a record"):
            points = self._open_shard().retrieve([record_id], with_payload=True, with_vector=False)
        return record_of(points[0].payload, tenant=tenant) if points else None

    async def last_in_conversation(self, conversation: str, *, tenant: str) -> Record | None:
        points, _ = scroll(self._open_shard(), latest(conversation, tenant=tenant))
        return record_of(points[0].payload, tenant=tenant) if points else None

    async def by_time(
        self, wanted: Wanted, *, newest_first: bool, limit: int, vectors: bool = False
    ) -> list[Stored]:
        request = by_time(wanted, newest_first=newest_first, limit=limit, vectors=vectors)
        points, _ = scroll(self._open_shard(), request)
        return [stored_of(p.id, p.payload, p.vector, tenant=wanted.tenant) for p in points]

    async def oldest(self, tenant: str, *, limit: int) -> list[str]:
        points, _ = scroll(self._open_shard(), oldest(tenant, limit=limit))
        return [str(point.id) for point in points]

    async def scan(
        self, wanted: Wanted, *, start: str | None, limit: int, vectors: bool = False
    ) -> tuple[list[Stored], str | None]:
        request = by_id(wanted, start=start, limit=limit, vectors=vectors)
        points, following = scroll(self._open_shard(), request)
        rows = [stored_of(p.id, p.payload, p.vector, tenant=wanted.tenant) for p in points]
        return rows, None if following is None else str(following)

    async def count(self, tenant: str | None = None, *, exact: bool = True) -> int:
        with engine_errors("count"):
            return self._open_shard().count(counted(tenant, exact=exact))

    async def flush(self) -> None:
        await to_thread.run_sync(self._flush)

    async def has_lost(self) -> bool:
        return False  # its power is the gateway's

    async def run_upkeep(self) -> None:
        while True:
            with move_on_after(self._purge_every_s):
                await self._upkeep_due.wait()
            if not self._upkeep_due.is_set() and not self._generations.has_erased:
                continue
            self._upkeep_due.clear()
            try:
                await self.upkeep()
            except Exception:  # the store works without upkeep, only slower
                logger.warning("the store's upkeep failed; tried again later", exc_info=True)
                await asyncio.sleep(self._upkeep_retry_s)
                self._upkeep_due.set()

    async def upkeep(self) -> bool:
        """Put a re-indexed generation in force; whether there was anything to re-index.

        Errors: StoreError; the old generation is then still in force.
        """
        # A shutdown does not wait for this thread; `close` ends its child, and so the thread.
        retired = await to_thread.run_sync(self._renew, abandon_on_cancel=True)
        if retired is None:
            return False
        # Searches run on the event loop only: now that it is back here, none uses the old one.
        await to_thread.run_sync(discard_shard, *retired)
        return True

    def _open(self) -> None:
        self._lock.acquire()
        try:
            self._load()
        except StoreDownError as exc:
            logger.warning("the record store is not open yet", extra={"why": str(exc)})
        except BaseException:
            self._lock.release()
            raise

    def _load(self) -> EdgeShard:
        """Open the generation in force, unless the disk is nearly full: loading writes too."""
        self._disk.require()
        generation = self._generations.current() or self._create()
        shard = load_shard(generation, self._dimension)
        self._generations.put_in_force(generation)
        self._generations.remove_others()
        info = shard.info()
        self._new_records = info.points_count - info.indexed_vectors_count
        self._searching.open(shard)
        self._shard = shard
        return shard

    def _create(self) -> Path:
        unfinished = self._generations.begin()
        create_shard(unfinished, self._dimension)
        return self._generations.finish(unfinished)

    def _close(self) -> None:
        with self._renewing, self._writing:
            shard, self._shard = self._shard, None
            if shard is not None:
                with engine_errors("close"):
                    shard.close()
            self._lock.release()

    def _write(self, operations: Sequence[Operation]) -> None:
        updates = updates_of(operations, self._dimension)
        with self._writing:
            if not self._lock.held:
                raise StoreDownError("the record store is closed")
            self._disk.require()
            shard = self._shard or self._load()
            if any(isinstance(operation, Delete) for operation in operations):
                self._generations.note_erased(still=True)
                self._erases_since_copy = True
            with self._searching.writing(operations), engine_errors("write"):
                for update in updates:
                    shard.update(update)
                    if self._since_copy is not None:
                        self._since_copy.append(update)
            # A record that is noted on leaves the index too, until the next upkeep.
            self._new_records += len(operations)

    def _flush(self) -> None:
        with self._writing:
            self._disk.require()
            flush_shard(self._open_shard(), self._generations.current())

    def _open_shard(self) -> EdgeShard:
        if self._shard is None:
            raise StoreDownError("the record store is not open")
        return self._shard

    def _note_upkeep_due(self) -> None:
        if self._new_records >= self._upkeep_records:
            self._upkeep_due.set()

    def _renew(self) -> tuple[EdgeShard, Path] | None:
        """Copy, re-index the copy in a child process, catch up, swap; gives what was in force."""
        with self._renewing:
            started_s = time.monotonic()
            self._new_records = 0
            unfinished, source, records = self._copy()
            try:
                if not self._optimizer.run(unfinished, source):
                    return None
                generation = self._generations.finish(unfinished)
                retired = self._swap(self._loaded(generation, records), generation)
            except BaseException:
                self._generations.remove_others()
                raise
            finally:
                self._since_copy = None
                for path in filter(None, (unfinished, source)):
                    shutil.rmtree(path, ignore_errors=True)
            logger.info(
                "the store is re-indexed", extra={"took_s": round(time.monotonic() - started_s, 3)}
            )
            return retired

    def _copy(self) -> tuple[Path, Path | None, int]:
        """The copy to re-index; or an empty store, and the copy that it is to be made from."""
        with self._writing, engine_errors("copy"):
            shard, current = self._open_shard(), self._generations.current()
            if current is None:
                raise StoreError(f"{self._path} has lost its records while in use")
            # Twice: the copy, and what the optimizer writes beside it.
            self._disk.require(2 * size_bytes(current))
            flush_shard(shard, current)
            unfinished, source = self._generations.begin(), None
            if self._generations.has_erased:
                create_shard(unfinished, self._dimension)
                source = unfinished.with_suffix(".source")
            shutil.copytree(current, source or unfinished, dirs_exist_ok=True)
            self._since_copy, self._erases_since_copy = deque(), False
            return unfinished, source, shard.count(counted(None, exact=True))

    def _loaded(self, generation: Path, records: int) -> EdgeShard:
        shard = load_shard(generation, self._dimension)
        if shard.count(counted(None, exact=True)) != records:
            raise StoreError(f"the copy has not all of the {records} records")
        return shard

    def _swap(self, shard: EdgeShard, generation: Path) -> tuple[EdgeShard, Path] | None:
        self._replay(shard, leave=1)
        with self._writing:
            retired, old = self._open_shard(), self._generations.current()
            self._replay(shard, leave=0)
            flush_shard(shard, generation)
            self._generations.put_in_force(generation)
            self._shard = shard
            self._generations.note_erased(still=self._erases_since_copy)
        return None if old is None else (retired, old)

    def _replay(self, shard: EdgeShard, *, leave: int) -> None:
        """Apply what was written since the copy, all but the last `leave` updates."""
        while self._since_copy and len(self._since_copy) > leave:
            with engine_errors("catch up"):
                shard.update(self._since_copy.popleft())
