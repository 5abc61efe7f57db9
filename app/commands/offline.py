"""Records on the store itself, while no gateway runs on it."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import IO

from app.archive import Archive
from app.delivery import BATCH_RECORDS
from app.embedder import Embedder, build_embedder
from app.errors import SettingsError, StoreError, StoreLockedError
from app.record_files import Header, Line, encoded, line_of, read_header, read_lines
from app.recorder import Recorder
from app.records import Record, record_from_json
from app.settings import Settings
from app.settings.configuration import secret
from app.store import Insert, Outbox, build_store
from app.store.payloads import payload_of
from app.store.wanted import Wanted
from app.strategies import Shelf, build_shelf

DELIVERY_S = 600.0


@dataclass(slots=True)
class Imported:
    """What became of the lines of a file."""

    read: int = 0
    new: int = 0
    re_embedded: int = 0
    without_vector: int = 0


class OfflineRecords:
    """One tenant's. Errors of every method: SettingsError, StoreError, OutboxError."""

    def __init__(
        self,
        *,
        archive: Archive,
        recorder: Recorder,
        outbox: Outbox,
        embedder: Embedder,
        tenant: str,
    ) -> None:
        self._archive = archive
        self._recorder = recorder
        self._outbox = outbox
        self._embedder = embedder
        self._tenant = tenant

    async def count(self) -> int:
        """Everybody's."""
        return await self._archive.count()

    async def latest(self, most: int) -> AsyncGenerator[Record, None]:
        """The newest so many, the oldest of them first."""
        found = await self._archive.latest(self._tenant, most)
        for place in sorted(found):
            record = record_from_json(found[place])
            if record is not None:
                yield record

    async def records(self) -> AsyncGenerator[list[Record], None]:
        """All of them, some at a time, in order of their ids."""
        async with aclosing(self._archive.scan(Wanted(self._tenant), vectors=False)) as scanned:
            async for rows in scanned:
                yield [row.record for row in rows if row.record is not None]

    async def erase(self, wanted: Wanted) -> int:
        """How many were erased."""
        return await self._archive.erase(wanted)

    async def export(self, file: IO[bytes], advance: Callable[[int], None]) -> int:
        """How many were written, in order of their ids."""
        file.write(Header(self._embedder.tag).line())
        written = 0
        async with aclosing(self._archive.scan(Wanted(self._tenant), vectors=True)) as scanned:
            async for rows in scanned:
                records = [(row.record, row.vector) for row in rows if row.record is not None]
                file.writelines(line_of(record, encoded(vector)) for record, vector in records)
                written += len(records)
                advance(len(rows))
        return written

    async def load(
        self, lines: Iterator[bytes], advance: Callable[[int], None], *, re_embed: bool
    ) -> Imported:
        """Through the outbox, so that nothing that stands there is overtaken."""
        header, counts = read_header(lines), Imported()
        if header.embedder not in {None, self._embedder.tag} and not re_embed:
            raise SettingsError(_other_embedder(header.embedder, self._embedder.tag))
        before = await self.count()
        for line in read_lines(lines):
            insert = await self._insert(line, counts, re_embed=re_embed)
            self._outbox.append(insert)
            counts.read += 1
            advance(line.size_bytes)
            if counts.read % BATCH_RECORDS == 0:
                await self._recorder.deliver(limit_s=DELIVERY_S)
                await self._recorder.tidy()
        counts.new = await self.count() - before
        return counts

    async def _insert(self, line: Line, counts: Imported, *, re_embed: bool) -> Insert:
        """Errors: SettingsError for what could never be stored, with the line."""
        record, vector = line.record, line.vector
        if record.tenant != self._tenant:
            raise SettingsError(f"line {line.number}: is a record of another tenant")
        if vector is not None and record.embedder != self._embedder.tag:
            if not re_embed:
                why = _other_embedder(record.embedder, self._embedder.tag)
                raise SettingsError(f"line {line.number}: {why}")
            vector = await self._embedder.embed(record.text) if record.text else None
            counts.re_embedded += vector is not None
            counts.without_vector += vector is None
            record = replace(record, embedder=self._embedder.tag if vector is not None else None)
        insert = Insert(record.id, record.tenant, record.to_json(), vector)
        try:
            payload_of(insert, dimension=self._embedder.dimension)
        except StoreError as exc:
            raise SettingsError(f"line {line.number}: {exc.message}") from exc
        return insert


@asynccontextmanager
async def offline_records(
    settings: Settings, *, tenant: str
) -> AsyncGenerator[OfflineRecords, None]:
    """Store and outbox, open for this process alone, and synced in the end."""
    embedder = build_embedder(settings.embedder)
    section, dimension = settings.store, embedder.dimension
    api_key = secret(section.api_key_env, wanted_by="store")
    store = build_store(section, dimension=dimension, api_key=api_key)
    outbox = Outbox(section.path, capacity_bytes=section.outbox_bytes, keep_s=0.0)
    recorder = Recorder(store, outbox, lambda _record, _acknowledged: None)
    beside = build_shelf(settings, dimension=dimension)
    archive = Archive(
        recorder=recorder,
        store=store,
        outbox=outbox,
        beside=None if beside is None else beside.archive,
    )
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(_open(Shelf(store, outbox, recorder, archive)))
            if beside is not None:
                await stack.enter_async_context(_open(beside))
            yield OfflineRecords(
                archive=archive, recorder=recorder, outbox=outbox, embedder=embedder, tenant=tenant
            )
    except StoreLockedError as exc:
        hint = "; or name the running gateway: --url http://127.0.0.1:8080"
        raise StoreLockedError(exc.message + hint) from exc


@asynccontextmanager
async def _open(shelf: Shelf) -> AsyncGenerator[None, None]:
    """Until the block is left; then all is delivered and synced."""
    await shelf.store.open()
    try:
        shelf.outbox.open()
        yield
        await shelf.recorder.deliver(limit_s=DELIVERY_S)
        await shelf.recorder.tidy()
    finally:
        shelf.outbox.close()
        await shelf.store.close()


def _other_embedder(theirs: str | None, ours: str) -> str:
    return (
        f"vectors of the embedder {theirs!r} mean nothing to {ours!r}; configure theirs, or "
        "import with --re-embed, which needs records whose text was kept (records.text)"
    )
