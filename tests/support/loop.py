"""The loop without its door: real calls to a scripted provider, and a policy that a test makes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from uuid import uuid4

from app.afterwards import Afterwards
from app.audience import Audience
from app.clock import SystemClock
from app.conversations import Conversations
from app.embedder import StaticEmbedder
from app.events import Order, Settled
from app.generator import UpstreamGenerator
from app.judge.arbiter import arbiter_rule
from app.judge.llm import LlmJudge
from app.lessons import Teacher
from app.planning.climb import climb, judge_rule
from app.policy import Accept, Action, Ask, Context
from app.policy import Judge as JudgeAction
from app.records import Attempt, Kind, Labels, Lessons, Record, Start
from app.replay.memory import MemoryRecorder, MemoryStore
from app.reporting.tracker import Tracker
from app.retriever import Retriever
from app.telemetry.metrics import Metrics
from app.tiers import Price, Tier, TierLadder, Timeouts
from app.transmission import Transmission
from app.wire import parse_request
from tests.support.exchange import plain_exchange
from tests.support.gateway import Json, chat, until
from tests.support.provider import Provider, provider

LADDER = TierLadder(
    tuple(
        Tier(
            name=name,
            provider="scripted",
            model=f"{family}-{name}",
            prior=prior,
            price=Price(input=price, output=4 * price),
            timeouts=Timeouts(connect_s=1, first_byte_s=5, idle_s=5),
        )
        for name, family, price, prior in (
            ("small", "gpt", 1, 0.55),
            ("medium", "claude", 10, 0.65),
            ("large", "gpt", 100, 0.9),
        )
    )
)


@dataclass(slots=True)
class Drawing:
    """A policy whose coins always fall as the test says; it climbs from `small`.

    `judge` judges on the way, `lesson_judge` in lessons. With `asks` it asks just these tiers, has
    the last answer compared with the first by `compares`, and serves the last. `seen` is every
    record that it was shown.
    """

    drawn: tuple[str, ...] = ()
    judge: str = "none"
    lesson_judge: str = "next"
    asks: tuple[str, ...] = ()
    compares: str | None = None
    judge_later: str | None = None
    tenant: str = "local"
    name: str = "drawing"
    version: str = "1"
    neighbours: int = 0
    seen: list[Record] = field(default_factory=list)

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        last = len(attempts) - 1
        if len(attempts) < len(self.asks):
            return Ask(self.asks[len(attempts)], "direct")
        if self.compares is not None and not attempts[last].verdicts:
            return JudgeAction(last, self.compares, against=0)
        if self.asks:
            return Accept(last)
        if attempts and self.judge_later is not None:
            return Accept(last, judge_later=self.judge_later)
        return climb(
            context,
            attempts,
            first=lambda: Ask("small", "direct", start=Start("small", {"small": 1.0})),
            judged_by=judge_rule(self.judge),
        )

    def lessons(self, context: Context) -> Lessons | None:
        assert context.tenant == self.tenant
        return Lessons(dict.fromkeys((*context.ladder.names, "judges", "full"), 0.5), self.drawn)

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        return judge_rule(self.lesson_judge)(ladder, tier)

    def label(self, record: Record) -> Labels:
        return {}

    def observe(self, record: Record) -> None:
        self.seen.append(replace(record))


@dataclass(frozen=True, slots=True)
class Loop:
    """The loop, what works after it, and what it leaves."""

    provider: Provider
    transmission: Transmission
    afterwards: Afterwards
    store: MemoryStore
    metrics: Metrics

    async def ask(
        self,
        policy: Drawing,
        text: str = "What is 2 + 2?",
        headers: dict[str, str] | None = None,
        kind: Kind = "routed",
        **more: object,
    ) -> Record:
        """One request; its record as it was handed over."""
        order = Order(
            id=str(uuid4()),
            tenant="local",
            request=parse_request(json.dumps(chat(text, **more)).encode(), headers or {}),
            policy=policy,
            ladder=LADDER,
            kind=kind,
            mode="verified",
            deadline_s=10.0,
        )
        async with aclosing(self.transmission.run(order)) as events:
            (settled,) = [event async for event in events if isinstance(event, Settled)]
        return settled.record

    async def taught(self, record: Record) -> Record:
        """The record with its evidence, as soon as it has some."""

        async def is_there() -> bool:
            kept = await self.store.get(record.id, tenant="local")
            return kept is not None and bool(kept.evidence)

        await until(is_there)
        kept = await self.store.get(record.id, tenant="local")
        assert kept is not None
        return kept

    def counted(self) -> str:
        """All metrics, as they are fetched."""
        return self.metrics.render()[0].decode()


@asynccontextmanager
async def loop(
    *,
    arbiter: str = "none",
    limit_s: float = 10.0,
    works: bool = True,
    tracker: Tracker | None = None,
) -> AsyncGenerator[Loop, None]:
    """A loop over a scripted provider; `works` false: nobody works at what waits."""
    async with provider() as scripted, plain_exchange(scripted.url, LADDER) as exchange:
        clock, store = SystemClock(), MemoryStore()
        recorder = MemoryRecorder(store)
        generator = UpstreamGenerator(exchange)
        judge = LlmJudge(exchange, max_tokens=100, timeout_s=5)
        metrics = Metrics(tiers=LADDER.names, policies=["drawing"], checks=[], version="1")
        teacher = Teacher(
            ladder=LADDER,
            generator=generator,
            judge=judge,
            arbiter=arbiter_rule(arbiter),
            clock=clock,
            limit_s=limit_s,
        )
        afterwards = Afterwards(
            teacher=teacher,
            recorder=recorder,
            meter=metrics,
            clock=clock,
            audience=Audience(recorder, tracker=tracker),
        )
        transmission = Transmission(
            ladder=LADDER,
            retriever=Retriever(embedder=StaticEmbedder(), store=store, clock=clock),
            conversations=Conversations(store=store, clock=clock),
            generator=generator,
            judge=judge,
            afterwards=afterwards,
            recorder=recorder,
            clock=clock,
            rng=Random(1),  # noqa: S311
            max_calls=8,
        )
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(afterwards.run()) if works else None
            yield Loop(scripted, transmission, afterwards, store, metrics)
            if working is not None:
                working.cancel()


def shown(call_body: Json) -> Json:
    """The data between a judge's fences."""
    lines = call_body["messages"][-1]["content"].split("\n")
    found: Json = json.loads(lines[1])
    return found
