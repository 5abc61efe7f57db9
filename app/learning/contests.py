"""Which of two tiers wins a question: what is believed of it, and what a record shows."""

from dataclasses import replace

from app.learning.amounts import Label
from app.learning.belief import Belief, after_attempts, joint, space
from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import taught
from app.learning.learner import FULL
from app.records import Record


def chance_of_win(belief: Belief, weak: int, strong: int) -> float:
    """How likely the strong tier is right and the weak one is not; places on the ladder."""
    right = space(len(belief).bit_length() - 2).right
    return float((right[strong] * (1 - right[weak])) @ belief / belief.sum())


def contest(record: Record, weak: str, strong: str) -> Label | None:
    """Whether the strong tier won, where the record labels both; None: it does not.

    A tie is no win: to pay more for the same is no gain. Where the strong tier was asked because
    the weak one's answer was doubted, such questions are harder than others: the label is moved by
    how much more likely that had made a win. Where nobody knows how much, there is no label.
    """
    told = {one.tier: replace(one, shift=0.0) for one in taught(record)}
    if weak not in told or strong not in told or weak == strong:
        return None
    shift = _shift(record, weak, strong)
    if shift is None:
        return None
    low, high = told[weak].label(USUAL_RATES), told[strong].label(USUAL_RATES)
    win = _bounded(high.right) * (1 - _bounded(low.right))
    return Label(win + shift, min(low.weight, high.weight))


def _shift(record: Record, weak: str, strong: str) -> float | None:
    """What undoes that the strong tier was asked for a reason; 0 where it was not."""
    drawn = set(record.lessons.drawn) if record.lessons else set()
    asked = [i for i, a in enumerate(record.attempts) if a.tier == strong]
    by_coin = bool({FULL, strong} & drawn)
    if not asked or by_coin or record.attempts[asked[0]].arrived != "after_reject":
        return 0.0
    estimates = record.start.estimates if record.start else {}
    tiers = [tier for tier in record.eligible if tier in estimates]
    if weak not in tiers or strong not in tiers:
        return None
    before = joint([estimates[tier].accuracy for tier in tiers])
    there, _ = after_attempts(before, tiers, record.attempts[: asked[0]], lambda *_: USUAL_RATES)
    places = tiers.index(weak), tiers.index(strong)
    return chance_of_win(before, *places) - chance_of_win(there, *places)


def _bounded(chance: float) -> float:
    return min(1.0, max(0.0, chance))
