"""Whoever learns from records, and how they hear of them: the policies and the tracker."""

import asyncio
import logging
import time
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from app.policy import Policy
from app.recorder import RecordSink
from app.records import Record
from app.reporting.tracker import Tracker

logger = logging.getLogger(__name__)

WAITING = 20_000
"""More than are finished while old records are restored."""

Learn: TypeAlias = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class _News:
    """A record to be shown; None: it is to be read first, with all that is known of it.

    `policy` made the decision, where that is at hand.
    """

    id: str
    tenant: str
    record: Record | None
    policy: Policy | None


class Audience:
    """Shows records, one by one and off a request's way, to everyone who learns from them.

    The tracker hears of all of them, policies of those that teach: all `policies`, since what a
    record teaches does not hang on who decided. Those named in `frozen` hear of old records only,
    those in `asleep` of none until somebody asks for them: learning takes time from serving. Old
    are those from before `begun_s`, in Unix time; left out: now. `also` hears of all new ones.

    Errors: none of theirs; learning never breaks serving.
    """

    def __init__(
        self,
        recorder: RecordSink,
        *,
        policies: MutableMapping[str, Policy] | None = None,
        frozen: Collection[str] = (),
        asleep: Collection[str] = (),
        tracker: Tracker | None = None,
        waiting: int = WAITING,
        begun_s: float | None = None,
        also: Learn = lambda _: None,
    ) -> None:
        self._also = also
        self._recorder = recorder
        self._policies = {} if policies is None else policies
        self._begun_s = time.time() if begun_s is None else begun_s
        self._frozen = frozen
        self._asleep = set(asleep)
        self._tracker = tracker
        self._waiting: asyncio.Queue[_News] = asyncio.Queue(waiting)
        self._showing = asyncio.Lock()
        self._overflows = False

    def show(self, record: Record, policy: Policy | None = None) -> None:
        """Have a finished record heard of, soon."""
        self._submit(_News(record.id, record.tenant, record, policy))

    def show_again(self, record_id: str, tenant: str, policy: Policy | None = None) -> None:
        """Have a record heard of with all that is known of it by now, soon."""
        self._submit(_News(record_id, tenant, None, policy))

    async def run(self) -> None:
        """Tell what waits, until cancelled."""
        while True:
            news = await self._waiting.get()
            async with self._showing:
                await self._tell(news)

    async def catch_up(self) -> None:
        """Tell at once what waits, as a replay does after each question."""
        while not self._waiting.empty():
            await self._tell(self._waiting.get_nowait())

    @asynccontextmanager
    async def restoring(
        self, learners: Mapping[str, Policy] | None = None
    ) -> AsyncGenerator[Learn, None]:
        """How to show old records; until the block is left, new ones wait.

        `learners`, and a tracker that knows nothing yet, are shown them in place of those that have
        learned so far, and take their place when the block ends well.
        """
        async with self._showing:
            policies = self._policies if learners is None else learners
            tracker = self._tracker
            if learners is not None and tracker is not None:
                tracker = tracker.fresh()
            while learners is not None and not self._waiting.empty():
                self._waiting.get_nowait()  # it is written down, and so shown here, or erased
            yield lambda record: self._restore(record, policies, tracker)
            if learners is not None:
                self._policies.update(learners)
            if self._tracker is not None and tracker is not None:
                self._tracker.adopt(tracker)
                _guarded(self._tracker.tell)

    def wake(self, bodies: Collection[bytes]) -> None:
        """Have policies hear of records that made a decision among these, as they were written."""
        for name in tuple(self._asleep):
            made = orjson.dumps({"policy": name})[1:-1]
            if any(made in body for body in bodies):
                self._asleep.discard(name)

    def _awake(self, policies: Mapping[str, Policy]) -> list[Policy]:
        return [policy for name, policy in policies.items() if name not in self._asleep]

    def _hearing(self, decided: Policy | None) -> list[Policy]:
        """Those that hear of a new record, and the one that decided."""
        policies = [each for each in self._awake(self._policies) if each.name not in self._frozen]
        if decided is not None and decided not in self._policies.values():
            policies.append(decided)
        return policies

    def _submit(self, news: _News) -> None:
        try:
            self._waiting.put_nowait(news)
        except asyncio.QueueFull:
            if not self._overflows:
                logger.warning("too many records wait: what is left out is learned at a restart")
            self._overflows = True
        else:
            self._overflows = False

    async def _tell(self, news: _News) -> None:
        record = news.record or await self._read(news)
        if record is None:
            return
        if news.policy is not None:
            self._asleep.discard(news.policy.name)
        if teaches(record):
            _show(record, self._hearing(news.policy))
        if self._tracker is not None:
            _guarded(self._tracker.observe, record)
        _guarded(self._also, record)

    def _restore(
        self, record: Record, policies: Mapping[str, Policy], tracker: Tracker | None
    ) -> None:
        known = record.time_s < self._begun_s
        _show(record, (p for p in self._awake(policies) if known or p.name not in self._frozen))
        if tracker is not None:
            _guarded(tracker.restore, record)

    async def _read(self, news: _News) -> Record | None:
        try:
            return await self._recorder.get(news.id, tenant=news.tenant)
        except Exception as exc:  # noqa: BLE001 - it is written down, and so learned at a restart
            extra = {"record_id": news.id, "why": str(exc)}
            logger.warning("what became known of a record is not learned yet", extra=extra)
            return None


def teaches(record: Record) -> bool:
    """Whether policies may learn from it."""
    return record.learn and record.outcome == "answered"


def _show(record: Record, policies: Iterable[Policy]) -> None:
    for policy in policies:
        if teaches(record):
            _guarded(policy.observe, record)


def _guarded(hear: Callable[..., None], *records: Record) -> None:
    try:
        hear(*records)
    except Exception:
        # What cannot be learned now must not keep the next records from it.
        ids = [record.id for record in records]
        logger.exception("a record could not be learned from", extra={"record_ids": ids})
