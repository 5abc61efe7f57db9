"""The dials of the value policy, in a made world with a known truth."""

import logging
from dataclasses import replace
from random import Random

import pytest

from app.dials import Dial, Trade
from app.learning.audits import AUDITS_MIN, DOUBT, RECOVER, RETREAT, Audits
from app.learning.learner import Ledger
from app.learning.means import Means
from app.neighbours import Neighbour
from app.policies.value import Value
from app.policy import Ask, Context
from app.records import Attempt, Evidence, Lessons, Record, Start, record_from_json
from tests.support.made_world import (
    COST_USD,
    PRIORS,
    TIERS,
    MadeWorld,
    accuracy,
    ladder,
    usd_per_1000,
)

SKILL = {"small": 0.6, "medium": 0.8, "large": 0.95}
CLOSE = {"small": 0.85, "medium": 0.9, "large": 0.95}


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing here is a secret


def first(policy: Value, dial: Dial | None = None, *near: Record) -> Ask:
    """Where a request begins."""
    neighbours = tuple(Neighbour(0.9, record) for record in near)
    context = Context(ladder(), neighbours, seeded(0), prompt_tokens=100, tenant="local", dial=dial)
    action = policy.next(context, [])
    assert isinstance(action, Ask)
    return action


def trade(policy: Value, dial: Dial | None = None, *near: Record) -> Trade:
    start = first(policy, dial, *near).start
    assert start is not None
    assert start.trade is not None
    return start.trade


# What a budget buys


@pytest.mark.parametrize("usd", [2.0, 10.0, 25.0])
def test_a_budget_is_met(usd: float) -> None:
    world = MadeWorld(Value(dial=Dial("usd_per_1000", usd)), seeded(1), SKILL)

    world.serve(2_000)

    assert usd_per_1000(world.records) == pytest.approx(usd, rel=0.15)
    assert usd_per_1000(world.records[1_000:]) == pytest.approx(usd, rel=0.15)


def test_a_budget_of_one_request_holds_among_others() -> None:
    """Every second request has a budget of its own; what the others cost is not held against it."""
    world = MadeWorld(Value(), seeded(2), SKILL)
    own = Dial("usd_per_1000", 5.0)

    pairs = [(world.play(own), world.play()) for _ in range(700)]

    assert usd_per_1000([mine for mine, _ in pairs]) == pytest.approx(5.0, rel=0.2)
    assert usd_per_1000([others for _, others in pairs]) > 15


def test_more_money_than_is_worth_spending_is_not_spent() -> None:
    world = MadeWorld(Value(dial=Dial("usd_per_1000", 1_000.0)), seeded(3), SKILL)

    world.serve(300)

    assert usd_per_1000(world.records) < 1.5 * 1_000 * sum(COST_USD.values())
    assert accuracy(world.records) > 0.9


def test_before_there_is_data_a_budget_goes_by_priors_and_prices() -> None:
    budgets = [0.01, 1.0, 10.0, 100.0]
    trades = [trade(Value(dial=Dial("usd_per_1000", usd))) for usd in budgets]

    rates = [each.quality_per_dollar for each in trades]
    assert rates == sorted(rates, reverse=True)
    expected_usd = [each.expected_usd or 0.0 for each in trades]
    assert expected_usd == sorted(expected_usd)
    assert 1_000 * expected_usd[2] == pytest.approx(10.0, rel=0.01)
    qualities = [each.expected_quality or 0.0 for each in trades]
    assert qualities == sorted(qualities)


# What quality costs


@pytest.mark.parametrize("skill", [SKILL, CLOSE])
def test_the_quality_to_keep_is_kept_for_less_than_the_top_tier_costs(
    skill: dict[str, float],
) -> None:
    world = MadeWorld(Value(dial=Dial("keep_quality", 0.98)), seeded(1), skill)

    world.serve(1_500)

    assert accuracy(world.records) / skill["large"] > 0.98 - 0.03
    assert usd_per_1000(world.records) < 0.95 * 1_000 * COST_USD["large"]


def test_less_quality_costs_less() -> None:
    spent = []
    for share in (0.7, 0.95):
        world = MadeWorld(Value(dial=Dial("keep_quality", share)), seeded(4), SKILL)
        world.serve(500)
        spent.append(usd_per_1000(world.records))

    assert spent[0] < 0.7 * spent[1]


def test_before_there_is_data_quality_goes_by_priors_and_is_rather_too_good() -> None:
    shares = [0.5, 0.8, 0.95, 1.0]
    trades = [trade(Value(dial=Dial("keep_quality", share))) for share in shares]

    rates = [each.quality_per_dollar for each in trades]
    assert rates == sorted(rates, reverse=True)
    for share, each in zip(shares, trades, strict=True):
        assert each.expected_quality is not None
        assert 1 - each.expected_quality <= (1 - share) / DOUBT + 1e-9


def test_a_cheap_tier_that_gets_worse_in_silence_is_found_out() -> None:
    """From one request to the next the small tier fails; its judge goes on to find all valid."""
    good = {"small": 0.93, "medium": 0.94, "large": 0.95}
    policy = Value(dial=Dial("keep_quality", 0.95), lessons=0.2)
    world = MadeWorld(policy, seeded(1), good)
    world.serve(600)
    cheap = usd_per_1000(world.records[300:])

    world.skill = {**good, "small": 0.5}
    world.judged = lambda rng, _: rng.random() < 0.9
    world.serve(1_500)

    assert cheap < 20
    assert accuracy(world.records[-500:]) / 0.95 > 0.95 - 0.03


# Retreat


def audited(number: int, *, right: bool, kept: float = 0.97, top: bool = False) -> Record:
    """A request that a coin had the top tier answer as well; to the same where it was right."""
    served = Attempt("large" if top else "small", "direct", outcome="complete", final_answer="x")
    lesson = Attempt("large", "lesson", outcome="complete", final_answer="x" if right else "y")
    record = Record(
        id=f"{number}",
        time_s=0.0,
        tenant="local",
        kind="routed",
        policy="value",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=[served],
        served=0,
        outcome="answered",
        start=Start(
            "small",
            {"small": 1.0},
            trade=Trade(1.0, Dial("keep_quality", 0.95), 0.01, kept),
        ),
        lessons=Lessons({"large": 0.1}, ("large",)),
    )
    if not top:
        record.evidence["l"] = Evidence("lesson", None, "lesson", 1.0, 0.0, attempts=(lesson,))
    return record


def shown(audits: Audits, means: Means, *records: Record) -> None:
    for record in records:
        audits.watch(means, means.take(record.id, audits.amounts(record, Ledger())))


def test_a_dial_retreats_when_audits_fall_short_and_comes_back_when_they_are_sure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    audits, means = Audits(0.95, "0.95"), Means()
    caplog.set_level(logging.INFO, logger="app.learning.audits")

    shown(audits, means, *(audited(n, right=True) for n in range(50)))
    assert audits.factor == 1
    shown(audits, means, *(audited(n, right=n % 2 == 0) for n in range(50, 100)))
    retreated = audits.factor
    assert retreated <= RETREAT
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    shown(audits, means, *(audited(n, right=True) for n in range(100, 160)))
    assert audits.factor == retreated  # not sure yet
    shown(audits, means, *(audited(n, right=True) for n in range(160, 400)))
    assert audits.factor == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_coming_back_is_slow() -> None:
    audits, means = Audits(0.95, "0.95", factor=0.25), Means()
    shown(audits, means, *(audited(n, right=True) for n in range(120)))
    before = audits.factor

    shown(audits, means, audited(120, right=True))

    assert audits.factor == pytest.approx(min(1.0, RECOVER * before))


def test_a_few_bad_audits_are_no_reason_to_retreat() -> None:
    audits, means = Audits(0.95, "0.95"), Means()

    shown(audits, means, *(audited(n, right=False) for n in range(int(AUDITS_MIN) - 1)))

    assert audits.factor == 1


def test_what_the_top_tier_answered_needs_no_audit() -> None:
    audits, means = Audits(0.95, "0.95"), Means()
    shown(audits, means, *(audited(n, right=n % 2 == 0) for n in range(20)))
    half = audits.kept(means)

    shown(audits, means, *(audited(n, right=True, top=True) for n in range(20, 60)))

    assert audits.kept(means).share > half.share
    assert audits.kept(means).audits == half.audits


def test_losses_are_taken_for_what_audits_find_them_to_be() -> None:
    """Twice what is believed until it is known; then as often as they were found."""
    audits, means = Audits(0.95, "0.95"), Means()
    assert audits.scale(means) == DOUBT

    shown(audits, means, *(audited(n, right=n % 20 != 0) for n in range(400)))

    lost = 1 - audits.kept(means).share
    assert lost == pytest.approx(0.025, abs=0.01)
    assert audits.scale(means) == pytest.approx(lost / 0.03, rel=0.2)


def test_only_coins_audit() -> None:
    audits = Audits(0.95, "0.95")
    climbed = audited(1, right=False)
    climbed.lessons = Lessons({"large": 0.1}, ())

    assert ("lost", "0.95") in audits.amounts(audited(1, right=False), Ledger())
    assert ("lost", "0.95") not in audits.amounts(climbed, Ledger())


# The dial of one request


def test_a_dial_of_its_own_changes_one_request_and_no_other() -> None:
    policy = Value()
    world = MadeWorld(policy, seeded(5), SKILL)
    world.serve(50)
    near = world.records

    before = first(policy, None, *near)
    thrifty = first(policy, Dial("quality_per_dollar", 1e5), *near)
    after = first(policy, None, *near)

    assert before == after
    assert thrifty.tier == "small"
    assert before.start is not None
    assert before.start.trade is not None
    assert before.start.trade.dial is None
    assert trade(policy, Dial("quality_per_dollar", 3.0), *near) == Trade(
        3.0, Dial("quality_per_dollar", 3.0)
    )


def test_a_request_keeps_its_rate_on_its_way() -> None:
    """What is learned meanwhile does not make it change its mind about money."""
    policy = Value(dial=Dial("usd_per_1000", 5.0))
    world = MadeWorld(policy, seeded(6), SKILL)
    context = Context(ladder(), (), seeded(0), prompt_tokens=100, tenant="local")
    started = policy.next(context, [])
    world.serve(100)

    assert policy.next(context, []) == started
    assert policy.next(replace(context), []) != started


def test_tenants_have_budgets_of_their_own() -> None:
    policy = Value(dial=Dial("usd_per_1000", 5.0))
    MadeWorld(policy, seeded(7), SKILL).serve(100)
    other = Context(ladder(), (), seeded(0), prompt_tokens=100, tenant="another")

    assert policy.next(other, []) == first(Value(dial=Dial("usd_per_1000", 5.0)))


@pytest.mark.parametrize("dial", [Dial("usd_per_1000", 5.0), Dial("keep_quality", 0.9)])
def test_a_dials_knowledge_is_rebuilt_from_the_records_in_order(dial: Dial) -> None:
    world = MadeWorld(Value(dial=dial, lessons=0.2), seeded(8), SKILL)
    world.serve(200)
    again, told = Value(dial=dial), Value(dial=dial)
    for record in world.records:
        read = record_from_json(record.to_json())
        assert read is not None
        again.observe(read)
        told.observe(record)

    assert trade(again, None, *world.records[-50:]) == trade(told, None, *world.records[-50:])
    assert trade(again).expected_usd != trade(Value(dial=dial)).expected_usd
    assert again.kept("local") == told.kept("local")


def test_the_version_names_the_dial() -> None:
    versions = {
        Value(dial=Dial("usd_per_1000", 5.0)).version,
        Value(dial=Dial("keep_quality", 0.98)).version,
        Value(dial=Dial("keep_quality", 0.98), usd_per_second=0.01).version,
        Value(quality_per_dollar=3).version,
        Value().version,
    }

    assert len(versions) == 5
    assert "quality_per_dollar=auto" in Value().version


# What waiting is worth


def test_who_waits_dearly_asks_the_fast_tier() -> None:
    """The medium tier is the best buy, and slow; a second of waiting costs more than the large."""
    skill = {"small": 0.3, "medium": 0.94, "large": 0.95}
    starts = {}
    for usd_per_second in (0.0, 0.01):
        policy = Value(usd_per_second=usd_per_second)
        world = MadeWorld(policy, seeded(9), skill, latency_s={"medium": 30.0, "large": 1.0})
        world.serve(150)
        starts[usd_per_second] = [record.attempts[0].tier for record in world.records[-50:]]

    assert starts[0.0].count("medium") > 40
    assert starts[0.01].count("medium") < 10


def test_before_anybody_waited_waiting_costs_nothing() -> None:
    assert first(Value(usd_per_second=100.0)) == first(Value())
    assert PRIORS == (0.6, 0.75, 0.9)
