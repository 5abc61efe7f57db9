"""The demo, as a user runs it: one command, no key, no network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.jsontext import Json
from app.sandbox.questions import TOPICS, draw_questions

QUESTIONS = 40
RUNS = ("auto", "small", "medium", "large")
PICTURES = sum(q.picture is not None for q in draw_questions(QUESTIONS, seed=7))
"""How many questions come with one; the small model takes none."""


@pytest.fixture(scope="module")
def report() -> Json:
    done = subprocess.run(  # noqa: S603 - our own command
        [
            *(sys.executable, "-m", "app.cli", "demo"),
            *("--questions", str(QUESTIONS), "--seed", "7", "--json"),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=18,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_demo_says_that_it_is_simulated_and_what_was_asked(report: Json) -> None:
    assert report["simulated"] is True
    assert (report["questions"], report["seed"]) == (QUESTIONS, 7)
    assert report["tiers"] == list(RUNS[1:])


def test_every_number_of_questions_adds_up(report: Json) -> None:
    for name in RUNS:
        run = report["runs"][name]
        assert run["asked"] == QUESTIONS
        assert run["right"] + run["wrong"] + run["failed"] == QUESTIONS
        assert run["failed"] == (PICTURES if name == "small" else 0)
        assert run["accuracy"] == run["right"] / QUESTIONS
        blocks = [block[name] for block in report["blocks"]]
        for what in ("asked", "right", "wrong", "failed"):
            assert sum(block[what] for block in blocks) == run[what]
    for counted in (report["starts"], report["served_by"]):
        assert sum(counted.values()) == QUESTIONS


def test_accuracy_is_a_share_and_cost_is_positive(
    report: Json,
) -> None:
    for name in RUNS:
        run = report["runs"][name]
        interval = run["accuracy_95"]
        assert 0 <= interval["low"] <= run["accuracy"] <= interval["high"] <= 1
        assert run["usd_per_1000"] > 0
        assert run["calls_per_question"] >= 1
    auto = report["runs"]["auto"]
    by_purpose = auto["usd_per_1000_by_purpose"]
    assert sum(by_purpose.values()) == pytest.approx(auto["usd_per_1000"])


def test_dearer_tiers_are_better_and_the_verdict_is_in_words(report: Json) -> None:
    runs = report["runs"]
    assert runs["small"]["accuracy"] < runs["large"]["accuracy"]
    assert runs["small"]["usd_per_1000"] < runs["large"]["usd_per_1000"]
    assert len(report["verdict"]) >= 2


def test_every_topic_is_asked_and_answered_through_the_gateway(report: Json) -> None:
    assert {q.topic for q in draw_questions(QUESTIONS, seed=7)} == set(TOPICS)
    assert PICTURES > 0
    assert report["runs"]["large"]["accuracy"] > 0.85
    assert report["runs"]["auto"]["accuracy"] > report["runs"]["small"]["accuracy"]
