"""What the dashboard draws, on requests whose truth is known."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.records import Evidence, Record, Verdict
from app.reporting.book import Book, Excerpt
from app.reporting.dashboard import dashboard_of
from app.reporting.report import told_by
from app.reporting.tracker import Tracker
from app.reporting.trends import calibration_of, judges_of, latency_of, newest_of, timeline_of
from tests.support.logged import TIERS, World

START_S = 1_700_000_000.0


def made(
    world: World, count: int, change: Callable[[int, Record], Record] = lambda _, record: record
) -> Tracker:
    tracker = Tracker(ladder=TIERS)
    for at in range(count):
        tracker.restore(change(at, world.record()))
    return tracker


def excerpt_of(tracker: Tracker) -> Excerpt:
    return tracker.book.copy().of()


def test_steps_add_up_to_all_there_was() -> None:
    def some_pinned(at: int, record: Record) -> Record:
        return replace(record, kind="pinned") if at % 5 == 0 else record

    excerpt = excerpt_of(made(World(1), 900, some_pinned))
    told = timeline_of(excerpt, None, START_S + 10_000)

    assert len(told["starts_s"]) <= 49
    assert sum(told["requests"]) == 900
    assert sum(told["routed"]) == 720
    assert sum(told["pinned"]) == 180
    assert sum(map(sum, told["served_by"].values())) == 720
    routed = excerpt.rows[excerpt.rows["routed"]]
    assert sum(map(sum, told["usd"].values())) == pytest.approx(float(routed["usd"].sum()))
    # A request belongs to the step it came in.
    assert told["starts_s"][0] <= excerpt.rows["time_s"][0] < told["starts_s"][0] + told["step_s"]


def test_of_a_span_its_quiet_parts_are_shown_too() -> None:
    now_s = START_S + 3600
    told = timeline_of(excerpt_of(made(World(1), 60)), now_s - 3600, now_s)

    assert told["starts_s"][0] <= now_s - 3600
    assert told["starts_s"][-1] <= now_s < told["starts_s"][-1] + told["step_s"]
    assert sum(told["requests"][2:]) == 0
    assert sum(told["requests"]) == 60


@pytest.mark.parametrize("since_s", [None, 0.0, START_S, 9e9])
def test_without_a_request_nothing_is_drawn_and_nothing_fails(since_s: float | None) -> None:
    tracker = Tracker(ladder=TIERS)
    told = dashboard_of(told_by(tracker, since_s=since_s), None, now_s=START_S + 60)

    assert sum(told["timeline"]["requests"]) == 0
    assert told["newest"] == []
    assert told["report"]["sentence"].startswith("nothing to compare yet")


def test_an_accuracy_over_time_appears_when_there_is_evidence_and_not_before() -> None:
    told = timeline_of(excerpt_of(made(World(1, start="medium", decided=True), 1500)), None, 0.0)
    values = [figure["value"] for figure in told["accuracy"]]

    assert values[0] is None
    assert told["accuracy"][0]["n_eff"] < 50
    known = [figure for figure in told["accuracy"] if figure["value"] is not None]
    assert len(known) > len(values) / 2
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in known)
    assert known[-1]["value"] == pytest.approx(0.98, abs=0.03)


def test_calibration_finds_a_tier_that_is_better_than_believed() -> None:
    world = World(1, start="small", decided=True)
    world.believed = {"small": 0.35, "medium": 0.9, "large": 0.97}
    found = calibration_of(excerpt_of(made(world, 3000)))

    (small,) = found["small"]["bins"]
    assert (small["from"], small["believed"]) == (0.3, pytest.approx(0.35))
    assert small["low"] < 0.75 < small["high"]
    assert found["small"]["ece"] == pytest.approx(0.40, abs=0.05)
    assert found["medium"]["ece"] < 0.05
    assert found["small"]["enough"]
    assert found["small"]["brier"] > found["medium"]["brier"]


def test_calibration_with_few_looked_at_says_that_they_are_few() -> None:
    found = calibration_of(excerpt_of(made(World(1), 30)))

    assert not found["small"]["enough"]
    assert found["small"]["n_eff"] < 50


def test_judges_are_measured_where_a_coin_had_a_better_tier_answer() -> None:
    """It accepts what is right, and four of ten wrong answers."""

    def judged(at: int, record: Record) -> Record:
        first = record.attempts[0]
        right = first.final_answer == "right"
        verdict = Verdict(valid=right or at % 10 < 4, by="large", cost_usd=0.0)
        return replace(record, attempts=[replace(first, verdicts=[verdict])], served=0)

    world = World(1, start="small", judge_sees=0.0)
    world.coins = {"small": 0.0, "medium": 0.0, "large": 0.5, "judges": 0.0, "full": 0.0}
    found = judges_of(excerpt_of(made(world, 2000, judged)))

    # What differs from the better answer is wrong with some probability only.
    assert found["small"]["accepts_right"]["value"] > 0.9
    assert 0.3 < found["small"]["accepts_wrong"]["value"] < 0.6
    assert found["small"]["accepts_wrong"]["enough"]
    assert found["large"]["accepts_right"]["value"] is None


def test_latency_is_told_by_phase() -> None:
    def timed(at: int, record: Record) -> Record:
        return replace(record, latency_s=float(at), phases_s={"embed": 0.001})

    found = latency_of(excerpt_of(made(World(1), 101, timed)))

    assert found["whole"]["p50_s"] == 50
    assert found["whole"]["p95_s"] == 95
    assert found["embed"]["count"] == 101
    assert (found["search"]["count"], found["search"]["p50_s"]) == (0, None)


def test_pinned_requests_do_not_crowd_out_the_routed_ones() -> None:
    def mostly_pinned(at: int, record: Record) -> Record:
        return record if at < 10 else replace(record, kind="pinned")

    found = newest_of(excerpt_of(made(World(1), 500, mostly_pinned)), tenants=False)

    assert [one["kind"] for one in found] == ["pinned"] * 50 + ["routed"] * 10
    assert found[0]["time_s"] > found[-1]["time_s"]
    assert "tenant" not in found[0]


def test_an_unknown_cost_is_shown_as_unknown() -> None:
    book, record = Book(), World(1).record()
    record.evidence["judge"] = Evidence("judge", True, "large", START_S, cost_usd=None)
    book.write(record, None)
    (told,) = newest_of(book.copy().of(), tenants=True)

    assert told["usd"] is None
    assert told["tenant"] == "local"
