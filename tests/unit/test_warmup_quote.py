"""The price of a warm-up: counted where it can be, assumed where it must be, never made up."""

from pathlib import Path

import pytest

from app.judge import comparing, llm
from app.judge.arbiter import arbiter_rule
from app.planning.climb import judge_rule
from app.tiers import Price, Tier, TierLadder
from app.warmup.prompts import Prompt, read_prompts
from app.warmup.quote import FORM_TOKENS, SPREAD, Assumed, Quote, Teller

VERDICT_IN = len(llm.TASK.system) // 4 + FORM_TOKENS
COMPARISON_IN = len(comparing.TASK.system) // 4 + FORM_TOKENS


def ladder(**prices: float | None) -> TierLadder:
    return TierLadder(
        tuple(
            Tier(
                name=name,
                provider="p",
                model=f"{name}-1",
                prior=0.5,
                price=None if price is None else Price(input=price, output=4 * price),
            )
            for name, price in prices.items()
        )
    )


def prompts(tmp_path: Path, tiers: TierLadder, *lines: str) -> list[Prompt]:
    file = tmp_path / "prompts.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return read_prompts(file, lambda _: tiers, most=100).chosen


def quote(
    tiers: TierLadder,
    asked: list[Prompt],
    assumed: Assumed,
    *,
    by: str = "next",
    arbiter: str = "none",
) -> Quote:
    teller = Teller(
        tiers, judged_by=judge_rule(by), arbiter=arbiter_rule(arbiter), verdict_tokens=4096
    )
    return teller.quote(asked, assumed)


def test_every_tier_answers_and_each_below_the_top_is_judged(tmp_path: Path) -> None:
    tiers = ladder(small=1.0, medium=10.0, large=100.0)
    asked = prompts(tmp_path, tiers, f'{{"prompt": "{400 * "a"}"}}', '{"prompt": "b"}')
    small, medium, large = quote(tiers, asked, Assumed(output_tokens=100)).tiers
    assert (small.answers, medium.answers, large.answers) == (2, 2, 2)
    assert (small.judging, medium.judging, large.judging) == (0, 2, 2)
    assert small.answers_usd == pytest.approx((100 + 2 * 100 * 4) * 1e-6)
    assert small.judging_usd == 0.0
    # It sees prompt and answer, and says a quarter of an answer's length.
    judged = 2 * VERDICT_IN + 100 + 2 * 100 + 2 * 25 * 4
    assert medium.judging_usd == pytest.approx(judged * 10e-6)
    assert large.judging_usd == pytest.approx(judged * 100e-6)
    assert medium.usd == pytest.approx((medium.answers_usd or 0) + judged * 10e-6)


def test_an_arbiter_is_asked_in_both_orders_where_tiers_are_assumed_to_differ(
    tmp_path: Path,
) -> None:
    tiers = ladder(small=1.0, medium=10.0, large=100.0)
    asked = prompts(tmp_path, tiers, '{"prompt": "b"}')
    assumed = Assumed(output_tokens=100, differing=0.25)
    found = quote(tiers, asked, assumed, by="none", arbiter="auto").tiers
    assert [tier.judging for tier in found] == [0, 0.5, 0]
    compared = 0.5 * (COMPARISON_IN + 2 * 100 + 25 * 4)
    assert found[1].judging_usd == pytest.approx(compared * 10e-6)


def test_an_unknown_price_stays_unknown_and_is_in_no_sum(tmp_path: Path) -> None:
    tiers = ladder(small=1.0, medium=None, large=100.0)
    asked = prompts(tmp_path, tiers, '{"prompt": "b"}')
    found = quote(tiers, asked, Assumed())
    small, medium, large = found.tiers
    assert (medium.answers_usd, medium.judging_usd, medium.usd) == (None, None, None)
    assert found.unpriced == ("medium",)
    assert found.known_usd == pytest.approx((small.usd or 0) + (large.usd or 0))
    # A free model is not an unknown one.
    assert quote(ladder(small=0.0, large=0.0), asked[:0], Assumed()).unpriced == ()


def test_what_client_and_tier_allow_bounds_the_answers(tmp_path: Path) -> None:
    tiers = ladder(small=1.0, large=100.0)
    asked = prompts(tmp_path, tiers, '{"prompt": "b", "max_tokens": 10}')
    small, _ = quote(tiers, asked, Assumed(output_tokens=1000), by="none").tiers
    assert small.answers_usd == pytest.approx(10 * 4e-6)


def test_the_range_is_that_of_shorter_and_longer_answers(tmp_path: Path) -> None:
    tiers = ladder(small=1.0, medium=10.0, large=100.0)
    asked = prompts(tmp_path, tiers, '{"prompt": "b"}')
    assumed = Assumed(output_tokens=100)
    assert assumed.longer == Assumed(100 * SPREAD, 1.0)
    assert assumed.shorter == Assumed(100 // SPREAD, assumed.differing / 2)
    low, middle, high = (
        quote(tiers, asked, each, arbiter="auto").known_usd
        for each in (assumed.shorter, assumed, assumed.longer)
    )
    assert 0 < low < middle < high
