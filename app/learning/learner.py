"""What is learned online besides the neighbours: rates, costs, how far judges err, and the budget.

It holds nothing that the records do not: shown the same ones in order, it says the same again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from random import Random

import numpy as np

from app.latest import Latest
from app.learning.amounts import Bill, Judged, Key, Label, amounts_of
from app.learning.belief import AGREEMENTS, RELATIONS, TRAPS, Array, Rates, Relation, World, lifted
from app.learning.discounting import Amount
from app.learning.drift import Drift
from app.learning.judge_rates import JudgeRates, prior_of
from app.learning.means import REMEMBERED, Means
from app.records import Lessons

PRIOR_WEIGHT = 20.0
RATE_MIN, RATE_MAX = 0.02, 0.98
JUDGE_WEIGHT = 10.0
"""How many verdicts that coins chose count as much as what all verdicts say of a judge's errors."""
CHANGE_WEIGHT = 5.0
"""What is left of a tier's labels when it has changed."""
CHANGE_DISCOUNT = 0.1
"""What a neighbour's label from before counts for."""
WORLD_DECAY = 0.999
LESSON_SHARE = 0.05
"""Of all spend, what lessons may cost."""
FULL_SHARE = 0.3
"""Of the lessons' budget, what goes to questions that every tier answers and judges judge."""
LESSON_MAX = 0.25
"""The highest chance of one lesson: a cheap tier is not asked more often than that."""
CATCH_UP_REQUESTS = 50
"""Over how many requests what is left of the budget is spent."""
FULL = "full"
NOTHING = Bill()
TENANTS = 10_000


@dataclass(slots=True)
class Ledger:
    """One tenant's running figures. Units: costs in USD."""

    spent_usd: float = 0.0
    lessons_usd: float = 0.0
    changed_s: dict[str, float] = field(default_factory=dict)
    _drifts: dict[str, Drift] = field(default_factory=dict)
    _models: dict[str, set[str]] = field(default_factory=dict)
    _seen: Array = field(default_factory=lambda: np.zeros((len(TRAPS), len(AGREEMENTS))))
    _world: World | None = None
    judge_rates: JudgeRates = field(default_factory=JudgeRates)
    _rates: dict[str, tuple[Rates, ...]] = field(default_factory=dict)
    _means: Means = field(default_factory=Means)
    _paid: OrderedDict[str, Bill] = field(default_factory=OrderedDict)

    def accuracies(self, tiers: Sequence[str], priors: Sequence[float]) -> list[float]:
        """How often each tier is right, all questions taken together."""
        keys = [("right", tier) for tier in tiers]
        found = [(self._means.total(key), self._means.weight(key)) for key in keys]
        usual = lifted(priors, found, PRIOR_WEIGHT)
        means = (
            self._means.mean(key, (PRIOR_WEIGHT * prior, PRIOR_WEIGHT))
            for key, prior in zip(keys, usual, strict=True)
        )
        return [min(RATE_MAX, max(RATE_MIN, mean)) for mean in means]

    def rate(self, tier: str, prior: float) -> float:
        """How often the tier is right, by itself."""
        return self.accuracies([tier], [prior])[0]

    def rates(self, tier: str, relation: Relation) -> Rates:
        """How well this tier's answers are judged: P(valid | right), P(valid | wrong)."""
        return self.all_rates(tier)[RELATIONS.index(relation)]

    def all_rates(self, tier: str) -> tuple[Rates, ...]:
        """The same, as in `RELATIONS`. Rounded, so that plans can be kept."""
        known = self._rates.get(tier)
        if known is None:
            of_right, of_wrong = self.judge_rates.rates(tier)
            rights, wrongs = (
                self._judged(tier, "right", of_right),
                self._judged(tier, "wrong", of_wrong),
            )
            known = self._rates[tier] = tuple(
                (round(right * 50) / 50, round(wrong * 20) / 20)
                for right, wrong in zip(rights, wrongs, strict=True)
            )
        return known

    def hear(self, tier: str, chance: float, *, valid: bool) -> None:
        """One verdict on an answer that, all else considered, is right with this chance."""
        self.judge_rates.add(tier, chance, valid=valid)
        self._rates.clear()

    def error_bound(self, tier: str) -> float:
        """How often, at most, the tier's answer is not good enough when it goes out as it came.

        Of those that a coin had looked at: the upper end of the interval of one standard deviation.
        Source: Wilson 1927. Without any it is 1.
        """
        error, n = 1 - self._means.mean(("audited", tier)), self._means.weight(("audited", tier))
        if n <= 0:
            return 1.0
        spread = sqrt(error * (1 - error) / n + 1 / (4 * n**2))
        return (error + 1 / (2 * n) + spread) / (1 + 1 / n)

    def _judged(self, tier: str, word: str, usual: float) -> list[float]:
        """How often answers like these are judged valid: shrunk to the tier's, that to all's.

        Shape: as `RELATIONS`.
        """
        for key in (("valid", word), ("valid", word, tier)):
            usual = self._mean(key, (JUDGE_WEIGHT * usual, JUDGE_WEIGHT))
        prior = (JUDGE_WEIGHT * usual, JUDGE_WEIGHT)
        return [self._mean(("valid", word, tier, relation), prior) for relation in RELATIONS]

    def ask_cost_usd(self, tier: str, usual_usd: float) -> float:
        """What asking the tier costs; what is usual, until it was asked."""
        return self._mean(("asked", tier), None, usual_usd)

    def judge_cost_usd(self, tier: str, usual_usd: float) -> float:
        """What judging the tier's answers costs; what is usual, until one was."""
        return self._mean(("judged", tier), None, usual_usd)

    def compare_cost_usd(self, usual_usd: float) -> float:
        """What comparing two answers costs; what is usual, until that was done."""
        return self._mean(("compared",), None, usual_usd)

    def learn(
        self,
        record_id: str,
        labels: Mapping[str, Label],
        judged: Iterable[Judged] = (),
        *,
        audited: Iterable[tuple[str, float]] = (),
        bill: Bill = NOTHING,
    ) -> list[str]:
        """Take in what a record teaches and cost; of one that was taken in before, what changed.

        The tiers that it had taught nothing about before.
        """
        found: dict[Key, Amount] = {}
        for key, amount in amounts_of(labels, judged, audited, bill):
            total, weight = found.get(key, (0.0, 0.0))
            found[key] = (total + amount[0], weight + amount[1])
        if self.knows(record_id) or any(key[0] == "valid" for key in found):
            self._rates.clear()
        new = self._means.take(record_id, found)
        paid = self._paid.pop(record_id, NOTHING)
        self._paid[record_id] = bill
        if len(self._paid) > REMEMBERED:
            self._paid.popitem(last=False)
        self.lessons_usd += bill.lessons_usd - paid.lessons_usd
        self.spent_usd += bill.request_usd + bill.lessons_usd - paid.request_usd - paid.lessons_usd
        return [tier for what, tier in (key[:2] for key in new if len(key) > 1) if what == "right"]

    def knows(self, record_id: str) -> bool:
        """Whether the record was taken in before, and is not forgotten."""
        return self._means.knows(record_id)

    def watch(
        self, labels: Mapping[str, Label], believed: Mapping[str, float], time_s: float
    ) -> None:
        """Look whether the tiers are still as good as was believed before the request."""
        for tier, label in labels.items():
            if tier not in believed or label.weight <= 0:
                continue
            drift = self._drifts.setdefault(tier, Drift())
            change = drift.add(label.right, label.weight, believed[tier], time_s)
            if change is not None:
                self._change(tier, change.since_s, (change.right, change.weight))

    def serve(self, models: Iterable[tuple[str, str]], time_s: float) -> None:
        """Look whether the tiers' models are still the same ones."""
        for tier, model in models:
            known = self._models.setdefault(tier, {model})
            if model not in known:
                known.add(model)
                self._change(tier, time_s, (0.0, 0.0))

    def _change(self, tier: str, since_s: float, amount: Amount) -> None:
        """From now on, what was known of the tier counts for little."""
        self.changed_s[tier] = since_s
        key = ("right", tier)
        if self._means.weight(key) > 0:
            before = CHANGE_WEIGHT * self._means.mean(key)
            self._means.restart(key, (before + amount[0], CHANGE_WEIGHT + amount[1]))

    @property
    def world(self) -> World:
        """How answers hang together, by what was seen of their agreement."""
        if self._world is None:
            likely = np.exp(self._seen - self._seen.max())
            likely /= likely.sum()
            weights = np.round(likely.sum(axis=1), 2)
            agreement = float(likely.sum(axis=0) @ np.array(AGREEMENTS))
            self._world = World(
                tuple((weights / weights.sum()).tolist()), round(agreement * 50) / 50
            )
        return self._world

    def see(self, likely: Array) -> None:
        """Take in how likely each world made what was seen."""
        self._seen = WORLD_DECAY * self._seen + np.log(np.maximum(likely, 1e-12))
        self._world = None

    def draw(
        self,
        ask_usd: Mapping[str, float],
        judge_usd: Mapping[str, float],
        rng: Random,
        *,
        share: float = LESSON_SHARE,
    ) -> Lessons:
        """This request's lessons; every coin is flipped, whatever the others show.

        A coin's chance is what its share of the budget buys: of what a request adds to it, and of
        what earlier ones left. Where it is overdrawn by more than a full lesson, there are none: so
        a dear one that fell early does not keep the cheap ones from being had.
        """
        full_usd = sum(ask_usd.values()) + sum(judge_usd.values())
        left_usd = share * self.spent_usd - self.lessons_usd
        budget_usd = share * self._mean(("request",), None, 0.0)
        budget_usd += max(0.0, left_usd) / CATCH_UP_REQUESTS
        if not self.spent_usd or left_usd < -full_usd:
            budget_usd = 0.0
        one_usd = budget_usd * (1 - FULL_SHARE) / len(ask_usd)
        chances = {tier: _chance(one_usd, cost_usd) for tier, cost_usd in ask_usd.items()}
        chances[FULL] = _chance(budget_usd * FULL_SHARE, full_usd)
        return Lessons(chances, tuple(c for c, chance in chances.items() if rng.random() < chance))

    def _mean(self, key: Key, prior: Amount | None, usual: float = 0.0) -> float:
        return self._means.mean(key, prior or (0.0, 0.0), usual)


class Learner:
    """The ledgers by tenant; of too many tenants, those not heard of for longest are forgotten.

    `judged` is how well judges are said to judge; None: nothing is known of them.
    """

    def __init__(self, judged: Rates | None = None) -> None:
        self._ledgers: Latest[str, Ledger] = Latest(TENANTS)
        self._prior = prior_of(judged)

    def ledger(self, tenant: str) -> Ledger:
        """The tenant's own; an empty one where it is new."""
        return self._ledgers.of(tenant, lambda: Ledger(judge_rates=JudgeRates(self._prior)))


def _chance(budget_usd: float, cost_usd: float) -> float:
    return min(LESSON_MAX, budget_usd / cost_usd) if cost_usd > 0 else LESSON_MAX
