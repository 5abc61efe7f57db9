"""What similar records and the ledger say of a question: each tier's accuracy and cost."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from app.belief import RELATIONS, Belief, joint
from app.labels import Taught, judged_by_coin, lessons_of, taught
from app.learner import Bill, Learner, Ledger
from app.moving import USUAL_OUTPUT_TOKENS
from app.policy import Context
from app.records import Estimate, Neighbour, Record, Usage
from app.tiers import TierLadder

SHRINKAGE = 8.0
"""How many neighbours' worth of evidence a running rate or cost stands for."""
SHARPNESS = 4
"""A neighbour counts by its similarity to this power, the nearest one fully."""
ACCURACY_MIN, ACCURACY_MAX = 0.03, 0.97
DEARER = 4.0
"""How much dearer than the tier below one of unknown price is taken to be."""
CHEAPEST_USD = 1e-4
FACTS_KEPT = 50_000
VIEWS_KEPT = 256


@dataclass(frozen=True, slots=True)
class View:
    """A question before anything ran. Units: USD, one a tier of the ladder, lowest first.

    `belief` is about the tiers of the ladder, `top_usd` what a call of the top one costs on all
    questions.
    """

    ledger: Ledger
    belief: Belief
    estimates: dict[str, Estimate]
    ask_usd: list[float]
    judge_usd: list[float]
    top_usd: float


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is read off a record once."""

    taught: tuple[Taught, ...]
    bill: Bill


_Weighted = Sequence[tuple[float, _Facts]]


@dataclass(slots=True)
class Nearby:
    """Looks at questions, and learns from records. `judge` says who judges a tier's answers."""

    judge: Callable[[TierLadder, str], str | None]
    learner: Learner = field(default_factory=Learner)
    _facts: OrderedDict[str, tuple[int, _Facts]] = field(default_factory=OrderedDict, repr=False)
    _views: OrderedDict[int, tuple[Context, View]] = field(default_factory=OrderedDict, repr=False)

    def view(self, context: Context) -> View:
        """What the neighbours say, shrunk to what all records say, and that to the priors.

        A request keeps its view: what others teach meanwhile does not change its path.
        """
        kept = self._views.get(id(context))
        if kept is not None:
            return kept[1]
        view = self._look(context)
        # Kept with its view, a context cannot give its id to another one.
        self._views[id(context)] = (context, view)
        if len(self._views) > VIEWS_KEPT:
            self._views.popitem(last=False)
        return view

    def observe(self, record: Record) -> None:
        """Learn from a record that is complete, its lessons over."""
        ledger, facts = self.learner.ledger(record.tenant), self._read(record)
        labels = {o.tier: o.label(ledger.rates(o.tier, o.relation)) for o in facts.taught}
        ledger.learn(record.id, labels, judged_by_coin(record), facts.bill)

    def _look(self, context: Context) -> View:
        neighbours = context.neighbours
        ledger = self.learner.ledger(context.tenant)
        known = [(weight, self._read(record)) for weight, record in _weighted(neighbours)]
        names = context.ladder.names
        usual_usd = _usual_costs(context)
        mean_usd = {tier: ledger.ask_cost_usd(tier, usual_usd[tier]) for tier in names}
        asked = [(weight, facts.bill.asked) for weight, facts in known]
        judged = [(weight, facts.bill.judged) for weight, facts in known]
        judge_usd = {
            tier: ledger.judge_cost_usd(tier, mean_usd.get(by or tier, 0.0))
            for tier, by in ((tier, self.judge(context.ladder, tier)) for tier in names)
        }
        estimates = _estimates(context.ladder, ledger, known)
        return View(
            ledger=ledger,
            belief=joint([estimates[tier].accuracy for tier in names]),
            estimates=estimates,
            ask_usd=_discounted(context, _near(mean_usd, asked)),
            judge_usd=_near(judge_usd, judged),
            top_usd=mean_usd[names[-1]],
        )

    def _read(self, record: Record) -> _Facts:
        """The record's facts, read again only where evidence came in."""
        kept = self._facts.get(record.id)
        if kept is not None and kept[0] == len(record.evidence):
            return kept[1]
        facts = _facts(record)
        self._facts[record.id] = (len(record.evidence), facts)
        if len(self._facts) > FACTS_KEPT:
            self._facts.popitem(last=False)
        return facts


def _weighted(neighbours: Sequence[Neighbour]) -> list[tuple[float, Record]]:
    nearest = max((n.similarity for n in neighbours), default=0.0)
    if nearest <= 0:
        return []
    return [(max(0.0, n.similarity / nearest) ** SHARPNESS, n.record) for n in neighbours]


def _estimates(ladder: TierLadder, ledger: Ledger, known: _Weighted) -> dict[str, Estimate]:
    """Each tier's accuracy: labels by similarity, shrunk to the tier's running rate."""
    right = dict.fromkeys(ladder.names, 0.0)
    total = dict.fromkeys(ladder.names, 0.0)
    rates = {(tier, r): ledger.rates(tier, r) for tier in right for r in RELATIONS}
    for similar, facts in known:
        for one in facts.taught:
            if one.tier in total:
                label = one.label(rates[one.tier, one.relation])
                right[one.tier] += similar * label.weight * label.right
                total[one.tier] += similar * label.weight
    estimates = {}
    for tier in ladder:
        found, weight = right[tier.name], total[tier.name]
        rate = ledger.rate(tier.name, tier.prior)
        accuracy = (found + SHRINKAGE * rate) / (weight + SHRINKAGE)
        bounded = min(ACCURACY_MAX, max(ACCURACY_MIN, accuracy))
        estimates[tier.name] = Estimate(bounded, tier.prior, found, weight - found)
    return estimates


def _near(
    mean_usd: dict[str, float], costs: Iterable[tuple[float, Sequence[tuple[str, float]]]]
) -> list[float]:
    """Mean costs near the question, shrunk to those of all questions."""
    total = {tier: SHRINKAGE * usd for tier, usd in mean_usd.items()}
    weight = dict.fromkeys(mean_usd, SHRINKAGE)
    for similar, paid in costs:
        for tier, usd in paid:
            if tier in total:
                total[tier] += similar * usd
                weight[tier] += similar
    return [total[tier] / weight[tier] for tier in mean_usd]


def _usual_costs(context: Context) -> dict[str, float]:
    """What a call costs by its price; a guess from the tier below where that is unknown."""
    usual: dict[str, float] = {}
    guess_usd = CHEAPEST_USD
    for tier in context.ladder:
        usd = tier.cost_usd(Usage(context.prompt_tokens, USUAL_OUTPUT_TOKENS))
        usual[tier.name] = guess_usd if usd is None else usd
        guess_usd = usual[tier.name] * DEARER
    return usual


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


def _facts(record: Record) -> _Facts:
    lessons = list(lessons_of(record))
    taught_by = [attempt for lesson in lessons for attempt in lesson.attempts]
    judged = [(a.tier, v) for a in (*record.attempts, *taught_by) for v in a.verdicts]
    judged += [(tier, v) for lesson in lessons for tier, v in lesson.verdicts.items()]
    costs_usd = record.costs_usd()
    lessons_usd = costs_usd.pop("lesson") or 0.0
    bill = Bill(
        asked=_known((a.tier, a.cost_usd) for a in (*record.attempts, *taught_by) if a.ended),
        judged=_known((tier, v.cost_usd) for tier, v in judged if not v.exact),
        request_usd=sum(usd or 0.0 for usd in costs_usd.values()),
        lessons_usd=lessons_usd,
    )
    return _Facts(taught(record), bill)


def _known(costs: Iterable[tuple[str, float | None]]) -> tuple[tuple[str, float], ...]:
    return tuple((tier, usd) for tier, usd in costs if usd is not None)
