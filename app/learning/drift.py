"""Notices that a tier has become better or worse than its records say."""

from dataclasses import dataclass, field

SHIFT = 0.2
"""The change of accuracy that is looked for."""
VARIANCE = 0.15
"""Of a label of weight 1."""
SURPRISE_MAX = 8.5
"""How much likelier the change must be than none, as a logarithm: by chance, once in thousands."""


@dataclass(slots=True)
class _Side:
    """The evidence for a change in one direction, and the labels since there has been any."""

    surprise: float = 0.0
    right: float = 0.0
    weight: float = 0.0
    since_s: float = 0.0

    def add(self, gain: float, right: float, weight: float, time_s: float) -> bool:
        """One more label; whether a change is now sure."""
        if self.surprise == 0.0:
            self.right, self.weight, self.since_s = 0.0, 0.0, time_s
        self.surprise = max(0.0, self.surprise + gain)
        self.right += weight * right
        self.weight += weight
        return self.surprise > SURPRISE_MAX


@dataclass(frozen=True, slots=True)
class Change:
    """A tier is not what it was since this time; what its labels have said since."""

    since_s: float
    right: float
    weight: float


@dataclass(slots=True)
class Drift:
    """Follows one tier's labels, in both directions.

    Source: Page 1954, cumulative sums of the log likelihood ratio of a shifted mean against the
    believed one; a label's weight is the inverse of its variance.
    """

    _fall: _Side = field(default_factory=_Side)
    _rise: _Side = field(default_factory=_Side)

    def add(self, right: float, weight: float, believed: float, time_s: float) -> Change | None:
        """One more label, where this accuracy was believed; a change, once it is sure.

        Units: `time_s` is Unix time.
        """
        surplus = right - believed
        for side, sign in ((self._fall, -1.0), (self._rise, 1.0)):
            gain = weight * SHIFT / VARIANCE * (sign * surplus - SHIFT / 2)
            if side.add(gain, right, weight, time_s):
                change = Change(side.since_s, side.right, side.weight)
                self._fall, self._rise = _Side(), _Side()
                return change
        return None
