"""The running gateway's honesty: it says what routing is worth, when it can, and once."""

import logging
from dataclasses import replace

import pytest

from app.records import Record
from app.reporting import tracker
from app.reporting.standing import Standing
from app.reporting.tracker import Tracker
from tests.support.logged import TIERS, World, with_lessons


def observed(world: World, requests: int, *, window_requests: float = 5000) -> Tracker:
    watching = Tracker(window_requests=window_requests)
    for _ in range(requests):
        watching.observe(world.record())
    return watching


def standing(watching: Tracker, tenant: str | None = None) -> Standing:
    found = watching.standing(tenant)
    assert found is not None
    return found


def close(left: Standing, right: Standing) -> bool:
    """Whether two standings say the same, but for rounding."""
    for one, other in zip(
        (left.served, *left.fixed.values()), (right.served, *right.fixed.values()), strict=True
    ):
        for mine, theirs in (
            (one.accuracy, other.accuracy),
            (one.usd_per_1000, other.usd_per_1000),
        ):
            for field in ("value", "low", "high", "n_eff"):
                if getattr(mine, field) != pytest.approx(getattr(theirs, field), rel=1e-6):
                    return False
    return True


def test_evidence_that_comes_later_says_what_it_would_have_said_at_once() -> None:
    at_once, later, world = Tracker(), Tracker(), World(1, start="medium")
    for _ in range(800):
        record, evidence = world.early()
        whole = with_lessons(record, evidence)
        at_once.observe(whole)
        later.observe(record)
        later.observe(whole)

    assert close(standing(at_once), standing(later))
    assert close(standing(at_once, "local"), standing(later, "local"))


def test_however_late_it_comes_the_accuracies_are_the_same() -> None:
    at_once, later, world = Tracker(window_requests=1500), Tracker(window_requests=1500), World(1)
    early = [world.early() for _ in range(1500)]
    for record, evidence in early:
        at_once.observe(with_lessons(record, evidence))
        later.observe(record)
    for record, evidence in early:
        later.observe(with_lessons(record, evidence))

    left, right = standing(at_once).fixed["medium"], standing(later).fixed["medium"]
    assert left.accuracy.value is not None
    assert left.accuracy.value == pytest.approx(right.accuracy.value)
    assert left.accuracy.low == pytest.approx(right.accuracy.low)


def test_the_same_record_counts_once_however_often_it_is_seen() -> None:
    once, often, world = Tracker(), Tracker(), World(2)
    for _ in range(600):
        record = world.record()
        once.observe(record)
        for _ in range(3):
            often.observe(record)

    assert close(standing(once), standing(often))
    assert standing(often).requests == pytest.approx(standing(once).requests)


def test_what_cannot_be_compared_is_left_out_and_counted_once() -> None:
    watching, world = Tracker(), World(2)
    for number in range(100):
        record = world.record()
        if number % 4 == 0:
            record.lessons = None
        watching.observe(record)
        watching.observe(record)

    assert standing(watching).left_out == pytest.approx(0.25, abs=0.01)


def test_a_pinned_request_is_no_business_of_routing() -> None:
    watching = Tracker()
    watching.observe(replace(World(1).record(), kind="pinned"))

    assert watching.standing() is None


@pytest.mark.parametrize(
    ("world", "state", "says"),
    [
        (World(1, start="medium", judge_sees=0.9, decided=True), "pays", "routing pays: +"),
        (
            World(1, start="small", judge_sees=0.1),
            "fixed",
            "a fixed tier would have been better: -",
        ),
        (World(1, start="medium", judge_sees=0.0), "even", "no difference is sure: "),
    ],
)
def test_it_says_whether_routing_pays(world: World, state: str, says: str) -> None:
    found = standing(observed(world, 4000))

    assert found.state == state
    assert found.sentence.startswith(says)


def test_what_hangs_on_differences_that_nobody_decided_is_not_sure() -> None:
    found = standing(observed(World(1, start="medium", judge_sees=0.9), 4000))

    assert found.state == "even"
    assert found.gain is not None
    assert found.tied is not None
    assert (found.gain.low or 0) > 0.01
    assert (found.tied.low or 0) < 0 < (found.tied.high or 0)
    assert "if differences that nobody decided are ties" in found.sentence


def test_without_enough_evidence_it_says_how_much_is_missing() -> None:
    found = standing(observed(World(1), 100))

    assert found.state == "unknown"
    assert found.sentence.startswith("not enough evidence yet: n_eff ")
    assert found.sentence.endswith(("of 50 (medium)", "of 50 (large)"))


def test_while_a_tier_is_unknown_nothing_is_said_to_pay() -> None:
    coins = {"small": 0.3, "medium": 0.0, "large": 0.1, "full": 0.0}
    world = World(1, start="small", judge_sees=0.9, decided=True, coins=coins)

    found = standing(observed(world, 3000))

    assert found.fixed["medium"].accuracy.value is None
    assert found.gain is not None
    assert (found.gain.low or 0) > 0.1  # over small alone
    assert found.state == "unknown"
    assert found.sentence == "not enough evidence yet: n_eff 0 of 50 (medium)"


def test_where_one_tier_answers_everything_it_never_beats_itself() -> None:
    states = {
        standing(observed(World(seed, start="medium", judge_sees=0.0), 1500)).state
        for seed in range(6)
    }

    assert states == {"even"}


def test_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="app.reporting.tracker"):
        observed(World(1, start="small", judge_sees=0.1), 4000)

    warnings = [
        r for r in caplog.records if r.getMessage() == "a fixed tier would have been better"
    ]
    assert len(warnings) == 1
    assert warnings[0].levelno == logging.WARNING
    assert "against a coin between medium" in vars(warnings[0])["says"]


def test_it_follows_a_world_that_changes() -> None:
    watching = Tracker(window_requests=1000)
    for world in (World(1), World(2, skill={"small": 0.3, "medium": 0.9, "large": 1.0})):
        for _ in range(2500):
            watching.observe(world.record())
            # Both worlds' requests come one after the other.
    accuracy = standing(watching).fixed["small"].accuracy

    assert accuracy.value == pytest.approx(0.3 * 0.95 + 0.7 * 0.2, abs=0.07)


def test_tenants_have_figures_of_their_own() -> None:
    watching = Tracker()
    good, bad = World(1, tenant="good"), World(2, tenant="bad", skill=dict.fromkeys(TIERS, 0.5))
    for _ in range(1500):
        watching.observe(good.record())
        watching.observe(bad.record())
    small = {
        tenant: standing(watching, tenant).fixed["small"].accuracy.value or 0.0
        for tenant in ("good", "bad", None)
    }

    assert standing(watching, "good").requests == pytest.approx(
        standing(observed(World(1), 1500)).requests
    )
    assert small["bad"] < (small[None] or 0.0) < small["good"]
    assert watching.standing("nobody") is None


def test_a_new_ladder_starts_afresh_and_old_evidence_changes_nothing() -> None:
    watching, world = Tracker(), World(1)
    early = [world.early() for _ in range(300)]
    for record, _ in early:
        watching.observe(record)
    renamed = renaming(world.record())
    watching.observe(renamed)
    for record, evidence in early:
        watching.observe(with_lessons(record, evidence))

    assert standing(watching).requests == 1
    assert set(standing(watching).fixed) == {"tiny", "medium", "large"}


def renaming(record: Record) -> Record:
    ladder = ("tiny", "medium", "large")
    for attempt in record.attempts:
        attempt.tier = ladder[record.ladder.index(attempt.tier)]
    return replace(record, ladder=ladder, eligible=ladder, evidence={})


def test_it_forgets_tenants_and_requests_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "TENANTS", 3)
    monkeypatch.setattr(tracker, "REMEMBERED", 10)
    watching, late = Tracker(), []
    for number in range(20):
        world = World(number, tenant=f"tenant-{number}")
        world.made = number
        record, evidence = world.early()
        watching.observe(record)
        late.append(with_lessons(record, evidence))
    requests = standing(watching).requests
    for record in late:
        watching.observe(record)

    assert watching.standing("tenant-0") is None
    assert watching.standing("tenant-19") is not None
    assert standing(watching).requests == requests


def test_gauges_are_numbers_and_leave_out_what_is_unknown() -> None:
    assert Tracker().gauges() == {}
    few = observed(World(1), 20).gauges()
    many = observed(World(1), 2000).gauges()

    assert "small" not in few["fixed_accuracy"]
    assert few["served_accuracy"] == few["routing_gain"] == {}
    assert many["fixed_accuracy"]["small"] == pytest.approx(0.76, abs=0.05)
    assert many["served_usd_per_1000"][""] > many["fixed_usd_per_1000"]["medium"]
    assert many["fixed_effective_sample"]["large"] > 50
    assert many["alarms"]["no_labels"] == many["alarms"]["impossible"] == 0.0
    assert all(isinstance(value, float) for gauge in many.values() for value in gauge.values())


def test_alarms_are_counted_by_name() -> None:
    raised = observed(World(1, judge_sees=0.0), 2000).gauges()["alarms"]

    assert raised["judge"] >= 1
    assert set(raised) == {"no_labels", "judge", "believed", "impossible", "share", "canary"}


def test_what_was_spent_on_what_adds_up_to_what_was_served() -> None:
    watching, later, world = Tracker(), Tracker(), World(1)
    for _ in range(400):
        record, evidence = world.early()
        watching.observe(with_lessons(record, evidence))
        later.observe(record)
        later.observe(with_lessons(record, evidence))
    spend = watching.spend("local")

    assert spend is not None
    assert later.spend() == pytest.approx(spend)
    assert sum(spend.values()) == pytest.approx(standing(watching).served.usd_per_1000.value)
    assert min(spend.values()) > 0
    assert Tracker().spend() is None


def test_while_a_cost_is_unknown_nobody_says_what_was_spent() -> None:
    watching, world = Tracker(), World(1)
    for _ in range(100):
        record = world.record()
        record.attempts[0].cost_usd = None
        watching.observe(record)

    assert watching.spend() is None


def test_what_was_so_before_is_said_once_after_it_is_restored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watching, world = Tracker(), World(1, start="small", judge_sees=0.1)
    with caplog.at_level(logging.INFO, logger="app.reporting.tracker"):
        for _ in range(3000):
            watching.restore(world.record())
        assert caplog.records == []
        watching.tell()
        watching.tell()

    said = [record.getMessage() for record in caplog.records]
    assert said.count("a fixed tier would have been better") == 1
    assert said.count("learning looks corrupt") == len(watching.alarms)


def test_of_another_ladder_nothing_is_noted() -> None:
    watching = Tracker(ladder=("small", "large"))
    watching.observe(World(1).record())

    assert watching.standing() is None
