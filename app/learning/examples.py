"""Which answers are fit to train a smaller model with: right ones, of stronger tiers, each once."""

import hashlib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import orjson

from app.learning.amounts import Label
from app.learning.labels import AS_GOOD, HIGHER_DISAGREES, is_refuted, judged_served, taught
from app.records import Record

Fitness: TypeAlias = Literal["fit", "no_text", "unused", "lowest_tier", "refused", "unverified"]
"""Whether an answer is fit, or why not. `unused`: it was not served whole, or must teach nothing;
`unverified`: nothing says that it is right."""
Rank: TypeAlias = tuple[bool, int, float]


def fitness(record: Record, *, unverified: bool = False) -> Fitness:
    """Whether the served answer is fit to train with.

    It came from a tier over the lowest, nobody refused it later, and something says that it is
    right: feedback, another tier that came to the same, an arbiter, or a judge. With `unverified`
    the top tier's answers need no such word, since no judge stands over it.
    """
    served = record.served_attempt
    usable = record.outcome == "answered" and record.learn and record.trial_of is None
    usable = usable and served is not None and served.tier in record.ladder
    if served is None or not usable or record.kind != "routed" or served.outcome != "complete":
        return "unused"
    if served.tier == record.ladder[0]:
        return "lowest_tier"
    if served.refused or is_refuted(record):
        return "refused"
    if not (_is_right(record) or (unverified and served.tier == record.ladder[-1])):
        return "unverified"
    return "fit" if record.example is not None else "no_text"


def _is_right(record: Record) -> bool:
    """Whether the best there is to know says that the served answer is right."""
    served = record.served_attempt
    told = [one for one in taught(record) if served is not None and one.tier == served.tier]
    for one in told:
        match one.evidence:
            case Label(right, _) if right >= AS_GOOD:
                return True
            case Label(right, _) if right <= HIGHER_DISAGREES or one.source != "comparison":
                return False
    # That a lower tier came to something else says little beside a judge's word.
    return bool(told) and judged_served(record) is True


@dataclass(slots=True)
class Chosen:
    """The examples to be written: of each question the best answer there is to it.

    Of several the one somebody has vouched for, then the highest tier's, then the newest.
    `counts` says what became of every record.
    """

    unverified: bool = False
    counts: dict[Fitness, int] = field(default_factory=dict)
    kept_text: int = 0
    _best: dict[bytes, tuple[Rank, str]] = field(default_factory=dict)

    @property
    def duplicates(self) -> int:
        """How many are fit, but there is a better answer to the same."""
        return self.counts.get("fit", 0) - len(self._best)

    def look_at(self, record: Record) -> None:
        """Take it into account."""
        found = fitness(record, unverified=self.unverified)
        self.counts[found] = self.counts.get(found, 0) + 1
        self.kept_text += record.example is not None
        served = record.served_attempt
        if found != "fit" or record.example is None or served is None:
            return
        told = any(one.tier == served.tier and one.source == "feedback" for one in taught(record))
        rank = (told, record.ladder.index(served.tier), record.time_s)
        key = _asked(record.example)
        self._best[key] = max(self._best.get(key, (rank, record.id)), (rank, record.id))

    def ids(self) -> frozenset[str]:
        """Of the records whose examples are to be written."""
        return frozenset(record_id for _, record_id in self._best.values())


def _asked(example: str) -> bytes:
    """What was asked, whatever was answered, in few bytes."""
    told = orjson.loads(example)
    asked = {**told, "messages": told["messages"][:-1]}
    return hashlib.blake2b(
        orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=16
    ).digest()
