"""Lessons: what is asked after the reply to learn from it, and never in its way."""

import asyncio

import pytest
from typing_extensions import override

from app.afterwards import WAITING
from app.policy import Context
from app.records import Evidence, Lessons, Record
from tests.support.gateway import Json, metric, until
from tests.support.loop import Drawing, loop, shown
from tests.support.provider import INVALID, TIE, Fails, Hangs, Says

pytestmark = pytest.mark.anyio

ANSWER_USD = {"small": 300e-6, "medium": 3000e-6, "large": 30_000e-6}
VERDICT_USD = {"medium": 2200e-6, "large": 22_000e-6}
TOOL: Json = {"type": "function", "function": {"name": "weather", "parameters": {}}}


def said_of(record: Record, source: str) -> Evidence:
    (found,) = (each for each in record.evidence.values() if each.source == source)
    return found


async def test_a_drawn_tier_is_asked_afterwards_and_its_answer_is_kept_without_its_text() -> None:
    policy = Drawing(("large",))
    async with loop() as here:
        here.provider.answers("gpt-large", Says("The secret answer is 5"))
        record = await here.ask(policy)
        assert record.lessons is not None
        assert record.lessons.drawn == ("large",)
        assert set(record.lessons.propensities) == {"small", "medium", "large", "judges", "full"}
        taught = await here.taught(record)
        lesson = said_of(taught, "lesson")
        (attempt,) = lesson.attempts
        assert (attempt.tier, attempt.arrived, attempt.outcome) == ("large", "lesson", "complete")
        assert attempt.final_answer not in (None, record.attempts[0].final_answer)
        assert attempt.cost_usd == lesson.cost_usd == pytest.approx(ANSWER_USD["large"])
        assert (lesson.valid, lesson.by, lesson.verdicts) == (None, "lesson", {})
        assert b"secret" not in taught.to_json()
        assert taught.costs_usd()["lesson"] == lesson.cost_usd
        assert taught.attempts == record.attempts
        await until(lambda: len(policy.seen) == 2)
        assert [len(seen.evidence) for seen in policy.seen] == [0, 1]
        assert here.provider.asked(judging=True) == []
        spent = metric(here.counted(), "autoshift_cost_usd_total", tier="large", purpose="lesson")
        assert spent == pytest.approx(ANSWER_USD["large"])
        assert metric(here.counted(), "autoshift_lessons_total", outcome="done") == 1


async def test_a_reply_does_not_wait_for_its_lesson() -> None:
    gate = asyncio.Event()
    async with loop() as here:
        here.provider.answers("gpt-large", Says(gate=gate))
        record = await here.ask(Drawing(("large",)))
        assert record.outcome == "answered"
        assert not gate.is_set()
        gate.set()
        assert len(said_of(await here.taught(record), "lesson").attempts) == 1


async def test_in_a_full_lesson_every_tier_answers_and_all_below_the_top_are_judged() -> None:
    async with loop() as here:
        here.provider.verdicts("claude-medium", INVALID)
        record = await here.ask(Drawing(("full",)))
        lesson = said_of(await here.taught(record), "lesson")
        assert here.provider.asked() == ["gpt-small", "claude-medium", "gpt-large"]
        assert here.provider.asked(judging=True) == ["claude-medium", "gpt-large"]
        assert [(v.valid, v.by) for v in lesson.verdicts.values()] == [(False, "medium")]
        assert set(lesson.verdicts) == {"small"}
        medium, large = lesson.attempts
        assert [(v.valid, v.by) for v in medium.verdicts] == [(True, "large")]
        assert large.verdicts == []
        usd = ANSWER_USD["medium"] + ANSWER_USD["large"] + sum(VERDICT_USD.values())
        assert lesson.cost_usd == pytest.approx(usd)
        for tier in ("medium", "large"):
            spent = metric(here.counted(), "autoshift_cost_usd_total", tier=tier, purpose="lesson")
            assert spent == pytest.approx(ANSWER_USD[tier] + VERDICT_USD[tier])


async def test_what_is_there_already_is_not_paid_for_again() -> None:
    async with loop() as here:
        here.provider.verdicts("claude-medium", INVALID)
        record = await here.ask(Drawing(("small", "medium", "judges"), judge="next"))
        assert [attempt.tier for attempt in record.attempts] == ["small", "medium"]
        await here.ask(Drawing(("large",)))
        await until(lambda: here.provider.asked()[-1] == "gpt-large")
        kept = await here.store.get(record.id, tenant="local")
        assert kept is not None
        assert kept.evidence == {}
        assert here.provider.asked(judging=True) == ["claude-medium", "gpt-large"]


async def test_an_answer_judged_late_is_judged_once() -> None:
    async with loop() as here:
        record = await here.ask(Drawing(("judges",), judge_later="medium"))
        taught = await here.taught(record)
        assert said_of(taught, "judge").valid is True
        assert [each.source for each in taught.evidence.values()] == ["judge"]
        assert here.provider.asked(judging=True) == ["claude-medium"]
        counted = here.counted()
        name = "autoshift_cost_usd_total"
        assert metric(counted, name, tier="medium", purpose="judge") == pytest.approx(2200e-6)


@pytest.mark.parametrize(
    "more",
    [
        {"autoshift": {"explore": False}},
        {"headers": {"x-autoshift-explore": "false"}},
        {"autoshift": {"learn": False}},
        {"tools": [TOOL]},
        {"functions": [TOOL["function"]]},
        {"n": 2},
        {"kind": "pinned"},
    ],
)
async def test_where_nothing_may_be_tried_no_coin_is_flipped(more: Json) -> None:
    async with loop(works=False) as here:
        record = await here.ask(Drawing(("full",)), **more)
        assert record.outcome == "answered"
        assert record.lessons is None
        await here.afterwards.catch_up()
        assert here.provider.asked() == ["gpt-small"]


async def test_a_policy_that_cannot_draw_lessons_serves_all_the_same() -> None:
    class Broken(Drawing):
        @override
        def lessons(self, context: Context) -> Lessons | None:
            raise ValueError("no coins")

    async with loop(works=False) as here:
        record = await here.ask(Broken(("full",)))
        assert (record.outcome, record.lessons) == ("answered", None)


async def test_a_turn_with_tools_under_way_is_no_lesson() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    turns = [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "no"},
    ]
    async with loop(works=False) as here:
        record = await here.ask(Drawing(("full",)), messages=turns)
        assert record.lessons is None


async def test_a_request_that_was_not_answered_is_no_lesson() -> None:
    async with loop(works=False) as here:
        for tier in ("gpt-small", "claude-medium", "gpt-large"):
            here.provider.answers(tier, Fails())
        with pytest.raises(Exception, match="failed"):
            await here.ask(Drawing(("full",)))
        asked = len(here.provider.calls)
        await here.afterwards.catch_up()
        assert len(here.provider.calls) == asked


async def test_a_lesson_that_fails_is_noted_with_what_it_cost_and_the_next_one_is_taught() -> None:
    policy = Drawing(("medium", "large"))
    async with loop() as here:
        here.provider.answers("claude-medium", Fails())
        lesson = said_of(await here.taught(await here.ask(policy)), "lesson")
        medium, large = lesson.attempts
        assert (medium.outcome, medium.error, medium.cost_usd) == ("failed", "upstream_failed", 0.0)
        assert large.outcome == "complete"
        assert lesson.cost_usd == pytest.approx(ANSWER_USD["large"])
        assert metric(here.counted(), "autoshift_lessons_total", outcome="failed") == 1
        here.provider.answers("claude-medium", Says())
        again = said_of(await here.taught(await here.ask(policy)), "lesson")
        assert [attempt.outcome for attempt in again.attempts] == ["complete", "complete"]


async def test_a_lesson_has_a_time_limit_and_what_it_had_begun_has_an_unknown_cost() -> None:
    async with loop(limit_s=0.3) as here:
        here.provider.answers("gpt-large", Hangs())
        lesson = said_of(await here.taught(await here.ask(Drawing(("large",)))), "lesson")
        (attempt,) = lesson.attempts
        assert (attempt.outcome, attempt.cost_usd, lesson.cost_usd) == ("cancelled", None, None)
        assert metric(here.counted(), "autoshift_lessons_total", outcome="failed") == 1


async def test_a_lesson_ends_with_the_gateway_and_is_noted_as_far_as_it_came() -> None:
    async with loop() as here:
        here.provider.answers("gpt-large", Hangs())
        record = await here.ask(Drawing(("medium", "large")))
        await until(lambda: here.provider.asked()[-1] == "gpt-large")
    kept = await here.store.get(record.id, tenant="local")
    assert kept is not None
    lesson = said_of(kept, "lesson")
    assert [attempt.outcome for attempt in lesson.attempts] == ["complete", "cancelled"]
    assert lesson.cost_usd is None


async def test_when_too_many_wait_lessons_are_dropped_and_counted() -> None:
    async with loop(works=False) as here:
        policy = Drawing(("large",))
        served = 0
        while not metric(here.counted(), "autoshift_lessons_total", outcome="dropped"):
            served += (await here.ask(policy)).outcome == "answered"
            assert served <= WAITING + 1
        assert served == WAITING + 1
        assert set(here.provider.asked()) == {"gpt-small"}


def compared(verdict: str) -> Says:
    return Says(f'{{"verdict": "{verdict}", "same": false}}', usage=(300, 9))


@pytest.mark.parametrize(
    ("forth", "back", "valid"),
    [
        ("FIRST", "SECOND", True),
        ("SECOND", "FIRST", False),
        ("TIE", "TIE", True),
        ("TIE", "SECOND", True),
        ("SECOND", "TIE", False),
        ("FIRST", "FIRST", None),
        ("SECOND", "SECOND", None),
        ("FIRST", "no idea", None),
    ],
)
async def test_where_a_better_tier_disagrees_an_arbiter_sees_both_in_both_orders(
    forth: str, back: str, valid: bool | None
) -> None:
    policy = Drawing(("large",))
    async with loop(arbiter="auto") as here:
        here.provider.answers("gpt-small", Says("4"))
        here.provider.answers("gpt-large", Says("5"))
        here.provider.comparisons("claude-medium", compared(forth), compared(back))
        record = await here.ask(policy)

        async def is_ruled() -> bool:
            return len((await here.taught(record)).evidence) == 2

        await until(is_ruled)
        taught = await here.taught(record)
        ruling = said_of(taught, "arbiter")
        assert (ruling.valid, ruling.tier, ruling.by) == (valid, "small", "medium")
        told = [shown(call.body) for call in here.provider.calls if call.comparing]
        assert [(each["first"], each["second"]) for each in told] == [("4", "5"), ("5", "4")]
        usd = 2 * (300 * 10 + 9 * 40) / 1e6
        assert ruling.cost_usd == pytest.approx(usd)
        assert taught.costs_usd()["lesson"] == pytest.approx(usd + ANSWER_USD["large"])
        spent = metric(here.counted(), "autoshift_cost_usd_total", tier="medium", purpose="lesson")
        assert spent == pytest.approx(usd)
        await until(lambda: len(policy.seen) == 2)
        assert {e.source for e in policy.seen[-1].evidence.values()} == {"lesson", "arbiter"}


@pytest.mark.parametrize(
    ("arbiter", "drawn", "large"),
    [
        ("auto", ("large",), "The answer is 4."),
        ("none", ("large",), "5"),
        ("large", ("large",), "5"),
        ("auto", ("large",), ""),
    ],
    ids=["the same answer", "switched off", "its own answer", "no answer at all"],
)
async def test_nobody_arbitrates_where_there_is_nothing_to_decide_or_nobody_to_ask(
    arbiter: str, drawn: tuple[str, ...], large: str
) -> None:
    async with loop(arbiter=arbiter, works=False) as here:
        here.provider.answers("gpt-small", Says("4"))
        here.provider.answers("gpt-large", Says(large))
        await here.ask(Drawing(drawn))
        await here.afterwards.catch_up()
        assert here.provider.asked() == ["gpt-small", "gpt-large"]
        assert here.provider.asked(judging=True) == []


async def test_a_lower_tier_that_disagrees_calls_for_no_arbiter() -> None:
    async with loop(arbiter="auto", works=False) as here:
        here.provider.answers("gpt-small", Says("4"))
        here.provider.answers("claude-medium", Says("5"))
        await here.ask(Drawing(("small",), asks=("medium",)))
        await here.afterwards.catch_up()
        assert here.provider.asked() == ["claude-medium", "gpt-small"]
        assert here.provider.asked(judging=True) == []


async def test_a_policy_may_ask_on_the_way_whether_two_answers_come_to_the_same() -> None:
    async with loop() as here:
        here.provider.answers("gpt-small", Says("four"))
        here.provider.answers("claude-medium", Says("4"))
        here.provider.comparisons("gpt-large", TIE)
        record = await here.ask(Drawing(asks=("small", "medium"), compares="large"))
        (verdict,) = record.attempts[1].verdicts
        assert (verdict.valid, verdict.by, verdict.against) == (True, "same:large", 0)
        assert verdict.cost_usd == pytest.approx((300 * 100 + 9 * 400) / 1e6)
        assert (record.attempts[1].valid, record.verified) == (None, False)
        assert record.costs_usd()["judge"] == verdict.cost_usd
        (told,) = [shown(call.body) for call in here.provider.calls if call.comparing]
        assert (told["first"], told["second"]) == ("four", "4")


async def test_a_comparison_that_fails_on_the_way_is_noted_and_costs_no_answer() -> None:
    async with loop() as here:
        here.provider.comparisons("gpt-large", Fails())
        record = await here.ask(Drawing(asks=("small", "medium"), compares="large"))
        (verdict,) = record.attempts[1].verdicts
        assert (verdict.valid, verdict.by, verdict.reason) == (
            None,
            "same:large",
            "upstream_failed",
        )
        assert (record.outcome, record.degraded) == ("answered", ("judge",))
