"""What can be set of shadow and canary."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from app.section import Fraction, Section


class Canary(Section):
    """The share of conversations that is really routed; the others are shadowed."""

    canary: Annotated[float, Field(gt=0, lt=1)]


ModeSetting: TypeAlias = Literal["route", "shadow"] | Canary


class ShadowSection(Section):
    """`tier` answers what would be routed; None: the top one. `share` of what that costs is spent.

    It goes into trying what the policy would do. `margin`: a canary whose accuracy is below that of
    `tier` by more than this, for sure, returns to shadow.
    """

    tier: str | None = None
    share: Annotated[float, Field(ge=0, le=10)] = 0.10
    margin: Fraction = 0.02
