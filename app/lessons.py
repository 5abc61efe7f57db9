"""Lessons: what other tiers and judges say of an answered request, asked afterwards, to learn."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from app.answers import Answer
from app.asking import accounted
from app.canaries import Canaries
from app.clock import Clock
from app.errors import UpstreamError
from app.events import Order
from app.generator import Generator
from app.judge import Comparison, Judge
from app.judge.arbiter import ArbiterRule, as_good
from app.judge.examine import examine
from app.learning.gists import failed_check
from app.records import Attempt, Evidence, Record, Vector, Verdict, total_usd
from app.reuse import is_reused
from app.tailor import left_out
from app.tiers import TierLadder
from app.underway import Run
from app.wire import ChatRequest

LIMIT_S = 600.0
"""How long one request's lessons may take altogether."""

FULL, JUDGES = "full", "judges"


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was answered: its record, and the answer of each of its attempts.

    `judge_later` is the tier that judges the served answer, which went out unjudged; `canary` the
    one that is put before an answer known to be wrong, `strategist` the one that writes a strategy.
    """

    order: Order
    record: Record
    answers: Sequence[Answer]
    judge_later: str | None = None
    canary: str | None = None
    strategist: str | None = None
    vector: Vector | None = None

    @classmethod
    def of(cls, run: Run) -> "Served":
        """What this run has left."""
        return cls(run.order, run.record, run.answers, run.judge_later, vector=run.vector)

    @property
    def drawn(self) -> tuple[str, ...]:
        """The coins that fell."""
        lessons = self.record.lessons
        return lessons.drawn if lessons is not None else ()


@dataclass(slots=True)
class Lesson:
    """What came of it so far; it grows while it is taught, so that whatever was paid is known.

    `attempts` and `answers` belong together; `verdicts` are on answers of the path, by tier;
    `comparisons` an arbiter's, of the served answer and the better tier's: in this order, then in
    the other; `writing` is the call that wrote a strategy.
    """

    late: Verdict | None = None
    canary: Verdict | None = None
    attempts: list[Attempt] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    writing: Attempt | None = None

    @property
    def failed(self) -> bool:
        """Whether a part of it is missing."""
        judged = all(verdict.valid is not None for verdict in self.all_verdicts)
        compared = all(comparison.verdict is not None for comparison in self.comparisons)
        return not (judged and compared and all(attempt.ended for attempt in self.attempts))

    @property
    def all_verdicts(self) -> list[Verdict]:
        on_lessons = [verdict for attempt in self.attempts for verdict in attempt.verdicts]
        return [*self.verdicts.values(), *on_lessons]

    @property
    def ruling(self) -> bool | None:
        """Whether the served answer is as good as the better tier's; None where that is open."""
        return as_good(*self.comparisons) if len(self.comparisons) == 2 else None  # noqa: PLR2004

    def evidence(self, tier: str, time_s: float) -> Iterator[Evidence]:
        """All of it as evidence about a request that this tier served."""
        if self.late is not None:
            late = self.late
            yield Evidence("judge", late.valid, late.by, time_s, late.cost_usd)
        if self.canary is not None:
            said, cost_usd = self.canary, self.canary.cost_usd
            yield Evidence("canary", None, said.by, time_s, cost_usd, verdicts={said.by: said})
        if self.writing is not None:
            by, cost_usd = self.writing.tier, self.writing.cost_usd
            yield Evidence("strategy", None, by, time_s, cost_usd, attempts=(self.writing,))
        if self.attempts or self.verdicts:
            asked = [attempt.paid_usd for attempt in self.attempts]
            judged = [verdict.cost_usd for verdict in self.all_verdicts]
            yield Evidence(
                source="lesson",
                valid=None,
                by="lesson",
                time_s=time_s,
                cost_usd=total_usd(asked + judged),
                attempts=tuple(self.attempts),
                verdicts=self.verdicts,
            )
        if self.comparisons:
            yield Evidence(
                source="arbiter",
                valid=self.ruling,
                by=self.comparisons[0].by,
                time_s=time_s,
                cost_usd=total_usd([comparison.cost_usd for comparison in self.comparisons]),
                tier=tier,
            )


class Teacher:
    """Has tiers answer, judges judge and an arbiter decide, as the coins fell."""

    def __init__(
        self,
        *,
        ladder: TierLadder,
        generator: Generator,
        judge: Judge,
        arbiter: ArbiterRule,
        clock: Clock,
        canaries: Canaries | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self.ladder = ladder
        self._generator = generator
        self._judge = judge
        self._arbiter = arbiter
        self._clock = clock
        self.canaries = canaries or Canaries(every=0)
        self._limit_s = limit_s

    async def teach(self, served: Served, lesson: Lesson) -> None:
        """Fill in the lesson. Errors: none of a provider's; TimeoutError when time is used up."""
        async with asyncio.timeout(self._limit_s):
            if served.canary is not None:
                await self._test_judge(served, served.canary, lesson)
            if served.judge_later is not None:
                await self._judge_served(served, served.judge_later, lesson)
            for tier in _missing(served):
                await self._ask(tier, served, lesson)
            if {FULL, JUDGES} & set(served.drawn):
                await self._have_judged(served, lesson)
            await self._arbitrate(served, lesson)

    async def _test_judge(self, served: Served, by: str, lesson: Lesson) -> None:
        question, wrong = self.canaries.next()
        lesson.canary = _pending(by)
        lesson.canary = await self._verdict(by, served, wrong, question)

    async def _judge_served(self, served: Served, by: str, lesson: Lesson) -> None:
        answer = served.answers[served.record.served or 0]
        lesson.late = _pending(by)
        lesson.late = await self._verdict(by, served, answer)

    async def _ask(self, name: str, served: Served, lesson: Lesson) -> None:
        """Have one tier answer; one that cannot teaches nothing."""
        order = served.order
        tier, request = order.ladder[name], order.request
        if not await order.purse.for_answer(tier, request):
            return
        attempt, answer = Attempt(name, "lesson"), Answer()
        attempt.dropped = left_out(tier, request)
        attempt.reused = is_reused(name, request)
        lesson.attempts.append(attempt)
        lesson.answers.append(answer)
        chunks = self._generator.generate(tier, request, order.tenant)
        try:
            with accounted(tier, attempt, answer, self._clock):
                async with aclosing(chunks):
                    async for chunk in chunks:
                        answer.add(chunk, keep=False)
                examine(attempt, answer, request)
        except UpstreamError:
            pass  # it is on the attempt
        finally:
            order.purse.settle(attempt.paid_usd, None if attempt.reused else attempt.usage)

    async def _have_judged(self, served: Served, lesson: Lesson) -> None:
        """A verdict on every whole answer that has none."""
        path = zip(served.record.attempts, served.answers, strict=True)
        for attempt, answer in path:
            by = self._judge_of(attempt, served)
            is_late = lesson.late is not None and attempt is served.record.served_attempt
            if by is not None and not is_late:
                lesson.verdicts[attempt.tier] = _pending(by)
                lesson.verdicts[attempt.tier] = await self._verdict(by, served, answer)
        for attempt, answer in zip(lesson.attempts, lesson.answers, strict=True):
            by = self._judge_of(attempt, served)
            if by is not None:
                attempt.verdicts.append(_pending(by))
                attempt.verdicts[-1] = await self._verdict(by, served, answer)

    async def _verdict(
        self, by: str, served: Served, answer: Answer, question: ChatRequest | None = None
    ) -> Verdict:
        purse, request = served.order.purse, question or served.order.request
        if not await purse.for_verdict(self.ladder[by], request, [answer]):
            return Verdict(valid=None, by=by, reason="budget")
        verdict = await self._judge.judge(self.ladder[by], request, answer)
        purse.settle(verdict.cost_usd, verdict.usage)
        return verdict

    def _judge_of(self, attempt: Attempt, served: Served) -> str | None:
        """Who has yet to judge this answer; what an exact check refused needs no judge."""
        judged = any(not verdict.exact and verdict.against is None for verdict in attempt.verdicts)
        if judged or attempt.outcome != "complete" or failed_check(attempt):
            return None
        return served.order.policy.judged_by(served.order.ladder, attempt.tier)

    async def _arbitrate(self, served: Served, lesson: Lesson) -> None:
        """Where a better tier came to something else, have its answer and the served compared."""
        mine, other = served.record.served_attempt, _better(served, lesson)
        if mine is None or other is None or not _differ(mine, lesson.attempts[other]):
            return
        ladder = served.order.ladder
        by = self._arbiter(ladder, mine.tier, lesson.attempts[other].tier)
        if by is None:
            return
        pair = (served.answers[served.record.served or 0], lesson.answers[other])
        for first, second in (pair, pair[::-1]):
            lesson.comparisons.append(Comparison(by))
            lesson.comparisons[-1] = await self._comparison(by, served, first, second)
            if lesson.comparisons[-1].verdict is None:
                return

    async def _comparison(
        self, by: str, served: Served, first: Answer, second: Answer
    ) -> Comparison:
        purse, request = served.order.purse, served.order.request
        if not await purse.for_verdict(self.ladder[by], request, [first, second]):
            return Comparison(by, reason="budget", cost_usd=0.0)
        found = await self._judge.compare(self.ladder[by], request, first, second)
        purse.settle(found.cost_usd, found.usage)
        return found


def _missing(served: Served) -> list[str]:
    """The drawn tiers of which the path has no whole answer, lowest first."""
    record, drawn = served.record, set(served.drawn)
    there = {attempt.tier for attempt in record.attempts if attempt.outcome == "complete"}
    names = served.order.ladder.names
    return [name for name in names if (FULL in drawn or name in drawn) and name not in there]


def _better(served: Served, lesson: Lesson) -> int | None:
    """The lesson's answer of the highest tier above the served one, if it is a sound one."""
    record, names = served.record, served.order.ladder.names
    mine = record.served_attempt
    if mine is None or mine.outcome != "complete" or failed_check(mine):
        return None
    found = [
        (names.index(attempt.tier), index)
        for index, attempt in enumerate(lesson.attempts)
        if attempt.outcome == "complete" and not failed_check(attempt)
    ]
    rung, index = max(found, default=(-1, None))
    return index if rung > names.index(mine.tier) else None


def _differ(one: Attempt, other: Attempt) -> bool:
    """Whether the final answers are not known to be the same."""
    return one.final_answer is None or one.final_answer != other.final_answer


def _pending(by: str) -> Verdict:
    """Until it comes; if that is cut short, nobody knows what it has cost."""
    return Verdict(valid=None, by=by, reason="cancelled", cost_usd=None)
