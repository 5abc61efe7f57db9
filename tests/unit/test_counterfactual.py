"""Estimates of what was not done: right where the truth is known, and silent where they cannot be.

The worlds are made, so every tier's answer is known.
"""

from random import Random
from statistics import fmean

import pytest

from app.learning.labels import LOWER_DISAGREES
from app.records import Attempt, Record
from app.reporting.counterfactual import Figure, Quantity, Sums, best_fixed, gain_over
from app.reporting.sightings import SERVED, Row, Sighting, quality_of, row_of
from app.reporting.window import Window
from tests.support.logged import COSTS_USD, TIERS, World

PAIR = ("small", "large")
SKILL = 0.7
CHANCE = 0.15
MANY = {"small": 0.3, "medium": 0.25, "large": 0.2, "judges": 0.0, "full": 0.25}


def made_row(rng: Random) -> tuple[Row, float | None]:
    """Two tiers and a router that asks the small one what is easy; what a log naively shows of it.

    The prediction for it is wrong, and the wrong way round.
    """
    hardness = rng.random()
    right = float(hardness < SKILL)
    on_path = hardness + 0.3 * rng.random() < 0.6
    chance = 1.0 if on_path else CHANCE
    seen = right if rng.random() < chance else None
    small = Sighting(0.3 + 0.6 * hardness, chance, seen)
    large = Sighting(0.5, 1.0, 1.0)
    served = small if on_path else large
    usd = {"small": Sighting(0.0, chance, 0.001 if seen is not None else None)}
    usd |= {"large": Sighting(0.01, 1.0, 0.01), SERVED: Sighting(0.005, 1.0, 0.005)}
    return row_of_figures({"small": small, "large": large, SERVED: served}, usd), seen


def row_of_figures(accuracy: dict[str, Sighting], usd: dict[str, Sighting]) -> Row:
    return Row({"accuracy": accuracy, "tied": accuracy, "usd": usd})


def estimated(seed: int, requests: int) -> tuple[Sums, list[float]]:
    rng, sums, seen = Random(seed), Sums(PAIR), []  # noqa: S311 - a made world
    for _ in range(requests):
        row, naive = made_row(rng)
        sums.add(sums.vector(row), row.unpriced)
        if naive is not None:
            seen.append(naive)
    return sums, seen


def value(figure: Figure) -> float:
    assert figure.value is not None, figure.why
    return figure.value


def test_the_estimate_is_the_truth_and_its_interval_holds_it_though_the_predictions_are_wrong() -> (
    None
):
    runs = [estimated(seed, 600) for seed in range(200)]
    figures = [sums.figure(("accuracy", "small")) for sums, _ in runs]
    naive = fmean(fmean(seen) for _, seen in runs)
    covered = sum((f.low or 0) <= SKILL <= (f.high or 0) for f in figures)

    assert fmean(value(figure) for figure in figures) == pytest.approx(SKILL, abs=0.01)
    assert covered >= 180
    assert naive > SKILL + 0.15  # what a log shows of a tier is how it does where it was asked
    assert fmean(sums.mean(("usd", "small")) for sums, _ in runs) == pytest.approx(0.001)


def test_intervals_are_no_wider_than_they_must_be() -> None:
    figures = [estimated(seed, 600)[0].figure(("accuracy", "small")) for seed in range(50)]
    spread = fmean((value(f) - SKILL) ** 2 for f in figures) ** 0.5
    half = fmean(((f.high or 0) - (f.low or 0)) / 2 for f in figures)

    assert half == pytest.approx(1.96 * spread, rel=0.35)


def summed(world: World, requests: int) -> tuple[Sums, list[Record]]:
    window, records = Window(TIERS), [world.record() for _ in range(requests)]
    for record in records:
        window.read(record)
    return window.sums, records


def test_from_records_comes_what_would_have_been_seen_had_every_coin_fallen() -> None:
    quantities: list[Quantity] = [("accuracy", name) for name in (*TIERS, SERVED)]
    quantities += [("usd", name) for name in TIERS]
    wrong = {"small": 0.95, "medium": 0.4, "large": 0.5}
    errors: dict[Quantity, list[float]] = {quantity: [] for quantity in quantities}
    naive_errors = []
    for seed in range(6):
        truth, every = summed(World(seed, coins={**dict.fromkeys(MANY, 0.0), "full": 1.0}), 2000)
        sums, records = summed(World(seed, coins=dict(MANY), believed=wrong), 2000)
        assert [r.attempts[0].tier for r in every] == [r.attempts[0].tier for r in records]
        for quantity in quantities:
            errors[quantity].append(sums.mean(quantity) - truth.mean(quantity))
        labels = [quality_of(record).get("large") for record in records]
        naive = fmean(label for label in labels if label is not None)
        naive_errors.append(naive - truth.mean(("accuracy", "large")))

    for (kind, name), found in errors.items():
        bound = 0.01 if kind == "accuracy" else 0.02 * COSTS_USD.get(name, 1.0)
        assert abs(fmean(found)) < bound, (kind, name, found)
    assert fmean(naive_errors) < -0.02  # the top tier is mostly asked where it is hard


def test_where_it_comes_out_what_was_right_that_is_what_is_estimated() -> None:
    found = [
        [sums.mean(("accuracy", name)) for name in (*TIERS, SERVED)]
        for sums, _ in (
            summed(
                World(seed, start="medium", judge_sees=0.5, decided=True, coins=dict(MANY)), 1500
            )
            for seed in range(4)
        )
    ]
    small, medium, large, served = (fmean(values) for values in zip(*found, strict=True))

    assert small == pytest.approx(0.75, abs=0.02)
    assert medium == pytest.approx(0.9, abs=0.02)
    assert large == pytest.approx(1.0)
    assert served == pytest.approx(0.95, abs=0.02)


def test_how_a_tier_came_to_be_asked_does_not_bend_its_label() -> None:
    world = World(1, start="small", coins=dict.fromkeys(("small", "medium", "large", "full"), 0.0))
    records = [world.record() for _ in range(100)]
    climbed = [record for record in records if len(record.attempts) > 1]

    assert climbed
    assert {quality_of(record)["large"] for record in climbed} == {LOWER_DISAGREES}


def test_the_interval_of_a_gain_knows_that_its_costs_are_estimates() -> None:
    gains = []
    for seed in range(80):
        rng, sums = Random(seed), Sums(PAIR)  # noqa: S311 - a made world
        for _ in range(300):
            usd, right = rng.uniform(0.9, 1.1), float(rng.random() < 0.1)
            upper = rng.random() < 0.5
            row = row_with(right, 1.0, 1.0 if upper else right, (0.011 if upper else 0.001) * usd)
            sums.add(sums.vector(row), frozenset())
        best = best_fixed(sums, PAIR)
        assert best is not None
        gains.append(gain_over(sums, best))
    spread = fmean(value(gain) ** 2 for gain in gains) ** 0.5
    half = fmean(((gain.high or 0) - (gain.low or 0)) / 2 for gain in gains)

    assert fmean(value(gain) for gain in gains) == pytest.approx(0.0, abs=0.005)
    assert half == pytest.approx(1.96 * spread, rel=0.3)


def test_below_an_effective_sample_of_fifty_nothing_is_said() -> None:
    sums, _ = estimated(1, 30)

    figure = sums.figure(("accuracy", "small"))

    assert (figure.value, figure.low, figure.high) == (None, None, None)
    assert figure.why == f"effective sample {figure.n_eff:.0f} of 50"


def test_a_few_heavy_rows_are_worth_few_however_many_light_ones_there_are() -> None:
    sums = Sums(PAIR)
    for number in range(1000):
        seen = Sighting(0.5, 0.005 if number % 100 == 0 else 1.0, 1.0)
        usd = Sighting(0.01, 1.0, 0.01)
        names = (*PAIR, SERVED)
        row = row_of_figures(dict.fromkeys(names, seen), dict.fromkeys(names, usd))
        sums.add(sums.vector(row), frozenset())

    assert sums.n_eff(("accuracy", "small")) == pytest.approx(22, abs=1)
    assert sums.figure(("accuracy", "small")).value is None


def test_what_is_always_alike_still_has_an_interval() -> None:
    sums = Sums(PAIR)
    for _ in range(100):
        right, usd = Sighting(0.9, 0.5, 1.0), Sighting(0.01, 1.0, 0.01)
        names = (*PAIR, SERVED)
        row = row_of_figures(dict.fromkeys(names, right), dict.fromkeys(names, usd))
        sums.add(sums.vector(row), frozenset())

    figure = sums.figure(("accuracy", "small"))

    assert value(figure) == pytest.approx(1.0)
    assert figure.low == pytest.approx(0.97, abs=0.001)  # the rule of three


def test_taking_a_row_back_leaves_no_trace() -> None:
    rng = Random(1)  # noqa: S311 - a made world
    rows = [made_row(rng)[0] for _ in range(900)]
    kept, all_of_them = Sums(PAIR), Sums(PAIR)
    for number, row in enumerate(rows):
        all_of_them.add(all_of_them.vector(row), row.unpriced)
        if number % 3:
            kept.add(kept.vector(row), row.unpriced)
    for row in rows[::3]:
        all_of_them.add(all_of_them.vector(row), row.unpriced, 1.0, -1)

    for name in PAIR:
        left, right = (sums.figure(("accuracy", name)) for sums in (kept, all_of_them))
        assert value(left) == pytest.approx(value(right))
        assert left.low == pytest.approx(right.low)


def row_with(small: float, large: float, served: float, served_usd: float) -> Row:
    accuracies = {"small": small, "large": large, SERVED: served}
    costs_usd = {"small": 0.001, "large": 0.011, SERVED: served_usd}
    return row_of_figures(
        {name: Sighting(0.5, 1.0, accuracy) for name, accuracy in accuracies.items()},
        {name: Sighting(usd, 1.0, usd) for name, usd in costs_usd.items()},
    )


def test_what_was_served_is_compared_with_a_coin_of_the_same_cost() -> None:
    sums = Sums(PAIR)
    for number in range(400):
        row = row_with(float(number % 2), 1.0, float(number % 4 > 0), 0.0035)
        sums.add(sums.vector(row), frozenset())

    best = best_fixed(sums, PAIR)

    assert best is not None
    assert (best.cheaper, best.dearer) == ("small", "large")
    assert best.share == pytest.approx(0.25)
    assert best.accuracy == pytest.approx(0.625)
    assert value(gain_over(sums, best)) == pytest.approx(0.75 - 0.625)


@pytest.mark.parametrize(("served_usd", "tier"), [(0.0005, "small"), (0.02, "large")])
def test_outside_of_their_costs_it_is_compared_with_the_nearest_tier(
    served_usd: float, tier: str
) -> None:
    sums = Sums(PAIR)
    for number in range(100):
        row = row_with(float(number % 2), 1.0, 1.0, served_usd)
        sums.add(sums.vector(row), frozenset())

    best = best_fixed(sums, PAIR)

    assert best is not None
    assert (best.cheaper, best.dearer, best.share) == (tier, tier, 1.0)


def test_the_same_answers_differ_by_nothing() -> None:
    sums, _ = summed(World(2, start="medium", judge_sees=0.0), 1500)
    best = best_fixed(sums, ("medium",))

    assert best is not None
    assert value(gain_over(sums, best)) == pytest.approx(0.0, abs=1e-12)


def plain(**changes: object) -> Record:
    record = World(1, coins={"small": 0.2, "medium": 0.1, "large": 0.05, "full": 0.0}).record()
    for name, changed in changes.items():
        setattr(record, name, changed)
    return record


@pytest.mark.parametrize(
    "changes",
    [
        {"lessons": None},
        {"learn": False},
        {"kind": "pinned"},
        {"eligible": ("medium", "large")},
        {"served": None},
        {"attempts": [Attempt("small", "direct", outcome="censored")], "served": 0},
    ],
)
def test_what_cannot_be_compared_has_no_row(changes: dict[str, object]) -> None:
    assert row_of(plain(), {}) is not None
    assert row_of(plain(**changes), {}) is None


def path(*tiers: str) -> list[Attempt]:
    return [Attempt(tier, "direct", outcome="complete", final_answer="x") for tier in tiers]


@pytest.mark.parametrize(
    ("tiers", "chances"),
    [
        # small's own answer needs a better one beside it, by coin; large's needs medium's.
        (("small",), (1 - 0.9 * 0.95, 1 - (1 - 0.1 * 0.05), 0.05 * 0.1)),
        # What was never asked is shown by its own coin, beside the path's better answer.
        (("medium",), (0.2, 0.05, 0.05)),
        (("large",), (0.2, 0.1, 0.1)),
        # That two answers agree may be why the path ended, so it counts for nothing.
        (("small", "medium"), (1 - 0.9 * 0.95, 0.05, 0.05)),
        (("small", "medium", "large"), (1.0, 1.0, 1.0)),
    ],
)
def test_chances_are_those_of_the_coins_beyond_the_path(
    tiers: tuple[str, ...], chances: tuple[float, ...]
) -> None:
    row = row_of(plain(attempts=path(*tiers), served=len(tiers) - 1), {})

    assert row is not None
    assert tuple(row.figures["accuracy"][tier].chance for tier in TIERS) == pytest.approx(chances)


def test_an_unknown_price_stays_unknown() -> None:
    world, window = World(3), Window(TIERS)
    for _ in range(800):
        record = world.record()
        for attempt in (
            *record.attempts,
            *(a for e in record.evidence.values() for a in e.attempts),
        ):
            if attempt.tier == "medium":
                attempt.cost_usd = None
        window.read(record)

    standing = window.standing

    assert standing.fixed["medium"].usd_per_1000.value is None
    assert standing.fixed["medium"].usd_per_1000.why == "a price of medium is unknown"
    assert standing.fixed["small"].usd_per_1000.value is not None
    assert standing.state == "unknown"
    assert standing.sentence == "costs cannot be compared: a price of medium is unknown"
