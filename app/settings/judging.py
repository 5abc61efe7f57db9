"""Who judges answers, how, and how well judges are believed to."""

from typing import Annotated

from pydantic import Field, model_validator

from app.section import Fraction, Positive, Section

TELLS_MIN = 0.2


class JudgePrior(Section):
    """How well judges judge, as believed before there are records: what they call valid.

    Of right answers this share, and of wrong ones that.
    """

    valid_if_right: Fraction
    valid_if_wrong: Fraction

    @model_validator(mode="after")
    def _tells(self) -> "JudgePrior":
        if self.valid_if_right - self.valid_if_wrong < TELLS_MIN:
            raise ValueError(
                f"valid_if_right {self.valid_if_right:g}, valid_if_wrong {self.valid_if_wrong:g}: "
                f"such a judge tells nothing; the first must be larger by {TELLS_MIN:g}"
            )
        return self


class JudgeSection(Section):
    """Who judges; left out: the policy's own rule. `max_tokens` caps verdict and reasoning.

    `prior` is how well they judge, to policies that weigh it; None: nothing is known of them.
    `arbiter` decides where a lesson's answer differs from the served one. Of `canary_every` of a
    judge's verdicts, one is followed by another on an answer known to be wrong; 0: never.
    `skip_surest`: the share of each tier's answers, those it was surest of, that need no verdict.
    """

    by: str | None = None
    prior: JudgePrior | None = None
    arbiter: str = "auto"
    max_tokens: Annotated[int, Field(ge=16)] = 4096
    timeout_s: Positive = 60.0
    canary_every: Annotated[int, Field(ge=0)] = 500
    skip_surest: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @property
    def rates(self) -> tuple[float, float] | None:
        """P(valid | right) and P(valid | wrong), where they are given."""
        prior = self.prior
        return None if prior is None else (prior.valid_if_right, prior.valid_if_wrong)
