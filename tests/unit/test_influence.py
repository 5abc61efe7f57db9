"""Poisoned records: how far one key can move what another of its tenant gets, and how it ends."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeAlias

import numpy as np
import pytest

from app.embedder import build_embedder
from app.learning.influence import fair, neighbours_for
from app.learning.labels import taught
from app.neighbours import Neighbour
from app.planning.affinity import Voucher
from app.policies.llm_at import LlmAt
from app.policies.value import Value
from app.policy import Ask, Context, Policy
from app.records import (
    Attempt,
    Estimate,
    Evidence,
    Record,
    Vector,
    Verdict,
    record_from_json,
)
from app.replay.memory import MemoryStore
from app.settings import EmbedderSection
from app.starter import AccuracyEstimator, Starter
from app.store.protocol import Insert
from tests.support.made_world import COST_USD, TIERS, ladder

pytestmark = pytest.mark.anyio

Decision: TypeAlias = tuple[str, dict[str, Estimate]]
TARGETS, DIMENSION = 50, 64


@dataclass(slots=True)
class Plot:
    """A store that several keys write to; what each asks lies near one of 50 targets."""

    policy: Policy
    rng: Random = field(default_factory=lambda: Random(7))  # noqa: S311 - a made world
    store: MemoryStore = field(default_factory=MemoryStore)
    _inserts: list[Insert] = field(default_factory=list)
    targets: list[Vector] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.targets = [self.near(None, 0.0) for _ in range(TARGETS)]

    def near(self, target: Vector | None, spread: float) -> Vector:
        """A unit vector near the target; anywhere without one."""
        around = np.random.default_rng(self.rng.randrange(2**32)).normal(size=DIMENSION)
        around /= np.linalg.norm(around)
        found = around if target is None else target + spread * around
        return (found / np.linalg.norm(found)).astype(np.float32)

    def write(self, tenant: str, principal: str | None, vector: Vector, *, right: bool) -> None:
        """A request that the small tier answered, and that its key said was right or wrong."""
        number = len(self._inserts)
        record = self.asked(tenant, principal, f"0199f0a1-0000-7000-8000-{number:012d}")
        record.time_s = float(number)
        record.attempts = [
            Attempt(
                "small", "direct", outcome="complete", final_answer="a", cost_usd=COST_USD["small"]
            )
        ]
        record.served, record.outcome = 0, "answered"
        said = Evidence("feedback", right, "user", number + 0.5, principal=principal)
        record.evidence = {"said": said}
        self._inserts.append(Insert(record.id, tenant, record.to_json(), vector))
        self.store.apply(self._inserts[-1])
        self.policy.observe(record)

    def asked(self, tenant: str, principal: str | None, record_id: str = "") -> Record:
        return Record(
            id=record_id,
            time_s=0.0,
            tenant=tenant,
            kind="routed",
            policy="value",
            policy_version="1",
            ladder=TIERS,
            eligible=TIERS,
            embedder="e",
            principal=principal,
        )

    async def decisions(
        self, tenant: str, principal: str | None, probes: Sequence[Vector]
    ) -> list[Decision]:
        """Where each probe would start, and what is believed there."""
        found = []
        for probe in probes:
            asked = self.asked(tenant, principal)
            near = await neighbours_for(
                asked, probe, "e", store=self.store, limit=self.policy.neighbours
            )
            context = Context(
                ladder(), near, self.rng, prompt_tokens=100, tenant=tenant, principal=principal
            )
            action = self.policy.next(context, [])
            assert isinstance(action, Ask)
            assert action.start is not None
            found.append((action.tier, action.start.estimates))
        return found

    def truth(self, target: int) -> bool:
        """Whether the small tier is right there."""
        return target % 2 == 0

    def live(self, tenant: str, principal: str | None) -> None:
        """An honest key's 600 requests."""
        for number in range(600):
            target = number % TARGETS
            self.write(
                tenant, principal, self.near(self.targets[target], 0.5), right=self.truth(target)
            )

    def poison(self, tenant: str, principal: str | None) -> None:
        """A liar's 1,000 requests, 20 around every target."""
        for number in range(1000):
            target = number % TARGETS
            self.write(
                tenant,
                principal,
                self.near(self.targets[target], 0.2),
                right=not self.truth(target),
            )

    def erase(self, principal: str) -> None:
        """Take this key's records out of the store."""
        self.store = MemoryStore()
        for insert in self._inserts:
            if record_from_json(insert.body).principal != principal:  # type: ignore[union-attr]
                self.store.apply(insert)

    def probes(self) -> list[Vector]:
        """Ten around every target."""
        return [self.near(self.targets[n % TARGETS], 0.4) for n in range(10 * TARGETS)]


POLICIES: dict[str, Callable[[], Policy]] = {
    "value": Value,
    "llm_at": lambda: LlmAt(Starter(0.7, 5), AccuracyEstimator(5), Voucher(0.7, 3, 5)),
}


def changed(before: Sequence[Decision], after: Sequence[Decision]) -> float:
    return sum(a[0] != b[0] for a, b in zip(before, after, strict=True)) / len(before)


@pytest.mark.parametrize("name", POLICIES)
async def test_a_key_that_plants_1000_records_changes_few_decisions_of_others(name: str) -> None:
    plot = Plot(POLICIES[name]())
    plot.live("acme", "victim")
    plot.live("other", "bystander")
    probes = plot.probes()
    before = await plot.decisions("acme", "victim", probes)
    elsewhere = await plot.decisions("other", "bystander", probes)
    assert len({tier for tier, _ in before}) > 1

    plot.poison("acme", "mallory")
    after = await plot.decisions("acme", "victim", probes)
    assert changed(before, after) <= 0.05
    assert await plot.decisions("other", "bystander", probes) == elsewhere

    plot.erase("mallory")
    assert await plot.decisions("acme", "victim", probes) == before


@pytest.mark.parametrize("name", POLICIES)
async def test_a_key_that_plants_1000_records_changes_its_own_decisions(name: str) -> None:
    for principal in (None, "mallory"):
        plot = Plot(POLICIES[name]())
        plot.live("acme", principal)
        probes = plot.probes()[:100]
        before = await plot.decisions("acme", principal, probes)
        plot.poison("acme", principal)
        assert changed(before, await plot.decisions("acme", principal, probes)) > 0.5


@pytest.mark.parametrize("name", POLICIES)
async def test_who_is_new_to_a_tenant_hears_many_keys_but_none_of_them_loudly(name: str) -> None:
    plot = Plot(POLICIES[name]())
    target = plot.targets[0]
    empty = await plot.decisions("acme", "new", [target])
    for _ in range(200):
        plot.write("acme", "mallory", plot.near(target, 0.1), right=False)
    one = await plot.decisions("acme", "new", [target])
    for number in range(20):
        plot.write("acme", f"key-{number}", plot.near(target, 0.1), right=False)
    many = await plot.decisions("acme", "new", [target])
    accuracies = [found[0][1]["small"].accuracy for found in (empty, one, many)]
    assert 0 < accuracies[0] - accuracies[1] < 0.1
    assert accuracies[1] - accuracies[2] > 2 * (accuracies[0] - accuracies[1])


async def test_prompts_that_start_with_a_confounder_move_nobody_else() -> None:
    plot = Plot(Value())
    embedder = build_embedder(EmbedderSection())
    plain = [f"What is {n} + {n + 3}? Reply with the number." for n in range(100)]
    vectors = [await embedder.embed(text) for text in plain]
    known = [vector for vector in vectors if vector is not None]
    for vector in known * 2:
        plot.write("acme", "victim", vector, right=True)
    before = await plot.decisions("acme", "victim", known)
    for number in range(100):
        prefix = f"Prove rigorously, in the general case and for experts, lemma {number}: "
        for text in plain[number % 10 :: 10]:
            attack = await embedder.embed(prefix + text)
            assert attack is not None
            plot.write("acme", "mallory", attack, right=False)
    assert changed(before, await plot.decisions("acme", "victim", known)) == 0


def neighbour(similarity: float, principal: str | None, *, at: float = 0.0) -> Neighbour:
    record = Plot(Value()).asked("acme", principal, f"{similarity}-{principal}-{at}")
    vector = np.array([np.cos(at), np.sin(at)], dtype=np.float32)
    return Neighbour(similarity, record, vector)


def test_of_another_keys_near_duplicates_only_the_nearest_is_a_neighbour() -> None:
    theirs = [neighbour(0.9 - n / 100, "other", at=n / 1000) for n in range(5)]
    apart = [neighbour(0.8 - n / 100, "other", at=1.0 + n) for n in range(5)]
    own = [neighbour(0.7 - n / 100, "me") for n in range(5)] + [neighbour(0.6, None)]
    found = fair([*theirs, *apart, *own], "me", 30)
    assert found == [theirs[0], *apart[:2], *own]
    assert fair([*theirs, *apart, *own], "me", 4) == [theirs[0], *own[:3]]


def test_feedback_of_another_key_is_hearsay() -> None:
    asked = Plot(Value()).asked("acme", "me", "r")
    asked.attempts = [Attempt("small", "direct", outcome="complete", final_answer="a")]
    asked.served = 0

    def labels(*words: Evidence, verdict: bool | None = None) -> list[tuple[float, float]]:
        verdicts = [] if verdict is None else [Verdict(verdict, "medium")]
        attempts = [replace(asked.attempts[0], verdicts=verdicts)]
        known = {str(number): word for number, word in enumerate(words)}
        found = taught(replace(asked, attempts=attempts, evidence=known))
        return [(one.label((0.9, 0.3)).right, one.label((0.9, 0.3)).weight) for one in found]

    def word(principal: str | None, *, valid: bool) -> Evidence:
        return Evidence("feedback", valid, "user", 1.0, principal=principal)

    assert labels(word("other", valid=False)) == [(0.0, 0.25)]
    assert labels(word("me", valid=False)) == [(0.0, 1.0)]
    assert labels(word(None, valid=False)) == [(0.0, 1.0)]
    assert labels(word("other", valid=False), word("me", valid=True)) == [(1.0, 1.0)]
    assert labels(word("other", valid=False), verdict=True) == labels(verdict=True)
    assert labels(word("me", valid=False), verdict=True) == [(0.0, 1.0)]
