"""The settings of policies beside the default one, a section each."""

from typing import Annotated, Literal

from pydantic import Field

from app.dials import DIAL_MAX
from app.section import Fraction, Section


class BanditSection(Section):
    """`explorer` is how it tries what it is unsure of; `optimism` how much, in deviations.

    `discount` is what a request leaves of the weight of those before; `verdicts` the share of
    answers that are judged afterwards. The rest is as for `value`.
    """

    quality_per_dollar: Literal["auto"] | Annotated[float, Field(ge=0, le=DIAL_MAX)] = "auto"
    explorer: Literal["linucb", "thompson"] = "linucb"
    optimism: Annotated[float, Field(ge=0, le=10)] = 0.5
    discount: Annotated[float, Field(gt=0.9, le=1)] = 0.999
    verdicts: Fraction = 0.2
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05
