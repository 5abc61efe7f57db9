"""Running means that forget, and can be corrected when more becomes known of what was added."""

from dataclasses import dataclass
from typing import TypeAlias

DECAY = 0.998
"""What one more addition leaves of the weight of those before it."""

Amount: TypeAlias = tuple[float, float]
"""A weighted total and its weight."""


@dataclass(slots=True)
class DiscountedMean:
    """A running mean that forgets: each addition leaves `DECAY` of the weight of those before."""

    total: float = 0.0
    weight: float = 0.0
    added: int = 0
    reset: int = 0

    def mean(self, prior: Amount = (0.0, 0.0), usual: float = 0.0) -> float:
        """The mean so far, with a prior that is forgotten as well; `usual` where there is none."""
        left = DECAY**self.added
        weight = self.weight + left * prior[1]
        return (self.total + left * prior[0]) / weight if weight > 0 else usual

    def restart(self, amount: Amount) -> None:
        """Forget everything but this much."""
        self.total, self.weight = amount
        self.reset = self.added

    def add(self, amount: Amount) -> int:
        """Take it into account; its number, by which it can be corrected."""
        self.total = DECAY * self.total + amount[0]
        self.weight = DECAY * self.weight + amount[1]
        self.added += 1
        return self.added

    def correct(self, number: int, old: Amount, new: Amount) -> None:
        """Put one amount in the place of another, as old as that is by now."""
        if number <= self.reset:
            return
        left = DECAY ** (self.added - number)
        self.total += left * (new[0] - old[0])
        self.weight = max(0.0, self.weight + left * (new[1] - old[1]))
