"""List prices of well-known models, from the data that `genai-prices` ships."""

from typing import TYPE_CHECKING

from app.tiers import Price

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


def _base(price: "ModelPrice", name: str) -> float | None:
    """The price below the first long-context step."""
    value = getattr(price, f"{name}_mtok")
    value = getattr(value, "base", value)
    return None if value is None else float(value)
