"""The newest requests, a row each: whatever a report or the dashboard counts, it counts these."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, nan
from typing import TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import SOURCES, arm_of, judged_by_coin, taught
from app.records import PURPOSES, Attempt, Outcome, Record
from app.reporting.counterfactual import Sums
from app.reporting.sightings import SERVED
from app.reporting.window import Added

Table: TypeAlias = npt.NDArray[np.void]
Mask: TypeAlias = npt.NDArray[np.bool_]

ROWS = 20_000
NAMES = 500
"""Of tenants, and of tasks, so many are told apart."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PHASES = ("embed", "search", "first byte", "answers", "judge", "whole")
"""Of a request: `first byte` of the answer served, `answers` all of them one after the other."""
NOBODY, OTHERS = -1, -2
"""In place of a number: there is none; it is one of too many."""
_FIRST_ROWS = 256
_ID_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some of a book's rows, the oldest first, as they were when they were asked for.

    `names` are the tasks' and the tenants', by the number a row has for them. `since_s` is the Unix
    time from which on nothing is missing; None where nothing was forgotten.
    """

    tiers: tuple[str, ...]
    rows: Table
    names: Mapping[str, tuple[str, ...]]
    complete_since_s: float | None = None

    def where(self, mask: Mask) -> "Excerpt":
        return replace(self, rows=self.rows[mask])

    def of(self, tenant: str | None = None, since_s: float = -inf) -> "Excerpt":
        """One tenant's rows, or everybody's, from this Unix time on."""
        mask: Mask = self.rows["time_s"] >= since_s
        if tenant is not None:
            known = self.names["tenant"]
            mask &= self.rows["tenant"] == (known.index(tenant) if tenant in known else NOBODY)
        return self.where(mask)

    def sums(self) -> Sums:
        """Over the rows that can be compared."""
        sums, comparable = Sums(self.tiers), self.rows[self.rows["comparable"]]
        counts = comparable["unpriced"].sum(axis=0)
        unpriced = dict(zip((*self.tiers, SERVED), counts.tolist(), strict=True))
        sums.add_all(comparable["vector"], unpriced)
        return sums


class Book:
    """Rows in the order in which requests were first heard of; the oldest make way.

    A request that is heard of again keeps its row. Another ladder begins another book.
    """

    def __init__(self, most: int = ROWS) -> None:
        self._most = most
        self._begin(())

    def write(self, record: Record, added: Added | None) -> None:
        """Note a request, or what is known of it by now; `added` is what is summed of it."""
        if record.ladder != self._tiers:
            self._begin(record.ladder)
        at = self._places.get(record.id)
        if at is None:
            if record.time_s <= self._forgotten_s:
                return
            at = self._place(record.id)
        # As one: each field that is set alone takes as long as ten in a row.
        self._table[at] = (*self._facts(record), *self._labels(record), *self._summed(added))

    def copy(self) -> Excerpt:
        """All rows. It is quick: what takes longer can be done with it in a thread."""
        filled = self._table[: len(self._places)]
        rows = np.concatenate([filled[self._next :], filled[: self._next]])
        names = {what: tuple(known) for what, known in self._names.items()}
        complete = None if self._forgotten_s == -inf else self._forgotten_s
        return Excerpt(self._tiers, rows, names, complete)

    def _begin(self, tiers: tuple[str, ...]) -> None:
        self._tiers = tiers
        self._names: dict[str, dict[str, int]] = {"tenant": {}, "task": {}}
        self._places: OrderedDict[str, int] = OrderedDict()
        self._next = 0
        self._forgotten_s = -inf
        self._table = np.zeros(min(_FIRST_ROWS, self._most), _columns(tiers))

    def _place(self, record_id: str) -> int:
        """A place in the table; the oldest row's where there is no more room."""
        full = len(self._places) >= len(self._table)
        if full and len(self._table) < self._most:
            more = min(2 * len(self._table), self._most)
            self._table = np.concatenate(
                [self._table, np.zeros(more - len(self._table), self._table.dtype)]
            )
        elif full:
            _, oldest = self._places.popitem(last=False)
            self._forgotten_s = max(self._forgotten_s, float(self._table[oldest]["time_s"]))
            self._places[record_id] = oldest
            self._next = (oldest + 1) % self._most
            return oldest
        at = self._places[record_id] = len(self._places)
        return at

    def _facts(self, record: Record) -> tuple[object, ...]:
        """The first columns, from `id` to `seconds`."""
        served, attempts = record.served_attempt, record.attempts
        return (
            record.id.encode()[:_ID_CHARACTERS],
            record.time_s,
            self._number("tenant", record.tenant),
            self._number("task", record.task) if record.task else NOBODY,
            record.kind == "routed",
            record.trial_of is not None,
            OUTCOMES.index(record.outcome),
            self._tier(attempts[0].tier) if attempts else NOBODY,
            self._tier(served.tier) if served else NOBODY,
            len(attempts),
            record.verified,
            bool(record.degraded),
            [nan if usd is None else usd for usd in record.costs_usd().values()],
            _seconds(record, served),
        )

    def _labels(self, record: Record) -> tuple[object, ...]:
        """The columns `source`, `label` and `judged`."""
        served, labels = record.served_attempt, {one.tier: one for one in taught(record)}
        known = labels.get(arm_of(served)) if served else None
        label = known.label(USUAL_RATES) if known else None
        judged = [(nan, nan)] * len(self._tiers)
        for one in judged_by_coin(record) if record.lessons else ():
            judged[self._tier(one.tier)] = one.right, one.valid
        if known is None or label is None or label.weight <= 0:
            return NOBODY, nan, judged
        return SOURCES.index(known.source), label.right - known.shift, judged

    def _summed(self, added: Added | None) -> tuple[object, ...]:
        """The last columns: `comparable`, `unpriced` and `vector`."""
        if added is None:
            return False, False, 0.0
        return True, [name in added.unpriced for name in (*self._tiers, SERVED)], added.vector

    def _tier(self, name: str) -> int:
        return self._tiers.index(name) if name in self._tiers else NOBODY

    def _number(self, what: str, name: str) -> int:
        known = self._names[what]
        if name not in known and len(known) >= NAMES:
            return OTHERS
        return known.setdefault(name, len(known))


def _seconds(record: Record, served: Attempt | None) -> tuple[float, ...]:
    """As `PHASES` has them; what there was none of is not a number."""
    spent_s = record.phases_s
    return (
        spent_s.get("embed", nan),
        spent_s.get("search", nan),
        (served and served.first_byte_s) or nan,
        sum(attempt.latency_s for attempt in record.attempts) or nan,
        spent_s.get("judge", nan),
        record.latency_s,
    )


def _columns(tiers: tuple[str, ...]) -> np.dtype[np.void]:
    """A row. Units: USD by purpose, seconds by phase; `judged` by tier: chance right, verdict."""
    vector = 1 + 3 * len(Sums.columns(tiers))
    return np.dtype(
        [
            ("id", f"S{_ID_CHARACTERS}"),
            ("time_s", "f8"),
            ("tenant", "i4"),
            ("task", "i4"),
            ("routed", "?"),
            ("trial", "?"),
            ("outcome", "i1"),
            ("first", "i1"),
            ("served", "i1"),
            ("attempts", "u1"),
            ("verified", "?"),
            ("degraded", "?"),
            ("usd", "f8", (len(PURPOSES),)),
            ("seconds", "f4", (len(PHASES),)),
            ("source", "i1"),
            ("label", "f4"),
            ("judged", "f4", (len(tiers), 2)),
            ("comparable", "?"),
            ("unpriced", "?", (len(tiers) + 1,)),
            ("vector", "f8", (vector,)),
        ]
    )
