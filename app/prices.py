"""List prices of well-known models, from what `genai-prices` ships; and odd ones of a ladder."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from app.records import Usage
from app.tiers import Price, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice


def price_of(model: str, base_url: str) -> Price | None:
    """Today's list price of this model at this provider; None where it is not known.

    Units: USD per million tokens, for text. Steps for long contexts are ignored: the price is that
    of a short request. Batch and priority service have other prices.
    Errors: none; an unknown provider, above all one of your own, has no price.
    """
    from genai_prices import Usage, calc_price  # noqa: PLC0415 - 60 ms, and only some need it

    try:
        found = calc_price(
            Usage(input_tokens=1, output_tokens=1), model, provider_api_url=base_url
        ).model_price
    except (LookupError, ValueError):
        return None
    prices = {name: _base(found, name) for name in ("input", "output", "cache_read")}
    if prices["input"] is None or prices["output"] is None:
        return None
    return Price(input=prices["input"], output=prices["output"], cached=prices["cache_read"])


def doubts(tiers: Sequence[Tier]) -> Iterator[str]:
    """What is odd about the prices of a ladder, whose tiers have theirs by now; lowest first."""
    for tier in tiers:
        if tier.price is None:
            yield (
                f"tier {tier.name}: the price of {tier.model} is unknown, so reports and money "
                "caps leave it out; give it a price"
            )
    known = [tier for tier in tiers if tier.price is not None]
    for lower, upper in pairwise(known):
        lower_usd, upper_usd = lower.cost_usd(_COMMON), upper.cost_usd(_COMMON)
        if lower_usd is not None and upper_usd is not None and lower_usd >= upper_usd:
            word = "is dearer than" if lower_usd > upper_usd else "costs as much as"
            yield (
                f"tier {lower.name} {word} {upper.name}, which stands above it; tiers go from "
                "cheap to dear, so put them in order, or leave the worse one out"
            )


_COMMON = Usage(input_tokens=1000, output_tokens=500)
"""What prices are compared by: a question and an answer as they often are."""


def _base(price: "ModelPrice", name: str) -> float | None:
    """The price below the first long-context step."""
    value = getattr(price, f"{name}_mtok")
    value = getattr(value, "base", value)
    return None if value is None else float(value)
