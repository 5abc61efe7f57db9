"""Inter-Cascade: who writes strategies, who is shown them, what they come to, and which go."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import orjson
import pytest

from app.advice import STRATEGY_CHARACTERS, advised, can_be_advised, read_strategy
from app.extension import Extension
from app.jsontext import Json
from app.learning.labels import ADVISED, taught
from app.policies import build_policies
from app.policies.fixed import Cascade
from app.policies.inter_cascade import InterCascade
from app.policy import Ask, Context, Strategy
from app.records import Attempt, Evidence, Record, Verdict
from app.settings.configuration import build_settings
from app.wire import ChatRequest
from tests.support.attacks import PAYLOADS, obeys
from tests.support.gateway import configuration
from tests.support.made_world import TIERS, attempt, ladder, seeded
from tests.support.records import record

NO, YES = Verdict(False, "medium"), Verdict(True, "large")
GOOD, IDLE = "good", "idle"


def strategy(name: str, tier: str = "large", similarity: float = 0.9) -> Strategy:
    return Strategy(name, tier, f"Do as {name} says.", similarity)


def asked(*strategies: Strategy, rng: Random | None = None) -> Context:
    return Context(ladder(), (), rng or seeded(1), tenant="local", strategies=strategies)


def policy(**more: float) -> InterCascade:
    return InterCascade("next", writes=True, **more)


def made(*attempts: Attempt) -> Record:
    """A record of the policy's own; the last attempt is served."""
    kept = record()
    kept.policy, kept.ladder, kept.eligible = "inter_cascade", TIERS, TIERS
    kept.attempts, kept.served = [*attempts], len(attempts) - 1
    return kept


def used(names: Sequence[str], *, right: bool, withheld: bool = False) -> Record:
    first = attempt("small", "a", YES if right else NO)
    first.strategies, first.withheld = tuple(names), withheld
    above = () if right else (attempt("medium", "b", YES, arrived="after_reject"),)
    return made(first, *above)


def resolved(tier: str = "large", *verdicts: Verdict, cost_usd: float = 0.001) -> Record:
    refused = attempt("small", "a", NO)
    accepted = attempt(tier, "b", *verdicts, arrived="after_reject")
    accepted.cost_usd = cost_usd
    return made(refused, accepted)


def rich() -> InterCascade:
    """One that has spent much, so that it can pay."""
    known = policy()
    for _ in range(50):
        known.observe(made(attempt("large", "b")))
    return known


# Who is shown what.


def test_the_two_most_similar_go_to_tiers_below_the_one_that_wrote_them() -> None:
    near = [strategy("m", "medium", 0.95), strategy("l", "large", 0.9), strategy("k", "large", 0.8)]
    known, context = policy(held_out=1e-9), asked(*near)
    first = known.next(context, [])
    assert isinstance(first, Ask)
    assert [each.id for each in first.strategies] == ["m", "l"]
    refused = attempt("small", "a", NO)
    refused.strategies = ("m", "l")
    second = known.next(context, [refused])
    assert isinstance(second, Ask)
    assert (second.tier, [each.id for each in second.strategies]) == ("medium", ["l", "k"])
    both = [refused, attempt("medium", "b", NO, arrived="after_reject")]
    third = known.next(context, both)
    assert isinstance(third, Ask)
    assert (third.tier, third.strategies) == ("large", ())


def test_what_is_no_plain_question_gets_none() -> None:
    plain = asked(strategy("l"))
    for context in (
        replace(plain, tools=True),
        replace(plain, tool_turn=True),
        replace(plain, single=True),
    ):
        ask = policy().next(context, [])
        assert isinstance(ask, Ask)
        assert ask.strategies == ()


def test_what_is_not_similar_enough_is_not_shown() -> None:
    ask = policy(similarity=0.7).next(asked(strategy("l", similarity=0.69)), [])
    assert isinstance(ask, Ask)
    assert ask.strategies == ()


def test_without_strategies_every_step_is_the_plain_cascades() -> None:
    off, plain = InterCascade("next"), Cascade("next")
    paths: list[list[Attempt]] = [
        [],
        [attempt("small", "a")],
        [attempt("small", "a", NO)],
        [attempt("small", "a", YES)],
        [attempt("small", "a", NO), attempt("medium", "b")],
    ]
    assert "strategies=off" in off.version
    assert off.strategies == 0
    for path in paths:
        assert off.next(asked(), path) == plain.next(asked(), path)
    assert off.written_by(resolved()) is None


# The coin.


def test_a_tenth_is_withheld_by_one_coin_a_request_and_the_record_says_so() -> None:
    known, rng, withheld = policy(), seeded(7), 0
    for _ in range(4000):
        context = asked(strategy("l"), rng=rng)
        first = known.next(context, [])
        assert isinstance(first, Ask)
        assert [each.id for each in first.strategies] == ["l"]
        withheld += first.withheld
        before = attempt("small", "a", NO)
        before.strategies, before.withheld = ("l",), first.withheld
        second = known.next(context, [before])
        assert isinstance(second, Ask)
        assert second.withheld == first.withheld
    assert 0.085 < withheld / 4000 < 0.115
    assert "held_out=0.1" in known.version


# Who writes.


def test_the_tier_that_resolves_what_a_weaker_could_not_writes() -> None:
    assert rich().written_by(resolved("large")) == "large"
    assert rich().written_by(resolved("medium", YES)) == "medium"


def test_nobody_writes_where_nothing_was_resolved() -> None:
    nothing = {
        "unjudged": resolved("medium"),
        "refused": resolved("medium", NO),
        "alone": made(attempt("large", "b")),
        "accepted at once": made(attempt("small", "a", YES)),
        "the same again": made(attempt("small", "b", NO), attempt("large", "b")),
        "withheld": used(["l"], right=False, withheld=True),
        "told wrong": resolved("large"),
        "a trial": resolved("large"),
        "teaches nothing": resolved("large"),
        "another policy's": resolved("large"),
    }
    nothing["told wrong"].evidence["f"] = Evidence("feedback", False, "user", 2.0)
    nothing["a trial"].trial_of = "x"
    nothing["teaches nothing"].learn = False
    nothing["another policy's"].policy = "cascade"
    assert {name: rich().written_by(each) for name, each in nothing.items()} == dict.fromkeys(
        nothing
    )


def test_writing_stays_within_its_share_of_all_spend() -> None:
    known, written_usd, spent_usd = policy(budget=0.1), 0.0, 0.0
    for _ in range(300):
        done = resolved("large", cost_usd=0.01)
        if known.written_by(done) is not None:
            done.evidence["s"] = Evidence("strategy", None, "large", 2.0, 0.01)
            written_usd += 0.01
        spent_usd += done.cost_usd or 0.0
        known.observe(done)
        known.observe(done)  # again, as when more is known of it: nothing counts twice
        assert written_usd <= 0.1 * spent_usd
    assert written_usd > 0.08 * spent_usd


def test_what_has_no_price_cannot_be_paid_for() -> None:
    done = resolved("large")
    done.attempts[-1].cost_usd = None
    assert rich().written_by(done) is None


# What they come to.


def world(known: InterCascade, chances: dict[str, float], bare: float, count: int) -> list[Record]:
    """Requests in a world where a tier with a strategy is right this often, and without `bare`."""
    rng, records = seeded(3), []
    names = list(chances)
    for number in range(count):
        name = names[number % len(names)]
        ask = known.next(asked(strategy(name), rng=rng), [])
        assert isinstance(ask, Ask)
        right = rng.random() < (bare if ask.withheld else chances[name])
        records.append(used([name], right=right, withheld=ask.withheld))
        if known.helps(records[-1], name):
            known.observe(records[-1])
    return records


def test_a_strategy_that_does_not_help_is_dropped_and_one_that_does_stays() -> None:
    known = policy(held_out=0.3)
    records = world(known, {GOOD: 0.9, IDLE: 0.3}, bare=0.5, count=400)
    assert known.helps(records[-1], GOOD)
    assert not known.helps(records[-1], IDLE)
    tally = known.tally(records[-1])
    assert tally.right / tally.uses - tally.right_without / tally.uses_without > 0.15


def test_nothing_is_dropped_before_ten_uses_or_before_any_was_withheld() -> None:
    known = policy()
    for _ in range(9):
        known.observe(used([IDLE], right=False))
    known.observe(used(["other"], right=True, withheld=True))
    assert known.helps(record(), IDLE)
    known.observe(used([IDLE], right=False))
    assert not known.helps(record(), IDLE)
    unmeasured = policy()
    for _ in range(20):
        unmeasured.observe(used([IDLE], right=False))
    assert unmeasured.helps(record(), IDLE)


def test_what_is_told_later_counts_in_place_of_the_verdict_and_only_once() -> None:
    known, told = policy(), used([GOOD], right=True)
    known.observe(told)
    told.evidence["f"] = Evidence("feedback", False, "user", 2.0)
    known.observe(told)
    tally = known.tally(told)
    assert (tally.right, tally.uses) == (0, 1)


def test_what_one_tenant_or_key_found_says_nothing_to_another() -> None:
    known = policy()
    for _ in range(12):
        known.observe(used([IDLE], right=False))
    known.observe(used([IDLE], right=True, withheld=True))
    assert not known.helps(record(), IDLE)
    assert known.helps(record(tenant="other"), IDLE)
    assert known.helps(record(principal="key"), IDLE)


def test_a_tier_with_strategies_is_an_arm_of_its_own() -> None:
    advice = used([GOOD], right=True)
    assert [one.tier for one in taught(advice)] == ["small" + ADVISED]
    assert [one.tier for one in taught(used([GOOD], right=True, withheld=True))] == ["small"]
    values = configuration("http://127.0.0.1:9/v1", Path("unused"))
    for each in build_policies(build_settings(values)).values():
        for told in (advice, used([GOOD], right=False)):
            labels = each.label(told)
            assert "small" not in labels, each.name
            each.observe(told)  # and nobody stumbles over it


# The words.


def request(content: object, *, role: str = "user", **more: object) -> ChatRequest:
    messages: list[Json] = [
        {"role": "system", "content": "Be short."},
        {"role": role, "content": content},
    ]
    body = {"model": "auto", "messages": messages, **more}
    return ChatRequest(body, "auto", messages, False, False, Extension())


@pytest.mark.parametrize(
    "content", ["What is 6 * 7?", [{"type": "text", "text": "What is 6 * 7?"}]]
)
def test_strategies_stand_as_data_before_the_question_which_stays_as_it_is(content: object) -> None:
    plain = request(content)
    shown = advised(plain, [strategy("l")])
    assert plain.messages[-1]["content"] == content
    assert shown.body["messages"] == shown.messages
    assert shown.messages[0] == plain.messages[0]
    told = shown.messages[-1]["content"]
    first, *others = [told] if isinstance(told, str) else [part["text"] for part in told]
    lines = first.split("\n")
    (start, end) = (at for at, line in enumerate(lines) if line.startswith("-----"))
    assert lines[start] == lines[end]
    assert orjson.loads(lines[start + 1]) == {"strategies": ["Do as l says."]}
    assert [*lines, *others][-1] == "What is 6 * 7?"
    again = advised(plain, [strategy("l")]).messages[-1]["content"]
    assert again != told  # the fence is new each time


@pytest.mark.parametrize("payload", PAYLOADS[::7])
def test_a_tier_that_obeys_all_it_is_told_meets_no_instruction_in_a_strategy(payload: str) -> None:
    shown = advised(request("What is 6 * 7?"), [Strategy("s", "large", payload, 0.9)])
    assert not obeys({"messages": shown.messages})


def test_only_a_plain_question_can_be_advised() -> None:
    assert can_be_advised(request("Hello"))
    assert not can_be_advised(request("Hello", role="assistant"))
    assert not can_be_advised(request(None))
    assert not can_be_advised(request("Hello", tools=[{"type": "function"}]))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"strategy": " Carry the one. "}', "Carry the one."),
        ('{"strategy": "Carry\\u200b the one."}', "Carry the one."),
        ('{"strategy": "%s"}' % ("a" * 5000), "a" * STRATEGY_CHARACTERS),
        ("Carry the one.", None),
        ('{"strategy": ""}', None),
        ('{"strategy": 1}', None),
        ('{"strategy": "a", "strategy": "b"}', None),
        ('{"strategy": "a", "verdict": "VALID"}', None),
        ('{"strategy": "See https://example.com"}', None),
        ('{"strategy": "See www.example.com"}', None),
        ('["strategy"]', None),
    ],
)
def test_a_strategy_is_read_from_exactly_one_object_and_has_no_links(
    text: str, read: str | None
) -> None:
    assert read_strategy(text) == read
