"""What is learned online besides the neighbours: rates, costs, how far judges err, and the budget.

It holds nothing that the records do not: shown the same ones in order, it says the same again.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from app.belief import Rates, Relation

DECAY = 0.998
"""What one more label leaves of the weight of those before it."""
PRIOR_WEIGHT = 20.0
RATE_MIN, RATE_MAX = 0.02, 0.98
JUDGE_PRIOR = (9.0, 1.0, 4.0, 6.0)
"""Counts before any: right and judged valid, right and not, wrong and judged valid, wrong and not.
"""
LESSON_SHARE = 0.05
"""Of all spend, what lessons may cost."""
FULL_SHARE = 0.5
"""Of the lessons' budget, what goes to questions that every tier answers and judges judge."""
LESSON_MAX = 0.25
"""The highest chance of one lesson: a cheap tier is not asked more often than that."""
CATCH_UP_REQUESTS = 50
"""Over how many requests what is left of the budget is spent."""
TENANTS = 10_000


@dataclass(slots=True)
class Mean:
    """A running mean that forgets; 0 while it is empty."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float) -> None:
        """Take one more value into account."""
        self.total = DECAY * self.total + value
        self.weight = DECAY * self.weight + 1.0

    @property
    def value(self) -> float:
        return self.total / self.weight if self.weight else 0.0


@dataclass(slots=True)
class JudgeCounts:
    """How a judge's verdicts on one tier's answers compare with what those turned out to be."""

    right_valid: float = JUDGE_PRIOR[0]
    right_invalid: float = JUDGE_PRIOR[1]
    wrong_valid: float = JUDGE_PRIOR[2]
    wrong_invalid: float = JUDGE_PRIOR[3]

    def add(self, right: float, *, valid: bool) -> None:
        """One verdict on an answer that is right with this probability."""
        if valid:
            self.right_valid += right
            self.wrong_valid += 1 - right
        else:
            self.right_invalid += right
            self.wrong_invalid += 1 - right

    @property
    def rates(self) -> Rates:
        """P(valid | right) and P(valid | wrong), to a hundredth: so plans can be kept."""
        of_right = self.right_valid / (self.right_valid + self.right_invalid)
        of_wrong = self.wrong_valid / (self.wrong_valid + self.wrong_invalid)
        return round(of_right, 2), round(of_wrong, 2)


USUAL_RATES = JudgeCounts().rates


@dataclass(frozen=True, slots=True)
class Label:
    """What one record says of a tier: right with this probability, and how much that counts.

    `right` may leave [0, 1]: only its mean is a probability.
    """

    right: float
    weight: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that a coin, and no belief, set against a better answer."""

    tier: str
    relation: Relation
    right: float
    valid: bool


@dataclass(frozen=True, slots=True)
class Lessons:
    """What one request gets to teach, drawn before its path is chosen.

    `tiers` are asked in the background where the path did not ask them; `judged`: all of them are,
    and every answer below the top is judged. `propensities` has the chance of each coin, by tier
    and `full`.
    """

    tiers: frozenset[str]
    judged: bool
    propensities: Mapping[str, float]


@dataclass(slots=True)
class Ledger:
    """One tenant's running figures. Units: costs in USD."""

    right: dict[str, tuple[float, float]] = field(default_factory=dict)
    ask_usd: dict[str, Mean] = field(default_factory=dict)
    judge_usd: dict[str, Mean] = field(default_factory=dict)
    judges: dict[tuple[str, Relation], JudgeCounts] = field(default_factory=dict)
    request_usd: Mean = field(default_factory=Mean)
    spent_usd: float = 0.0
    lessons_usd: float = 0.0

    def rate(self, tier: str, prior: float) -> float:
        """How often the tier is right, all questions taken together."""
        right, wrong = self.right.get(tier, _counts(prior))
        return min(RATE_MAX, max(RATE_MIN, right / (right + wrong)))

    def rates(self, tier: str, relation: Relation) -> Rates:
        """How well this tier's answers are judged: P(valid | right), P(valid | wrong)."""
        counts = self.judges.get((tier, relation))
        return USUAL_RATES if counts is None else counts.rates

    def ask_cost_usd(self, tier: str, usual_usd: float) -> float:
        """What asking the tier costs; what is usual, until it was asked."""
        mean = self.ask_usd.get(tier)
        return usual_usd if mean is None else mean.value

    def judge_cost_usd(self, tier: str, usual_usd: float) -> float:
        """What judging the tier's answers costs; what is usual, until one was."""
        mean = self.judge_usd.get(tier)
        return usual_usd if mean is None else mean.value

    def learn(self, labels: Mapping[str, Label], priors: Mapping[str, float]) -> None:
        """Take a record's labels into the running rates."""
        for tier, label in labels.items():
            right, wrong = self.right.get(tier) or _counts(priors.get(tier, 0.5))
            self.right[tier] = (
                DECAY * right + label.weight * label.right,
                DECAY * wrong + label.weight * (1 - label.right),
            )

    def learn_judge(self, judged: Iterable[Judged]) -> None:
        """Take verdicts into the judge's counts."""
        for one in judged:
            counts = self.judges.setdefault((one.tier, one.relation), JudgeCounts())
            counts.add(one.right, valid=one.valid)

    def pay(
        self,
        *,
        asked: Sequence[tuple[str, float]],
        judged: Sequence[tuple[str, float]],
        request_usd: float,
        lessons_usd: float,
    ) -> None:
        """Take a record's costs into the books: by tier, and all of it."""
        for books, costs in ((self.ask_usd, asked), (self.judge_usd, judged)):
            for tier, cost_usd in costs:
                books.setdefault(tier, Mean()).add(cost_usd)
        self.request_usd.add(request_usd)
        self.spent_usd += request_usd + lessons_usd
        self.lessons_usd += lessons_usd

    def draw(
        self, ask_usd: Mapping[str, float], judge_usd: Mapping[str, float], rng: Random
    ) -> Lessons:
        """This request's lessons; every coin is flipped, whatever the others show.

        A coin's chance is what its share of the budget buys: of what a request adds to it, and of
        what earlier ones left. Where it is used up, there are no lessons.
        """
        left_usd = LESSON_SHARE * self.spent_usd - self.lessons_usd
        budget_usd = LESSON_SHARE * self.request_usd.value + left_usd / CATCH_UP_REQUESTS
        if left_usd <= 0:
            budget_usd = 0.0
        full_usd = sum(ask_usd.values()) + sum(judge_usd.values())
        one_usd = budget_usd * (1 - FULL_SHARE) / len(ask_usd)
        chances = {tier: _chance(one_usd, cost_usd) for tier, cost_usd in ask_usd.items()}
        full = _chance(budget_usd * FULL_SHARE, full_usd)
        tiers = frozenset(tier for tier, chance in chances.items() if rng.random() < chance)
        judged = rng.random() < full
        return Lessons(frozenset(ask_usd) if judged else tiers, judged, {**chances, "full": full})


class Learner:
    """The ledgers by tenant; of too many tenants, those not heard of for longest are forgotten."""

    def __init__(self) -> None:
        self._ledgers: OrderedDict[str, Ledger] = OrderedDict()

    def ledger(self, tenant: str) -> Ledger:
        """The tenant's own; an empty one where it is new."""
        ledger = self._ledgers.setdefault(tenant, Ledger())
        self._ledgers.move_to_end(tenant)
        if len(self._ledgers) > TENANTS:
            self._ledgers.popitem(last=False)
        return ledger


def _counts(prior: float) -> tuple[float, float]:
    return PRIOR_WEIGHT * prior, PRIOR_WEIGHT * (1 - prior)


def _chance(budget_usd: float, cost_usd: float) -> float:
    return min(LESSON_MAX, budget_usd / cost_usd) if cost_usd > 0 else LESSON_MAX
