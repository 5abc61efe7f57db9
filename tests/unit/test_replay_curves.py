"""Hulls, areas and the two-tier measures, against figures worked out by hand."""

from math import e

import pytest

from app.replay.curves import Point, Share, accuracy_at, aiq, apgr, cpt, delta_ibc, upper_hull

CHEAP, DEAR = Point(1, 0.5), Point(3, 0.7)


def test_the_hull_rises_and_leaves_out_what_a_coin_beats() -> None:
    good, poor, worse = Point(2, 0.65), Point(2, 0.55), Point(4, 0.6)

    assert upper_hull([DEAR, poor, good, worse, CHEAP]) == [CHEAP, good, DEAR]
    assert upper_hull([DEAR, poor, worse, CHEAP]) == [CHEAP, DEAR]
    assert upper_hull([worse, Point(4, 0.6)]) == [worse]


def test_between_two_points_a_coin_has_the_accuracy_in_proportion() -> None:
    hull = [CHEAP, DEAR]

    assert accuracy_at(hull, 2) == pytest.approx(0.6)
    assert (accuracy_at(hull, 0.1), accuracy_at(hull, 99)) == (0.5, 0.7)


def test_the_area_over_log_cost_is_the_mean_accuracy() -> None:
    flat = [Point(1, 0.5), Point(10, 0.5)]
    # Accuracy (c - 1) / (e - 1) from 1 to e; with c = exp(t) its mean over t is (e - 2) / (e - 1).
    rising = [Point(1, 0.0), Point(e, 1.0)]

    assert aiq(flat, flat) == pytest.approx(0.5)
    assert aiq(rising, rising) == pytest.approx((e - 2) / (e - 1))
    # Right at the cheapest cost is right everywhere.
    assert aiq([Point(1, 1.0)], rising) == pytest.approx(1.0)
    # What costs more than the dearest tier only counts as far as a coin may use it inside.
    halfway = accuracy_at([Point(1, 0.0), Point(2 * e - 1, 1.0)], e)
    assert halfway == pytest.approx(0.5)
    assert aiq([Point(2 * e - 1, 1.0)], rising) == pytest.approx((e - 2) / (e - 1) / 2)


def test_free_tiers_leave_a_range_only_if_others_cost() -> None:
    free = Point(0, 0.5)

    assert aiq([free], [free, Point(0, 0.6)]) is None
    assert aiq([free], [free, Point(1, 0.5), Point(2, 0.5)]) == pytest.approx(0.5)


def test_a_random_router_recovers_half_the_gap() -> None:
    assert apgr([], 0.6, 0.8) == pytest.approx(0.5)
    assert cpt([], 0.6, 0.8, 0.8) == pytest.approx(0.8)


def test_a_router_that_needs_half_the_strong_calls_recovers_three_quarters() -> None:
    shares = [Share(0.5, 0.8)]

    # A triangle up to half the calls, and all of the gap from there on.
    assert apgr(shares, 0.6, 0.8) == pytest.approx(0.25 + 0.5)
    assert cpt(shares, 0.6, 0.8, 0.5) == pytest.approx(0.25)
    assert cpt(shares, 0.6, 0.8, 0.8) == pytest.approx(0.4)


def test_there_is_no_gap_to_recover_where_the_strong_tier_is_no_better() -> None:
    assert apgr([], 0.8, 0.8) is None
    assert cpt([], 0.9, 0.8, 0.5) is None


def test_delta_ibc_is_what_money_buys_beside_the_way_from_weak_to_strong() -> None:
    """From .5 at $1 to .7 at $3 a dollar buys .1; .65 at $2 buys .15: half as much again."""
    assert delta_ibc([Point(2, 0.65)], CHEAP, DEAR) == pytest.approx(50)
    assert delta_ibc([DEAR], CHEAP, DEAR) == pytest.approx(0)
    assert delta_ibc([Point(2, 0.55)], CHEAP, DEAR) == pytest.approx(-50)
    # Two in one region of cost count as one.
    crowded = [Point(2, 0.65), Point(2.01, 0.6515), Point(3, 0.7)]
    assert delta_ibc(crowded, CHEAP, DEAR) == pytest.approx(25, abs=0.1)


def test_delta_ibc_says_nothing_outside_the_two_tiers_costs() -> None:
    assert delta_ibc([Point(0.5, 0.6), Point(4, 0.9)], CHEAP, DEAR) is None
    assert delta_ibc([DEAR], DEAR, DEAR) is None
    assert delta_ibc([DEAR], Point(1, 0.7), DEAR) is None
