"""The background worker: what answered requests have still to teach, never in a reply's way."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal, Protocol, TypeAlias

from app.audience import Audience, teaches
from app.clock import Clock
from app.events import Order
from app.lessons import Lesson, Served, Teacher
from app.policy import Context, Policy, Strategy
from app.recorder import RecordSink
from app.records import Attempt, Record, Vector, Verdict
from app.strategies import Strategies
from app.telemetry.tracing import Tracing, Untraced
from app.tiers import TierLadder
from app.trials import Trials

logger = logging.getLogger(__name__)

WAITING = 256
AT_ONCE = 4

LessonOutcome: TypeAlias = Literal["done", "failed", "dropped"]
Advice: TypeAlias = tuple[Strategy, ...]


class Meter(Protocol):
    """Whoever counts what is learned: the metrics, or in a replay nobody."""

    def observe_verdict(self, tier: str, verdict: Verdict) -> None:
        """A late verdict on an answer of this tier."""
        ...

    def observe_lesson(
        self,
        outcome: LessonOutcome,
        attempts: Iterable[Attempt] = (),
        verdicts: Iterable[tuple[str, Verdict]] = (),
    ) -> None:
        """A lesson: the answers it asked for, and what was said of others, by their tier."""
        ...


class Unmetered:
    """Counts nothing."""

    def observe_verdict(self, tier: str, verdict: Verdict) -> None:
        """As the protocol says."""

    def observe_lesson(
        self,
        outcome: LessonOutcome,
        attempts: Iterable[Attempt] = (),
        verdicts: Iterable[tuple[str, Verdict]] = (),
    ) -> None:
        """As the protocol says."""


class Afterwards:
    """A bounded queue of answered requests, and a few workers; what is too much teaches nothing.

    While the gateway is `busy` nothing does.
    """

    def __init__(
        self,
        *,
        teacher: Teacher,
        recorder: RecordSink,
        meter: Meter,
        clock: Clock,
        audience: Audience | None = None,
        busy: Callable[[], bool] = lambda: False,
        trials: Trials | None = None,
        tracing: Tracing | None = None,
        strategies: Strategies | None = None,
    ) -> None:
        self.audience = audience or Audience(recorder)
        self._strategies = strategies
        self._teacher = teacher
        self._recorder = recorder
        self._meter = meter
        self._clock = clock
        self._busy = busy
        self._trials = trials
        self._stopped = False
        self._tracing = tracing or Untraced()
        self._waiting: asyncio.Queue[Served] = asyncio.Queue(WAITING)

    def stop(self) -> None:
        """Begin no more lessons: the process is about to end. What is paid for already is kept."""
        self._stopped = True
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._meter.observe_lesson("dropped")
        if self._trials is not None:
            self._trials.stop()

    def submit(self, served: Served) -> None:
        """Learn from it some time, if there is more to learn; not where too many wait already."""
        if self._stopped:
            return
        if served.order.beside is not None and self._trials is not None:
            self._trials.submit(served)
        due = self._teacher.canaries.due(served.record)
        # A judge of another ladder's may be gone by now.
        served = replace(
            served,
            canary=due if due in self._teacher.ladder.names else None,
            strategist=self._strategies.writer(served) if self._strategies else None,
        )
        later = (served.judge_later, served.canary, served.strategist)
        has_more = bool(served.drawn or any(later))
        if not has_more or not teaches(served.record):
            return
        try:
            self._waiting.put_nowait(served)
        except asyncio.QueueFull:
            self._meter.observe_lesson("dropped")

    async def advice(self, order: Order, vector: Vector | None, record: Record) -> Advice:
        """The strategies that similar questions left behind, for who asks this."""
        return (
            () if self._strategies is None else await self._strategies.near(order, vector, record)
        )

    def reprice(self, ladder: TierLadder) -> None:
        """Let lessons cost what they do by this ladder."""
        self._teacher.ladder = ladder

    async def run(self) -> None:
        """Work, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.audience.run())
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    async def catch_up(self) -> None:
        """Do at once what waits, as a replay does after each question."""
        while not self._waiting.empty():
            await self._learn(self._waiting.get_nowait())
        await self.audience.catch_up()

    async def _work(self) -> None:
        while True:
            served = await self._waiting.get()
            if self._busy():
                # Whoever waits for an answer comes first.
                self._meter.observe_lesson("dropped")
                continue
            try:
                await self._learn(served)
            except Exception:
                # One request that teaches nothing must not end the worker.
                logger.exception("a lesson failed", extra={"record_id": served.record.id})

    async def _learn(self, served: Served) -> None:
        lesson = Lesson()
        outcome: LessonOutcome = "failed"
        try:
            await self._teacher.teach(served, lesson)
            if served.strategist is not None and self._strategies is not None:
                await self._strategies.write(served, served.strategist, lesson)
            outcome = "failed" if lesson.failed else "done"
        except TimeoutError:
            logger.warning("a lesson took too long", extra={"record_id": served.record.id})
        finally:
            self._keep(served, lesson, outcome)  # what was paid counts, also at shutdown

    def _keep(self, served: Served, lesson: Lesson, outcome: LessonOutcome) -> None:
        """Note what became known, count it, and have it heard of."""
        record = served.record
        mine = record.served_attempt
        tier = mine.tier if mine is not None else ""
        known = list(lesson.evidence(tier, self._clock.time_s()))
        for evidence in known:
            self._recorder.note(record.id, record.tenant, evidence)
            self._tracing.observe_later(record, evidence)
            if record.trial_of is not None and self._trials is not None:
                self._trials.charge(evidence.cost_usd)
        if lesson.late is not None:
            self._meter.observe_verdict(tier, lesson.late)
        asked = [*lesson.attempts, *([lesson.writing] if lesson.writing is not None else [])]
        if served.drawn or lesson.writing is not None:
            self._meter.observe_lesson(outcome, asked, _said(lesson, tier))
        if known:
            self.audience.show_again(record.id, record.tenant, served.order.policy)


def draw(policy: Policy, context: Context, record: Record) -> None:
    """Have the policy flip its coins, and note them. Errors: none; without coins, no lessons."""
    try:
        record.lessons = policy.lessons(context)
    except Exception:
        logger.exception("a policy could not draw lessons", extra={"request_id": record.id})


def _said(lesson: Lesson, tier: str) -> list[tuple[str, Verdict]]:
    """The verdicts on answers of the path, and the arbiter's on the one that was served."""
    ruled = [comparison.verdict_on(lesson.ruling, "arbiter") for comparison in lesson.comparisons]
    return [*lesson.verdicts.items(), *((tier, verdict) for verdict in ruled)]
