"""THE LOOP: a request comes in, a policy says what to do next, the loop does it and notes it down.

Read `run` first. It yields events, and both the JSON and the SSE reply are made from them.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from random import Random

from app.answers import Answer
from app.climb import best_ended
from app.clock import Clock
from app.conversations import Conversations
from app.embedder import features, task_key
from app.errors import DeadlineError, GatewayError, UpstreamError, soonest_cured
from app.events import Chunk, Event, Order, Settled
from app.generator import Generator
from app.jsontext import Json
from app.judge import Judge
from app.judge.examine import examine
from app.late_judge import Job, LateJudge
from app.policy import Accept, Action, Ask, Context, Policy, Stop
from app.policy import Judge as JudgeAction
from app.recorder import RecordSink
from app.records import Attempt, Evidence, Neighbour, Record, Vector, Verdict
from app.retriever import Retriever
from app.tailor import left_out
from app.tiers import TierLadder
from app.wire import ChatRequest

logger = logging.getLogger(__name__)

NO_TIME = "the request's time was used up before an answer was there"


@dataclass(slots=True)
class _Run:
    """One request under way: its record, and what is not written down."""

    order: Order
    record: Record
    started_s: float
    vector: Vector | None = None
    answers: list[Answer] = field(default_factory=list)
    failures: list[UpstreamError] = field(default_factory=list)
    calls: int = 0
    live: bool = False
    acknowledged: bool | None = None

    @property
    def deadline_s(self) -> float:
        return self.started_s + self.order.deadline_s

    def degrade(self, reason: str) -> None:
        """Note, once, why this request gets less than it could have."""
        if reason not in self.record.degraded:
            self.record.degraded += (reason,)


class Transmission:
    """Drives one request up the ladder."""

    def __init__(
        self,
        *,
        ladder: TierLadder,
        retriever: Retriever,
        conversations: Conversations,
        generator: Generator,
        judge: Judge,
        late_judge: LateJudge,
        recorder: RecordSink,
        clock: Clock,
        rng: Random,
        max_calls: int,
        keep_text: Callable[[ChatRequest], str | None],
    ) -> None:
        self._ladder = ladder
        self._retriever = retriever
        self._conversations = conversations
        self._generator = generator
        self._judge = judge
        self._late_judge = late_judge
        self._recorder = recorder
        self._clock = clock
        self._rng = rng
        self._max_calls = max_calls
        self._keep_text = keep_text

    async def run(self, order: Order) -> AsyncGenerator[Event, None]:
        """Serve one request; leaves exactly one record, however it ends.

        Errors: GatewayError when no tier could answer; raised in mid-stream if chunks went out.
        """
        run = self._begin(order)
        try:
            self._relabel(run)
            context = await self._context(run)
            served: Answer | None = None
            while served is None:
                match self._next(run, context):
                    case Ask() as ask:
                        async with aclosing(self._ask(ask, run)) as chunks:
                            async for chunk in chunks:
                                yield chunk
                    case JudgeAction() as judge:
                        await self._have_judged(judge, run)
                    case Accept() | Stop() as end:
                        served = self._finish(end, run)
            yield Settled(run.record, self._submit(run))
            for held in served.chunks:
                yield Chunk(held)
        except GatewayError as exc:
            run.record.error = exc.code
            raise
        except (asyncio.CancelledError, GeneratorExit):
            if run.record.outcome != "answered":
                run.record.outcome = "abandoned"
            raise
        finally:
            self._submit(run)  # synchronous: an `await` here is lost when the client leaves

    def _begin(self, order: Order) -> _Run:
        request = order.request
        record = Record(
            id=order.id,
            time_s=self._clock.time_s(),
            tenant=order.tenant,
            kind=order.kind,
            policy=order.policy.name,
            policy_version=order.policy.version,
            ladder=self._ladder.names,
            eligible=order.ladder.names,
            task=task_key(request),
            features=features(request),
            learn=request.extension.learn and order.kind == "routed" and not request.bound,
            stream=request.stream,
            text=self._keep_text(request),
        )
        return _Run(order, record, self._clock.monotonic_s())

    def _relabel(self, run: _Run) -> None:
        """Tool results that came in with this request may show earlier decisions to be wrong."""
        order = run.order
        if order.request.extension.learn:
            for decision in self._conversations.failed_calls(order.tenant, order.request):
                evidence = Evidence("tool_result", False, order.id, self._clock.time_s())
                self._recorder.note(decision, order.tenant, evidence)

    async def _context(self, run: _Run) -> Context:
        """What the policy may know: the tiers that can serve this, and similar past records."""
        order, request = run.order, run.order.request
        neighbours: Sequence[Neighbour] = ()
        seat = None
        if order.kind == "routed":
            run.vector = await self._retriever.embed(request, run.record)
            wanted = order.policy.neighbours
            neighbours = await self._retriever.search(run.vector, run.record, wanted)
            seat = await self._conversations.seat(order.tenant, request)
        seed = request.body.get("seed")
        return Context(
            order.ladder,
            neighbours,
            # Who asks for determinism must not be routed by chance.
            rng=self._rng if seed is None else Random(f"{seed}"),  # noqa: S311
            single=request.single,
            tool_turn=request.tool_turn,
            tools=bool(request.tools),
            mode=order.mode if request.stream else "verified",
            seat=seat,
            prompt_tokens=request.prompt_tokens(),
        )

    def _next(self, run: _Run, context: Context) -> Action:
        """The policy's word, unless time or calls are used up: then the best there is."""
        attempts = run.record.attempts
        action = run.order.policy.next(context, attempts)
        if isinstance(action, Accept | Stop):
            return action
        if self._clock.monotonic_s() >= run.deadline_s:
            run.degrade("deadline")
            return Stop(best_ended(context.ladder, attempts))
        if run.calls >= self._max_calls:
            run.degrade("max_calls")
            return Stop(best_ended(context.ladder, attempts))
        return action

    async def _ask(self, ask: Ask, run: _Run) -> AsyncGenerator[Event, None]:
        """Have one tier answer; its chunks are yielded only where nothing can take them back."""
        tier, request = run.order.ladder[ask.tier], run.order.request
        attempt, answer = Attempt(tier.name, ask.arrived), Answer()
        attempt.dropped = left_out(tier, request)
        run.record.start = run.record.start or ask.start
        run.record.attempts.append(attempt)
        run.answers.append(answer)
        run.calls += 1
        started_s = self._clock.monotonic_s()
        billable = True
        try:
            async with aclosing(
                self._generator.generate(tier, request, run.order.tenant)
            ) as chunks:
                while (chunk := await self._before_deadline(anext(chunks, None), run)) is not None:
                    if attempt.first_byte_s is None:
                        attempt.first_byte_s = self._clock.monotonic_s() - started_s
                    attempt.live = run.live = ask.live and request.stream
                    answer.add(chunk, keep=not run.live)
                    if run.live:
                        yield Chunk(chunk)
            examine(attempt, answer, request)
        except (UpstreamError, DeadlineError) as exc:
            attempt.outcome, attempt.error = "failed", exc.code
            if run.live:
                raise
            if isinstance(exc, DeadlineError):
                run.degrade("deadline")
            else:
                run.failures.append(exc)
                billable = exc.billable
        finally:
            attempt.latency_s = self._clock.monotonic_s() - started_s
            attempt.usage, attempt.model = answer.usage, answer.model
            attempt.cost_usd = tier.cost_usd(answer.usage) if billable else 0.0

    async def _before_deadline(self, chunk: Awaitable[Json | None], run: _Run) -> Json | None:
        """The next chunk, in time; once an answer streams live only the idle timeout binds it."""
        if run.live:
            return await chunk
        left_s = run.deadline_s - self._clock.monotonic_s()
        try:
            async with asyncio.timeout(left_s):
                return await chunk
        except TimeoutError:
            raise DeadlineError(NO_TIME) from None

    async def _have_judged(self, action: JudgeAction, run: _Run) -> None:
        by = self._ladder[action.by]
        run.calls += 1
        started_s = self._clock.monotonic_s()
        # Until it comes; if time runs out or the client leaves, nobody knows what it has cost.
        verdict = Verdict(valid=None, by=by.name, reason="cancelled", cost_usd=None)
        try:
            async with asyncio.timeout(run.deadline_s - started_s):
                verdict = await self._judge.judge(
                    by, run.order.request, run.answers[action.attempt]
                )
        except TimeoutError:
            verdict = replace(verdict, reason="deadline")
        finally:
            if verdict.valid is None:
                run.degrade("judge")
            run.record.attempts[action.attempt].verdicts.append(verdict)
            phases_s = run.record.phases_s
            spent_s = self._clock.monotonic_s() - started_s
            phases_s["judge"] = phases_s.get("judge", 0.0) + spent_s

    def _finish(self, end: Accept | Stop, run: _Run) -> Answer:
        """The answer to serve. Errors: the failure to report where there is none."""
        record, request = run.record, run.order.request
        for failed in record.attempts:
            if failed.outcome == "failed":
                run.degrade(f"tier:{failed.tier}")
        if end.attempt is None:
            raise _failure(run)
        record.served, record.outcome = end.attempt, "answered"
        answer = run.answers[end.attempt]
        if record.kind == "routed":
            self._conversations.keep(record, request, answer)
        if isinstance(end, Accept) and end.judge_later is not None and record.learn:
            by, tier = self._ladder[end.judge_later], record.attempts[end.attempt].tier
            self._late_judge.submit(Job(record.id, record.tenant, tier, by, request, answer))
        return answer

    def _submit(self, run: _Run) -> bool:
        """Hand the record over, once; what teaches nothing is kept without its vector."""
        if run.acknowledged is None:
            record = run.record
            record.latency_s = self._clock.monotonic_s() - run.started_s
            teaches = record.learn and record.outcome == "answered"
            run.acknowledged = self._recorder.submit(record, run.vector if teaches else None)
            if teaches:
                self._observe(run.order.policy, record)
        return run.acknowledged

    def _observe(self, policy: Policy, record: Record) -> None:
        try:
            policy.observe(record)
        except Exception:
            # Learning never breaks serving.
            logger.exception("a policy could not learn", extra={"request_id": record.id})


def _failure(run: _Run) -> GatewayError:
    """The error to report when no tier could answer."""
    if "deadline" in run.record.degraded or not run.failures:
        return DeadlineError(NO_TIME)
    return soonest_cured(run.failures)
