"""What the loop is given, and what it yields."""

from dataclasses import dataclass, field
from typing import TypeAlias

from app.accounts.purse import Purse
from app.extension import StreamMode
from app.jsontext import Json
from app.policy import Policy
from app.records import Kind, Record
from app.tiers import TierLadder
from app.wire import ChatRequest


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done for whom: the request, and how its `model` was understood.

    `principal` is the name of the key that asks, `purse` what it may spend, `trace` its span.
    `beside` is what is not done, but may be tried in the background; `trial_of` is the decision
    beside which this is tried.
    """

    id: str
    tenant: str
    request: ChatRequest
    policy: Policy
    ladder: TierLadder
    kind: Kind
    mode: StreamMode
    deadline_s: float
    principal: str | None = None
    purse: Purse = field(default_factory=Purse)
    beside: "Order | None" = None
    trial_of: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the answer that is being served: the provider's own chunk, normalised."""

    data: Json


@dataclass(frozen=True, slots=True)
class Settled:
    """The decision is made and written down: before the chunks of a held answer, after live ones.

    `acknowledged`: the record is on its way to disk, so its id may be given out. `explanation`
    stands for a decision that was not carried out.
    """

    record: Record
    acknowledged: bool
    explanation: Json | None = None


Event: TypeAlias = Chunk | Settled
