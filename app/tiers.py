"""The ladder of tiers, cheapest first: what each costs, can do, and how long it may take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.records import Usage
from app.section import Positive, Section

Capability = Literal[
    "tools",
    "custom_tools",
    "json_object",
    "json_schema",
    "vision",
    "audio",
    "files",
    "logprobs",
    "web_search",
    "moderation",
    "prefill",
]
ModelName = Annotated[str, Field(min_length=1, max_length=256)]


class Price(Section):
    """Units: USD per million tokens; `cached` is for input tokens the provider had in its cache."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None

    def cost_usd(self, usage: Usage) -> float:
        """What these tokens cost; cached input at `input` where `cached` is not given."""
        cached_price = self.input if self.cached is None else self.cached
        fresh_tokens = usage.input_tokens - usage.cached_tokens
        return (
            fresh_tokens * self.input
            + usage.cached_tokens * cached_price
            + usage.output_tokens * self.output
        ) / 1_000_000


class Timeouts(Section):
    """Waits on a provider: for a connection, for the first byte, between two later ones.

    `total_s`: for a whole answer, unless it streams live; None: only the request's deadline.
    """

    connect_s: Positive = 2.0
    first_byte_s: Positive = 120.0
    idle_s: Positive = 30.0
    total_s: Positive | None = None


class TierUpstream(Section):
    """A model at a provider that can answer for a tier."""

    provider: str
    model: ModelName

    @property
    def name(self) -> str:
        """As logs and metrics call it."""
        return f"{self.provider}/{self.model}"


_SHORT = ("provider", "model")


class Tier(Section):
    """One rung: a model at a provider. `prior` is its accuracy as believed without records.

    `upstreams`: several who can answer for it, tried in turn; `provider` and `model` are the first.
    `in_flight`: how many calls it may have at once, whoever they go to.

    `supports` left out means: nothing is known, so nothing is ruled out. `drops` are parameters
    this model rejects; a mere hint is left out for it, anything else keeps a request away, unless
    `on_unsupported` says `drop` or `error` for all. `maps` translates a parameter's values (null:
    leave it out). `trusted_with` names what it may see beside the conversation.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    provider: str
    model: ModelName
    upstreams: Annotated[tuple[TierUpstream, ...], Field(min_length=1, max_length=16)] = ()
    price: Price | None = None
    prior: Annotated[float, Field(gt=0, lt=1)]
    supports: frozenset[Capability] | None = None
    context_tokens: Annotated[int, Field(gt=0)] | None = None
    token_param: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    developer_role: bool = True
    drops: frozenset[str] = frozenset()
    maps: dict[str, dict[str, str | None]] = Field(default_factory=dict)
    on_unsupported: Literal["drop", "error"] | None = None
    trusted_with: frozenset[Literal["user", "safety_identifier", "metadata", "store"]] = frozenset()
    timeouts: Timeouts = Timeouts()
    in_flight: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_of_two_forms(cls, given: object) -> object:
        """Both forms are filled in, whichever is written."""
        if not isinstance(given, dict):
            return given
        short = {key: given[key] for key in _SHORT if key in given}
        match given.get("upstreams"):
            case None:
                return {**given, "upstreams": [short]} if len(short) == len(_SHORT) else given
            case [dict() as first, *_] if not short:
                return {**given, **{key: first[key] for key in _SHORT if key in first}}
            case [dict(), *_]:
                raise ValueError("give either provider and model, or upstreams, which has both")
            case _:
                raise ValueError("upstreams must be a list of {provider: …, model: …}")

    @model_validator(mode="after")
    def _no_upstream_twice(self) -> "Tier":
        names = [upstream.name for upstream in self.upstreams]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"upstreams: {min(twice)!r} is there twice")
        return self

    @property
    def models(self) -> frozenset[str]:
        """What its upstreams call the model."""
        return frozenset(upstream.model for upstream in self.upstreams)

    def cost_usd(self, usage: Usage | None) -> float | None:
        """None where the price or the usage is unknown: unknown is never 0."""
        return None if self.price is None or usage is None else self.price.cost_usd(usage)

    def can(self, needs: frozenset[str], prompt_tokens: int) -> bool:
        """Whether nothing declared about this tier rules the request out."""
        fits = self.context_tokens is None or prompt_tokens <= self.context_tokens
        return fits and (self.supports is None or needs <= self.supports)


@dataclass(frozen=True, slots=True)
class TierLadder:
    """Tiers by rising price and skill; comparisons between tiers are by position."""

    tiers: tuple[Tier, ...]
    names: tuple[str, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(tier.name for tier in self.tiers))

    def __iter__(self) -> Iterator[Tier]:
        return iter(self.tiers)

    def __len__(self) -> int:
        return len(self.tiers)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Tier:
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise KeyError(name)

    @property
    def lowest(self) -> Tier:
        return self.tiers[0]

    @property
    def top(self) -> Tier:
        return self.tiers[-1]

    def above(self, name: str) -> Sequence[Tier]:
        """The tiers over this one, nearest first."""
        return self.tiers[self.names.index(name) + 1 :]

    def below(self, name: str) -> Sequence[Tier]:
        """The tiers under this one, nearest first."""
        return self.tiers[: self.names.index(name)][::-1]

    def only(self, names: frozenset[str]) -> "TierLadder":
        """The ladder with just these tiers left."""
        return TierLadder(tuple(tier for tier in self.tiers if tier.name in names))
