"""Running figures for policies that choose by a model of their own: costs, lessons, the trade."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from app.dials import Dial, Trade
from app.learning.amounts import Label
from app.learning.facts import bill_of
from app.learning.influence import whose
from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import Taught, audited_by_coin, judged_by_coin, taught
from app.learning.learner import Learner
from app.planning.affinity import MARGIN
from app.planning.climb import JudgeRule
from app.planning.nearby import mean_costs_usd
from app.policy import Context
from app.records import Labels, Lessons, Record

CHEAPEST_USD = 1e-12
KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Prices:
    """What calls cost, by tier, in USD: to ask it, and to have its answer judged."""

    ask_usd: Mapping[str, float]
    judge_usd: Mapping[str, float]


@dataclass(slots=True)
class Tallies:
    """One ledger a tenant (or key); shown the same records in order, it says the same again.

    `judge` says who judges a tier's answers; `quality_per_dollar` None: a mean call of the top tier
    must buy ten points of accuracy.
    """

    judge: JudgeRule
    quality_per_dollar: float | None = None
    learner: Learner = field(default_factory=Learner)
    _taught: OrderedDict[str, tuple[int, tuple[Taught, ...]]] = field(
        default_factory=OrderedDict, repr=False
    )

    def observe(self, record: Record) -> dict[str, Label]:
        """Take in a record, or again when more is known of it; what it teaches about each tier."""
        ledger = self.learner.ledger(whose(record))
        self._taught.pop(record.id, None)  # what was known of it may be out of date
        labels = self.labels(record)
        ledger.learn(
            record.id,
            labels,
            judged_by_coin(record),
            audited=audited_by_coin(record),
            bill=bill_of(record),
        )
        return labels

    def labels(self, record: Record) -> dict[str, Label]:
        """What a record teaches, judges corrected for their errors. Only means are in [0, 1]."""
        ledger = self.learner.ledger(whose(record))
        return {
            one.tier: one.label(ledger.rates(one.tier, one.relation)) for one in self._read(record)
        }

    def _read(self, record: Record) -> tuple[Taught, ...]:
        """The same, read again only where evidence came in."""
        kept = self._taught.get(record.id)
        if kept is not None and kept[0] == len(record.evidence):
            return kept[1]
        told = taught(record)
        self._taught[record.id] = (len(record.evidence), told)
        if len(self._taught) > KEPT:
            self._taught.popitem(last=False)
        return told

    def prices(self, context: Context) -> Prices:
        """What calls cost on the mean of all questions; by the list price until one was made."""
        ledger, ladder = self.learner.ledger(whose(context)), context.ladder
        ask_usd = dict(zip(ladder.names, mean_costs_usd(context, ledger), strict=True))
        return Prices(ask_usd, dict(self._judge_usd(context, ask_usd)))

    def trade(self, context: Context, prices: Prices) -> Trade:
        """At what rate the request trades money for accuracy: its own dial, else as configured."""
        dial = context.dial
        if dial is not None and dial.name == "quality_per_dollar":
            return Trade(dial.value, dial)
        if self.quality_per_dollar is not None:
            configured = Dial("quality_per_dollar", self.quality_per_dollar)
            return Trade(self.quality_per_dollar, configured)
        return Trade(MARGIN / max(prices.ask_usd[context.ladder.top.name], CHEAPEST_USD))

    def accuracies(self, context: Context, before: Mapping[str, float]) -> dict[str, float]:
        """How often each tier is right, all questions taken together; `before` until records say.

        Shape: one a tier of the ladder, in [0.02, 0.98].
        """
        ledger, names = self.learner.ledger(whose(context)), context.ladder.names
        found = ledger.accuracies(names, [before[name] for name in names])
        return dict(zip(names, found, strict=True))

    def lessons(self, context: Context, share: float) -> Lessons | None:
        """The coins of a request, of which lessons cost `share` of all spend; None: no lessons."""
        if not share:
            return None
        prices = self.prices(context)
        ledger = self.learner.ledger(whose(context))
        return ledger.draw(prices.ask_usd, prices.judge_usd, context.rng, share=share)

    def _judge_usd(
        self, context: Context, ask_usd: Mapping[str, float]
    ) -> Iterator[tuple[str, float]]:
        ledger, ladder = self.learner.ledger(whose(context)), context.ladder
        for tier in ladder.names:
            by = self.judge(ladder, tier)
            if by is not None:
                yield tier, ledger.judge_cost_usd(tier, ask_usd.get(by, ask_usd[tier]))


def usual_labels(record: Record) -> Labels:
    """What a record teaches, if judges err as often as is usual: probabilities."""
    labels = {one.tier: one.label(USUAL_RATES).right for one in taught(record)}
    return {tier: min(1.0, max(0.0, right)) for tier, right in labels.items()}
