"""Target error: an answer is accepted only where few such answers are wrong, and surely so.

Source: Jung, Brahman and Choi 2024, "Trust or Escalate: LLM Judges with Provable Guarantees for
Human Agreement" (ICLR 2025, arXiv 2407.18370) and its released code.
"""

from collections.abc import Mapping, Sequence

from typing_extensions import override

from app.latest import Latest
from app.learning.belief import Rates, after_verdict, chance_right, joint
from app.learning.guarantees import Guard, audits_of, score_of
from app.learning.influence import whose
from app.learning.judge_rates import USUAL_RATES
from app.planning.affinity import goes_live
from app.planning.climb import best_ended, go_on
from app.planning.learned import Learned, is_judged, seated, stands, start_of
from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import Attempt, Record

TENANTS = 1_000
PROBE = 0.1
"""How often a tier is asked first whose answers are not accepted as things stand."""


class TargetError(Learned):
    """The policy: from the lowest tier up; at most `error` of a tier's accepted answers are wrong.

    With `confidence`, on questions like those of the last 500 audits, and as measured by the top
    tier's answer: where it came to something else and nobody decided, the lower answer is wrong.

    Departs: confidence is what is believed after verdict and agreement, not the vote of simulated
    annotators. The audits are lessons that coins chose, on the gateway's own traffic, in the place
    of 500 labelled questions, so thresholds are found again after every 25, and each time anew: the
    confidence is that of one calibration. The doubt is split among the tiers. Below 60 audits only
    answers are accepted that are believed to be wrong half as often as allowed. A tier none of
    whose answers can be accepted is passed over, but for a tenth of the requests: else it would
    stay out. Of the last 100 audited accepts, errors that have a chance under 1 % raise an alarm,
    and the tier is passed over until 60 new audits find a threshold.
    """

    def __init__(
        self,
        *,
        error: float = 0.1,
        confidence: float = 0.9,
        judge: str | None = None,
        judged: Rates | None = None,
        lessons: float = 0.05,
    ) -> None:
        super().__init__("target_error", judge=judge, judged=judged, lessons=lessons)
        self._error, self._doubt = error, 1 - confidence
        self._guards: Latest[str, dict[str, Guard]] = Latest(TENANTS)
        self.version = f"1,error={error:g},confidence={confidence:g},judge={judge or 'frugal'}"

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """Ask, have it judged, accept it where its score is high enough; else ask above."""
        if not attempts:
            return self._first(context)
        at, last = len(attempts) - 1, attempts[-1]
        if not last.ended:
            return go_on(context, attempts, "after_failure")
        if stands(context, last) or (last.tier == context.ladder.top.name and not last.refused):
            return Accept(at)
        by = self._judge(context.ladder, last.tier)
        if by is not None and last.outcome == "complete" and not is_judged(last):
            return Judge(at, by=by)
        names = context.ladder.names
        score = score_of(self._nearby.view(context).estimates, names, attempts)
        if score >= self._guard(context, last.tier).threshold:
            return Accept(at)
        return self._up(context, attempts)

    @override
    def note(self, record: Record, *, first: bool) -> None:
        """Take in what the record audits."""
        for tier, audit in audits_of(record):
            self._guard(record, tier).note(record.id, audit)

    def guards(self, tenant: str) -> Mapping[str, Guard]:
        """What is known of the tenant's tiers: thresholds, bounds, alarms."""
        return self._guards.get(tenant, {})

    @property
    def alarmed(self) -> int | None:
        """How many tiers are passed over because too many of their accepted answers were wrong.

        None: no answer was ever looked at.
        """
        if not self._guards:
            return None
        guards = [guard for guards in self._guards.values() for guard in guards.values()]
        return sum(guard.alarmed for guard in guards)

    def _first(self, context: Context) -> Ask:
        view, names = self._nearby.view(context), context.ladder.names
        chances: dict[str, float] = {}
        if (seat := seated(context)) is not None:
            chances[seat] = 1.0
        else:
            at = next(at for at in range(len(names)) if self._is_open(context, at))
            chances[names[at]] = 1.0
            if at > 0:
                chances = {names[at - 1]: PROBE, names[at]: 1 - PROBE}
        (tier,) = context.rng.choices(list(chances), list(chances.values()))
        live = goes_live(context, tier)
        return Ask(tier, "direct", live=live, start=start_of(context, view, tier, chances))

    def _up(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """The next tier above whose answers can be accepted, or the top."""
        names, tried = context.ladder.names, {attempt.tier for attempt in attempts}
        above = range(names.index(attempts[-1].tier) + 1, len(names))
        for at in above:
            if names[at] not in tried and self._is_open(context, at):
                live = goes_live(context, names[at])
                return Ask(names[at], "after_reject", live=live)
        return Stop(best_ended(context.ladder, attempts))

    def _is_open(self, context: Context, at: int) -> bool:
        """Whether an answer of this tier that is judged valid could be accepted.

        Before a tier is calibrated its answers are asked for all the same: they become audits.
        """
        names = context.ladder.names
        if at == len(names) - 1:
            return True
        guard = self._guard(context, names[at])
        if not guard.calibrated:
            return not guard.alarmed
        estimates = self._nearby.view(context).estimates
        believed = joint([estimates[tier].accuracy for tier in names])
        if self._judge(context.ladder, names[at]) is not None:
            believed = after_verdict(believed, at, USUAL_RATES, valid=True)
        return bool(chance_right(believed)[at] >= guard.threshold)

    def _guard(self, asked: Context | Record, tier: str) -> Guard:
        """The tier's; the doubt is shared among all tiers below the top."""
        guards = self._guards.of(whose(asked), dict)
        if tier not in guards:
            below = len(asked.ladder.names if isinstance(asked, Context) else asked.ladder) - 1
            guards[tier] = Guard(tier, self._error, self._doubt / max(1, below))
        return guards[tier]
