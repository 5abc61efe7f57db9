"""One request under way: its record, and what is not written down."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from app.answers import Answer
from app.clock import Clock
from app.drain import was_ended
from app.embedder import features, task_key
from app.errors import (
    DeadlineError,
    GatewayError,
    ShuttingDownError,
    UpstreamError,
    UpstreamTimeoutError,
    soonest_cured,
)
from app.events import Order
from app.jsontext import Json
from app.patience import Patience
from app.policy import Ask
from app.records import Attempt, Record, Vector

TOO_LONG = "the answer took longer than its tier may"
NO_TIME = "the request's time was used up before an answer was there"


@dataclass(slots=True)
class Run:
    """`answers` has one for each attempt of the record.

    `live`: chunks went out. `judge_later`: who is to judge the served answer afterwards. `refusal`:
    why a call was not made that would have cost too much.
    """

    order: Order
    record: Record
    started_s: float
    vector: Vector | None = None
    answers: list[Answer] = field(default_factory=list)
    failures: list[UpstreamError] = field(default_factory=list)
    calls: int = 0
    live: bool = False
    judge_later: str | None = None
    refusal: GatewayError | None = None
    acknowledged: bool | None = None

    @property
    def deadline_s(self) -> float:
        return self.started_s + self.order.deadline_s

    async def in_time(
        self, source: AsyncGenerator[Json, None], limit_s: float, clock: Clock
    ) -> AsyncGenerator[Json, None]:
        """Its chunks, in time; once an answer streams live only the idle timeout binds it.

        `limit_s` is the tier's own, by the clock. Errors: UpstreamTimeoutError, DeadlineError.
        """
        async with aclosing(source) as chunks:
            with Patience() as patience:
                while not self.live:
                    left_s = min(limit_s, self.deadline_s) - clock.monotonic_s()
                    try:
                        chunk = await patience.wait(anext(chunks), left_s)
                    except StopAsyncIteration:
                        return
                    except TimeoutError:
                        if limit_s < self.deadline_s:
                            raise UpstreamTimeoutError(TOO_LONG) from None
                        raise DeadlineError(NO_TIME) from None
                    yield chunk
            async for chunk in chunks:
                yield chunk

    def degrade(self, reason: str) -> None:
        """Note, once, why this request gets less than it could have."""
        if reason not in self.record.degraded:
            self.record.degraded += (reason,)

    def cut(self, exc: BaseException) -> None:
        """Note that the client has left, or that the gateway had to end it."""
        if was_ended(exc):
            self.record.error = ShuttingDownError.code
        elif self.record.outcome != "answered":
            self.record.outcome = "abandoned"

    def failed(self) -> GatewayError:
        """The error to report when no tier could answer."""
        if self.refusal is not None:
            return self.refusal
        if "deadline" in self.record.degraded or not self.failures:
            return DeadlineError(NO_TIME)
        return soonest_cured(self.failures)


def new_record(order: Order, ladder: tuple[str, ...], time_s: float) -> Record:
    """What is known of a request before anything is done for it."""
    request = order.request
    return Record(
        id=order.id,
        time_s=time_s,
        tenant=order.tenant,
        principal=order.principal,
        kind=order.kind,
        policy=order.policy.name,
        policy_version=order.policy.version,
        ladder=ladder,
        eligible=order.ladder.names,
        task=task_key(request),
        features=features(request),
        learn=request.extension.learn and order.kind == "routed" and not request.bound,
        stream=request.stream,
        trial_of=order.trial_of,
        trace=order.trace,
    )


def new_attempt(ask: Ask, dropped: tuple[str, ...]) -> Attempt:
    """What is known of a call before it is made; `dropped` are parameters its tier does not get."""
    strategies = tuple(strategy.id for strategy in ask.strategies)
    return Attempt(
        ask.tier, ask.arrived, dropped=dropped, strategies=strategies, withheld=ask.withheld
    )
