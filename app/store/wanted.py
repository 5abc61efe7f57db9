"""Which records are wanted, and what a store gives back of them."""

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.records import Record, Vector


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of a tenant's records: those that agree with everything that is given.

    From `since_s` on, and before `before_s`, in Unix time. `tier` was asked on the way, whoever
    answered in the end; `conversation` is as the record has it; `principal` is the key's name.
    """

    tenant: str
    id: str | None = None
    since_s: float | None = None
    before_s: float | None = None
    policy: str | None = None
    tier: str | None = None
    task: str | None = None
    conversation: str | None = None
    principal: str | None = None

    @property
    def words(self) -> dict[str, str]:
        """What must be in the record word for word, by its place there."""
        places = {
            "tenant": self.tenant,
            "policy": self.policy,
            "attempts[].tier": self.tier,
            "task": self.task,
            "conversation": self.conversation,
            "principal": self.principal,
        }
        return {place: word for place, word in places.items() if word is not None}

    def within(self, since_s: float | None, before_s: float | None) -> "Wanted":
        """The same, but only of this span as well."""
        since = [bound for bound in (since_s, self.since_s) if bound is not None]
        before = [bound for bound in (before_s, self.before_s) if bound is not None]
        return replace(self, since_s=max(since, default=None), before_s=min(before, default=None))

    def covers(self, record: Record) -> bool:
        """Whether this record is wanted."""
        said: dict[str, set[str | None]] = {
            "tenant": {record.tenant},
            "policy": {record.policy},
            "attempts[].tier": {attempt.tier for attempt in record.attempts},
            "task": {record.task},
            "conversation": {record.conversation},
            "principal": {record.principal},
        }
        return (
            self.id in {None, record.id}
            and all(word in said[place] for place, word in self.words.items())
            and (self.since_s is None or self.since_s <= record.time_s)
            and (self.before_s is None or record.time_s < self.before_s)
        )


_AGO = re.compile(r"(\d{1,6})([mhdw])")
_AGO_S = {"m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@dataclass(frozen=True, slots=True)
class Sought:
    """Which neighbours: only those that were asked with this key, where one is given.

    `vectors`: they are to bring theirs.
    """

    principal: str | None = None
    vectors: bool = False

    def words(self, tenant: str, embedder: str) -> dict[str, str]:
        """What must be in a neighbour word for word, by its place there."""
        places = {"tenant": tenant, "embedder": embedder, "principal": self.principal}
        return {place: word for place, word in places.items() if word is not None}


ANY = Sought()


def moment_s(text: str) -> float:
    """Unix time, from seconds or a date and time of ISO 8601; without a zone that is UTC.

    Errors: ValueError, with what would be right.
    """
    try:
        number_s = float(text)
        if math.isfinite(number_s):
            return number_s
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            "must be Unix time in seconds, or a date and time such as 2026-11-22T09:30:00Z"
        ) from None


def since_of(text: str, now_s: float) -> float:
    """Unix time of `7d`, `24h`, `30m` or `2w` ago, or of a moment. Errors: ValueError."""
    ago = _AGO.fullmatch(text.strip())
    if ago is None:
        try:
            return moment_s(text)
        except ValueError as exc:
            raise ValueError(f"{exc}; or how long ago: 30m, 24h, 7d, 2w") from None
    return now_s - int(ago[1]) * _AGO_S[ago[2]]


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """One row of a store; `record` is None where it is none that can be read."""

    id: str
    record: Record | None
    vector: Vector | None = None
