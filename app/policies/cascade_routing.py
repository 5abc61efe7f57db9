"""Cascade routing: at each step the best superset of the tiers already asked.

Source: Dekoninck, Baader and Vechev 2024, "A Unified Approach to Routing and Cascading for LLMs"
(ICML 2025, arXiv 2410.10347) and its released code.
"""

from collections.abc import Sequence
from dataclasses import replace

from typing_extensions import override

from app.dials import Dial, Trade
from app.latest import Latest
from app.learning.belief import Rates, after_verdict, chance_right, joint
from app.learning.facts import bill_of
from app.learning.influence import whose
from app.learning.learner import Ledger
from app.planning.affinity import MARGIN, goes_live
from app.planning.budgets import Budget, Mixture
from app.planning.climb import best_ended
from app.planning.learned import Learned, askable, is_judged, stands, start_of
from app.planning.nearby import DEARER
from app.planning.per_request import PerRequest
from app.planning.supersets import Situation, Superset, best_of, supersets, value_of
from app.planning.weighing import seen
from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import Arrival, Attempt, Record

TENANTS = 1_000
CHEAPEST_USD = 1e-12


class CascadeRouting(Learned):
    """The policy: the set of tiers with the highest E[best answer's quality] - λ·cost, then again.

    λ is `quality_per_dollar` (None: a mean call of the top tier must buy ten points of accuracy) or
    what recent requests' cost of `usd_per_1000` takes. Of the set the lowest new tier is asked. Of
    the answers that is served which is most likely right, not the last one.

    Judges where the verdict is worth asking: where what the best set is worth after either verdict,
    on the mean, is more than it is worth now, by more than the verdict's price.

    Departs: qualities come from the belief about all tiers, before and after answers, agreement and
    verdicts, not from regressions fitted to questions that every model has answered; so do their
    covariances, and only of what the set itself would show. E[max] is a closed form (Clark's
    recursion beyond two) in the place of 100 samples. The released code scales samples by the
    variance; its root is right. Only tiers above those that answered are asked next, as with its
    `force_order`. One λ for all steps.
    """

    def __init__(
        self,
        *,
        quality_per_dollar: float | None = None,
        usd_per_1000: float | None = None,
        judge: str | None = None,
        judged: Rates | None = None,
        lessons: float = 0.05,
        vouch_accuracy: float = 0.7,
    ) -> None:
        super().__init__("cascade_routing", judge=judge, judged=judged, lessons=lessons)
        self._rate = quality_per_dollar
        self._usd_per_1000 = usd_per_1000
        self._judges = judge != "none"
        self._vouch_accuracy = vouch_accuracy
        self._budgets: Latest[str, Budget] = Latest(TENANTS)
        self._trades: PerRequest[tuple[Trade, dict[str, float]]] = PerRequest()
        told = "auto" if quality_per_dollar is None else f"{quality_per_dollar:g}"
        dial = f"quality_per_dollar={told}"
        if usd_per_1000 is not None:
            dial = f"usd_per_1000={usd_per_1000:g}"
        self.version = f"1,{dial},judge={judge or 'frugal'}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Judge the last answer where that pays; ask on where that does; else serve the best."""
        if attempts and stands(context, attempts[-1]):
            return Accept(len(attempts) - 1)
        rate = self._trade(context)[0].quality_per_dollar
        here = self.situation(context, attempts)
        sets = supersets(here, rate, alone=_is_alone(context))
        best = best_of(sets, rate)
        if best is None:
            return Stop(best_ended(context.ladder, attempts))
        by = self._judge_of(context, attempts)
        if by is not None and self._is_worth_judging(here, sets, rate):
            return Judge(len(attempts) - 1, by=by)
        if best.new:
            return self._ask(context, attempts, best)
        chances = chance_right(here.belief)
        names = context.ladder.names
        ended = [i for i, a in enumerate(attempts) if a.ended and a.tier in names]
        served = max(ended, key=lambda i: (chances[names.index(attempts[i].tier)], i))
        return Stop(served) if attempts[served].refused else Accept(served)

    @override
    def note(self, record: Record, *, first: bool) -> None:
        """Keep what a request of this policy's could have done, and what it cost."""
        start, usd = record.start, self._usd_per_1000
        if not first or usd is None or start is None or start.trade is None:
            return
        expected_usd, paid_usd = start.trade.expected_usd, record.cost_usd
        tiers = [tier for tier in record.eligible if tier in start.estimates]
        if expected_usd is None or paid_usd is None or not tiers:
            return
        bill = bill_of(record)
        here = self._at_first(record, tiers, self.ledger(record))
        question = supersets(here, start.trade.quality_per_dollar)
        self._budget(whose(record)).note(
            question, bill.request_usd + bill.lessons_usd, expected_usd
        )

    def situation(self, context: Context, attempts: Sequence[Attempt] = ()) -> Situation:
        """What is believed and can be had after these attempts."""
        view, names = self._nearby.view(context), context.ladder.names
        belief, ran = seen(view.belief, names, view, attempts)
        last = [attempt for attempt in attempts if attempt.outcome == "complete"][-1:]
        return Situation(
            belief=belief,
            ran=ran,
            askable=askable(context, attempts),
            judgeable=frozenset() if _is_alone(context) else view.judgeable,
            rates=[rates[0] for rates in view.rates],
            comparable=last[0].comparable if last else view.comparable,
            agreement=view.world.agreement,
            ask_usd=view.ask_usd,
            judge_usd=view.judge_usd,
        )

    def _is_worth_judging(self, here: Situation, sets: Sequence[Superset], rate: float) -> bool:
        """Whether the verdict on the last answer is expected to gain more than it costs."""
        at, total = here.ran[-1].tier, here.belief.sum()
        gained = 0.0
        for valid in (True, False):
            after = after_verdict(here.belief, at, here.rates[at], valid=valid)
            likely = after.sum() / total
            gained += likely * value_of(supersets(replace(here, belief=after), rate), rate)
        return bool(gained - value_of(sets, rate) > rate * here.judge_usd[at])

    def _judge_of(self, context: Context, attempts: Sequence[Attempt]) -> str | None:
        """Who could judge the last answer; None: nobody, or somebody has."""
        if not attempts or _is_alone(context) or attempts[-1].outcome != "complete":
            return None
        last = attempts[-1]
        return None if is_judged(last) else self._judge(context.ladder, last.tier)

    def _ask(self, context: Context, attempts: Sequence[Attempt], best: Superset) -> Ask:
        view, at = self._nearby.view(context), best.new[0]
        tier = context.ladder.names[at]
        # A later answer may be served in its place, and an earlier one too.
        final = len(best.new) == 1 and not any(attempt.ended for attempt in attempts)
        certain = final or context.single or context.mode == "direct"
        audited = view.errors[at] <= 1 - self._vouch_accuracy
        live = certain and goes_live(context, tier, vouched=final and audited)
        if attempts:
            arrived: Arrival = "after_reject" if attempts[-1].ended else "after_failure"
            return Ask(tier, arrived, live=live)
        trade, chances = self._trade(context)
        return Ask(
            tier, "direct", live=live, start=start_of(context, view, tier, chances, trade=trade)
        )

    def _trade(self, context: Context) -> tuple[Trade, dict[str, float]]:
        """The request's rate, drawn once, and how likely each tier was to be first by that draw."""
        return self._trades.of(context, lambda: self._drawn(context))

    def _drawn(self, context: Context) -> tuple[Trade, dict[str, float]]:
        dial, view = context.dial, self._nearby.view(context)
        usual = MARGIN / max(view.top_usd, CHEAPEST_USD)
        if dial is None and self._usd_per_1000 is not None:
            dial = Dial("usd_per_1000", self._usd_per_1000)
        elif dial is None and self._rate is not None:
            dial = Dial("quality_per_dollar", self._rate)
        sets = supersets(self.situation(context), usual, alone=_is_alone(context))
        if dial is None or dial.name != "usd_per_1000":
            rate = usual if dial is None else dial.value
            return Trade(rate, dial), _starts(context, sets, Mixture(rate, rate, 1.0))
        mixture = self._budget(whose(context)).mixture(sets)
        rate = mixture.low if context.rng.random() < mixture.share else mixture.high
        best = best_of(sets, rate)
        trade = Trade(rate, dial, None if best is None else best.usd)
        return trade, _starts(context, sets, mixture)

    def _budget(self, tenant: str) -> Budget:
        return self._budgets.of(tenant, lambda: Budget((self._usd_per_1000 or 0.0) / 1000))

    def _at_first(self, record: Record, tiers: Sequence[str], ledger: Ledger) -> Situation:
        """The request before anything ran, at what calls cost now."""
        estimates = record.start.estimates if record.start else {}
        ask_usd: list[float] = []
        for tier in tiers:
            ask_usd.append(ledger.ask_cost_usd(tier, DEARER * ask_usd[-1] if ask_usd else 0.0))
        last = [attempt for attempt in record.attempts if attempt.outcome == "complete"]
        return Situation(
            belief=joint([estimates[tier].accuracy for tier in tiers], ledger.world),
            ran=(),
            askable=tuple(range(len(tiers))),
            judgeable=frozenset(range(len(tiers) - 1) if self._judges else ()),
            rates=[ledger.all_rates(tier)[0] for tier in tiers],
            comparable=2 * sum(attempt.comparable for attempt in last) >= len(last),
            agreement=ledger.world.agreement,
            ask_usd=ask_usd,
            judge_usd=[
                ledger.judge_cost_usd(tier, usd) for tier, usd in zip(tiers, ask_usd, strict=True)
            ],
        )


def _is_alone(context: Context) -> bool:
    """Whether one tier does it all, so that no set is worth more than its one member."""
    return context.single or context.tool_turn


def _starts(context: Context, sets: Sequence[Superset], mixture: Mixture) -> dict[str, float]:
    """How likely each tier is to be the first."""
    chances: dict[str, float] = {}
    for rate, chance in ((mixture.low, mixture.share), (mixture.high, 1 - mixture.share)):
        best = best_of(sets, rate)
        if best is not None and chance > 0:
            tier = context.ladder.names[best.new[0]]
            chances[tier] = chances.get(tier, 0.0) + chance
    return chances
