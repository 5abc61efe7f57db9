"""Trials: what the policy would have done with a request that its client's own model answered."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from random import Random
from typing import Protocol

from app.answers import completion_of
from app.clock import Clock
from app.errors import GatewayError
from app.events import Event, Order, Settled
from app.lessons import Served
from app.policy import Action, Ask, Context, Policy
from app.recorder import RecordSink
from app.records import Attempt, Evidence, Labels, Lessons, Record, total_usd
from app.reuse import TriedRequest
from app.tiers import TierLadder

logger = logging.getLogger(__name__)

WAITING, AT_ONCE = 128, 2
CHANCE = 0.9
"""Of a trial where there is money for one: what comes in turns must not be tried in step."""
SAVED_REQUESTS = 50.0
"""What is left unspent for longer than this many requests is not spent any more."""
WITHOUT = frozenset({"stream", "stream_options"})


class Loop(Protocol):
    """The one loop."""

    def run(self, order: Order) -> AsyncGenerator[Event, None]:
        """Serve the order."""
        ...

    async def look(self, order: Order) -> tuple[Record, Context]:
        """What is known of it before anything ran."""
        ...


@dataclass(frozen=True, slots=True)
class Tried:
    """The policy, for a request that `tier` has answered: so a lesson of that tier is certain."""

    policy: Policy
    tier: str

    @property
    def name(self) -> str:
        return self.policy.name

    @property
    def version(self) -> str:
        return self.policy.version

    @property
    def neighbours(self) -> int:
        return self.policy.neighbours

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """As the policy says."""
        return self.policy.next(context, attempts)

    def lessons(self, context: Context) -> Lessons | None:
        """The policy's own, and one that costs nothing."""
        drawn = self.policy.lessons(context) or Lessons({})
        if self.tier not in context.ladder:
            return drawn
        others = tuple(name for name in drawn.drawn if name != self.tier)
        return Lessons({**drawn.propensities, self.tier: 1.0}, (*others, self.tier))

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """As the policy says."""
        return self.policy.judged_by(ladder, tier)

    def label(self, record: Record) -> Labels:
        """As the policy says."""
        return self.policy.label(record)

    def observe(self, record: Record) -> None:
        """Nothing: the policy itself is shown every record."""


class Trials:
    """Requests that were answered in shadow, and the money for trying them.

    Of what such requests cost, `share` may be spent. Which ones are tried depends on what earlier
    ones cost and on coins, never on what is asked.
    """

    def __init__(self, *, share: float, rng: Random) -> None:
        self._share = share
        self._rng = rng
        self.waiting: asyncio.Queue[tuple[Served, bool]] = asyncio.Queue(WAITING)
        self._left_usd = self._most_usd = 0.0
        self.tried = 0
        self.spent_usd = 0.0

    def submit(self, served: Served) -> None:
        """Have it looked at, and tried where there is money; not where too many wait already."""
        order, answered = served.order, served.record.served_attempt
        if order.beside is None or answered is None or answered.outcome != "complete":
            return
        can = order.request.extension.learn and not order.request.bound
        is_drawn = can and self._left_usd > 0 and self._rng.random() < CHANCE
        earned_usd = self._share * (served.record.cost_usd or 0.0)
        self._most_usd = max(self._most_usd, SAVED_REQUESTS * earned_usd)
        self._left_usd = min(self._most_usd, self._left_usd + earned_usd)
        try:
            self.waiting.put_nowait((served, is_drawn))
        except asyncio.QueueFull:
            logger.warning("too many requests wait to be tried", extra={"waiting": WAITING})

    def stop(self) -> None:
        """Begin no more trials: the process is about to end."""
        while not self.waiting.empty():
            self.waiting.get_nowait()

    def charge(self, usd: float | None) -> None:
        """A part of a trial was paid. What nobody knows the price of is not tried again soon."""
        self._left_usd = -self._most_usd if usd is None else self._left_usd - usd
        self.spent_usd += usd or 0.0


class Trying:
    """Looks at what waits, and tries some of it, through the one loop and without a client.

    Nothing is tried while the gateway is `busy`. Where prices change, another `loop` is put in.
    """

    def __init__(
        self,
        *,
        trials: Trials,
        loop: Loop,
        recorder: RecordSink,
        clock: Clock,
        new_id: Callable[[], str],
        busy: Callable[[], bool],
    ) -> None:
        self._trials = trials
        self.loop = loop
        self._recorder = recorder
        self._clock = clock
        self._new_id = new_id
        self._busy = busy

    async def run(self) -> None:
        """Work, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            served, is_drawn = await self._trials.waiting.get()
            try:
                await self._note_choice(served)
                if is_drawn and not self._busy():
                    await self._try(served)
            except GatewayError:
                pass  # it is on the trial's record
            except Exception:
                # One request that cannot be tried must not end the worker.
                logger.exception("a trial failed", extra={"record_id": served.record.id})

    async def _note_choice(self, served: Served) -> None:
        """Write down, beside what happened, with which tier the policy would have begun."""
        order, record = served.order.beside, served.record
        if order is None:
            return
        _, context = await self.loop.look(order)
        action = order.policy.next(replace(context, rng=Random(0)), ())  # noqa: S311
        if isinstance(action, Ask):
            choice = Evidence(
                "shadow", None, order.policy.name, self._clock.time_s(), tier=action.tier
            )
            self._recorder.note(record.id, record.tenant, choice)

    async def _try(self, served: Served) -> None:
        order = trial_of(served, self._new_id())
        if order is None:
            return
        self._trials.tried += 1
        async with aclosing(self.loop.run(order)) as events:
            async for event in events:
                if isinstance(event, Settled):
                    self._trials.charge(_paid_usd(event.record))


def trial_of(served: Served, trial_id: str) -> Order | None:
    """The order that would have been carried out, with the answer that is there."""
    order, mine = served.order.beside, served.record.served_attempt
    if order is None or mine is None:
        return None
    request = order.request
    known = {each.name: getattr(request, each.name) for each in fields(request)}
    known |= {
        "body": {name: value for name, value in request.body.items() if name not in WITHOUT},
        "stream": False,
        "include_usage": False,
    }
    answer = completion_of(served.answers[served.record.served or 0])
    return replace(
        order,
        id=trial_id,
        request=TriedRequest(**known, answered={mine.tier: answer}),
        policy=Tried(order.policy, mine.tier),
        purse=order.purse.apart(),
        mode="verified",
        trial_of=served.record.id,
    )


def _paid_usd(record: Record) -> float | None:
    """What the trial's own calls cost; lessons come later."""
    costs = [attempt.paid_usd for attempt in record.attempts]
    costs += [verdict.cost_usd for attempt in record.attempts for verdict in attempt.verdicts]
    return total_usd(costs)
