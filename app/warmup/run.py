"""Asks every tier everything, a few prompts at a time, and stops when it must."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from app.archive import Archive
from app.conversations import named
from app.errors import GatewayError, StoreError
from app.events import Order
from app.learning.labels import lessons_of
from app.parts import Parts, new_id
from app.policies.warmup import NAME, Warmup
from app.records import Attempt, Record, Verdict
from app.store.wanted import Wanted
from app.warmup.prompts import Prompt

TENANT = "local"

Ended: TypeAlias = Literal["done", "interrupted", "too dear", "not kept"]
Watcher: TypeAlias = Callable[[Record | None], None]
"""Told of every prompt that is over, and its record."""


@dataclass(slots=True)
class Outcome:
    """What came of it: a record for every prompt that was begun, its lesson included.

    `spent_usd` is what is known of it. `ended` is `too dear` where the ceiling was reached, `not
    kept` where a record could not be written down or read: nobody pays for what is forgotten.
    """

    records: list[Record] = field(default_factory=list)
    ended: Ended = "done"
    spent_usd: float = 0.0


class Run:
    """One warm-up. `ceiling_usd`: when so much is spent no further prompt is begun."""

    def __init__(self, parts: Parts, policy: Warmup, *, ceiling_usd: float, watch: Watcher) -> None:
        self._parts = parts
        self._policy = policy
        self._ceiling_usd = ceiling_usd
        self._watch = watch
        self._outcome = Outcome()
        self._begun: list[str] = []
        self._workers: list[asyncio.Task[None]] = []

    async def all(self, prompts: Iterable[Prompt], *, at_once: int) -> Outcome:
        """Ask them all. Errors: none of a provider's or the store's."""
        waiting = iter(prompts)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                self._workers.append(tasks.create_task(self._work(waiting)))
        for record_id in self._begun:
            # Those that were cut short: what they cost is on their records.
            await self._take(record_id)
        return self._outcome

    def interrupt(self) -> None:
        """Stop spending at once; fit for a signal handler."""
        self._end("interrupted")
        for worker in self._workers:
            worker.cancel()

    async def _work(self, waiting: Iterator[Prompt]) -> None:
        for prompt in waiting:
            if self._outcome.ended != "done":
                return
            self._begun.append(record_id := new_id())
            await self._ask(prompt, record_id)
            self._begun.remove(record_id)
            self._watch(await self._take(record_id))
            if self._outcome.spent_usd > self._ceiling_usd:
                self._end("too dear")

    async def _ask(self, prompt: Prompt, record_id: str) -> None:
        """The prompt, answered, and its lesson. A failure is on the record."""
        order = Order(
            id=record_id,
            tenant=TENANT,
            request=prompt.request,
            policy=self._policy,
            ladder=prompt.ladder,
            kind="routed",
            mode="verified",
            deadline_s=self._parts.settings.server.deadline_s,
        )
        try:
            async with aclosing(self._parts.transmission.run(order)) as events:
                async for _ in events:
                    pass
        except GatewayError:
            return
        await self._parts.afterwards.catch_up()

    async def _take(self, record_id: str) -> Record | None:
        """Count the record as it was written down, if it was."""
        try:
            record = await self._parts.recorder.get(record_id, tenant=TENANT)
        except StoreError:
            record = None
        if record is None:
            self._end("not kept")
        else:
            self._outcome.records.append(record)
            self._outcome.spent_usd += sum(usd or 0.0 for usd in costs_usd(record))
        return record

    def _end(self, ended: Ended) -> None:
        """The first reason counts."""
        if self._outcome.ended == "done":
            self._outcome.ended = ended


async def asked_before(parts: Parts, prompts: Sequence[Prompt]) -> dict[str, Record]:
    """The records of earlier warm-ups in which every tier answered one of these, by its key.

    Errors: StoreError.
    """
    keys = {named(prompt.key): prompt.key for prompt in prompts}
    archive = Archive(recorder=parts.recorder, store=parts.store, outbox=parts.outbox)
    found: dict[str, Record] = {}
    async with aclosing(archive.scan(Wanted(TENANT, policy=NAME), vectors=False)) as scanned:
        async for rows in scanned:
            for record in (row.record for row in rows if row.record is not None):
                key = keys.get(record.conversation or "")
                if key is not None and is_whole(record):
                    found[key] = record
    return found


def is_whole(record: Record) -> bool:
    """Whether every tier that could answer did."""
    return {attempt.tier for attempt in attempts_of(record) if attempt.ended} >= {*record.eligible}


def attempts_of(record: Record) -> Iterator[Attempt]:
    """On the path and in the lesson."""
    yield from record.attempts
    for lesson in lessons_of(record):
        yield from lesson.attempts


def verdicts_of(record: Record) -> Iterator[tuple[str, Verdict]]:
    """Judges' verdicts on single answers, by the tier that gave the answer."""
    for attempt in attempts_of(record):
        yield from ((attempt.tier, verdict) for verdict in attempt.verdicts if not verdict.exact)
    for lesson in lessons_of(record):
        yield from lesson.verdicts.items()


def costs_usd(record: Record) -> Iterator[float | None]:
    """Of every call; None where it is unknown."""
    yield from (attempt.cost_usd for attempt in attempts_of(record))
    yield from (verdict.cost_usd for _, verdict in verdicts_of(record))
    yield from (e.cost_usd for e in record.evidence.values() if e.source == "arbiter")
