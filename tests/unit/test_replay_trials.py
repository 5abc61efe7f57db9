"""How soon a scenario is over, on made traffic whose return is known."""

import numpy as np
import pytest

from app.replay.baselines import truth_of
from app.replay.bootstrap import Bootstrap
from app.replay.figures import Runs
from app.replay.run import OUTCOME
from app.replay.scenarios import Scene, trap
from app.replay.trials import WINDOW, WINDOW_NEAR, Bools, Tried, back, moved, trial
from tests.unit.test_replay_scenarios import laid_out

EVERY = np.ones((2, 600), dtype=np.bool_)
TIERS = ("small", "medium", "large")


def gone_until(position: int) -> Bools:
    """Traffic that is away from the start up to this position, and then as ever."""
    return EVERY & (np.arange(600) >= position)


@pytest.mark.parametrize("position", [100, 250, 400])
def test_traffic_is_back_with_the_first_window_that_has_80_percent_of_it(position: int) -> None:
    found = back(gone_until(position), EVERY, EVERY)

    # The window may begin before: a fifth of it may be missing.
    assert found == position - 0.2 * WINDOW_NEAR + WINDOW_NEAR


def test_traffic_that_never_went_or_never_comes_back_is_told_apart() -> None:
    assert back(EVERY, EVERY, EVERY) == 0
    assert back(~EVERY, EVERY, EVERY) is None
    assert back(EVERY, ~EVERY, EVERY) is None
    assert back(EVERY, EVERY, ~EVERY) is None


def test_only_questions_near_what_was_planted_count() -> None:
    near = EVERY & (np.arange(600) % 10 == 0)
    there = ~near | gone_until(300)

    assert back(there, EVERY, near) == 300 - 0.2 * WINDOW_NEAR + WINDOW_NEAR


@pytest.mark.parametrize("sign", [1, -1])
def test_traffic_has_moved_when_80_percent_of_the_eventual_change_is_there(sign: int) -> None:
    # Half of it goes, evenly over the first 300 questions.
    lost = sign * 0.5 * np.minimum(1, np.arange(900) / 300)

    found = moved(np.tile(lost, (3, 1)))

    # The window around question 240 has 80 % of the change on average.
    assert found == pytest.approx(240 + WINDOW / 2, abs=1)


def test_traffic_that_hardly_changes_has_not_moved() -> None:
    assert moved(np.full((2, 600), 0.04)) is None
    assert moved(np.zeros((2, 0))) is None
    assert moved(np.full((2, 600), 0.3)) == WINDOW


def tried_in_trap(share: float) -> Tried:
    """Two orders in a trap: served by large at first, then this share of them by large."""
    course = trap(laid_out(), seed=1)
    truth = truth_of(course)
    orders = [list(range(400)), list(range(399, -1, -1))]
    streams = []
    for order in orders:
        stream = np.zeros(400, dtype=OUTCOME)
        stream["query"] = order
        large = (np.arange(400) < 200) | (np.arange(400) % 10 < 10 * share)
        stream["final"] = np.where(large, 2, 0)
        stream["correct"] = np.where(large, truth.correct[2, order], truth.correct[0, order])
        stream["answer_usd"] = np.where(large, 0.1, 0.001)
        streams.append(stream)
    runs = Runs(streams)
    return Tried("trap", [Scene(course, order) for order in orders], runs, runs)


def test_a_trap_is_measured_after_the_first_questions_against_the_cheapest_good_tier() -> None:
    bootstrap = Bootstrap(orders=2, queries=400, seed=1)

    escaped = trial(tried_in_trap(0), "any", TIERS, bootstrap).trap
    caught = trial(tried_in_trap(1), "any", TIERS, bootstrap).trap

    assert escaped is not None
    assert caught is not None
    # Fewer than 500 questions: the second half counts.
    assert (escaped.good, escaped.after) == ("small", 200)
    assert escaped.cost is not None
    assert escaped.gain is not None
    assert (escaped.cost.value, escaped.gain.value) == pytest.approx((1, 0))
    assert (escaped.gain.interval.low, escaped.gain.interval.high) == pytest.approx((0, 0))
    assert caught.cost is not None
    assert caught.cost.value == pytest.approx(100)


def fallen(changes: list[list[tuple[int, str]]]) -> Tried:
    """Two orders in which medium served all, and from question 260 on, 60 after its fall, none."""
    course = laid_out()
    streams = []
    for _ in range(2):
        stream = np.zeros(400, dtype=OUTCOME)
        stream["query"] = np.arange(400)
        stream["final"] = np.where(np.arange(400) < 260, 1, 2)
        streams.append(stream)
    plain = [stream.copy() for stream in streams]
    for stream in plain:
        stream["final"] = 1
    scene = Scene(course, list(range(400)), at=200, tier="medium")
    return Tried("fall", [scene, scene], Runs(streams, changes), Runs(plain))


def test_of_a_fall_it_is_known_when_the_traffic_moved_and_when_the_policy_noticed() -> None:
    changes = [[(150, "medium"), (210, "large"), (230, "medium"), (300, "medium")], []]

    found = trial(fallen(changes), "any", TIERS, Bootstrap(orders=2, queries=400, seed=1))

    assert found.served is not None
    assert (found.served.before, found.served.eventual, found.served.plain) == (1, 0, 1)
    assert found.served.after == pytest.approx(60 / WINDOW_NEAR)
    # All goes at once after 60 questions; a window with 80 % behind that begins ten before.
    assert found.served.moved_after == 50 + WINDOW
    assert found.noticed_after == [30, None]
    assert found.starts is None
    assert found.trap is None


def test_false_successes_are_over_when_the_other_tiers_have_their_traffic_back() -> None:
    course = laid_out()
    drawn, usual = (np.zeros(400, dtype=OUTCOME) for _ in range(2))
    for stream in (drawn, usual):
        stream["query"] = np.arange(400)
    # Without them large starts everything; with them small does, for 100 questions.
    usual["start"] = 2
    drawn["start"] = np.where((np.arange(400) >= 210) & (np.arange(400) < 310), 0, 2)
    scene = Scene(
        course, list(range(400)), at=190, tier="small", planted=20, near=frozenset(range(400))
    )

    found = trial(
        Tried("false-successes", [scene], Runs([drawn]), Runs([usual])),
        "any",
        TIERS,
        Bootstrap(orders=1, queries=400, seed=1),
    )

    assert found.starts is not None
    assert (found.starts.before, found.starts.after, found.starts.eventual) == (0, 1, 0)
    assert found.starts.moved_after == 100 - 0.2 * WINDOW_NEAR + WINDOW_NEAR
