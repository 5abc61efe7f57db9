"""A made world with a known truth, in which a policy serves requests that are all alike."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from app.dials import Dial
from app.learning.belief import joint
from app.learning.sketches import sketch_of
from app.neighbours import Neighbour
from app.policy import Accept, Ask, Context, Judge, Policy, Stop
from app.records import Arrival, Attempt, Evidence, Record, Vector, Verdict
from app.tiers import Price, Tier, TierLadder

TIERS = ("small", "medium", "large")
PRIORS = (0.6, 0.75, 0.9)
COST_USD = dict(zip(TIERS, (0.0005, 0.005, 0.05), strict=True))
JUDGING_USD = 0.002
NEAR = 50

Skill = Mapping[str, float]
Judged = Callable[[Random, bool], bool]


def ladder(priors: Sequence[float] = PRIORS) -> TierLadder:
    """Each tier ten times as dear as the one below."""
    return TierLadder(
        tuple(
            Tier(
                name=name, provider="p", model=name, prior=prior, price=Price(input=usd, output=usd)
            )
            for name, prior, usd in zip(TIERS, priors, (1, 10, 100), strict=True)
        )
    )


def fair(rng: Random, right: bool) -> bool:
    """A judge's word: 9 of 10 right answers are valid to it, and 3 of 10 wrong ones."""
    return rng.random() < (0.9 if right else 0.3)


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions of one kind: where they lie, and how often each tier is right about them."""

    name: str
    at: Vector
    skill: Skill
    task: str | None = None

    def question(self, rng: Random) -> Vector:
        """A question's vector: a little beside the topic's."""
        noise = np.array([rng.gauss(0, 0.5 / len(self.at) ** 0.5) for _ in self.at])
        vector = self.at + noise
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def place(seed: int, dimension: int = 64) -> Vector:
    """A place for a topic, far from those of other seeds."""
    vector = np.random.default_rng(seed).standard_normal(dimension)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


@dataclass(slots=True)
class MadeWorld:
    """What is hard for one tier is hard for all; wrong answers agree as the belief has it.

    `skill` is how often each tier is right. The last records are everybody's neighbours; with
    `topics`, each question is of one of them, and its neighbours are those nearest to it.
    """

    policy: Policy
    rng: Random
    skill: Skill
    ladder: TierLadder = field(default_factory=ladder)
    judged: Judged = fair
    latency_s: Mapping[str, float] = field(default_factory=dict)
    topics: Sequence[Topic] = ()
    records: list[Record] = field(default_factory=list)
    vectors: list[Vector] = field(default_factory=list)
    _near: deque[Neighbour] = field(default_factory=lambda: deque(maxlen=NEAR))

    def serve(self, count: int, dial: Dial | None = None) -> list[Record]:
        """As many requests, one after the other, with their lessons."""
        return [self.play(dial) for _ in range(count)]

    def near(self, neighbour: Neighbour) -> None:
        """From now on a neighbour of everything, as the last records are."""
        self._near.append(neighbour)

    def play(self, dial: Dial | None = None, topic: Topic | None = None) -> Record:
        topic = topic or (self.rng.choice(self.topics) if self.topics else None)
        vector = topic.question(self.rng) if topic else None
        if topic:
            self.skill = topic.skill
        context = self._context(vector, dial, topic.task if topic else None)
        record = Record(
            id=f"{len(self.records)}",
            time_s=float(len(self.records)),
            tenant="local",
            kind="routed",
            policy=self.policy.name,
            policy_version=self.policy.version,
            ladder=TIERS,
            eligible=TIERS,
            outcome="answered",
            lessons=self.policy.lessons(context),
            task=context.task,
            sketch=sketch_of(vector),
            text=topic.name if topic else None,
        )
        answers = self._answers()
        self._serve(context, record, answers)
        self._teach(record, answers)
        self.policy.observe(record)
        self.records.append(record)
        self._near.append(Neighbour(0.9, record))
        if vector is not None:
            self.vectors.append(vector)
        return record

    def of(self, topic: Topic, last: int = 10_000) -> list[Record]:
        """The records of the topic's questions, of the last so many."""
        return [record for record in self.records[-last:] if record.text == topic.name]

    def asked(self, topic: Topic, dial: Dial | None = None) -> Context:
        """What a policy would know of such a question now."""
        return self._context(topic.at, dial, topic.task)

    def _context(self, vector: Vector | None, dial: Dial | None, task: str | None) -> Context:
        return Context(
            self.ladder,
            tuple(self._near) if vector is None else self._nearest(vector),
            self.rng,
            prompt_tokens=100,
            tenant="local",
            dial=dial,
            vector=vector,
            task=task,
        )

    def _nearest(self, vector: Vector) -> tuple[Neighbour, ...]:
        if not self.vectors or not self.policy.neighbours:
            return ()
        cosines = np.array(self.vectors) @ vector
        best = np.argsort(-cosines, kind="stable")[: self.policy.neighbours]
        return tuple(Neighbour(float(cosines[at]), self.records[at]) for at in best)

    def _answers(self) -> dict[str, str]:
        """Every tier's answer to the next question."""
        belief = np.cumsum(joint([self.skill[tier] for tier in TIERS]))
        state = int(np.searchsorted(belief, self.rng.random() * belief[-1]))
        trap = bool(state >> len(TIERS) & 1)
        wrong = {tier: "the trap" if trap and self.rng.random() < 0.85 else tier for tier in TIERS}
        return {tier: "right" if state >> at & 1 else wrong[tier] for at, tier in enumerate(TIERS)}

    def _serve(self, context: Context, record: Record, answers: Mapping[str, str]) -> None:
        while record.served is None:
            match self.policy.next(context, record.attempts):
                case Ask(tier, arrived, _, start):
                    record.start = record.start or start
                    record.attempts.append(self._attempt(tier, arrived, answers))
                case Judge(index, by, _, samples):
                    right = answers[record.attempts[index].tier] == "right"
                    words = [self.judged(self.rng, right) for _ in range(samples or 1)]
                    share = sum(words) / len(words)
                    usd = JUDGING_USD * len(words)
                    verdict = Verdict(share >= 0.5, by, cost_usd=usd, confidence=share)
                    record.attempts[index].verdicts.append(verdict)
                case Accept(index, by):
                    record.served = index
                    if by is not None:
                        right = answers[record.attempts[index].tier] == "right"
                        record.evidence["judge"] = Evidence(
                            "judge", self.judged(self.rng, right), by, record.time_s, JUDGING_USD
                        )
                case Stop(index):
                    record.served = index

    def _teach(self, record: Record, answers: Mapping[str, str]) -> None:
        drawn = record.lessons.drawn if record.lessons else ()
        ran = {attempt.tier for attempt in record.attempts}
        wanted = sorted(set(TIERS if "full" in drawn else drawn) & set(TIERS) - ran)
        if wanted:
            attempts = tuple(self._attempt(tier, "lesson", answers) for tier in wanted)
            usd = sum(COST_USD[tier] for tier in wanted)
            record.evidence["lesson"] = Evidence(
                "lesson", None, "lesson", record.time_s + 1, usd, attempts=attempts
            )

    def _attempt(self, tier: str, arrived: Arrival, answers: Mapping[str, str]) -> Attempt:
        return Attempt(
            tier,
            arrived,
            outcome="complete",
            final_answer=answers[tier],
            cost_usd=COST_USD[tier],
            latency_s=self.latency_s.get(tier, 0.0),
        )


def usd_per_1000(records: Sequence[Record]) -> float:
    """What 1,000 such requests cost, all told."""
    return 1000 * sum(record.cost_usd or 0.0 for record in records) / len(records)


def accuracy(records: Sequence[Record]) -> float:
    """How often the served answer is right."""
    served = [record.served_attempt for record in records]
    return sum(attempt is not None and attempt.final_answer == "right" for attempt in served) / len(
        records
    )


def seeded(seed: int) -> Random:
    """The same chances every time."""
    return Random(seed)  # noqa: S311


def given(*neighbours: Neighbour, tenant: str = "local", seed: int = 0) -> Context:
    """What a policy knows of a request that has these neighbours."""
    return Context(ladder(), neighbours, seeded(seed), prompt_tokens=100, tenant=tenant)


def attempt(tier: str, answer: str, *verdicts: Verdict, arrived: Arrival = "direct") -> Attempt:
    """A whole answer of this tier, and what was said of it."""
    return Attempt(
        tier,
        arrived,
        outcome="complete",
        final_answer=answer,
        verdicts=list(verdicts),
        cost_usd=0.001,
    )
