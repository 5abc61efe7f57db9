"""The ladder of tiers, cheapest first: what each costs, can do, and how long it may take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.records import Usage

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
Positive = Annotated[float, Field(gt=0)]


class Price(BaseModel):
    """Units: USD per million tokens; `cached` is for input tokens the provider had in its cache."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class Timeouts(BaseModel):
    """Waits on a provider: for a connection, for the first byte, between two later ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect_s: Positive = 2.0
    first_byte_s: Positive = 120.0
    idle_s: Positive = 30.0


class Tier(BaseModel):
    """One rung: a model at a provider. `prior` is its accuracy as believed without records.

    `supports` left out means: nothing is known, so nothing is ruled out. `drops` are parameters
    this model rejects; a mere hint is left out for it, anything else keeps a request away, unless
    `on_unsupported` says `drop` or `error` for all. `maps` translates a parameter's values (null:
    leave it out). `trusted_with` names what it may see beside the conversation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    provider: str
    model: Annotated[str, Field(min_length=1, max_length=256)]
    price: Price | None = None
    prior: Annotated[float, Field(gt=0, lt=1)]
    supports: frozenset[Capability] | None = None
    context_tokens: Annotated[int, Field(gt=0)] | None = None
    token_param: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105
    max_output_tokens: Annotated[int, Field(gt=0)] | None = None
    developer_role: bool = True
    drops: frozenset[str] = frozenset()
    maps: dict[str, dict[str, str | None]] = {}
    on_unsupported: Literal["drop", "error"] | None = None
    trusted_with: frozenset[Literal["user", "safety_identifier", "metadata", "store"]] = frozenset()
    timeouts: Timeouts = Timeouts()

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
