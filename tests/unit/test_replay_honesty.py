"""What the gateway would report of a run, where the truth is made."""

from collections.abc import Mapping
from random import Random

import pytest

from app.records import Record
from app.replay.baselines import truth_of
from app.replay.figures import Runs
from app.replay.honesty import Honesty, Witness, honesty
from app.replay.noticing import Noticed
from app.replay.policies import Choice, build_policy
from app.replay.run import Course, run
from app.reporting.sightings import SERVED
from tests.support.loop import Drawing
from tests.support.recordings import MODELS, answer, course, line
from tests.support.records import record

pytestmark = pytest.mark.anyio

QUERIES = 200


def laid_out() -> Course:
    """Small is right in half the cases, alone when it is wrong; the others always are."""
    rng = Random(2)  # noqa: S311
    lines = []
    for number in range(QUERIES):
        right = rng.random() < 0.5
        small = answer("small", "x" if right else f"lost {number}", correct=right, verdict="yes")
        medium = answer("medium", "x", correct=True, verdict="yes")
        lines.append(line(number, small, medium, answer("large", "x", correct=True)))
    return course(lines)


async def reported(made: Course, policies: list[Drawing]) -> Honesty:
    """Of one run a policy, each along the file."""
    witnesses, streams = [], []
    for policy in policies:
        witnesses.append(Witness(MODELS))
        order = list(range(QUERIES))
        streams.append(await run(made, policy, order, seed=1, watches=[witnesses[-1].note]))
    return honesty(witnesses, Runs(streams), truth_of(made))


async def test_with_every_lesson_the_report_is_the_truth_up_to_what_labels_can_say() -> None:
    made = laid_out()
    found = await reported(made, [Drawing(("full",), tenant="replay")])

    served, large = found.accuracy[SERVED], found.accuracy["large"]
    true = float(truth_of(made).correct[0].mean())
    assert list(found.accuracy) == [SERVED, *MODELS]
    assert served.true == found.accuracy["small"].true == pytest.approx(true)
    assert large.true == 1
    assert served.reported is not None
    assert served.error == pytest.approx(served.reported - true)
    assert served.worst == pytest.approx(abs(served.error or 0))
    # Labels of agreement and disagreement are fixed, and do not say 1 and 0.
    assert abs(served.error or 0) < 0.1
    assert served.n_eff == pytest.approx(QUERIES)
    assert (found.requests, found.changes, served.orders) == (QUERIES, 0, 1)


async def test_without_lessons_nothing_is_reported() -> None:
    made = laid_out()
    witness = Witness(MODELS)
    policy = build_policy(Choice("cascade"), made.tiers)
    stream = await run(made, policy, list(range(QUERIES)), seed=1, watches=[witness.note])

    found = honesty([witness], Runs([stream]), truth_of(made))

    assert {each.reported for each in found.accuracy.values()} == {None}
    assert {each.error for each in found.accuracy.values()} == {None}
    assert {each.orders for each in found.accuracy.values()} == {0}


async def test_orders_in_which_too_little_was_seen_do_not_count() -> None:
    made = laid_out()
    learns, does_not = (Drawing(drawn, tenant="replay") for drawn in (("full",), ()))

    found = await reported(made, [learns, does_not])

    assert found.accuracy[SERVED].orders == 1
    assert found.accuracy[SERVED].n_eff == pytest.approx(QUERIES / 2)


class Noticing(Drawing):
    """Says that tiers have changed as it is told to."""

    said: Mapping[str, float]

    def changes(self, tenant: str) -> Mapping[str, float]:
        assert tenant == "local"
        return self.said


def test_a_change_is_noticed_once_and_again_only_where_it_is_another() -> None:
    policy = Noticing()
    noticed = Noticed(policy)
    told: list[Mapping[str, float]] = [
        {},
        {"small": 1.0},
        {"small": 1.0},
        {"small": 9.0, "large": 2.0},
    ]
    seen: Record = record()
    for said in told:
        policy.said = said
        noticed.note(seen)

    assert noticed.changes == [(1, "small"), (3, "small"), (3, "large")]


def test_a_policy_that_does_not_look_out_notices_nothing() -> None:
    noticed = Noticed(Drawing())
    noticed.note(record())

    assert noticed.changes == []
