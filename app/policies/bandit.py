"""Bandit: one tier answers, chosen by a linear model of accuracy, with optimism where it is unsure.

Source: LinUCB as in MetaLLM (Nguyen et al. 2024, arXiv 2407.10834); optimism on cost as well as on
reward from C2MAB-V (Dai et al. 2024, arXiv 2405.16587); the weight of cost as a part of the request
from LLM Bandit (Li 2025, arXiv 2502.02743). PickLLM (arXiv 2412.12170) has no features.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from statistics import NormalDist
from typing import Literal, TypeAlias

from app.learning.amounts import Key
from app.learning.belief import Rates
from app.learning.discounting import Amount
from app.learning.influence import whose
from app.learning.learner import Learner
from app.learning.means import Means
from app.learning.regression import Array, Regression
from app.learning.sketches import SKETCH, features_of, sketch_of
from app.planning.affinity import goes_live
from app.planning.climb import climb, frugal_judge, judge_rule
from app.planning.tallies import Tallies, usual_labels
from app.policy import Accept, Action, Ask, Context
from app.records import Attempt, Estimate, Labels, Lessons, Record, Start
from app.tiers import TierLadder

Explorer: TypeAlias = Literal["linucb", "thompson"]
TENANTS = 1_000
REMEMBERED = 10_000
"""Of so many records what they taught is kept, so that it can be undone when more is known."""
TIE = 0.01
"""Values so near are taken as equal, and the cheaper tier is asked: else routers drift upwards."""
NODES = 64
_NORMAL = NormalDist()
_QUANTILES = tuple(_NORMAL.inv_cdf((node + 0.5) / NODES) for node in range(NODES))


@dataclass(slots=True)
class Arm:
    """What is known of a tier: its accuracy by features, as of a round."""

    model: Regression
    round: int = 0


@dataclass(slots=True)
class Table:
    """One tenant's arms. A round is a record: in each, all that is known fades a little."""

    arms: dict[str, Arm] = field(default_factory=dict)
    round: int = 0
    means: Means = field(default_factory=Means)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a record taught: by tier the round, the label, and how much it counted."""

    features: Array
    labels: Mapping[str, tuple[int, float, float]]


@dataclass(frozen=True, slots=True)
class Option:
    """A tier as it is believed to be. Units: `price` in accuracy; `spread` one deviation."""

    tier: str
    accuracy: float
    spread: float
    price: float


class Bandit:
    """The policy.

    Departs: MetaLLM's released code neither explores nor learns online (alpha 0, no update), and
    inverts a matrix of 4,096 dimensions a request; here features are a sketch of 24 dimensions.
    Accuracy and cost are modelled apart, so that each request can weigh them as it likes. What
    is learned is the deviation from the tier's prior. Rewards are delayed: a share of answers is
    judged afterwards, lessons and feedback come when they come, and what changed is undone and
    learned again. The top tier, which nobody judges, gets no optimism: trying it teaches nothing.
    """

    def __init__(
        self,
        *,
        quality_per_dollar: float | None = None,
        explorer: Explorer = "linucb",
        optimism: float = 0.5,
        discount: float = 0.999,
        verdicts: float = 0.2,
        lessons: float = 0.05,
        judge: str | None = None,
        judged: Rates | None = None,
        vouch_accuracy: float = 0.7,
        name: str = "bandit",
    ) -> None:
        self.name = name
        self.neighbours = 0
        self._explorer = explorer
        self._optimism = optimism
        self._discount = discount
        self._verdicts = verdicts
        self._lessons = lessons
        self._vouch_accuracy = vouch_accuracy
        self._judge = judge_rule(judge) if judge else frugal_judge
        self._tallies = Tallies(self._judge, quality_per_dollar, Learner(judged))
        self._tables: OrderedDict[str, Table] = OrderedDict()
        self._taken: OrderedDict[tuple[str, str], Taken] = OrderedDict()
        told = "auto" if quality_per_dollar is None else f"{quality_per_dollar:g}"
        self.version = (
            f"1,{explorer},optimism={optimism:g},discount={discount:g},quality_per_dollar={told}"
            f",judge={judge or 'frugal'}"
        )

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """The chosen tier's answer, whatever it is; higher ones where it fails or fails a check."""
        action = climb(
            context, attempts, first=lambda: self._first(context), judged_by=lambda *_: None
        )
        if isinstance(action, Accept):
            return replace(action, judge_later=self._late(context, attempts[action.attempt]))
        return action

    def lessons(self, context: Context) -> Lessons | None:
        """What other tiers would have said, as often as the budget for lessons buys it."""
        return self._tallies.lessons(context, self._lessons)

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Whom the configuration names, else whom it pays to ask."""
        return self._judge(ladder, tier)

    def label(self, record: Record) -> Labels:
        """What the record teaches, if judges err as often as is usual."""
        return usual_labels(record)

    def observe(self, record: Record) -> None:
        """Learn from a record; of one that was learned before, undo it and learn it again."""
        found = self._tallies.observe(record)
        table, key = self._table(whose(record)), (whose(record), record.id)
        before = self._taken.pop(key, None)
        if before is None:
            table.round += 1
        features = features_of(record.sketch) if before is None else before.features
        known = {} if before is None else before.labels
        now: dict[str, tuple[int, float, float]] = {}
        for tier, label in found.items():
            at = known[tier][0] if tier in known else table.round
            now[tier] = (at, label.right, label.weight)
        for tier in {*known, *now}:
            arm = self._arm(table, tier)
            for sign, of in ((-1.0, known), (1.0, now)):
                if tier in of and known.get(tier) != now.get(tier):
                    at, right, weight = of[tier]
                    left = self._discount ** (table.round - at)
                    arm.model.add(features, right, sign * left * weight)
        self._taken[key] = Taken(features, now)
        if len(self._taken) > REMEMBERED:
            self._taken.popitem(last=False)
        table.means.take(record.id, _bills(record))

    def options(self, context: Context) -> list[Option]:
        """Every tier of the ladder, lowest first, as the choice sees it."""
        table, prices = self._table(whose(context)), self._tallies.prices(context)
        rate = self._tallies.trade(context, prices).quality_per_dollar
        features = features_of(sketch_of(context.vector))
        options = []
        for tier in context.ladder:
            mean, spread = self._arm(table, tier.name).model.predict(features, tier.prior)
            usd = self._least_usd(table, tier.name, prices.ask_usd[tier.name])
            learns = tier.name in prices.judge_usd
            options.append(
                Option(
                    tier=tier.name,
                    accuracy=min(1.0, max(0.0, mean)),
                    spread=self._optimism * spread if learns else 0.0,
                    price=rate * usd,
                )
            )
        return options

    def _first(self, context: Context) -> Ask:
        options, seat = self.options(context), context.seat
        if context.tool_turn and seat is not None and seat.tier in context.ladder:
            chances = {seat.tier: 1.0}
        elif self._explorer == "thompson":
            chances = _chances(options)
        else:
            chances = {_most_hopeful(options): 1.0}
        (tier,) = context.rng.choices(list(chances), list(chances.values()))
        chosen = next(option for option in options if option.tier == tier)
        vouched = chosen.accuracy - chosen.spread >= self._vouch_accuracy
        priors = {each.name: each.prior for each in context.ladder}
        start = Start(
            tier=tier,
            propensities=chances,
            estimates={o.tier: Estimate(o.accuracy, priors[o.tier]) for o in options},
            trade=self._tallies.trade(context, self._tallies.prices(context)),
        )
        return Ask(tier, "direct", live=goes_live(context, tier, vouched=vouched), start=start)

    def _late(self, context: Context, attempt: Attempt) -> str | None:
        """Who judges the answer afterwards, as a coin has it."""
        settled = context.single or context.tool_turn or attempt.refused
        if settled or attempt.outcome != "complete" or attempt.tier not in context.ladder:
            return None
        by = self._judge(context.ladder, attempt.tier)
        return by if context.rng.random() < self._verdicts else None

    def _least_usd(self, table: Table, tier: str, mean_usd: float) -> float:
        """What a call costs at least, as far as is known: C2MAB-V's lower bound."""
        n = table.means.weight(("usd", tier))
        if n <= 0:
            return mean_usd
        square = table.means.mean(("square", tier)) - table.means.mean(("usd", tier)) ** 2
        return max(0.0, mean_usd - self._optimism * sqrt(max(square, 0.0) / n))

    def _table(self, tenant: str) -> Table:
        table = self._tables.setdefault(tenant, Table())
        self._tables.move_to_end(tenant)
        if len(self._tables) > TENANTS:
            gone, _ = self._tables.popitem(last=False)
            for key in [key for key in self._taken if key[0] == gone]:
                del self._taken[key]
        return table

    def _arm(self, table: Table, tier: str) -> Arm:
        """The tier's arm, as it is in this round."""
        arm = table.arms.get(tier)
        if arm is None:
            model = Regression(SKETCH + 1, self._discount)
            arm = table.arms[tier] = Arm(model, table.round)
        arm.model.age(table.round - arm.round)
        arm.round = table.round
        return arm


def _most_hopeful(options: Sequence[Option]) -> str:
    """The highest value if all is as good as it may be; the cheapest of those that are near it."""
    values = {o.tier: min(1.0, o.accuracy + o.spread) - o.price for o in options}
    best = max(values.values())
    near = [option for option in options if values[option.tier] >= best - TIE]
    return min(near, key=lambda option: option.price).tier


def _chances(options: Sequence[Option]) -> dict[str, float]:
    """How likely each tier's value, drawn from what is believed of it, is the highest.

    Thompson 1933. Worked out, not drawn: without it, a record could not be weighed afterwards.
    """
    drawn = [NormalDist(o.accuracy - o.price, max(o.spread, 1e-6)) for o in options]
    chances = {}
    for at, (option, own) in enumerate(zip(options, drawn, strict=True)):
        others = [other for place, other in enumerate(drawn) if place != at]
        total = 0.0
        for quantile in _QUANTILES:
            value, product = own.mean + own.stdev * quantile, 1.0
            for other in others:
                product *= other.cdf(value)
            total += product
        chances[option.tier] = total
    whole = sum(chances.values())
    return {tier: chance / whole for tier, chance in chances.items()}


def _bills(record: Record) -> dict[Key, Amount]:
    """What each tier's calls cost, and the square of it, to know how much that varies."""
    amounts: dict[Key, Amount] = {}
    for attempt in record.attempts:
        if attempt.ended and attempt.cost_usd is not None:
            amounts["usd", attempt.tier] = (attempt.cost_usd, 1.0)
            amounts["square", attempt.tier] = (attempt.cost_usd**2, 1.0)
    return amounts
