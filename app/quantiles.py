"""A running quantile: which scores are among the highest share of the last ones."""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass, field

KEPT = 2_000
PAY_BACK = 20.0
"""Over how many requests it is made up for what was chosen too rarely, or too often."""


@dataclass(slots=True)
class Running:
    """The last scores. Those that are equal share what is left to them, so ties keep the share.

    `owed` is how many more should have been chosen by now: scores move while it is being learned
    what they are made of, and then the quantile of earlier ones is not that of the next.
    """

    owed: float = 0.0

    _last: deque[float] = field(default_factory=deque)
    _sorted: list[float] = field(default_factory=list)

    def add(self, score: float) -> None:
        """Take in a score; beyond `KEPT` the oldest is dropped."""
        self._last.append(score)
        insort(self._sorted, score)
        if len(self._last) > KEPT:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]

    def chosen(self, chance: float, share: float) -> None:
        """A score was chosen with this chance, where it should be this share of them."""
        self.owed = min(PAY_BACK, max(-PAY_BACK, self.owed + share - chance))

    def chance(self, score: float, share: float) -> float:
        """With what chance this score is among the highest `share` of all, itself included.

        1 above the quantile, 0 below; between where it is on it. Of nothing known it is the share.
        """
        below, upto = bisect_left(self._sorted, score), bisect_right(self._sorted, score)
        aimed = share if share in {0.0, 1.0} else share + self.owed / PAY_BACK
        wanted = min(1.0, max(0.0, aimed)) * (len(self._sorted) + 1)
        return min(1.0, max(0.0, (wanted - (len(self._sorted) - upto)) / (upto - below + 1)))
