"""The ladder, and what tokens cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.records import Usage
from app.tiers import Price, Tier, TierLadder

counts = st.integers(0, 10**9)


def tier(**more: object) -> Tier:
    facts: dict[str, object] = {"name": "small", "provider": "p", "model": "m", "prior": 0.5}
    return Tier.model_validate(facts | more)


def ladder(*names: str) -> TierLadder:
    return TierLadder(tuple(tier(name=name) for name in names))


def test_a_price_is_in_dollars_per_million_tokens() -> None:
    price = Price(input=0.05, output=0.40)
    assert price.cost_usd(Usage(1_000_000, 0)) == pytest.approx(0.05)
    assert price.cost_usd(Usage(0, 1_000_000)) == pytest.approx(0.40)
    assert price.cost_usd(Usage(100, 50)) == pytest.approx(25e-6)


def test_cached_input_has_its_own_price() -> None:
    price = Price(input=1, output=4, cached=0.1)
    # 100 tokens in, of them 80 cached: 20 · 1 + 80 · 0.1 + 10 · 4
    assert price.cost_usd(Usage(100, 10, cached_tokens=80)) == pytest.approx(68e-6)
    free = Price(input=1, output=4, cached=0)
    assert free.cost_usd(Usage(100, 10, cached_tokens=80)) == pytest.approx(60e-6)
    without = Price(input=1, output=4)
    assert without.cost_usd(Usage(100, 10, cached_tokens=80)) == pytest.approx(140e-6)


def test_reasoning_tokens_are_part_of_the_output_and_not_paid_twice() -> None:
    price = Price(input=1, output=4)
    assert price.cost_usd(Usage(0, 100, reasoning_tokens=90)) == pytest.approx(400e-6)


def test_an_unknown_price_or_usage_is_an_unknown_cost_never_zero() -> None:
    assert tier().cost_usd(Usage(1, 1)) is None
    priced = tier(price={"input": 1, "output": 1})
    assert priced.cost_usd(None) is None
    assert priced.cost_usd(Usage(0, 0)) == 0
    assert tier(price={"input": 0, "output": 0}).cost_usd(Usage(5, 5)) == 0


@given(counts, counts, counts)
def test_a_cost_is_never_negative_and_grows_with_the_tokens(
    fresh_tokens: int, cached_tokens: int, output_tokens: int
) -> None:
    price = Price(input=1, output=4, cached=0.1)
    usage = Usage(fresh_tokens + cached_tokens, output_tokens, cached_tokens)
    more = Usage(fresh_tokens + cached_tokens + 1, output_tokens + 1, cached_tokens)
    assert 0 <= price.cost_usd(usage) < price.cost_usd(more)


@pytest.mark.parametrize(
    ("facts", "needs", "prompt_tokens", "can"),
    [
        ({}, {"tools", "vision"}, 10**9, True),
        ({"supports": []}, set(), 10, True),
        ({"supports": []}, {"tools"}, 10, False),
        ({"supports": ["tools", "vision"]}, {"tools"}, 10, True),
        ({"supports": ["tools"]}, {"tools", "vision"}, 10, False),
        ({"context_tokens": 100}, set(), 100, True),
        ({"context_tokens": 100}, set(), 101, False),
        ({"context_tokens": 100, "supports": ["tools"]}, {"tools"}, 101, False),
    ],
)
def test_only_what_is_declared_rules_a_tier_out(
    facts: dict[str, object], needs: set[str], prompt_tokens: int, can: bool
) -> None:
    assert tier(**facts).can(frozenset(needs), prompt_tokens) is can


@pytest.mark.parametrize(
    "wrong",
    [
        {"prior": 0},
        {"prior": 1},
        {"name": "a b"},
        {"name": ""},
        {"model": ""},
        {"context_tokens": 0},
        {"supports": ["telepathy"]},
        {"price": {"input": -1, "output": 1}},
        {"price": {"input": 1}},
        {"timeouts": {"idle_s": 0}},
        {"colour": "red"},
    ],
)
def test_a_tier_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        tier(**wrong)


def test_the_ladder_is_ordered_as_it_was_given() -> None:
    whole = ladder("small", "medium", "large")
    assert whole.names == ("small", "medium", "large")
    assert (whole.lowest.name, whole.top.name, len(whole)) == ("small", "large", 3)
    assert [t.name for t in whole.above("small")] == ["medium", "large"]
    assert [t.name for t in whole.below("large")] == ["medium", "small"]
    assert list(whole.above("large")) == list(whole.below("small")) == []
    assert "medium" in whole
    assert "tiny" not in whole
    with pytest.raises(KeyError):
        whole["tiny"]


def test_a_smaller_ladder_keeps_the_order() -> None:
    some = ladder("small", "medium", "large").only(frozenset({"large", "small"}))
    assert some.names == ("small", "large")
    assert [t.name for t in some.above("small")] == ["large"]
