"""The winrate policy: who wins, what share goes where, and how it starts and recovers."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.learning.belief import joint
from app.learning.contests import chance_of_win, contest
from app.learning.labels import HIGHER_DISAGREES, LOWER_DISAGREES
from app.neighbours import Neighbour
from app.planning.nearby import SHRINKAGE
from app.policies.winrate import Winrate
from app.policy import Ask, Context, Seat, Stop
from app.quantiles import KEPT, Running
from app.records import Attempt, Estimate, Evidence, Record, Start, Verdict
from tests.support.made_world import (
    TIERS,
    MadeWorld,
    Topic,
    accuracy,
    attempt,
    given,
    ladder,
    place,
    seeded,
)

EASY = Topic("easy", place(1), {"small": 0.95, "medium": 0.96, "large": 0.97})
HARD = Topic("hard", place(2), {"small": 0.15, "medium": 0.6, "large": 0.95})


def record(
    *attempts: Attempt, record_id: str = "r", taught: Sequence[Attempt] = (), score: float = 0.5
) -> Record:
    """A record of these attempts; `taught` are a lesson's."""
    estimates = {tier: Estimate(p, p) for tier, p in zip(TIERS, (0.6, 0.75, 0.9), strict=True)}
    made = Record(
        id=record_id,
        time_s=0.0,
        tenant="local",
        kind="routed",
        policy="winrate",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=list(attempts),
        served=len(attempts) - 1,
        start=Start(attempts[0].tier, {attempts[0].tier: 1.0}, estimates, score=score),
        outcome="answered",
    )
    if taught:
        made.evidence["lesson"] = Evidence(
            "lesson", None, "lesson", 1.0, 0.001, attempts=tuple(taught)
        )
    return made


def first(policy: Winrate, context: Context) -> Ask:
    action = policy.next(context, [])
    assert isinstance(action, Ask)
    assert action.start is not None
    return action


def chances(policy: Winrate, context: Context) -> dict[str, float]:
    start = first(policy, context).start
    assert start is not None
    return start.propensities


def share(records: Sequence[Record], tier: str) -> float:
    return sum(record.attempts[0].tier == tier for record in records) / len(records)


def test_a_win_is_the_strong_tier_right_and_the_weak_one_wrong() -> None:
    """Where tiers of 0.6 and 0.9 erred independently it would be 0.36; together they err more."""
    won = chance_of_win(joint([0.6, 0.9]), 0, 1)

    assert 0.3 < won < 0.36
    assert won - chance_of_win(joint([0.6, 0.9]), 1, 0) == pytest.approx(0.3, abs=5e-3)


def test_the_score_is_beta_counts_over_what_is_believed() -> None:
    """One neighbour, in which the strong tier disagreed with the weak one: the figures by hand."""
    policy = Winrate()
    prior = policy.score(given())
    near = record(attempt("small", "a"), taught=[attempt("large", "b", arrived="lesson")])
    win, weight = LOWER_DISAGREES * (1 - HIGHER_DISAGREES), 0.5

    label = contest(near, "small", "large")
    context = given(Neighbour(0.9, near))
    view = policy._nearby.view(context)  # noqa: SLF001
    before = SHRINKAGE * chance_of_win(view.belief, 0, 2)

    assert label is not None
    assert label.weight == weight
    assert label.right == pytest.approx(win)
    expected = (before + weight * win) / (SHRINKAGE + weight)
    assert policy.score(context) == pytest.approx(expected, abs=1e-6)
    assert policy.score(context) > prior


def test_a_tie_is_no_win_and_one_tier_alone_tells_nothing() -> None:
    same = record(attempt("small", "a"), taught=[attempt("large", "a", arrived="lesson")])
    label = contest(same, "small", "large")

    assert label is not None
    assert label.right < 0.05
    assert contest(record(attempt("small", "a")), "small", "large") is None


def test_an_escalation_counts_less_as_a_win_than_what_a_coin_found() -> None:
    """The strong tier was asked because the weak answer was doubted: that was no usual question."""
    refused = Verdict(valid=False, by="medium")
    climbed = record(attempt("small", "a", refused), attempt("large", "b", arrived="after_reject"))
    coin = record(attempt("small", "a"), taught=[attempt("large", "b", arrived="lesson")])
    unknown = record(attempt("small", "a", refused), attempt("large", "b", arrived="after_reject"))
    unknown.start = None

    by_climb, by_coin = contest(climbed, "small", "large"), contest(coin, "small", "large")

    assert by_climb is not None
    assert by_coin is not None
    assert by_climb.right < by_coin.right - 0.1
    assert contest(unknown, "small", "large") is None


@pytest.mark.parametrize("wanted", [0.0, 0.3, 1.0])
def test_where_nothing_is_known_the_share_is_kept_by_a_coin(wanted: float) -> None:
    """All scores are the same then: `>=` a quantile would send everything to the strong tier.

    Later they fall, as it turns out how good the weak tier is: the share is kept nevertheless.
    """
    policy = Winrate(strong_share=wanted)
    run = MadeWorld(policy, seeded(1), EASY.skill)

    assert chances(policy, given()).get("large", 0.0) == pytest.approx(wanted)
    records = run.serve(400)
    assert share(records, "large") == pytest.approx(wanted, abs=0.12)
    assert {a.tier for r in records for a in r.attempts} <= {"small", "large"}


def test_the_quantile_is_that_of_the_last_scores_and_ties_share_what_is_left() -> None:
    running = Running()
    for score in (0.1, 0.2, 0.2, 0.3):
        running.add(score)

    # Of five with the new one, two are to be strong: 0.3, and one of the three at 0.2.
    assert running.chance(0.3, 0.4) == 1.0
    assert running.chance(0.2, 0.4) == pytest.approx(1 / 3)
    assert running.chance(0.1, 0.4) == 0.0
    for _ in range(KEPT):
        running.add(0.9)
    assert running.chance(0.3, 0.4) == 0.0


def test_the_share_goes_to_the_questions_that_the_weak_tier_cannot_answer() -> None:
    """Half of the questions are hard, and half may go to the strong tier."""
    policy = Winrate(strong_share=0.5)
    run = MadeWorld(policy, seeded(2), {}, topics=(EASY, HARD))
    records = run.serve(1_200)[600:]
    hard = [r for r in records if r.text == "hard"]
    easy = [r for r in records if r.text == "easy"]

    assert share(records, "large") == pytest.approx(0.5, abs=0.08)
    assert share(hard, "large") > 0.85
    assert share(easy, "large") < 0.2
    assert accuracy(records) > 0.85  # a coin instead of the score makes 0.76


def test_a_fixed_threshold_is_reached_by_its_tie_and_shares_what_is_learned() -> None:
    policy = Winrate()
    score = policy.score(given())

    at, above = policy.at(score), policy.at(score + 1e-6)
    at.observe(record(attempt("small", "a"), score=0.9))

    assert chances(at, given()) == {"large": 1.0}
    assert chances(above, given()) == {"small": 1.0}
    assert chances(policy, given()) == {"small": 1.0}  # a lower score than the one it knows
    assert at.version != above.version


def test_a_record_that_is_shown_again_adds_no_score() -> None:
    """Shown with its evidence a second time: the score of 0.9 counts once."""
    policy = Winrate(strong_share=0.5)
    for _ in range(3):
        policy.observe(record(attempt("small", "a"), score=0.0))

    # Of this score and one that equals it, one is strong.
    assert policy._scores_of("local").chance(-1.0, 0.5) == 0.0  # noqa: SLF001
    assert policy._scores_of("local").chance(0.0, 0.5) == 0.5  # noqa: SLF001


def test_tenants_do_not_move_each_others_threshold() -> None:
    policy = Winrate(strong_share=0.5)
    for number in range(50):
        policy.observe(record(attempt("small", "a"), record_id=f"{number}", score=0.99))

    assert chances(policy, given()) == {"small": 1.0}
    assert chances(policy, given(tenant="other"))["large"] == 0.5


def test_false_wins_do_not_lock_the_weak_tier_out() -> None:
    """At a fixed threshold forty false records say that it never can; coins ask it all the same."""
    policy = Winrate(threshold=0.25)
    run = MadeWorld(policy, seeded(3), EASY.skill)
    for number in range(40):
        false = record(
            attempt("small", "a"),
            record_id=f"false-{number}",
            taught=[attempt("large", "b", arrived="lesson")],
        )
        policy.observe(false)
        run.near(Neighbour(0.9, false))

    early, late = run.serve(40), run.serve(600)[300:]

    assert share(early, "large") > 0.5
    assert share(late, "small") > 0.9


def test_the_pair_is_configured_and_gives_way_to_who_can_serve() -> None:
    policy = Winrate(strong_share=1.0, weak="small", strong="medium")
    without = replace(given(), ladder=ladder().only(frozenset({"small", "large"})))

    assert chances(policy, given()) == {"medium": 1.0}
    assert chances(policy, without) == {"large": 1.0}
    alone = replace(given(), ladder=ladder().only(frozenset({"medium"})))
    assert chances(policy, alone) == {"medium": 1.0}


def test_under_tools_the_tier_goes_on_and_a_failure_climbs() -> None:
    policy = Winrate(strong_share=1.0)
    seated = replace(given(), tool_turn=True, seat=Seat("small"))
    assert chances(policy, seated) == {"small": 1.0}

    weak = Winrate(strong_share=0.0)
    action = weak.next(given(), [Attempt("small", "direct", outcome="failed")])
    assert isinstance(action, Ask)
    assert action.tier == "medium"
    failed = [Attempt(tier, "direct", outcome="failed") for tier in TIERS]
    assert weak.next(given(), failed) == Stop(None)
