"""One ladder's requests as sums that fade: what they cost, and what each tier would have."""

from dataclasses import dataclass, field

import numpy as np

from app.records import PURPOSES, Purpose, Record
from app.reporting.counterfactual import Array, Sums
from app.reporting.sightings import SERVED, Row, row_of
from app.reporting.standing import PER, Standing, standing_of

WATCHED = 3.0 / 1.96
"""How much wider than 95 % an interval must leave 0 out: who looks again and again sees chance."""


@dataclass(slots=True)
class Window:
    """The sums over one ladder's requests, and what it took to predict their costs.

    `born` says how many requests there were before it.
    """

    tiers: tuple[str, ...]
    decay: float = 1.0
    born: int = 0
    added: int = 0
    left_out: float = 0.0
    sums: Sums = field(init=False)
    spent_usd: Array = field(default_factory=lambda: np.zeros(len(PURPOSES)))
    _usd: dict[str, float] = field(default_factory=dict)
    _tokens: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sums = Sums(self.tiers)

    @property
    def standing(self) -> Standing:
        return standing_of(self.sums, self.left_out, margin=WATCHED)

    def predicted_usd(self, record: Record) -> dict[str, float]:
        """What each tier's answer might cost, by the length of what was served.

        Only earlier requests have a say, so a prediction knows nothing of its own request's coins.
        """
        tokens = _tokens(record)
        return {tier: usd / self._tokens[tier] * tokens for tier, usd in self._usd.items()}

    def learn_costs(self, record: Record, row: Row, before: Array | None = None) -> None:
        """Take the costs that were seen, and not before, into the predictions of the next."""
        for tier in self.tiers:
            seen_usd = row.figures["usd"][tier].seen
            if seen_usd is not None and not self.sums.saw(("usd", tier), before):
                self._usd[tier] = self._usd.get(tier, 0.0) + seen_usd
                self._tokens[tier] = self._tokens.get(tier, 0.0) + _tokens(record)

    def read(self, record: Record) -> Row | None:
        """Add a record that is never corrected; its row."""
        row = row_of(record, self.predicted_usd(record))
        if row is not None:
            self.learn_costs(record, row)
        self.add(None if row is None else self.added_by(row))
        return row

    def spend(self) -> dict[Purpose, float] | None:
        """What was spent on what; None where too much of it is unknown. Units: USD per 1,000."""
        if self.sums.is_unpriced(SERVED) or not self.sums.rows:
            return None
        usd = PER * self.spent_usd / self.sums.rows
        return dict(zip(PURPOSES, usd.tolist(), strict=True))

    def added_by(self, row: Row) -> "Added":
        """The row as it is summed."""
        spent_usd = np.array([row.spent_usd.get(purpose, 0.0) for purpose in PURPOSES])
        return Added(self.sums.vector(row), row.unpriced, spent_usd)

    def add(self, added: "Added | None") -> int:
        """Add a row, or count one that is left out; its number, by which it can be corrected."""
        if self.decay < 1:
            self.sums.fade(self.decay)
            self.left_out *= self.decay
            self.spent_usd *= self.decay
        self.added += 1
        if added is None:
            self.left_out += 1
        else:
            self.sums.add(added.vector, added.unpriced)
            self.spent_usd += added.spent_usd
        return self.added

    def correct(self, number: int, old: "Added", new: "Added") -> None:
        """Put one row in place of another."""
        age = self.decay ** (self.added - number)
        self.sums.add(old.vector, old.unpriced, age, -1)
        self.sums.add(new.vector, new.unpriced, age)
        self.spent_usd += age * (new.spent_usd - old.spent_usd)


@dataclass(frozen=True, slots=True)
class Added:
    """A row as it was summed."""

    vector: Array
    unpriced: frozenset[str]
    spent_usd: Array


def _tokens(record: Record) -> float:
    """The length of what was served; 1 where it is unknown."""
    served = record.served_attempt
    usage = served.usage if served else None
    return float(usage.input_tokens + usage.output_tokens) if usage else 1.0
