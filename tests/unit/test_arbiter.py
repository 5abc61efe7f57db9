"""The arbiter: who decides between two tiers' answers, and what its two words come to."""

import pytest

from app.judge import Better, Comparison
from app.judge.arbiter import arbiter_rule, as_good, family_of
from app.tiers import Tier, TierLadder


def tier(model: str, name: str = "t") -> Tier:
    return Tier(name=name, provider="p", model=model, prior=0.5)


def ladder(*models: str) -> TierLadder:
    return TierLadder(tuple(tier(model, f"t{at}") for at, model in enumerate(models)))


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-5-nano", "gpt"),
        ("o3-mini", "gpt"),
        ("openai/o1", "gpt"),
        ("chatgpt-4o-latest", "gpt"),
        ("anthropic/claude-opus-4.5", "claude"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("llama3.1:8b", "llama"),
        ("Qwen/Qwen3-32B", "qwen"),
        ("4711", "4711"),
    ],
)
def test_a_model_s_family_is_the_first_word_of_its_name(model: str, family: str) -> None:
    assert family_of(tier(model)) == family


@pytest.mark.parametrize(
    ("models", "pair", "by"),
    [
        (("gpt-s", "claude-m", "gpt-l"), ("t0", "t2"), "t1"),
        (("gpt-s", "gpt-m", "claude-l", "gpt-xl"), ("t0", "t3"), "t2"),
        (("gpt-s", "claude-m", "gpt-l", "gemini-xl"), ("t0", "t2"), "t3"),
        (("gpt-s", "gpt-m", "gpt-l"), ("t0", "t2"), "t1"),
        (("gpt-s", "gpt-m", "gpt-l"), ("t0", "t1"), "t2"),
        (("gpt-s", "gpt-m", "gpt-l"), ("t1", "t2"), None),
        (("claude-s", "gpt-m", "gpt-l"), ("t1", "t2"), None),
        (("gpt-s", "gpt-l"), ("t0", "t1"), None),
    ],
    ids=[
        "between the two, of another family",
        "the only stranger",
        "the highest stranger",
        "all relatives: the one between",
        "all relatives: the one above",
        "all relatives: none above the lower",
        "a weaker one does not decide",
        "there is nobody else",
    ],
)
def test_auto_is_another_family_where_there_is_one(
    models: tuple[str, ...], pair: tuple[str, str], by: str | None
) -> None:
    assert arbiter_rule("auto")(ladder(*models), *pair) == by


def test_a_named_arbiter_decides_but_never_about_its_own_answer() -> None:
    tiers = ladder("gpt-s", "gpt-m", "gpt-l")
    assert arbiter_rule("t1")(tiers, "t0", "t2") == "t1"
    assert arbiter_rule("t1")(tiers, "t0", "t1") is None
    assert arbiter_rule("none")(tiers, "t0", "t2") is None


@pytest.mark.parametrize(
    ("forth", "back", "valid"),
    [
        ("first", "second", True),
        ("second", "first", False),
        ("tie", "tie", True),
        ("first", "tie", True),
        ("tie", "first", False),
        ("first", "first", None),
        ("second", "second", None),
        (None, "second", None),
        ("first", None, None),
    ],
)
def test_an_answer_is_as_good_where_the_two_orders_do_not_contradict_each_other(
    forth: Better | None, back: Better | None, valid: bool | None
) -> None:
    assert as_good(Comparison("t", forth, same=False), Comparison("t", back, same=False)) is valid
