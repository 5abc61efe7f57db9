"""The arbiter: who decides between two answers that differ, and what follows from its words."""

import re
from collections.abc import Callable
from typing import TypeAlias

from app.judge import Better, Comparison
from app.tiers import Tier, TierLadder

ArbiterRule: TypeAlias = Callable[[TierLadder, str, str], str | None]
"""Which tier decides between the answers of these two, the lower one first; None: nobody."""

_FAMILY = re.compile(r"[a-z]+")
_SAME_MAKER = {"o": "gpt", "chatgpt": "gpt"}
_SCORES: dict[Better, int] = {"first": 1, "tie": 0, "second": -1}


def arbiter_rule(setting: str) -> ArbiterRule:
    """The rule that `judge.arbiter` names: `auto`, `none`, or always one tier.

    `auto` is a tier above the lower of the two: one of another model family than both where there
    is one, and of those the highest. Nobody decides about an answer of its own.
    """

    def rule(ladder: TierLadder, lower: str, higher: str) -> str | None:
        match setting:
            case "none":
                return None
            case "auto":
                return _auto(ladder, lower, higher)
            case _:
                return None if setting in {lower, higher} else setting

    return rule


def _auto(ladder: TierLadder, lower: str, higher: str) -> str | None:
    families = {family_of(ladder[lower]), family_of(ladder[higher])}
    able = [tier for tier in ladder.above(lower) if tier.name != higher]
    strangers = [tier for tier in able if family_of(tier) not in families]
    chosen = strangers or able
    return chosen[-1].name if chosen else None


def family_of(tier: Tier) -> str:
    """Who made the model, as far as its name tells: its first word, whoever serves it."""
    found = _FAMILY.match(tier.model.lower().rpartition("/")[2])
    word = found[0] if found else tier.model
    return _SAME_MAKER.get(word, word)


def as_good(forth: Comparison, back: Comparison) -> bool | None:
    """Whether an answer is as good as the other, from both orders: it came first, then second.

    None where the orders contradict each other, as with a judge that goes by the place, or where
    there is no verdict.
    """
    if forth.verdict is None or back.verdict is None:
        return None
    there, here = _SCORES[forth.verdict], -_SCORES[back.verdict]
    return None if there * here < 0 else there + here >= 0
