"""What a policy says has changed along a stream, where it looks out for that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from app.policy import Policy
from app.records import Record


@runtime_checkable
class Notices(Protocol):
    """A policy that looks out for tiers that are no longer what they were."""

    def changes(self, tenant: str) -> Mapping[str, float]:
        """The tiers that have changed, and the Unix time since when."""
        ...


@dataclass(slots=True)
class Noticed:
    """The changes that were made out, as (position in the stream, tier)."""

    policy: Policy
    changes: list[tuple[int, str]] = field(default_factory=list)
    _position: int = 0
    _known: dict[str, float] = field(default_factory=dict)
    _notices: Notices | None = field(init=False)

    def __post_init__(self) -> None:
        self._notices = self.policy if isinstance(self.policy, Notices) else None

    def note(self, record: Record) -> None:
        """Ask the policy after each question, in the order of the stream."""
        if self._notices is not None:
            now = dict(self._notices.changes(record.tenant))
            for tier, since_s in now.items():
                if self._known.get(tier) != since_s:
                    self.changes.append((self._position, tier))
            self._known = now
        self._position += 1
