"""AutoMix: the tier that answered says how sure it is of its answer, and a table what follows.

Source: Aggarwal, Madaan et al. 2024, "AutoMix: Automatically Mixing Language Models" (NeurIPS 2024,
arXiv 2310.12963) and its released code.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from typing_extensions import override

from app.dials import Dial, Trade
from app.latest import Latest
from app.learning.amounts import Label
from app.learning.influence import whose
from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import taught
from app.planning.affinity import MARGIN, goes_live
from app.planning.climb import best_ended, go_on
from app.planning.learned import Learned, seated, stands, start_of
from app.planning.verification import Counts, Move, Rung, bin_of, table
from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import Attempt, Record, Verdict

TENANTS = 1_000
REMEMBERED = 20_000
ROWS_MIN = 50
"""With fewer labelled rows of a tier the threshold decides, not the table."""
EVERY = 25
"""Tables are worked out again after so many rows."""
TABLES_KEPT = 64
CHEAPEST_USD = 1e-12

Row = tuple[str, int, Label, dict[str, Label]]


@dataclass(slots=True)
class _Known:
    """What a tenant's records say: counts by tier, the rows behind them, and the tables made."""

    counts: dict[str, Counts] = field(default_factory=dict)
    rows: OrderedDict[str, list[Row]] = field(default_factory=OrderedDict)
    added: int = 0
    tables: Latest[tuple[object, ...], list[tuple[Move, ...]]] = field(
        default_factory=lambda: Latest(TABLES_KEPT)
    )


class AutoMix(Learned):
    """The policy: from the lowest tier up; each answer is verified by the tier that gave it.

    `samples` words of it, in one call, make a confidence; `threshold`: keep from there on. With
    `variant` "pomdp" a table decides once a tier has 50 labelled rows: for each bin of confidence
    whether to keep the answer, or which tier to ask, by what accuracy is worth
    (`quality_per_dollar`; None: a mean call of the top tier must buy ten points).

    Departs: rows are labelled by the gateway's own records (audits, feedback, what a higher tier
    answered), never by the verification itself. The table is the POMDP's solution by counting, with
    Bayes' prior in the place of a kernel density; the released code has no POMDP but scores every
    sequence of actions over bins on the training set, and its best ones flip between seeds, so here
    confidence counts as rising until 500 rows say otherwise. Nothing read from any sample is no
    confidence of 0, as in that code: the next tier is asked, and nothing is counted. Verification
    is paid for as what it is, not as one call of the small model whatever the number of samples.
    The prompt's four examples are of general questions, since requests bring no context to check
    entailment against.
    """

    def __init__(
        self,
        *,
        samples: int = 4,
        threshold: float = 0.5,
        variant: Literal["pomdp", "threshold"] = "pomdp",
        quality_per_dollar: float | None = None,
        lessons: float = 0.05,
    ) -> None:
        super().__init__("automix", judge="self", lessons=lessons)
        self._samples, self._threshold, self._variant = samples, threshold, variant
        self._rate = quality_per_dollar
        self._known: Latest[str, _Known] = Latest(TENANTS)
        told = "auto" if quality_per_dollar is None else f"{quality_per_dollar:g}"
        self.version = (
            f"1,{variant},samples={samples},threshold={threshold:g},quality_per_dollar={told}"
        )

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Ask, have it verify itself, keep the answer or go where the table says."""
        if not attempts:
            return self._first(context)
        at, last = len(attempts) - 1, attempts[-1]
        if not last.ended:
            return go_on(context, attempts, "after_failure")
        is_top = last.tier == context.ladder.top.name
        if stands(context, last) or (is_top and not last.refused):
            return Accept(at)
        said = _verification(last)
        if said is None and last.outcome == "complete" and not last.refused:
            return Judge(at, by=last.tier, samples=self._samples)
        if said is None or said.confidence is None:
            return go_on(context, attempts, "after_reject")
        return self._decide(context, attempts, said.confidence)

    @override
    def note(self, record: Record, *, first: bool) -> None:
        """Count what the record's verifications came to, or count it anew."""
        known = self._of(whose(record))
        for tier, bin_, own, above in known.rows.pop(record.id, ()):
            self._counts(known, tier).add(bin_, own, above, -1)
        rows = list(self._rows(record))
        for tier, bin_, own, above in rows:
            self._counts(known, tier).add(bin_, own, above)
        if not rows:
            return
        known.rows[record.id] = rows
        known.added += first
        if len(known.rows) > REMEMBERED:
            known.rows.popitem(last=False)  # it stays counted
        if known.added >= EVERY:
            known.added = 0
            known.tables.clear()

    def moves(self, context: Context) -> list[tuple[Move, ...]]:
        """What to do in each bin of each tier below the top: None keeps, else a place to go to."""
        view, ladder = self._nearby.view(context), context.ladder
        known, rate = self._of(whose(context)), self._trade(context).quality_per_dollar
        # As much as a table is made for: what moves less changes no decision worth the work.
        prices = tuple(
            float(f"{rate * (ask + self._verify_usd(context, at)):.2g}")
            for at, ask in enumerate(view.ask_usd)
        )
        names = ladder.names
        accuracies = tuple(
            round(self.ledger(context).rate(tier.name, tier.prior), 2) for tier in ladder
        )
        key = (names, prices, accuracies)
        rungs = (
            Rung(name, accuracy, price, self._counts(known, name))
            for name, accuracy, price in zip(names, accuracies, prices, strict=True)
        )
        return known.tables.of(key, lambda: table(list(rungs)))

    def _decide(self, context: Context, attempts: Sequence[Attempt], confidence: float) -> Action:
        names, last = context.ladder.names, attempts[-1]
        counts = self._counts(self._of(whose(context)), last.tier)
        if self._variant == "threshold" or counts.rows < ROWS_MIN:
            if confidence >= self._threshold:
                return Accept(len(attempts) - 1)
            return go_on(context, attempts, "after_reject")
        to = self.moves(context)[names.index(last.tier)][bin_of(confidence, self._samples)]
        if to is None:
            return Accept(len(attempts) - 1)
        tried = {attempt.tier for attempt in attempts}
        above = [name for name in names[to:] if name not in tried]
        if not above:
            return Stop(best_ended(context.ladder, attempts))
        return Ask(above[0], "after_reject", live=goes_live(context, above[0]))

    def _first(self, context: Context) -> Ask:
        view = self._nearby.view(context)
        tier = seated(context) or context.ladder.lowest.name
        start = start_of(context, view, tier, trade=self._trade(context))
        return Ask(tier, "direct", live=goes_live(context, tier), start=start)

    def _trade(self, context: Context) -> Trade:
        dial = context.dial
        if dial is None and self._rate is not None:
            dial = Dial("quality_per_dollar", self._rate)
        if dial is not None:
            return Trade(dial.value, dial)
        top_usd = self._nearby.view(context).top_usd
        return Trade(MARGIN / max(top_usd, CHEAPEST_USD))

    def _verify_usd(self, context: Context, at: int) -> float:
        """What a tier's word on its own answer costs; the top one is not asked for it."""
        view = self._nearby.view(context)
        return 0.0 if at == len(view.ask_usd) - 1 else view.judge_usd[at]

    def _rows(self, record: Record) -> list[Row]:
        """Its verified answers for which something better than a judge's word is known."""
        labels = {
            one.tier: one.label(USUAL_RATES) for one in taught(record) if one.source != "judge"
        }
        rows: list[Row] = []
        for attempt in record.attempts:
            said = _verification(attempt)
            if said is None or said.confidence is None or attempt.tier not in labels:
                continue
            place = record.ladder.index(attempt.tier)
            above = {name: labels[name] for name in record.ladder[place + 1 :] if name in labels}
            bin_ = bin_of(said.confidence, self._samples)
            rows.append((attempt.tier, bin_, labels[attempt.tier], above))
        return rows

    def _counts(self, known: _Known, tier: str) -> Counts:
        return known.counts.setdefault(tier, Counts(self._samples))

    def _of(self, tenant: str) -> _Known:
        return self._known.of(tenant, _Known)


def _verification(attempt: Attempt) -> Verdict | None:
    """What the tier said of its own answer; None: it was not asked."""
    own = [v for v in attempt.verdicts if v.by == attempt.tier and v.against is None]
    return own[-1] if own else None
