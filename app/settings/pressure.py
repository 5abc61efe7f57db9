"""The settings about calls that fail: what is tried again, and whom to leave alone."""

from typing import Annotated

from pydantic import Field, model_validator

from app.section import Fraction, Positive, Section


class RetriesSection(Section):
    """When a failed call is made once more: all of them at most `share` of requests and `per_s`.

    An upstream that wants to be left alone for longer than `retry_after_s` is.
    """

    share: Fraction = 0.2
    per_s: Annotated[float, Field(ge=0)] = 3.0
    window_s: Positive = 10.0
    backoff_min_s: Annotated[float, Field(ge=0)] = 0.1
    backoff_max_s: Annotated[float, Field(ge=0)] = 0.5
    retry_after_s: Annotated[float, Field(ge=0)] = 2.0

    @model_validator(mode="after")
    def _a_range(self) -> "RetriesSection":
        if self.backoff_min_s > self.backoff_max_s:
            raise ValueError("backoff_min_s is more than backoff_max_s")
        return self


class BreakerSection(Section):
    """An upstream is left alone after `in_a_row` failures, or `share` of `calls` in `window_s`.

    For `open_s`, and twice as long each time that it has failed again, up to `open_max_s`.
    """

    in_a_row: Annotated[int, Field(ge=1)] = 5
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    calls: Annotated[int, Field(ge=1)] = 20
    window_s: Positive = 10.0
    open_s: Positive = 5.0
    open_max_s: Positive = 60.0

    @model_validator(mode="after")
    def _a_range(self) -> "BreakerSection":
        if self.open_s > self.open_max_s:
            raise ValueError("open_s is more than open_max_s")
        return self
