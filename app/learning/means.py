"""Running means by key; what a record added is corrected when more becomes known of it."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.learning.amounts import Key
from app.learning.discounting import Amount, DiscountedMean

REMEMBERED = 20_000
"""Of so many records what they added is kept, so that later evidence can correct it."""

_EMPTY = DiscountedMean()


@dataclass(slots=True)
class Means:
    """The means; shown the same records in the same order, they are the same again."""

    _sums: dict[Key, DiscountedMean] = field(default_factory=dict)
    _kept: OrderedDict[str, dict[Key, tuple[int, Amount]]] = field(default_factory=OrderedDict)

    def mean(self, key: Key, prior: Amount = (0.0, 0.0), usual: float = 0.0) -> float:
        """The mean so far, with a prior that is forgotten as well; `usual` where there is none."""
        sums = self._sums.get(key)
        if sums is None:
            return prior[0] / prior[1] if prior[1] > 0 else usual
        return sums.mean(prior, usual)

    def weight(self, key: Key) -> float:
        """How much stands behind the mean."""
        return self._sums.get(key, _EMPTY).weight

    def total(self, key: Key) -> float:
        """The weighted total, as far as it is remembered."""
        return self._sums.get(key, _EMPTY).total

    def restart(self, key: Key, amount: Amount) -> None:
        """Forget everything but this much."""
        self._sums.setdefault(key, DiscountedMean()).restart(amount)

    def knows(self, record_id: str) -> bool:
        """Whether the record was taken in before."""
        return record_id in self._kept

    def take(self, record_id: str, amounts: Mapping[Key, Amount]) -> set[Key]:
        """Take in what a record adds; of one that was taken in before, what changed.

        The keys to which it had added nothing before.
        """
        kept = self._kept.pop(record_id, {})
        now: dict[Key, tuple[int, Amount]] = {}
        for key, amount in amounts.items():
            fading = self._sums.setdefault(key, DiscountedMean())
            known = kept.get(key)
            if known is None:
                now[key] = (fading.add(amount), amount)
            else:
                fading.correct(*known, amount)
                now[key] = (known[0], amount)
        for key, (number, amount) in kept.items():
            if key not in now:
                self._sums[key].correct(number, amount, (0.0, 0.0))
        self._kept[record_id] = now
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return now.keys() - kept.keys()
