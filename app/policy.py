"""What a policy is: the next action, given what is known so far; and what a record teaches it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, TypeAlias, runtime_checkable

from app.dials import Dial
from app.extension import StreamMode
from app.neighbours import Neighbour
from app.records import (
    Arrival,
    Attempt,
    Labels,
    Lessons,
    Record,
    Start,
    Vector,
)
from app.tiers import TierLadder


@dataclass(frozen=True, slots=True)
class Strategy:
    """How to go about questions like this one, as `tier` wrote it after the decision `id`.

    `similarity` is how near that question is (cosine).
    """

    id: str
    tier: str
    text: str = field(repr=False)
    similarity: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Have this tier answer. `live`: its answer will be served whatever happens, so let it flow.

    `scored`: have it say how likely its words were, where it can. `strategies` are shown to it,
    unless a coin has them `withheld`, to see what they are worth.
    """

    tier: str
    arrived: Arrival
    live: bool = False
    start: Start | None = None
    scored: bool = False
    strategies: tuple[Strategy, ...] = ()
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """Have the tier `by` say whether the answer of this attempt is valid.

    With `against`: whether it and that attempt's come to the same. With `samples` `by` is the tier
    that answered, and says so many times, each anew, whether it was right.
    """

    attempt: int
    by: str
    against: int | None = None
    samples: int | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Serve this attempt's answer. `judge_later`: the tier to judge it afterwards, to learn."""

    attempt: int
    judge_later: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """Nothing better is to be had: serve this attempt, flagged as degraded; None: fail."""

    attempt: int | None


Action: TypeAlias = Ask | Judge | Accept | Stop


@dataclass(frozen=True, slots=True)
class Seat:
    """The tier a conversation is on; `cached_tokens` of its prompt are in the provider's cache."""

    tier: str
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """What a policy may know before anything ran.

    `ladder` holds only the tiers that can serve this request; `neighbours` are most similar first.
    `single`: one tier must do it all (`n` over 1, say), so judging would be wasted. `tool_turn`:
    tools are under way, so the tier that called them goes on. `tools`: the answer may be a call
    that an agent executes at once. `mode` is how a stream may be sent. `dial` is what accuracy is
    worth to this request; None: as configured. `vector` is the question's; `task` is what kind of
    job it is. None: not known. `varies`: the same question again may bring another answer.
    `strategies` were noted for similar questions, the most similar first. `kept` is what a policy
    has worked out of all this, and a changed context begins anew.
    """

    ladder: TierLadder
    neighbours: Sequence[Neighbour]
    rng: Random
    single: bool = False
    tool_turn: bool = False
    tools: bool = False
    mode: StreamMode = "verified"
    seat: Seat | None = None
    prompt_tokens: int = 0
    tenant: str = ""
    principal: str | None = None
    dial: Dial | None = None
    vector: Vector | None = field(default=None, compare=False, repr=False)
    task: str | None = None
    varies: bool = True
    strategies: Sequence[Strategy] = ()
    kept: dict[object, object] = field(default_factory=dict, init=False, compare=False, repr=False)


class Policy(Protocol):
    """A way to drive the ladder. Knows nothing of HTTP, streams or stores."""

    @property
    def name(self) -> str:
        """As the client writes it after `auto:`."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same evidence could lead to another action."""
        ...

    @property
    def neighbours(self) -> int:
        """How many similar records it wants to see; 0: none, so no search is made."""
        ...

    def next(self, context: Context, attempts: Sequence[Attempt]) -> Action:
        """The next action; called with the attempts so far until it accepts or stops."""
        ...

    def lessons(self, context: Context) -> Lessons | None:
        """What this request gets to teach, drawn before its first step; None: nothing."""
        ...

    def judged_by(self, ladder: TierLadder, tier: str) -> str | None:
        """Who judges this tier's answers in a lesson; None: nobody."""
        ...

    def label(self, record: Record) -> Labels:
        """What the record teaches about each tier: a pure function of its facts."""
        ...

    def observe(self, record: Record) -> None:
        """Take note of a finished record, for what similar records cannot tell.

        Again for the same record, with all its evidence, when more became known.
        """
        ...


@runtime_checkable
class Strategist(Protocol):
    """A policy that has tiers write strategies, and shows them to others."""

    @property
    def strategies(self) -> int:
        """How many similar ones it wants to see; 0: none, and none are written."""
        ...

    def written_by(self, record: Record) -> str | None:
        """Which tier is to write one now that this request is served; None: nobody."""
        ...

    def helps(self, asked: Record, strategy: str) -> bool:
        """Whether this strategy, by its id, may go on being shown to whoever asked this."""
        ...
