"""What reports are counted from: the newest requests, and what is said of any part of them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.records import Evidence, Record
from app.reporting.book import Book
from app.reporting.report import report_of, told_by
from app.reporting.tracker import Tracker
from tests.support.logged import TIERS, World

START_S = 1_700_000_000.0


def told(records: list[Record]) -> Tracker:
    tracker = Tracker(ladder=TIERS)
    for record in records:
        tracker.restore(record)
    return tracker


def made(count: int, change: Callable[[int, Record], None] = lambda _at, _record: None) -> Tracker:
    world = World(1, start="medium", judge_sees=0.8)
    records = [world.record() for _ in range(count)]
    for at, record in enumerate(records):
        change(at, record)
    return told(records)


def test_only_the_newest_are_kept_in_the_order_they_came() -> None:
    book, world = Book(most=300), World(1)
    records = [world.record() for _ in range(1000)]
    for record in records:
        book.write(record, None)
    book.write(records[0], None)  # forgotten: it does not come back
    read = book.copy().of()

    assert [name.decode() for name in read.rows["id"]] == [record.id for record in records[700:]]
    assert read.complete_since_s == records[699].time_s
    assert book.copy().of(since_s=records[990].time_s).rows["time_s"].tolist() == [
        record.time_s for record in records[990:]
    ]


def test_a_request_heard_of_again_keeps_its_place_and_counts_once() -> None:
    book, world = Book(), World(1)
    record = replace(world.record(), evidence={})
    book.write(record, None)
    book.write(world.record(), None)
    lesson = Evidence("lesson", None, "lesson", record.time_s, cost_usd=0.5)
    book.write(replace(record, evidence={"lesson": lesson}), None)
    rows = book.copy().of().rows

    assert len(rows) == 2
    assert rows["id"][0].decode() == record.id
    assert rows["usd"][0][3] == 0.5


def test_a_tenant_reads_its_own_rows_however_many_tenants_there_are() -> None:
    book, world = Book(), World(1)
    for number in range(600):
        book.write(replace(world.record(), tenant=f"team-{number}"), None)

    assert len(book.copy().of("team-3").rows) == 1
    assert len(book.copy().of("nobody").rows) == 0
    # It came when no more could be told apart: it must not see the others that did.
    assert len(book.copy().of("team-599").rows) == 0
    assert len(book.copy().of("(others)").rows) == 0
    assert len(book.copy().of().rows) == 600


def test_all_of_it_unfaded_says_what_a_sum_over_all_would() -> None:
    tracker = made(800)
    report = report_of(told_by(tracker, "local", since_s=0.0))
    faded = report_of(told_by(tracker, "local"))

    assert report["requests"] == pytest.approx(800)
    assert faded["requests"] < 800
    for way in ("small", "large"):
        assert report["fixed"][way]["accuracy"]["value"] == pytest.approx(
            faded["fixed"][way]["accuracy"]["value"], abs=0.02
        )
    spent = report["spend_usd_per_1000"]
    assert sum(spent.values()) == pytest.approx(report["served"]["usd_per_1000"]["value"])
    assert report["spend"]["usd"] == pytest.approx(sum(spent.values()) * 800 / 1000)


def test_savings_are_signed_and_add_up() -> None:
    report = report_of(told_by(made(1500), since_s=0.0))
    served = report["served"]["usd_per_1000"]["value"]
    for tier, one in report["savings"].items():
        fixed = report["fixed"][tier]["usd_per_1000"]["value"]
        assert one["saved_usd_per_1000"]["value"] == pytest.approx(fixed - served)
        assert one["saved"]["value"] == pytest.approx(1 - served / fixed)
        low, high = one["saved"]["low"], one["saved"]["high"]
        assert low < one["saved"]["value"] < high
    assert report["savings"]["large"]["saved"]["value"] > 0
    assert report["savings"]["small"]["saved"]["value"] < 0
    assert report["saving_sentence"].startswith("against large alone, routing saved $")
    against_small = report_of(told_by(made(1500), since_s=0.0), "small")["saving_sentence"]
    assert against_small.startswith("against small alone, routing spent more: $")


def test_an_unknown_price_is_never_a_saving() -> None:
    def unpriced(_at: int, record: Record) -> None:
        for attempt in record.attempts:
            attempt.cost_usd = None

    report = report_of(told_by(made(300, unpriced), since_s=0.0))

    assert report["served"]["usd_per_1000"]["value"] is None
    assert report["savings"]["large"]["saved_usd_per_1000"]["value"] is None
    assert "unknown" in report["saving_sentence"]
    assert report["spend"]["requests_of_unknown_cost"] == 300
    assert report["spend"]["unknown_by_purpose"]["answer"] == 300


def test_an_average_does_not_hide_the_task_that_is_served_badly() -> None:
    """One task in three is hard for the tier that starts, and the judge lets it all pass."""
    skills = {"small": 1.0, "medium": 1.0, "large": 1.0}, {"small": 0.3, "medium": 0.6, "large": 1}
    easy, hard = (
        World(seed, start="small", judge_sees=0.0, decided=True, skill=skill)
        for seed, skill in enumerate(skills)
    )
    records = [
        replace((hard if at % 3 == 0 else easy).record(), task="hard" if at % 3 == 0 else "easy")
        for at in range(2400)
    ]
    report = report_of(told_by(told(records), since_s=0.0))
    groups = {group["name"]: group for group in report["by_task"]}

    assert [group["requests"] for group in report["by_task"]] == [1600, 800]
    assert groups["hard"]["against"]["harm"] is True
    assert groups["hard"]["against"]["accuracy"]["high"] < -0.3
    assert groups["easy"]["against"]["harm"] is False
    assert "by_tenant" in report
    assert "by_tenant" not in report_of(told_by(told(records), "local", since_s=0.0))


def test_it_says_where_the_accuracy_comes_from() -> None:
    said = Evidence("feedback", None, "user", START_S, score=1.0)

    def some_feedback(at: int, record: Record) -> None:
        if at % 3 == 0:
            record.evidence["feedback"] = said

    sources = report_of(told_by(made(900, some_feedback), since_s=0.0))["accuracy_from"]

    assert sources["feedback"]["mean"] == 1.0
    assert sources["feedback"]["labels"] + sources["feedback"]["unused"] == 300
    assert sources["feedback"]["unused"] > 100
    assert 0.2 < sources["feedback"]["weight"] < 0.5
    assert sources["comparison"]["labels"] > 50
    assert sum(source["weight"] for source in sources.values()) == pytest.approx(1)


def test_with_little_evidence_there_are_counts_and_no_figures() -> None:
    report = report_of(told_by(made(20), since_s=0.0))

    assert report["counts"]["routed"] == 20
    assert report["savings"]["large"]["saved_usd_per_1000"]["value"] is None
    assert report["state"] == "unknown"
    assert report["by_task"][0]["against"]["accuracy"]["value"] is None
