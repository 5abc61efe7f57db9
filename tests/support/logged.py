"""A made world where every tier's answer is known, and the records a gateway would log of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from uuid import uuid4

from app.embedder import StaticEmbedder
from app.records import (
    Attempt,
    Estimate,
    Evidence,
    Lessons,
    Record,
    Start,
    Usage,
    Verdict,
)
from app.store import EdgeStore, Insert

AT_ONCE = 64
TIERS = ("small", "medium", "large")
COSTS_USD = {"small": 0.001, "medium": 0.006, "large": 0.03}
COINS = {"small": 0.15, "medium": 0.08, "large": 0.05, "judges": 0.0, "full": 0.08}

OUTCOME = Evidence("outcome", None, "user", 1.0, correct="right")


@dataclass(slots=True)
class World:
    """Questions of random difficulty. The top tier is always right: it is the reference.

    `believed` is what the policy predicts of each tier, however wrong. The path starts at
    `start` and goes to the top where a judge, who sees difficulty, refuses. `decided`: of every
    request it comes out what was right.
    """

    seed: int
    start: str | None = None
    believed: dict[str, float] = field(
        default_factory=lambda: {"small": 0.7, "medium": 0.85, "large": 0.97}
    )
    coins: dict[str, float] = field(default_factory=lambda: dict(COINS))
    skill: dict[str, float] = field(
        default_factory=lambda: {"small": 0.75, "medium": 0.9, "large": 1.0}
    )
    judge_sees: float = 0.8
    decided: bool = False
    tenant: str = "local"
    _rng: Random = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self._rng = Random(self.seed)  # noqa: S311 - a made world

    def record(self) -> Record:
        """The next request's record, its lessons over."""
        return with_lessons(*self.early())

    def early(self) -> tuple[Record, Evidence | None]:
        """The next request's record as it is when the reply is sent, and what comes later."""
        rng = self._rng
        self.made += 1
        hardness = rng.random()
        right = {tier: hardness < skill for tier, skill in self.skill.items()}
        tokens = rng.randint(200, 2000)
        answers = {tier: self._answer(tier, right[tier], tokens) for tier in TIERS}
        path = [answers[self.start or rng.choice(TIERS[:2])]]
        valid = right[path[0].tier] if rng.random() < self.judge_sees else True
        path[0].verdicts.append(Verdict(valid=valid, by="large", cost_usd=0.0001))
        if not valid:
            path.append(replace(answers["large"], arrived="after_reject"))
        drawn = tuple(name for name, chance in self.coins.items() if rng.random() < chance)
        record = Record(
            id=f"{self.tenant}-{self.seed}-{self.made}",
            time_s=1_700_000_000.0 + self.made,
            tenant=self.tenant,
            kind="routed",
            policy="value",
            policy_version="1",
            ladder=TIERS,
            eligible=TIERS,
            start=Start(
                path[0].tier,
                {path[0].tier: 1.0},
                {tier: Estimate(believed, 0.5) for tier, believed in self.believed.items()},
            ),
            lessons=Lessons(dict(self.coins), drawn),
            attempts=path,
            served=len(path) - 1,
            outcome="answered",
        )
        if self.decided:
            record.evidence["outcome"] = OUTCOME
        asked = TIERS if "full" in drawn else drawn
        missing = [t for t in TIERS if t in asked and t not in {a.tier for a in path}]
        lessons = tuple(replace(answers[tier], arrived="lesson") for tier in missing)
        if not lessons:
            return record, None
        cost_usd = sum(attempt.cost_usd or 0.0 for attempt in lessons)
        return record, Evidence(
            source="lesson",
            valid=None,
            by="lesson",
            time_s=record.time_s + 1,
            cost_usd=cost_usd,
            attempts=lessons,
        )

    def _answer(self, tier: str, right: bool, tokens: int) -> Attempt:
        return Attempt(
            tier=tier,
            arrived="direct",
            model=f"model-{tier}",
            outcome="complete",
            final_answer="right" if right else f"wrong-{tier}-{self.made}",
            usage=Usage(tokens, tokens),
            cost_usd=COSTS_USD[tier] * tokens / 1100,
            latency_s=1.0,
        )


def with_lessons(record: Record, evidence: Evidence | None) -> Record:
    """The record once its lessons are over."""
    return (
        record
        if evidence is None
        else replace(record, evidence={**record.evidence, "lesson": evidence})
    )


async def kept(store: Path, records: Iterable[Record]) -> None:
    """Have these records in a gateway's store, without vectors: they are nobody's neighbours."""
    edge = EdgeStore(store, dimension=StaticEmbedder().dimension)
    await edge.open()
    try:
        inserts = [
            Insert(record.id, record.tenant, record.to_json(), None)
            for record in (replace(record, id=str(uuid4())) for record in records)
        ]
        for start in range(0, len(inserts), AT_ONCE):
            await edge.write(inserts[start : start + AT_ONCE])
    finally:
        await edge.close()
