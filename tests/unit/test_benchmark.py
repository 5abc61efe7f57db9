"""The benchmark policy: what graded questions say of a new one, and when own records take over."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import orjson
import pytest

from app.errors import SettingsError
from app.learning.amounts import Label
from app.learning.clusters import Array, cluster
from app.learning.evaluations import Evaluation, good_enough, read_evaluations
from app.neighbours import Neighbour
from app.planning.cascading import Rung, believed, start_of, worths
from app.planning.fusion import fused
from app.policies import build_policies
from app.policies.benchmark import Benchmark, Graded, graded
from app.policy import Ask, Context
from app.records import Record, Vector
from app.settings.configuration import build_settings
from tests.support.made_world import PRIORS, TIERS, MadeWorld, Topic, ladder, place

EASY = Topic("easy", place(1), {"small": 0.95, "medium": 0.96, "large": 0.98})
HARD = Topic("hard", place(2), {"small": 0.1, "medium": 0.6, "large": 0.95})
RATE = 20.0
"""So much accuracy must one more USD buy: by list price the medium tier's answer costs 0.07."""


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311


def sampled(
    *topics: Topic, each: int = 150, few: dict[str, int] | None = None, seed: int = 3
) -> tuple[list[Evaluation], Array]:
    """Graded questions of these topics; of the tiers in `few` only so many, spread over them."""
    rng, found, vectors = seeded(seed), [], []
    for number in range(each):
        for at, topic in enumerate(topics):
            ranked = number * len(topics) + at
            graded_by = [tier for tier in TIERS if ranked < (few or {}).get(tier, each * 99)]
            scores = {tier: float(rng.random() < topic.skill[tier]) for tier in graded_by}
            found.append(Evaluation(topic.name, scores))
            vectors.append(topic.question(rng).astype(np.float64))
    return found, np.array(vectors)


def known(*topics: Topic, few: dict[str, int] | None = None) -> Graded:
    return graded(*sampled(*topics, few=few), ladder())


def given(vector: Vector, neighbours: Sequence[Neighbour] = ()) -> Context:
    return Context(
        ladder(), neighbours, seeded(0), prompt_tokens=100, tenant="local", vector=vector
    )


def test_the_first_question_of_all_goes_where_the_file_says() -> None:
    policy = Benchmark(known(EASY, HARD), quality_per_dollar=RATE)

    easy, hard = (policy.next(given(topic.at), []) for topic in (EASY, HARD))

    assert isinstance(easy, Ask)
    assert isinstance(hard, Ask)
    assert (easy.tier, hard.tier != "small") == ("small", True)
    rates = policy.priors(given(HARD.at))
    assert [rates[tier] for tier in TIERS] == pytest.approx([0.1, 0.6, 0.95], abs=0.1)


def test_a_question_unlike_all_that_was_graded_gets_the_tiers_overall_rates() -> None:
    policy = Benchmark(known(EASY, HARD))

    overall = policy.priors(Context(ladder(), (), seeded(0), tenant="local"))

    for seed in range(50, 60):
        far = policy.priors(given(place(seed)))
        assert far == pytest.approx(overall, abs=0.08)
    assert overall["small"] == pytest.approx(0.525, abs=0.08)


def test_a_new_tier_is_taken_up_from_a_few_dozen_evaluations() -> None:
    rates = Benchmark(known(EASY, HARD, few={"medium": 24}))

    easy, hard = rates.priors(given(EASY.at)), rates.priors(given(HARD.at))

    assert easy["medium"] > 0.8
    assert 0.3 < hard["medium"] < 0.65


def test_a_tier_that_nobody_graded_is_as_its_prior_says_and_harder_where_others_fail() -> None:
    rates = Benchmark(known(EASY, HARD, few={"medium": 0}))

    assert (
        rates.priors(given(HARD.at))["medium"] < PRIORS[1] < rates.priors(given(EASY.at))["medium"]
    )


def test_answers_within_t_of_the_strong_tiers_count_as_right() -> None:
    one = Evaluation("q", {"small": 0.5, "medium": 0.91, "large": 0.95})

    assert good_enough(one, "large", 0.05) == {"small": 0.0, "medium": 1.0, "large": 1.0}
    assert good_enough(one, "large", None) == one.scores
    assert good_enough(Evaluation("q", {"small": 0.5}), "large", 0.05) == {"small": 0.5}


def test_own_records_take_over_from_a_file_that_is_wrong() -> None:
    lying = Topic("hard", HARD.at, {"small": 0.95, "medium": 0.97, "large": 0.98})
    policy = Benchmark(known(lying), quality_per_dollar=RATE)
    assert policy.estimates(given(HARD.at))["small"].accuracy > 0.85

    played = MadeWorld(policy, seeded(4), {}, topics=(HARD,))
    played.serve(400)

    assert policy.estimates(played.asked(HARD))["small"].accuracy < 0.5
    starts = [record.attempts[0].tier for record in played.records[-100:]]
    assert starts.count("small") < 50


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "line 21: not JSON"),
        ("[1]", "line 21: not an object"),
        ('{"scores": {"small": 1}}', "line 21: question must be a text"),
        ('{"question": " ", "scores": {"small": 1}}', "line 21: question must be a text"),
        ('{"question": "q"}', "line 21: scores must be an object"),
        ('{"question": "q", "scores": {}}', "line 21: scores must be an object"),
        ('{"question": "q", "scores": {"big": 1}}', "line 21: 'big' is no tier; known: small"),
        ('{"question": "q", "scores": {"small": 2}}', "'small' must be a number from 0 to 1"),
        ('{"question": "q", "scores": {"small": true}}', "'small' must be a number from 0 to 1"),
        ('{"question": "q", "scores": {"small": "1"}}', "'small' must be a number from 0 to 1"),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong_there(
    tmp_path: Path, line: str, wrong: str
) -> None:
    path = tmp_path / "graded.jsonl"
    good = '{"question": "q", "scores": {"small": 1}}\n'
    path.write_text(20 * good + line + "\n", encoding="utf-8")

    with pytest.raises(SettingsError, match=wrong) as failure:
        read_evaluations(path, TIERS)

    assert str(path) in failure.value.message


def test_a_file_that_is_missing_or_too_short_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read: No such file"):
        read_evaluations(tmp_path / "none.jsonl", TIERS)
    (tmp_path / "short.jsonl").write_text('{"question": "q", "scores": {"small": 1}}\n')
    with pytest.raises(SettingsError, match=r"has 1 questions; it needs 20 at least"):
        read_evaluations(tmp_path / "short.jsonl", TIERS)


def test_a_configured_file_is_read_and_embedded(tmp_path: Path) -> None:
    sums = [(f"What is {n} plus {n + 3}? Give the sum.", 1.0) for n in range(40)]
    poems = [(f"Write a poem about the sea in {n} lines of verse.", 0.0) for n in range(40)]
    lines = [
        orjson.dumps({"question": text, "scores": {"small": right, "large": 1.0}})
        for text, right in (*sums, *poems)
    ]
    path = tmp_path / "graded.jsonl"
    path.write_bytes(b"\n".join(lines))
    values: dict[str, object] = {
        "providers": {"p": {"base_url": "http://127.0.0.1:9/v1"}},
        "tiers": ladder().tiers,
        "benchmark": {"file": str(path)},
    }

    policy = build_policies(build_settings(values, where="test"))["benchmark"]

    assert "clusters=2" in policy.version


def test_clusters_are_the_topics_and_the_same_ones_each_time() -> None:
    topics = [Topic(f"{seed}", place(seed), {}) for seed in range(4)]
    rng = seeded(1)
    vectors = np.array([topic.question(rng) for topic in topics for _ in range(30)])

    found, member = cluster(vectors.astype(np.float64), 4)
    again, _ = cluster(vectors.astype(np.float64), 4)

    assert np.array_equal(found.centres, again.centres)
    assert {len(set(member[at : at + 30].tolist())) for at in range(0, 120, 30)} == {1}
    assert len(set(member.tolist())) == 4
    inside, outside = found.place(topics[0].at), found.place(place(77))
    assert inside[1] > 0.9
    assert outside[1] < 0.5


def test_copies_of_one_question_are_one_cluster() -> None:
    vectors = np.tile(place(1).astype(np.float64), (30, 1))

    found, _ = cluster(vectors, 5)

    assert len(found.centres) == 1
    assert found.place(place(1))[1] > 0.99


def test_a_start_counts_what_the_judge_catches() -> None:
    """By hand: unjudged .6 - .0; judged .6·.9 - .05 + (1 - .66)·(.8·.9 - .2) = .6668."""
    small = Rung(accuracy=0.6, rates=(0.9, 0.3), ask=0.0, judge=0.05)
    large = Rung(accuracy=0.9, rates=(0.9, 0.3), ask=0.2, judge=None)

    first, top = worths([small, large])

    assert first.value == pytest.approx(0.54 - 0.05 + 0.34 * 0.52)
    assert first.judged
    assert top.value == pytest.approx(0.7)
    # Alone, the small tier would be .1 behind; as a start it is a third of that.
    assert start_of([first, top]) == 1
    assert start_of(worths([Rung(0.7, (0.9, 0.3), 0.0, 0.05), large])) == 0
    assert believed(0.6, (0.9, 0.3), valid=True) == pytest.approx(0.54 / 0.66)
    assert believed(0.6, (0.9, 0.3), valid=False) == pytest.approx(0.06 / 0.34)


def test_many_far_neighbours_amount_to_little_and_a_few_near_ones_to_themselves() -> None:
    record = Record("r", 0.0, "local", "routed", "p", "1", TIERS, TIERS)
    priors = dict.fromkeys(TIERS, 0.5)

    def estimate(similarity: float, count: int) -> float:
        near = tuple(Neighbour(similarity, record) for _ in range(count))
        return fused(given(EASY.at, near), priors, lambda _: {"small": Label(0.9, 1.0)}, 4.0)[
            "small"
        ].accuracy

    assert estimate(0.2, 50) == pytest.approx(0.5, abs=0.02)
    assert estimate(1.0, 4) == pytest.approx(0.7)
    assert estimate(1.0, 50) > 0.85
