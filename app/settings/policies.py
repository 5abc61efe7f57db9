"""The settings of policies beside the default one, a section each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class BenchmarkSection(Section):
    """`file` holds graded questions, `{"question": "…", "scores": {"small": 0.5}}` a line.

    `within`: a tier's answer counts as right where its score comes so near to the top tier's; left
    out, scores count as they are. `prior_weight` is how many near records the file counts for.
    """

    file: Path | None = None
    within: Fraction | None = None
    prior_weight: Annotated[float, Field(ge=0)] = 8.0
    quality_per_dollar: Literal["auto"] | Annotated[float, Field(ge=0, le=DIAL_MAX)] = "auto"
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05


class EmaFusionSection(Section):
    """`grey`: an accepted answer that is right with a chance in there is judged a second time.

    `prior_weight` is how many near records what is usual of the task counts for.
    """

    grey: tuple[Fraction, Fraction] = (0.35, 0.75)
    prior_weight: Annotated[float, Field(ge=0)] = 8.0
    quality_per_dollar: Literal["auto"] | Annotated[float, Field(ge=0, le=DIAL_MAX)] = "auto"
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05

    @model_validator(mode="after")
    def _ordered(self) -> "EmaFusionSection":
        if self.grey[0] > self.grey[1]:
            raise ValueError(
                f"grey: {self.grey[0]:g} is over {self.grey[1]:g}; give low, then high"
            )
        return self


class WinrateSection(Section):
    """`strong_share` of the requests go to the strong tier, or those from a fixed `threshold` on.

    `weak` and `strong` are tiers; left out: the lowest and the top one.
    """

    strong_share: Fraction = 0.5
    threshold: Fraction | None = None
    weak: str | None = None
    strong: str | None = None
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05

    @model_validator(mode="after")
    def _one_dial(self) -> "WinrateSection":
        if self.threshold is not None and "strong_share" in self.model_fields_set:
            raise ValueError("strong_share and threshold exclude each other; keep one of them")
        return self

    def check(self, tiers: Sequence[str]) -> None:
        """Errors: ValueError, where the pair is not one of these tiers, the weak one lower."""
        for key in ("weak", "strong"):
            name = getattr(self, key)
            if name is not None and name not in tiers:
                raise ValueError(f"winrate.{key}: {name!r} is none of {', '.join(tiers)}")
        weak, strong = self.weak or tiers[0], self.strong or tiers[-1]
        if tiers.index(weak) >= tiers.index(strong):
            raise ValueError(f"winrate: {weak!r} is not below {strong!r}")


class MarginSection(Section):
    """Of each tier's answers this share, those it was least sure of, are passed on to the next."""

    escalate_share: Fraction = 0.3


class AutoMixSection(Section):
    """Each answer is verified by its own tier, in `samples` words; kept from `threshold` on.

    `variant` pomdp: by a table, once a tier has 50 labelled rows. The rest is as for `value`.
    """

    samples: Annotated[int, Field(ge=1, le=16)] = 4
    threshold: Fraction = 0.5
    variant: Literal["pomdp", "threshold"] = "pomdp"
    quality_per_dollar: Literal["auto"] | Annotated[float, Field(ge=0, le=DIAL_MAX)] = "auto"
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05


class InterCascadeSection(Section):
    """With `strategies` stronger tiers write some for weaker ones, and that text is kept.

    They are shown from a `similarity` (cosine) on, but to `held_out` of the requests; no more than
    `budget` of all spend goes into writing.
    """

    strategies: bool = False
    similarity: Fraction = 0.6
    held_out: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    budget: Annotated[float, Field(ge=0, le=0.5)] = 0.1


class BestOfNSection(Section):
    """Up to `samples` answers of a tier, where the next costs `dearer` times as much or more."""

    samples: Annotated[int, Field(ge=2, le=8)] = 3
    dearer: Annotated[float, Field(ge=1)] = 8.0


class TargetErrorSection(Section):
    """Of a tier's accepted answers at most `error` are wrong, with this `confidence`."""

    error: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05


class CascadeRoutingSection(Section):
    """Its dial: `quality_per_dollar` as for `value`, or what 1,000 requests may cost, all told."""

    quality_per_dollar: Literal["auto"] | Annotated[float, Field(ge=0, le=DIAL_MAX)] = "auto"
    usd_per_1000: Annotated[float, Field(gt=0, le=DIAL_MAX)] | None = None
    lessons: Annotated[float, Field(ge=0, le=0.5)] = 0.05

    @model_validator(mode="after")
    def _one_dial(self) -> "CascadeRoutingSection":
        if self.usd_per_1000 is not None and self.quality_per_dollar != "auto":
            raise ValueError("quality_per_dollar and usd_per_1000 exclude each other; keep one")
        return self


LEARNER = "learner"


class LearnerSection(Section):
    """Under any policy, if `enabled`: a small model answers, under the tier name `learner`.

    Only under one task key (`autoshift.task`), where it is as sure as `confidence`, agrees with the
    tiers' accepted answers at the rate `agreement`, and there are no more than `labels` of them.
    """

    enabled: bool = False
    agreement: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    labels: Annotated[int, Field(ge=2, le=100)] = 20


class AbstainSection(Section):
    """Under any policy: no dearer tier is asked where none is likely to be right.

    `below` is how likely the likeliest must be; 0: never. `flag` serves the best answer there is,
    `refuse` none. In `explore` of such cases it goes on, to learn whether they are hopeless.
    """

    below: Fraction = 0.0
    action: Literal["flag", "refuse"] = "flag"
    explore: Fraction = 0.05
