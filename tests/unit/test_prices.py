"""List prices come from packaged data, and what is not in it stays unknown."""

import pytest

from app.prices import price_of
from app.records import Usage

OPENAI = "https://api.openai.com/v1"


def test_a_well_known_model_has_its_list_price() -> None:
    price = price_of("gpt-4o-mini", OPENAI)

    assert price is not None
    assert price.input == pytest.approx(0.15)
    assert price.output == pytest.approx(0.60)
    assert price.cached == pytest.approx(0.075)


def test_a_dated_model_name_has_the_price_of_its_model() -> None:
    assert price_of("gpt-4o-mini-2024-07-18", OPENAI) == price_of("gpt-4o-mini", OPENAI)


def test_a_price_with_a_step_for_long_contexts_is_that_of_a_short_one() -> None:
    price = price_of("gemini-2.5-pro", "https://generativelanguage.googleapis.com/v1beta/openai")

    assert price is not None
    assert price.input == pytest.approx(1.25)
    assert price.cost_usd(Usage(input_tokens=1_000_000, output_tokens=0)) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("no-such-model", OPENAI),
        ("gpt-4o-mini", "http://127.0.0.1:11434/v1"),
        ("gpt-4o-mini", "https://llm.example.com/v1"),
        ("", OPENAI),
    ],
)
def test_an_unknown_price_is_none_and_never_zero(model: str, base_url: str) -> None:
    assert price_of(model, base_url) is None
