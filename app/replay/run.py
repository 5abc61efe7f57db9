"""Runs a policy over recordings in one order, through the loop that serves requests."""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from random import Random
from uuid import UUID

import numpy as np
import numpy.typing as npt

from app.afterwards import Afterwards, Unmetered
from app.conversations import Conversations
from app.embedder import Embedder, question_text
from app.events import Order, Settled
from app.judge.arbiter import arbiter_rule
from app.lessons import Teacher
from app.policy import Policy
from app.records import Record
from app.replay.bootstrap import Floats
from app.replay.ladders import MOST_TIERS, build_tiers, ladder_for
from app.replay.memory import MemoryRecorder, MemoryStore
from app.replay.recordings import Recording
from app.replay.stand_ins import (
    CachedEmbedder,
    RecordedGenerator,
    ReplayClock,
    ReplayJudge,
    VerdictSource,
    request_of,
)
from app.retriever import Retriever
from app.tiers import Tier, TierLadder
from app.transmission import Transmission
from app.wire import ChatRequest

TENANT = "replay"
NO_DEADLINE_S = 86_400.0

OUTCOME = np.dtype(
    [
        ("query", np.int32),
        ("correct", np.bool_),
        ("answer_usd", np.float64),
        ("draft_usd", np.float64),
        ("judge_usd", np.float64),
        ("lesson_usd", np.float64),
        ("start", np.int16),
        ("final", np.int16),
        ("answers", np.int16),
        ("judgements", np.int16),
        ("silent", np.int16),
        ("believed", np.float64),
        ("estimates", np.float64, (MOST_TIERS,)),
        ("start_correct", np.bool_),
        ("latency_s", np.float64),
    ]
)
Outcomes = npt.NDArray[np.void]
"""Shape: (queries,) of OUTCOME, in the order of the stream.

`start` and `final` are positions on the ladder; `silent` counts judgements without a verdict;
`believed` is the starting tier's estimated accuracy (NaN where the policy has none), and
`start_correct` whether that tier's answer is right. `estimates` has every tier's, lowest first, NaN
where there is none.
"""

Advance = Callable[[], None]
Watch = Callable[[Record], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """The gateway's loop with stand-ins for the world, and a store that was empty."""

    transmission: Transmission
    afterwards: Afterwards
    store: MemoryStore


@dataclass(frozen=True, slots=True)
class Course:
    """What is replayed: questions, tiers, and who judges."""

    recordings: Sequence[Recording]
    tiers: tuple[Tier, ...]
    requests: Sequence[ChatRequest]
    ladders: Sequence[TierLadder]
    verdicts: VerdictSource
    embedder: CachedEmbedder


def lay_out(
    recordings: Sequence[Recording],
    models: Sequence[str],
    *,
    priors: Sequence[float] = (),
    verdicts: VerdictSource,
    embedder: Embedder,
) -> Course:
    """A course over questions that all these models answered. Errors: SettingsError."""
    tiers = build_tiers(recordings, models, priors)
    return Course(
        recordings=recordings,
        tiers=tiers,
        requests=[request_of(recording) for recording in recordings],
        ladders=[ladder_for(recording, tiers) for recording in recordings],
        verdicts=verdicts,
        embedder=CachedEmbedder(embedder),
    )


async def run(
    course: Course,
    policy: Policy,
    order: Sequence[int],
    *,
    seed: int,
    advance: Advance = lambda: None,
    watches: Sequence[Watch] = (),
) -> Outcomes:
    """What became of every question, in this order, from an empty store."""
    stage = _stage(course, seed)
    outcomes = np.zeros(len(order), dtype=OUTCOME)
    for position, query in enumerate(order):
        record = await decide(course, stage, policy, position, query)
        outcomes[position] = _outcome(record, course, query)
        for watch in watches:
            watch(record)
        advance()
        await asyncio.sleep(0)  # nothing else waits, so this is where Ctrl-C gets in
    return outcomes


async def records(
    course: Course, policy: Policy, order: Sequence[int], *, seed: int
) -> list[Record]:
    """The records that such a run leaves."""
    stage = _stage(course, seed)
    return [
        await decide(course, stage, policy, position, query) for position, query in enumerate(order)
    ]


async def decide(course: Course, stage: Stage, policy: Policy, position: int, query: int) -> Record:
    """One question through the loop, and its lessons; its record."""
    order = Order(
        id=str(UUID(int=position)),
        tenant=TENANT,
        request=course.requests[query],
        policy=policy,
        ladder=course.ladders[query],
        kind="routed",
        mode="verified",
        deadline_s=NO_DEADLINE_S,
    )
    settled: Settled | None = None
    async with aclosing(stage.transmission.run(order)) as events:
        async for event in events:
            if isinstance(event, Settled):
                settled = event
    if settled is None:
        raise RuntimeError("the loop ended without a decision")
    await stage.afterwards.catch_up()
    return await stage.store.get(order.id, tenant=TENANT) or settled.record


def _stage(course: Course, seed: int) -> Stage:
    clock = ReplayClock()
    ladder = TierLadder(course.tiers)
    store = MemoryStore()
    recorder = MemoryRecorder(store)
    generator = RecordedGenerator(clock)
    judge = ReplayJudge(course.verdicts, clock)
    teacher = Teacher(
        ladder=ladder,
        generator=generator,
        judge=judge,
        arbiter=arbiter_rule("auto"),
        clock=clock,
    )
    afterwards = Afterwards(teacher=teacher, recorder=recorder, meter=Unmetered(), clock=clock)
    transmission = Transmission(
        ladder=ladder,
        retriever=Retriever(embedder=course.embedder, store=store, clock=clock),
        conversations=Conversations(store=store, clock=clock),
        generator=generator,
        judge=judge,
        afterwards=afterwards,
        recorder=recorder,
        clock=clock,
        rng=Random(seed),  # noqa: S311 - chooses tiers, guards nothing
        max_calls=2 * len(course.tiers),
    )
    return Stage(transmission, afterwards, store)


def _outcome(record: Record, course: Course, query: int) -> tuple[object, ...]:
    """The record in figures; only here does the truth come in."""
    names = [tier.name for tier in course.tiers]
    served = record.served_attempt
    if served is None or record.start is None:
        raise RuntimeError("a replayed question was not answered")
    start, final = names.index(record.start.tier), names.index(served.tier)
    answers = course.recordings[query].answers
    estimates = [record.start.estimates.get(name) for name in names]
    believed = [math.nan if known is None else known.accuracy for known in estimates]
    costs_usd = record.costs_usd()
    judged = [v for attempt in record.attempts for v in attempt.verdicts if not v.exact]
    return (
        query,
        answers[course.tiers[final].model].correct,
        costs_usd["answer"],
        costs_usd["draft"],
        costs_usd["judge"],
        costs_usd["lesson"],
        start,
        final,
        len(record.attempts),
        len(judged),
        sum(verdict.valid is None for verdict in judged),
        believed[start],
        [*believed, *[math.nan] * (MOST_TIERS - len(names))],
        answers[course.tiers[start].model].correct,
        record.latency_s,
    )


async def vectors(course: Course) -> Floats:
    """The questions' vectors, as the loop gets them; zeros where there is none.

    Shape: (queries, dimension).
    """
    found = np.zeros((len(course.requests), course.embedder.dimension))
    for at, request in enumerate(course.requests):
        vector = await course.embedder.embed(question_text(request))
        if vector is not None:
            found[at] = vector
    return found


def shuffled(course: Course, seed: int) -> list[int]:
    """A random order of the questions."""
    order = list(range(len(course.recordings)))
    Random(seed).shuffle(order)  # noqa: S311 - an experiment's order
    return order


def by_arrival(course: Course) -> list[int]:
    """The order of the file."""
    return list(range(len(course.recordings)))


def by_topic(course: Course) -> list[int]:
    """Topic after topic, in the order they first appear: every block is new to the records."""
    first: dict[str, int] = {}
    for recording in course.recordings:
        first.setdefault(recording.topic, len(first))
    return sorted(by_arrival(course), key=lambda query: first[course.recordings[query].topic])
