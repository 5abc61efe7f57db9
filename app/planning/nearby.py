"""What similar records and the ledger say of a question: each tier's accuracy and cost."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.learning.belief import Belief, Rates, World, evidence, joint, lifted
from app.learning.facts import COLUMNS, Fact, Facts, asked, bill_of, facts_of
from app.learning.influence import is_other, toned_down, whose
from app.learning.judge_rates import judged_words
from app.learning.labels import DISCERNMENT_MIN, audited_by_coin, judged_by_coin, taught
from app.learning.learner import CHANGE_DISCOUNT, Learner, Ledger
from app.neighbours import Neighbour
from app.planning.affinity import USUAL_OUTPUT_TOKENS
from app.planning.per_request import PerRequest
from app.policy import Context
from app.records import Estimate, Record, Usage
from app.tiers import Tier, TierLadder

SHRINKAGE = 8.0
"""How many neighbours' worth of evidence a running rate or cost stands for."""
OWN_SHRINKAGE = 12.0
"""The same for what sets a tier apart from the others: most of what is near is common to all."""
SHARPNESS = 4
"""A neighbour counts by its similarity to this power, the nearest one fully."""
ACCURACY_MIN, ACCURACY_MAX = 0.03, 0.97
COMPARING = 2.0
"""How much dearer than an answer its comparison with another is taken to be."""
DEARER = 4.0
"""How much dearer than the tier below one of unknown price is taken to be."""
CHEAPEST_USD = 1e-4
FACTS_KEPT = 25_000
"""As many as a store keeps of records to be found again."""


@dataclass(frozen=True, slots=True)
class View:
    """A question before anything ran. Units: USD, one a tier of the ladder, lowest first.

    `belief` is about the tiers of the ladder, `rates` how well their answers are judged: by tier,
    then as in `RELATIONS`; `judgeable` says whose. `top_usd` is what a call of the top tier costs
    on all questions; `errors` how often at most answers that went out as they came were not good
    enough; `comparable` whether answers to such questions can be compared for free.
    """

    world: World
    belief: Belief
    estimates: dict[str, Estimate]
    rates: tuple[tuple[Rates, ...], ...]
    ask_usd: list[float]
    judgeable: frozenset[int]
    judge_usd: list[float]
    compare_usd: float
    top_usd: float
    errors: list[float]
    comparable: bool


class _Read(NamedTuple):
    """What was read of a record with so many words on it: of its answers, so many comparable."""

    evidences: int
    names: tuple[str, ...]
    facts: Facts
    answers: int
    comparable: int


@dataclass(slots=True)
class Nearby:
    """Looks at questions, and learns from records. `judge` says who judges a tier's answers."""

    judge: Callable[[TierLadder, str], str | None]
    learner: Learner = field(default_factory=Learner)
    _kept: OrderedDict[str, _Read] = field(default_factory=OrderedDict, repr=False)
    _views: PerRequest[View] = field(default_factory=PerRequest, repr=False)

    def view(self, context: Context) -> View:
        """What the neighbours say, shrunk to what all records say, and that to the priors.

        A request keeps its view: what others teach meanwhile does not change its path.
        """
        return self._views.of(context, lambda: self._look(context))

    def observe(self, record: Record) -> None:
        """Learn from a record, and again when more is known of it."""
        ledger = self.learner.ledger(whose(record))
        told = taught(record)
        self._keep(record, record.ladder, facts_of(record, record.ladder, told))
        labels = {one.tier: one.label(ledger.rates(one.tier, one.relation)) for one in told}
        first = not ledger.knows(record.id)
        new = ledger.learn(
            record.id,
            labels,
            judged_by_coin(record),
            audited=audited_by_coin(record),
            bill=bill_of(record),
        )
        estimates = record.start.estimates if record.start else {}
        believed = {tier: estimate.accuracy for tier, estimate in estimates.items()}
        if first and believed:
            _compare(record, believed, ledger)
        models = ((a.tier, a.model) for a in asked(record))
        ledger.serve(((tier, model) for tier, model in models if model), record.time_s)
        ledger.watch({tier: labels[tier] for tier in new}, believed, record.time_s)

    def _look(self, context: Context) -> View:
        ladder, names = context.ladder, context.ladder.names
        ledger = self.learner.ledger(whose(context))
        rates = tuple(ledger.all_rates(tier) for tier in names)
        read = [self._read(neighbour, names) for neighbour in context.neighbours]
        near = _near(context, names, ledger.changed_s, read)
        estimates = _estimates(ladder, ledger, rates, near)
        mean_usd = mean_costs_usd(context, ledger)
        judges = [self.judge(ladder, tier) for tier in names]
        costs_usd = dict(zip(names, mean_usd, strict=True))
        judged_usd = [
            ledger.judge_cost_usd(tier, costs_usd.get(by or tier, 0.0))
            for tier, by in zip(names, judges, strict=True)
        ]
        ask_usd = [
            _shrunk(_asked_usd(tier, near[at]), near[at, Fact.ASKED], usual_usd)
            for at, (tier, usual_usd) in enumerate(zip(ladder, mean_usd, strict=True))
        ]
        return View(
            world=ledger.world,
            belief=joint([estimates[tier].accuracy for tier in names], ledger.world),
            estimates=estimates,
            rates=rates,
            ask_usd=_discounted(context, ask_usd),
            judgeable=frozenset(at for at, by in enumerate(judges) if by is not None),
            judge_usd=[
                _shrunk(near[at, Fact.VERDICTS_USD], near[at, Fact.VERDICTS], usual_usd)
                for at, usual_usd in enumerate(judged_usd)
            ],
            compare_usd=ledger.compare_cost_usd(COMPARING * mean_usd[0]),
            top_usd=mean_usd[-1],
            errors=[ledger.error_bound(tier) for tier in names],
            # Whether most of their answers are; the first requests say so, having none.
            comparable=2 * sum([one.comparable for one in read])
            >= sum([one.answers for one in read]),
        )

    def _read(self, neighbour: Neighbour, names: tuple[str, ...]) -> _Read:
        """What its record says, read again only where evidence came in."""
        kept = self._kept.get(neighbour.id)
        if kept is not None and kept.evidences == neighbour.evidences and kept.names == names:
            return kept
        record = neighbour.record
        return self._keep(record, names, facts_of(record, names, taught(record)))

    def _keep(self, record: Record, names: tuple[str, ...], facts: Facts) -> _Read:
        answers = [a for a in record.attempts if a.outcome == "complete"]
        comparable = sum(answer.comparable for answer in answers)
        read = _Read(len(record.evidence), names, facts, len(answers), comparable)
        self._kept[record.id] = read
        if len(self._kept) > FACTS_KEPT:
            self._kept.popitem(last=False)
        return read


def _near(
    context: Context,
    names: tuple[str, ...],
    changed_s: Mapping[str, float],
    read: Sequence[_Read],
) -> Facts:
    """What the neighbours say in sum, each by its similarity; little of a tier that changed."""
    neighbours = context.neighbours
    weights = similar_weights(neighbours, context.principal)
    if not len(weights):
        return np.zeros((len(names), COLUMNS))
    facts = np.concatenate([one.facts for one in read]).reshape(len(read), -1)
    if not changed_s:
        summed: Facts = (weights @ facts).reshape(len(names), COLUMNS)
        return summed
    times_s = np.array([n.time_s for n in neighbours])
    changes_s = np.array([changed_s.get(tier, -inf) for tier in names])
    counts = np.where(times_s[:, None] < changes_s, CHANGE_DISCOUNT, 1.0) * weights[:, None]
    counted: Facts = np.einsum("nt,ntc->tc", counts, facts.reshape(len(read), len(names), COLUMNS))
    return counted


def _compare(record: Record, believed: Mapping[str, float], ledger: Ledger) -> None:
    """How well what was seen fits what could be believed of agreement, and of judges."""
    tiers = tuple(tier for tier in record.ladder if tier in believed)
    likely = evidence([believed[tier] for tier in tiers], tiers, record.attempts)
    if likely is not None:
        ledger.see(likely)
    for tier, chance, valid in judged_words(record, believed, ledger.world, ledger.rates):
        ledger.hear(tier, chance, valid=valid)


def similar_weights(neighbours: Sequence[Neighbour], asker: str | None) -> npt.NDArray[np.float64]:
    """How much each neighbour counts. Shape: one a neighbour; none where nothing is near.

    How near is near is for the asker's own to say, where there are any.
    """
    similar = np.array([n.similarity for n in neighbours])
    own = [n.similarity for n in neighbours if not is_other(n, asker)]
    nearest = max(own, default=similar.max(initial=0.0))
    if nearest <= 0:
        return np.zeros(0)
    weights = np.clip(similar / nearest, 0.0, 1.0) ** SHARPNESS
    return toned_down(weights, neighbours, asker)


def _estimates(
    ladder: TierLadder, ledger: Ledger, rates: Sequence[Sequence[Rates]], near: Facts
) -> dict[str, Estimate]:
    """Each tier's accuracy: labels by similarity, shrunk to the tier's running rate."""
    found = []
    for of_tier, facts in zip(rates, near.tolist(), strict=True):
        weight, right = facts[Fact.WEIGHT], facts[Fact.RIGHT]
        for r, (of_right, of_wrong) in enumerate(of_tier):
            discernment = max(0.0, of_right - of_wrong)
            valid = facts[Fact.VALID + r] - of_wrong * facts[Fact.JUDGED + r]
            said = valid / max(discernment, DISCERNMENT_MIN) + facts[Fact.SHIFT + r]
            weight += discernment**2 * facts[Fact.JUDGED + r]
            right += discernment**2 * said
        found.append((right, weight))
    overall = ledger.accuracies(ladder.names, [tier.prior for tier in ladder])
    estimates = {}
    usual = lifted(overall, found, SHRINKAGE)
    for tier, accuracy, (right, weight) in zip(ladder, usual, found, strict=True):
        near_it = (right + OWN_SHRINKAGE * accuracy) / (weight + OWN_SHRINKAGE)
        bounded = min(ACCURACY_MAX, max(ACCURACY_MIN, near_it))
        estimates[tier.name] = Estimate(bounded, tier.prior, right, weight - right)
    return estimates


def mean_costs_usd(context: Context, ledger: Ledger) -> list[float]:
    """What a call of each tier costs, taken over all questions.

    Until it was asked: by its price; a guess from the tier below where that is unknown.
    """
    costs = []
    guess_usd = CHEAPEST_USD
    for tier in context.ladder:
        usd = tier.cost_usd(Usage(context.prompt_tokens, USUAL_OUTPUT_TOKENS))
        costs.append(ledger.ask_cost_usd(tier.name, guess_usd if usd is None else usd))
        guess_usd = costs[-1] * DEARER
    return costs


def _asked_usd(tier: Tier, facts: npt.NDArray[np.float64]) -> float:
    """What these calls cost at today's price."""
    price = tier.price
    if price is None or facts[Fact.COUNTED] < facts[Fact.ASKED]:
        return float(facts[Fact.ASKED_USD])
    tokens_usd = facts[Fact.INPUT_TOKENS] * price.input + facts[Fact.OUTPUT_TOKENS] * price.output
    return float(tokens_usd) / 1_000_000


def _shrunk(total_usd: float, weight: float, usual_usd: float) -> float:
    """A mean cost near the question, shrunk to that of all questions."""
    return float((total_usd + SHRINKAGE * usual_usd) / (weight + SHRINKAGE))


def _discounted(context: Context, ask_usd: list[float]) -> list[float]:
    """The costs, less for the tier whose provider has this conversation in its cache."""
    seat, names = context.seat, context.ladder.names
    if seat is None or seat.tier not in names:
        return ask_usd
    price, at = context.ladder[seat.tier].price, names.index(seat.tier)
    if price is None or price.cached is None:
        return ask_usd
    tokens = min(seat.cached_tokens, context.prompt_tokens)
    saved_usd = tokens * (price.input - price.cached) / 1_000_000
    return [max(0.0, usd - saved_usd) if i == at else usd for i, usd in enumerate(ask_usd)]
