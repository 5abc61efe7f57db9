"""AutoMix: confidence in bins, the table that is the POMDP's solution, and when it decides."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from app.judge.verifying import confidence_of, read_verification
from app.learning.amounts import Label
from app.planning.verification import MONOTONE_ROWS, Counts, Rung, bin_of, rising, table
from app.policies.automix import ROWS_MIN, AutoMix
from app.policy import Accept, Ask, Judge, Stop
from app.records import Attempt, Estimate, Record, Start, Verdict
from tests.support.made_world import (
    TIERS,
    MadeWorld,
    accuracy,
    attempt,
    given,
    seeded,
    usd_per_1000,
)

RIGHT, WRONG = Label(1.0, 1.0), Label(0.0, 1.0)


def verified(tier: str, confidence: float | None, answer: str = "a") -> Attempt:
    valid = None if confidence is None else confidence >= 0.5
    return attempt(tier, answer, Verdict(valid, tier, confidence=confidence, cost_usd=0.001))


def record(*attempts: Attempt, record_id: str = "r", tenant: str = "local") -> Record:
    estimates = {tier: Estimate(p, p) for tier, p in zip(TIERS, (0.6, 0.75, 0.9), strict=True)}
    return Record(
        id=record_id,
        time_s=0.0,
        tenant=tenant,
        kind="routed",
        policy="automix",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=list(attempts),
        served=len(attempts) - 1,
        start=Start("small", {"small": 1.0}, estimates),
        outcome="answered",
    )


def counted(rows: Sequence[tuple[int, Label]], **above: Sequence[Label]) -> Counts:
    counts = Counts(4)
    for at, (bin_, own) in enumerate(rows):
        counts.add(bin_, own, {tier: labels[at] for tier, labels in above.items()})
    return counts


def two(counts: Counts, price: float) -> list[Rung]:
    return [Rung("small", 0.6, 0.0, counts), Rung("large", 0.9, price, Counts(4))]


@pytest.mark.parametrize("samples", [1, 3, 4, 5, 8, 10, 20])
def test_every_share_of_samples_has_a_bin_of_its_own(samples: int) -> None:
    """The released code's `int(i // gap)` puts two shares into one bin for 5, 10 and 20."""
    assert [bin_of(valid / samples, samples) for valid in range(samples + 1)] == list(
        range(samples + 1)
    )


def test_by_bayes_alone_the_unsure_bins_are_passed_on_and_a_price_keeps_them() -> None:
    """By hand: of bin 0 the answer is right with chance .6·.2⁴ / (.6·.2⁴ + .4·.6⁴) = .018."""
    (free,) = table(two(Counts(4), 0.0))
    assert free[:3] == (1, 1, 1)
    assert free[4] is None  # .6·.8⁴ / (.6·.8⁴ + .4·.4⁴) = .96
    assert table(two(Counts(4), 0.95)) == [(None,) * 5]
    assert table([*two(Counts(4), 0.95)[:1]]) == []


def test_what_is_hopeless_is_not_passed_on() -> None:
    """Needy, good and hopeless: where the dear tier is wrong as well its call buys nothing."""
    rows = [(0, WRONG)] * 200 + [(2, WRONG)] * 200 + [(4, RIGHT)] * 200
    hopeless = counted(rows, large=[WRONG] * 200 + [RIGHT] * 400)
    (moves,) = table(two(hopeless, 0.1))
    assert (moves[0], moves[2], moves[4]) == (None, 1, None)


def test_a_tier_between_is_passed_over_where_it_fails_on_the_same() -> None:
    counts = counted([(0, WRONG)] * 300, medium=[WRONG] * 300, large=[RIGHT] * 300)
    rungs = [
        Rung("small", 0.6, 0.0, counts),
        Rung("medium", 0.75, 0.02, Counts(4)),
        Rung("large", 0.9, 0.1, Counts(4)),
    ]
    assert table(rungs)[0][0] == 2
    similar = counted([(0, WRONG)] * 300, medium=[RIGHT] * 300, large=[RIGHT] * 300)
    assert table([Rung("small", 0.6, 0.0, similar), *rungs[1:]])[0][0] == 1


def test_with_few_rows_to_be_surer_is_never_worse_with_many_they_are_believed() -> None:
    odd = [(3, RIGHT), (4, WRONG), (4, RIGHT), (2, RIGHT)]
    few, many = counted(odd * 20), counted(odd * (MONOTONE_ROWS // 4 + 1))
    kept = [move is None for move in table(two(few, 0.1))[0]]
    assert all(a <= b for a, b in pairwise(kept))
    assert table(two(many, 0.1))[0][4] == 1
    assert table(two(many, 0.1))[0][3] is None


def test_rising_pools_adjacent_violators() -> None:
    assert rising([0.1, 0.5, 0.3, 0.9], [1, 1, 1, 1]) == pytest.approx([0.1, 0.4, 0.4, 0.9])
    assert rising([0.9, 0.1], [3, 1]) == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"evaluation": "so", "verdict": "VALID"}', True),
        ('{"verdict": "INVALID"}', False),
        ('{"verdict": "VALID", "verdict": "INVALID"}', None),
        ('{"verdict": "valid"}', None),
        ('[["verdict", "VALID"]]', None),
        ("The answer is VALID", None),
        ("", None),
    ],
)
def test_one_sample_is_read_strictly(text: str, said: bool | None) -> None:
    assert read_verification(text) is said


def test_what_cannot_be_read_does_not_count_and_nothing_read_is_no_confidence() -> None:
    valid, invalid = '{"verdict": "VALID"}', '{"verdict": "INVALID"}'
    assert confidence_of([valid, invalid, "yes", valid, valid]) == 0.75
    assert confidence_of(["yes", ""]) is None


def test_it_asks_verifies_and_keeps_or_goes_up() -> None:
    policy, context = AutoMix(samples=8), given()
    first = policy.next(context, [])
    assert isinstance(first, Ask)
    assert (first.tier, first.live) == ("small", False)
    assert policy.next(context, [attempt("small", "a")]) == Judge(0, by="small", samples=8)
    assert policy.next(context, [verified("small", 0.5)]) == Accept(0)
    for unsure in (0.375, None):
        up = policy.next(context, [verified("small", unsure)])
        assert isinstance(up, Ask)
        assert (up.tier, up.arrived) == ("medium", "after_reject")
    climbed = [verified("small", 0.0), verified("medium", 0.0), attempt("large", "c")]
    assert policy.next(context, climbed) == Accept(2)
    checked = attempt("small", "a", Verdict(False, "check:schema"))
    assert isinstance(policy.next(context, [checked]), Ask)
    failed = Attempt("large", "after_reject", outcome="failed")
    assert policy.next(context, [*climbed[:2], failed]) == Stop(1)


def shown(policy: AutoMix, count: int, **of: str) -> None:
    """Records of climbs in which the small tier was surest where it was wrong."""
    for at in range(count):
        policy.observe(
            record(
                verified("small", 0.75, "x"),
                verified("medium", 1.0, "y"),
                attempt("large", "y", arrived="after_reject"),
                record_id=f"{of.get('tenant', '')}{at}",
                tenant=of.get("tenant", "local"),
            )
        )


def test_the_table_decides_once_there_are_rows_and_only_for_that_tenant() -> None:
    """Three of four samples said valid, and it was wrong each time: the threshold never learns."""
    policy, never = AutoMix(quality_per_dollar=5.0), AutoMix(variant="threshold")
    for each in (policy, never):
        shown(each, ROWS_MIN - 1)
        assert each.next(given(), [verified("small", 0.75)]) == Accept(0)
        shown(each, ROWS_MIN + 50)
    assert isinstance(policy.next(given(), [verified("small", 0.75)]), Ask)
    assert never.next(given(), [verified("small", 0.75)]) == Accept(0)
    assert policy.next(given(tenant="other"), [verified("small", 0.75)]) == Accept(0)


def test_a_record_shown_again_is_counted_once() -> None:
    policy = AutoMix()
    for _ in range(3):
        shown(policy, 10)
    assert policy._of("local").counts["small"].rows == pytest.approx(10)  # noqa: SLF001


def test_its_own_word_is_no_label() -> None:
    policy = AutoMix()
    policy.observe(record(verified("small", 1.0)))
    assert not policy._of("local").counts  # noqa: SLF001


def test_the_dial_moves_what_it_spends_and_what_it_reaches() -> None:
    """A made world: verification is right of 9 in 10 right answers, and of 7 in 10 wrong ones."""
    found = {}
    for rate in (0.01, 1000.0):
        world = MadeWorld(AutoMix(quality_per_dollar=rate), seeded(1), SKILL)
        world.serve(400)
        last = world.records[-250:]
        found[rate] = accuracy(last), usd_per_1000(last)
    thrifty, lavish = found[1000.0], found[0.01]
    assert lavish[0] > thrifty[0] + 0.1
    assert lavish[1] > 2 * thrifty[1]


SKILL = {"small": 0.6, "medium": 0.75, "large": 0.95}


def test_it_is_not_locked_in_by_an_unlucky_beginning() -> None:
    """Of the first hundred it was told that nothing it was sure of was right; lessons mend that."""
    policy = AutoMix()
    for at in range(100):
        policy.observe(
            record(verified("small", 1.0, "x"), attempt("large", "y"), record_id=f"bad{at}")
        )
    world = MadeWorld(policy, seeded(2), {"small": 0.95, "medium": 0.96, "large": 0.97})
    world.serve(1500)
    kept = [r for r in world.records[-200:] if r.attempts[-1].tier == "small"]
    assert len(kept) > 100
