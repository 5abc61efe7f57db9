"""What one record adds to what is known: labels, verdicts that a coin chose, and costs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from app.learning.belief import Relation
from app.learning.discounting import Amount

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """What one record says of a tier: right with this probability, and how much that counts.

    `right` may leave [0, 1]: only its mean is a probability.
    """

    right: float
    weight: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that a coin, and no belief, set against a better answer."""

    tier: str
    relation: Relation
    right: float
    valid: bool


@dataclass(frozen=True, slots=True)
class Bill:
    """What a record cost. Units: USD; one entry a call, `asked` and `judged` by tier."""

    asked: tuple[tuple[str, float], ...] = ()
    judged: tuple[tuple[str, float], ...] = ()
    compared: tuple[float, ...] = ()
    request_usd: float = 0.0
    lessons_usd: float = 0.0


def amounts_of(
    labels: Mapping[str, Label],
    judged: Iterable[Judged],
    audited: Iterable[tuple[str, float]],
    bill: Bill,
) -> Iterator[tuple[Key, Amount]]:
    """Weighted totals, by what they are about; of one key there may be several."""
    for tier, label in labels.items():
        yield ("right", tier), (label.weight * label.right, label.weight)
    for one in judged:
        for word, weight in (("right", one.right), ("wrong", 1 - one.right)):
            amount = (one.valid * weight, weight)
            yield ("valid", word), amount
            yield ("valid", word, one.tier), amount
            yield ("valid", word, one.tier, one.relation), amount
    for tier, right in audited:
        yield ("audited", tier), (right, 1.0)
    yield from _paid(bill)


def _paid(bill: Bill) -> Iterator[tuple[Key, Amount]]:
    for name, costs in (("asked", bill.asked), ("judged", bill.judged)):
        by_tier: dict[str, list[float]] = {}
        for tier, cost_usd in costs:
            by_tier.setdefault(tier, []).append(cost_usd)
        for tier, paid_usd in by_tier.items():
            yield (name, tier), (sum(paid_usd), float(len(paid_usd)))
    if bill.compared:
        yield ("compared",), (sum(bill.compared), float(len(bill.compared)))
    if bill.request_usd:
        yield ("request",), (bill.request_usd, 1.0)
