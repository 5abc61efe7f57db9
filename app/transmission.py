"""THE LOOP: a request comes in, a policy says what to do next, the loop does it and notes it down.

Read `run` first. It yields events, and both the JSON and the SSE reply are made from them.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from random import Random

from app.abstention import NEVER, Abstainer
from app.advice import asked_of
from app.affording import afford
from app.afterwards import Afterwards, draw
from app.answers import Answer
from app.asking import accounted
from app.audience import teaches
from app.clock import Clock
from app.conversations import Conversations
from app.errors import DeadlineError, GatewayError, UpstreamError
from app.events import Chunk, Event, Order, Settled
from app.generator import Generator
from app.judge import Judge
from app.judge.examine import examine
from app.lessons import Served
from app.margins import asking_for_logprobs
from app.neighbours import Neighbour
from app.planning.climb import best_ended
from app.planning.prefilter import Prefilter
from app.policy import Accept, Action, Ask, Context, Stop
from app.policy import Judge as JudgeAction
from app.recorder import RecordSink
from app.records import Evidence, Record, Verdict
from app.resampling import varies
from app.retriever import Retriever
from app.reuse import is_reused
from app.settings.policies import LearnerSection
from app.small_model import SmallModels
from app.tailor import left_out
from app.texts import NO_TEXTS, Texts
from app.tiers import TierLadder
from app.underway import Run, new_attempt, new_record


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
        afterwards: Afterwards,
        recorder: RecordSink,
        clock: Clock,
        rng: Random,
        max_calls: int,
        texts: Texts = NO_TEXTS,
        abstainer: Abstainer = NEVER,
        prefilter: Prefilter | None = None,
        small: SmallModels | None = None,
    ) -> None:
        self.ladder = ladder
        self._retriever = retriever
        self.conversations = conversations
        self._generator = generator
        self._judge = judge
        self._afterwards = afterwards
        self._recorder = recorder
        self._clock = clock
        self._rng = rng
        self.max_calls = max_calls
        self._texts = texts
        self._abstainer = abstainer
        self._prefilter = prefilter or Prefilter()
        self.small = small or SmallModels(LearnerSection(), rng=rng, clock=clock)

    async def run(self, order: Order) -> AsyncGenerator[Event, None]:
        """Serve one request; leaves exactly one record, however it ends.

        Errors: GatewayError when no tier could answer; raised in mid-stream if chunks went out.
        """
        run = self._begin(order)
        try:
            self._relabel(run)
            context = await self._context(run)
            served = self._without_tiers(run, context)
            while served is None:
                match await afford(self._next(run, context), run, self.ladder):
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
        except (asyncio.CancelledError, GeneratorExit) as exc:
            run.cut(exc)
            raise
        finally:
            self._submit(run)  # synchronous: an `await` here is lost when the client leaves
            run.failures.clear()  # by their frames they lead back here: else this stays for long

    async def look(self, order: Order) -> tuple[Record, Context]:
        """What is known of a request before anything ran; nothing is asked, and nothing is kept."""
        run = self._begin(order)
        return run.record, await self._context(run)

    def _begin(self, order: Order) -> Run:
        record = new_record(order, self.ladder.names, self._clock.time_s())
        record.text = self._texts.question(order.request)
        return Run(order, record, self._clock.monotonic_s())

    def _relabel(self, run: Run) -> None:
        """Tool results that came in with this request may show earlier decisions to be wrong."""
        order = run.order
        if order.request.extension.learn and order.trial_of is None:
            for decision in self.conversations.failed_calls(order.tenant, order.request):
                now_s, key = self._clock.time_s(), order.principal
                evidence = Evidence("tool_result", False, order.id, now_s, principal=key)
                self._recorder.note(decision, order.tenant, evidence)
                self._afterwards.audience.show_again(decision, order.tenant)

    async def _context(self, run: Run) -> Context:
        """What the policy may know: the tiers that can serve this, and similar past records."""
        order, request = run.order, run.order.request
        neighbours: Sequence[Neighbour] = ()
        seat = None
        if order.kind == "routed":
            run.vector = await self._retriever.embed(request, run.record)
            wanted = order.policy.neighbours
            neighbours = await self._retriever.search(run.vector, run.record, wanted)
            seat = await self.conversations.seat(order.tenant, request)
        return Context(
            order.ladder,
            neighbours,
            # Who asks for determinism must not be routed by chance.
            rng=self._rng if (seed := request.body.get("seed")) is None else Random(f"{seed}"),  # noqa: S311
            single=request.single,
            tool_turn=request.tool_turn,
            tools=bool(request.tools),
            mode=order.mode if request.stream else "verified",
            seat=seat,
            prompt_tokens=request.prompt_tokens(),
            tenant=order.tenant,
            principal=order.principal,
            dial=request.extension.dial,
            vector=run.vector,
            task=run.record.task,
            varies=varies(request),
            strategies=await self._afterwards.advice(order, run.vector, run.record),
        )

    def _without_tiers(self, run: Run, context: Context) -> Answer | None:
        """The answer that needs none; where there is none, coins say what is to be learned."""
        answer = self.small.serve(run)
        if answer is None:
            self._draw_lessons(run, context)
        return answer

    def _draw_lessons(self, run: Run, context: Context) -> None:
        """Flip the coins before the path is chosen; nobody calls tools just to learn."""
        record, request = run.record, run.order.request
        if record.learn and request.extension.explore and "tools" not in request.needs():
            draw(run.order.policy, context, record)

    def _next(self, run: Run, context: Context) -> Action:
        """The policy's word, unless time or calls are used up: then the best there is."""
        attempts = run.record.attempts
        action = run.order.policy.next(context, attempts)
        action = self._prefilter.heed(action, attempts, context)
        if isinstance(action, Accept | Stop):
            return action
        if self._clock.monotonic_s() >= run.deadline_s:
            run.degrade("deadline")
            return Stop(best_ended(context.ladder, attempts))
        if run.calls >= self.max_calls:
            run.degrade("max_calls")
            return Stop(best_ended(context.ladder, attempts))
        return self._abstainer.heed(action, run, context)

    async def _ask(self, ask: Ask, run: Run) -> AsyncGenerator[Event, None]:
        """Have one tier answer; its chunks are yielded only where nothing can take them back."""
        tier, attempts = run.order.ladder[ask.tier], run.record.attempts
        request = asked_of(ask, run.order.request, attempts)
        attempt, answer = new_attempt(ask, left_out(tier, request)), Answer()
        attempt.reused = is_reused(tier.name, request)
        run.record.start = run.record.start or ask.start
        attempts.append(attempt)
        run.answers.append(answer)
        run.calls += 1
        started_s = self._clock.monotonic_s()
        scored = ask.scored or self._prefilter.on
        sent = asking_for_logprobs(request, tier) if scored else request
        source = self._generator.generate(tier, sent, run.order.tenant)
        limit_s = started_s + (tier.timeouts.total_s or math.inf)
        try:
            with accounted(tier, attempt, answer, self._clock):
                async with aclosing(run.in_time(source, limit_s, self._clock)) as chunks:
                    async for chunk in chunks:
                        if attempt.first_byte_s is None:
                            attempt.first_byte_s = self._clock.monotonic_s() - started_s
                        attempt.live = run.live = ask.live and request.stream
                        answer.add(chunk, keep=not run.live, unasked=sent is not request)
                        if run.live:
                            yield Chunk(chunk)
                examine(attempt, answer, request, compared=run.record.kind == "routed")
        except (UpstreamError, DeadlineError) as exc:
            if run.live:
                raise
            if isinstance(exc, DeadlineError):
                run.degrade("deadline")
            else:
                run.failures.append(exc)
                run.calls -= not exc.asked
        finally:
            run.order.purse.settle(attempt.paid_usd, None if attempt.reused else attempt.usage)

    async def _have_judged(self, action: JudgeAction, run: Run) -> None:
        by = action.by if action.against is None else f"same:{action.by}"
        run.calls += 1
        started_s = self._clock.monotonic_s()
        # Until it comes; if time runs out or the client leaves, nobody knows what it has cost.
        verdict = Verdict(None, by, reason="cancelled", cost_usd=None, against=action.against)
        try:
            async with asyncio.timeout(run.deadline_s - started_s):
                verdict = await self._verdict(action, run)
        except TimeoutError:
            verdict = replace(verdict, reason="deadline")
        finally:
            if verdict.valid is None:
                run.degrade("judge")
            run.record.attempts[action.attempt].verdicts.append(verdict)
            run.order.purse.settle(verdict.cost_usd, verdict.usage)
            phases_s = run.record.phases_s
            spent_s = self._clock.monotonic_s() - started_s
            phases_s["judge"] = phases_s.get("judge", 0.0) + spent_s

    async def _verdict(self, action: JudgeAction, run: Run) -> Verdict:
        """Whether the answer is valid, or comes to the same as the one it is held against."""
        by, request = self.ladder[action.by], run.order.request
        answer = run.answers[action.attempt]
        if action.samples is not None:
            return await self._judge.verify(by, request, answer, action.samples)
        if action.against is None:
            return await self._judge.judge(by, request, answer)
        earlier = run.answers[action.against]
        comparison = await self._judge.compare(by, request, earlier, answer)
        return comparison.verdict_on(comparison.same, "same", action.against)

    def _finish(self, end: Accept | Stop, run: Run) -> Answer:
        """The answer to serve. Errors: the failure to report where there is none."""
        record, request = run.record, run.order.request
        for failed in record.attempts:
            if failed.outcome == "failed":
                run.degrade(f"tier:{failed.tier}")
        if end.attempt is None:
            raise run.failed()
        record.served, record.outcome = end.attempt, "answered"
        answer = run.answers[end.attempt]
        record.example = self._texts.example(request, answer)
        if record.kind == "routed" and record.trial_of is None:
            self.conversations.keep(record, request, answer)
        run.judge_later = end.judge_later if isinstance(end, Accept) else None
        self.small.note(run, answer)
        return answer

    def _submit(self, run: Run) -> bool:
        """Hand the record over, once; what teaches nothing is kept without its vector."""
        if run.acknowledged is None:
            record = run.record
            if not run.order.purse.counted:
                run.degrade("limiter")
            record.latency_s = self._clock.monotonic_s() - run.started_s
            taught = teaches(record)
            run.acknowledged = self._recorder.submit(record, run.vector if taught else None)
            self._prefilter.note(record)
            self._afterwards.audience.show(record, run.order.policy)
            if run.acknowledged and record.outcome == "answered":
                self._afterwards.submit(Served.of(run))
        return run.acknowledged
