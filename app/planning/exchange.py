"""From a dial to the rate at which a request trades money for accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.dials import Dial, Trade
from app.latest import Latest
from app.learning.amounts import Key
from app.learning.audits import Audits, Kept
from app.learning.belief import joint
from app.learning.discounting import Amount
from app.learning.facts import asked, bill_of, judged
from app.learning.influence import whose
from app.learning.learner import Ledger
from app.learning.means import Means
from app.planning.affinity import MARGIN
from app.planning.climb import JudgeRule
from app.planning.forecast import Curve, Forecast, Prospect, Question, curve_of
from app.planning.nearby import View
from app.planning.per_request import PerRequest
from app.planning.plans import Situation
from app.policy import Context
from app.records import Record

SPENT: Key = ("spent",)
BUDGET_WEIGHT = 20.0
"""So many requests count as much as the forecast of what they cost."""
PAY_BACK, OWED_MAX = 50.0, 0.75
"""Over how many requests it is made up for what was spent beside the budget; at most this share."""
DEARER_MIN, DEARER_MAX = 0.2, 5.0
CHEAPEST_USD = 1e-12
TENANTS, TARGETS = 10_000, 16


@dataclass(frozen=True, slots=True)
class Stake:
    """What is at stake in a request: the trade, and every step's price, waiting included.

    Shape: `usd` has asking each tier of the ladder, lowest first, then having its answer judged,
    then comparing two.
    """

    trade: Trade
    usd: tuple[float, ...]

    def costs(self, rate: float | None = None) -> list[float]:
        """The prices in accuracy, at the trade's rate or at another one."""
        rate = self.trade.quality_per_dollar if rate is None else rate
        return [rate * usd for usd in self.usd]


@dataclass(frozen=True, slots=True)
class Usual:
    """What a tier's answer and its judging cost when that was last looked at, if at all judged."""

    ask_usd: float
    judge_usd: float
    judgeable: bool


@dataclass(slots=True)
class Book:
    """One tenant's."""

    forecast: Forecast = field(default_factory=Forecast)
    means: Means = field(default_factory=Means)
    audits: Latest[str, Audits] = field(default_factory=lambda: Latest(TARGETS))
    usual: dict[str, Usual] = field(default_factory=dict)

    def audits_of(self, dial: Dial | None) -> Audits | None:
        """Those of the dial's target; None where it has none."""
        if dial is None or dial.name != "keep_quality":
            return None
        name = f"{dial.value:g}"
        return self.audits.of(name, lambda: Audits(dial.value, name))


class Trader:
    """Finds each request's rate. `dial` is as configured; None: a top call must buy `MARGIN`.

    `judge` says who judges a tier's answers; plans look `depth` steps ahead. All that is known are
    records, in the order in which they were shown, and what tiers cost when last looked at.
    """

    def __init__(
        self, judge: JudgeRule, dial: Dial | None, usd_per_second: float, depth: int
    ) -> None:
        self._judge = judge
        self._dial = dial
        self._usd_per_second = usd_per_second
        self._depth = depth
        self._books: Latest[str, Book] = Latest(TENANTS)
        self._stakes: PerRequest[Stake] = PerRequest()

    def stake(self, context: Context, view: View, ledger: Ledger) -> Stake:
        """What is at stake; a request keeps it, whatever others teach meanwhile."""
        return self._stakes.of(context, lambda: self._stake(context, view, ledger))

    def observe(self, record: Record, ledger: Ledger) -> None:
        """Take note of a record, and again when more is known of it."""
        book = self.book(whose(record))
        trade = record.start.trade if record.start else None
        amounts = _waits(record) if self._usd_per_second else {}
        audits = None if trade is None else book.audits_of(trade.dial)
        if trade is not None and trade.expected_usd is not None and record.cost_usd is not None:
            bill = bill_of(record)
            paid_usd = bill.request_usd + bill.lessons_usd
            amounts[SPENT] = (paid_usd, trade.expected_usd)
            if trade.dial is not None and audits is None:
                amounts[_owed(trade.dial)] = (paid_usd - trade.dial.value / 1000, 1.0)
        if audits is not None:
            amounts |= audits.amounts(record, ledger)
        if trade is not None and not book.means.knows(record.id):
            book.forecast.note(_question(record))
        new = book.means.take(record.id, amounts)
        if audits is not None:
            audits.watch(book.means, new)

    def kept(self, tenant: str) -> dict[float, Kept]:
        """What audits find of the tenant's targets, by target."""
        book = self.book(tenant)
        return {audits.target: audits.kept(book.means) for audits in book.audits.values()}

    def book(self, tenant: str) -> Book:
        """What is known of the tenant's requests."""
        return self._books.of(tenant, Book)

    def _stake(self, context: Context, view: View, ledger: Ledger) -> Stake:
        tiers, book = context.ladder.names, self.book(whose(context))
        dial = context.dial or self._dial
        prices = [*view.ask_usd, *view.judge_usd, view.compare_usd]
        waits = self._waits_usd(book, tiers)
        if dial is None:
            trade = Trade(MARGIN / max(view.top_usd, CHEAPEST_USD))
        elif dial.name == "quality_per_dollar":
            trade = Trade(dial.value, dial)
        else:
            trade = self._trade(dial, book, self._curve(context, view, ledger))
        usd = tuple(usd + wait_usd for usd, wait_usd in zip(prices, waits, strict=True))
        return Stake(trade, usd)

    def _trade(self, dial: Dial, book: Book, curve: Curve) -> Trade:
        """The rate at which recent requests would have done as the dial says."""
        audits = book.audits_of(dial)
        if audits is None:
            usd = dial.value / 1000
            dearer = book.means.mean(SPENT, (BUDGET_WEIGHT * usd, BUDGET_WEIGHT * usd), 1.0)
            owed_usd = book.means.total(_owed(dial)) / PAY_BACK
            usd -= min(OWED_MAX * usd, max(-usd, owed_usd))
            rate = curve.rate_for_usd(usd / min(DEARER_MAX, max(DEARER_MIN, dearer)))
        else:
            lost = (1 - audits.target) / audits.scale(book.means)
            rate = curve.rate_for_loss(lost) * audits.factor
        return Trade(rate, dial, curve.usd_at(rate), curve.quality_at(rate))

    def _curve(self, context: Context, view: View, ledger: Ledger) -> Curve:
        """Of recent requests; before there are any, of this one."""
        book, tiers = self.book(whose(context)), context.ladder.names
        if book.forecast.due:
            self._note_prices(context, view, book)

        def look(question: Question) -> Prospect | None:
            known = all(tier in book.usual for tier in question.tiers)
            return self._prospect(question, book, ledger, view.compare_usd) if known else None

        curve = book.forecast.curve(look)
        if curve is not None:
            return curve
        self._note_prices(context, view, book)
        accuracies = tuple(view.estimates[tier].accuracy for tier in tiers)
        here = Question(tiers, accuracies, comparable=True)
        return curve_of(self._prospect(here, book, ledger, view.compare_usd))

    def _note_prices(self, context: Context, view: View, book: Book) -> None:
        tiers = context.ladder.names
        for tier, ask_usd, judge_usd in zip(tiers, view.ask_usd, view.judge_usd, strict=True):
            judgeable = self._judge(context.ladder, tier) is not None
            book.usual[tier] = Usual(ask_usd, judge_usd, judgeable)

    def _prospect(
        self, question: Question, book: Book, ledger: Ledger, compare_usd: float
    ) -> Prospect:
        """How a request would begin now."""
        tiers = question.tiers
        usual = {tier: book.usual[tier] for tier in tiers}
        places = tuple(range(len(tiers)))
        ask_usd = [ledger.ask_cost_usd(tier, each.ask_usd) for tier, each in usual.items()]
        judge_usd = [ledger.judge_cost_usd(tier, each.judge_usd) for tier, each in usual.items()]
        return Prospect(
            belief=joint(question.accuracies, ledger.world),
            situation=Situation(
                tiers=len(tiers),
                ran=(),
                askable=places,
                judgeable=frozenset(at for at in places if usual[tiers[at]].judgeable),
                rates=tuple(ledger.all_rates(tier) for tier in tiers),
                comparable=question.comparable,
                compares=True,
                agreement=ledger.world.agreement,
            ),
            usd=[*ask_usd, *judge_usd, compare_usd],
            waits_usd=self._waits_usd(book, tiers),
            depth=self._depth,
        )

    def _waits_usd(self, book: Book, tiers: Sequence[str]) -> list[float]:
        """What waiting is worth: for each tier's answer, its verdict, and a comparison."""
        per_second = self._usd_per_second
        if not per_second:
            return [0.0] * (2 * len(tiers) + 1)
        kinds = [("ask_s", tier) for tier in tiers] + [("judge_s", tier) for tier in tiers]
        means_s = [book.means.mean(kind) for kind in (*kinds, ("compare_s",))]
        return [per_second * mean_s for mean_s in means_s]


def _owed(dial: Dial) -> Key:
    """What was spent over this budget."""
    return ("owed", f"{dial.value:g}")


def _question(record: Record) -> Question:
    estimates = record.start.estimates if record.start else {}
    tiers = tuple(tier for tier in record.eligible if tier in estimates)
    accuracies = tuple(estimates[tier].accuracy for tier in tiers)
    last = [attempt for attempt in record.attempts if attempt.outcome == "complete"][-1:]
    return Question(tiers, accuracies, comparable=all(attempt.comparable for attempt in last))


def _waits(record: Record) -> dict[Key, Amount]:
    """How long tiers took to answer, judges to judge their answers, and comparisons."""
    took = [(("ask_s", attempt.tier), attempt.latency_s) for attempt in asked(record)]
    took += [(("judge_s", tier), verdict.latency_s) for tier, verdict in judged(record)]
    compared = [v for a in record.attempts for v in a.verdicts if v.against is not None]
    found: dict[Key, Amount] = {}
    for key, latency_s in (*took, *((("compare_s",), v.latency_s) for v in compared)):
        total, count = found.get(key, (0.0, 0.0))
        found[key] = (total + latency_s, count + 1)
    return found
