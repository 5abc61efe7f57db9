"""The dials: how a client or the configuration may say what accuracy is worth."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

DialName: TypeAlias = Literal["quality_per_dollar", "usd_per_1000", "keep_quality"]
DIALS: tuple[DialName, ...] = ("quality_per_dollar", "usd_per_1000", "keep_quality")
DIAL_MAX = 1e12


def dial_max(name: DialName) -> float:
    """As far as the dial can be turned; from over 0."""
    return 1.0 if name == "keep_quality" else DIAL_MAX


@dataclass(frozen=True, slots=True)
class Dial:
    """A dial and where it stands.

    Units: of `quality_per_dollar` the accuracy (of 1) that one more USD must buy; of `usd_per_1000`
    what 1,000 requests may cost, all told; of `keep_quality` a share of the top tier's accuracy.
    """

    name: DialName
    value: float


@dataclass(frozen=True, slots=True)
class Trade:
    """At what rate one decision traded money for accuracy, and why.

    `dial` is what asked for it; None: nothing did. `expected_usd` is what a request costs at this
    rate, `expected_quality` what it keeps of the top tier's accuracy, as forecast from recent ones;
    None where the dial did not have to know.
    """

    quality_per_dollar: float
    dial: Dial | None = None
    expected_usd: float | None = None
    expected_quality: float | None = None
