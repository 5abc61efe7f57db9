"""Judging after the fact: answers that streamed live are judged in the background, to learn."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from app.answers import Answer
from app.clock import Clock
from app.judge import Judge
from app.recorder import RecordSink
from app.records import Evidence, Verdict
from app.tiers import Tier
from app.wire import ChatRequest

logger = logging.getLogger(__name__)

WAITING = 256
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Job:
    """An answer of `tier` to be judged by `by`, and the record it belongs to."""

    record_id: str
    tenant: str
    tier: str
    by: Tier
    request: ChatRequest
    answer: Answer


class LateJudge:
    """A bounded queue of answers, and a few workers; what is too much is left unjudged.

    `observe` gets every verdict once, with the tier it is about.
    """

    def __init__(
        self,
        *,
        judge: Judge,
        recorder: RecordSink,
        clock: Clock,
        observe: Callable[[str, Verdict], None],
    ) -> None:
        self._judge = judge
        self._recorder = recorder
        self._clock = clock
        self._observe = observe
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(WAITING)

    def submit(self, job: Job) -> bool:
        """Have it judged some time; False where too many wait already."""
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            return False
        return True

    async def run(self) -> None:
        """Work, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                await self._have_judged(job)
            except Exception:
                # One answer that cannot be judged must not end the worker.
                logger.exception("a late verdict failed", extra={"record_id": job.record_id})

    async def _have_judged(self, job: Job) -> None:
        verdict = await self._judge.judge(job.by, job.request, job.answer)
        self._observe(job.tier, verdict)
        evidence = Evidence(
            source="judge",
            valid=verdict.valid,
            by=verdict.by,
            time_s=self._clock.time_s(),
            cost_usd=verdict.cost_usd,
        )
        self._recorder.note(job.record_id, job.tenant, evidence)
