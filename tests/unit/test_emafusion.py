"""EMAFusion: what is usual of a task, near records beside it, and the second judge in doubt."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from app.errors import SettingsError
from app.learning.amounts import Label
from app.learning.kinds import Kinds
from app.learning.sketches import sketch_of
from app.policies import build_policies
from app.policies.emafusion import EmaFusion, second_judge
from app.policy import Accept, Action, Ask, Context, Judge
from app.records import Attempt, Evidence, Record, Verdict, record_from_json
from app.settings.configuration import build_settings
from app.tiers import TierLadder
from tests.support.made_world import TIERS, MadeWorld, Topic, accuracy, ladder, place

EASY = Topic("easy", place(1), {"small": 0.95, "medium": 0.96, "large": 0.98})
HARD = Topic("hard", place(2), {"small": 0.1, "medium": 0.5, "large": 0.95})
RATE = 8.0


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311


def given(topic: Topic, *, tenant: str = "local", task: str | None = None) -> Context:
    return Context(
        ladder(), (), seeded(0), prompt_tokens=100, tenant=tenant, vector=topic.at, task=task
    )


def attempt(tier: str, *verdicts: tuple[bool | None, str]) -> Attempt:
    said = [Verdict(valid, by) for valid, by in verdicts]
    return Attempt(tier, "direct", outcome="complete", final_answer="x", verdicts=said)


def driven(policy: EmaFusion, verdicts: Sequence[bool | None]) -> list[Action]:
    """What it does until it has an answer, with these verdicts in turn; then all are accepted."""
    context = replace(given(EASY), ladder=ladder((0.7, 0.72, 0.95)))
    attempts, left = list[Attempt](), list(verdicts)
    actions: list[Action] = []
    while not actions or not isinstance(actions[-1], Accept):
        action = policy.next(context, attempts)
        actions.append(action)
        if isinstance(action, Ask):
            attempts.append(attempt(action.tier))
        elif isinstance(action, Judge):
            attempts[action.attempt].verdicts.append(
                Verdict(left.pop(0) if left else True, action.by)
            )
        elif not isinstance(action, Accept):
            pytest.fail(f"it gave up: {action}")
    return actions


def judges(actions: Sequence[Action]) -> list[str]:
    """Those of the first answer."""
    return [a.by for a in actions if isinstance(a, Judge) and a.attempt == 0]


def test_it_learns_each_kind_of_question_without_being_told_which_there_are() -> None:
    policy = EmaFusion(quality_per_dollar=RATE)
    played = MadeWorld(policy, seeded(5), {}, topics=(EASY, HARD))
    played.serve(300)

    easy, hard = policy.priors(given(EASY)), policy.priors(given(HARD))
    assert easy["small"] > 0.8
    assert hard["small"] < 0.4
    assert accuracy(played.records[-150:]) > 0.8
    starts = [record.attempts[0].tier for record in played.of(EASY, 150)]
    assert starts.count("small") / len(starts) > 0.8


def test_a_task_that_is_named_is_known_by_its_name_wherever_its_questions_lie() -> None:
    policy = EmaFusion(quality_per_dollar=RATE)
    named = replace(HARD, at=EASY.at, task="proofs")
    MadeWorld(policy, seeded(5), {}, topics=(EASY, named)).serve(500)

    assert policy.priors(given(named, task="proofs"))["small"] < 0.5
    assert policy.priors(given(EASY))["small"] > policy.priors(given(named, task="proofs"))["small"]


def test_near_records_outweigh_the_kind_where_there_are_many() -> None:
    policy = EmaFusion(quality_per_dollar=RATE)
    played = MadeWorld(policy, seeded(5), {}, topics=(EASY,))
    played.serve(100)
    context = played.asked(EASY)
    few = replace(context, neighbours=())

    near, kind = policy.estimates(context)["small"], policy.estimates(few)["small"]

    assert kind.accuracy == pytest.approx(kind.prior)
    assert near.weight_right + near.weight_wrong > 3


def test_in_the_grey_band_another_tier_judges_too_and_both_must_accept() -> None:
    policy = EmaFusion(quality_per_dollar=RATE, grey=(0.0, 1.0))

    agreed = driven(policy, [True, True])
    split = driven(policy, [True, False])

    assert judges(agreed) == ["medium", "large"]
    assert isinstance(agreed[-1], Accept)
    assert agreed[-1].attempt == 0
    later = [action.tier for action in split if isinstance(action, Ask)]
    assert later[:2] == ["small", "medium"]


def test_a_second_judge_that_has_no_verdict_is_no_acceptance() -> None:
    policy = EmaFusion(quality_per_dollar=RATE, grey=(0.0, 1.0))

    actions = driven(policy, [True, None])

    assert [action.tier for action in actions if isinstance(action, Ask)] == ["small", "medium"]


def test_outside_the_band_and_after_a_rejection_one_judge_is_enough() -> None:
    sure = EmaFusion(quality_per_dollar=RATE, grey=(0.1, 0.2))
    assert judges(driven(sure, [True])) == ["medium"]

    grey = EmaFusion(quality_per_dollar=RATE, grey=(0.0, 1.0))
    assert judges(driven(grey, [False])) == ["medium"]


def test_the_second_judge_is_of_another_family_where_there_is_one() -> None:
    tiers = ladder().tiers
    models = ("gpt-5-nano", "gpt-5", "claude-opus")
    named = [tier.model_copy(update={"model": m}) for tier, m in zip(tiers, models, strict=True)]

    small = attempt("small", (True, "small"))
    assert second_judge(TierLadder(tuple(named)), small) == "large"
    assert second_judge(ladder(), attempt("small", (True, "large"))) == "medium"
    assert second_judge(TierLadder(tiers[:2]), attempt("small", (True, "medium"))) is None


def test_kinds_are_the_same_from_the_written_records_and_late_labels_replace_early_ones() -> None:
    policy = EmaFusion(quality_per_dollar=RATE)
    played = MadeWorld(policy, seeded(6), {}, topics=(EASY, HARD))
    played.serve(120)
    restored = EmaFusion(quality_per_dollar=RATE)
    for record in played.records:
        read = record_from_json(record.to_json())
        assert read is not None
        restored.observe(read)
    assert restored.priors(given(HARD)) == pytest.approx(policy.priors(given(HARD)), abs=0.01)

    kinds = Kinds()
    sketch, overall = sketch_of(EASY.at), {"small": 0.6}
    kinds.learn("r", None, sketch, {"small": Label(0.0, 5.0)})
    kinds.learn("r", None, sketch, {"small": Label(1.0, 5.0)})
    once = Kinds()
    once.learn("r", None, sketch, {"small": Label(1.0, 5.0)})
    found = kinds.rates(kinds.kinds_of(None, sketch), overall)
    assert found == pytest.approx(once.rates(once.kinds_of(None, sketch), overall))


def test_without_vectors_and_tasks_it_goes_by_the_priors() -> None:
    policy = EmaFusion()
    context = Context(ladder(), (), seeded(0), prompt_tokens=100, tenant="local")

    assert [policy.priors(context)[tier] for tier in TIERS] == pytest.approx([0.6, 0.75, 0.9])
    assert isinstance(policy.next(context, []), Ask)


def test_more_kinds_than_fit_are_put_to_the_nearest() -> None:
    kinds = Kinds()
    for seed in range(60):
        kinds.learn(f"{seed}", None, sketch_of(place(seed)), {})

    assert len({kinds.kinds_of(None, sketch_of(place(seed))) for seed in range(60)}) <= 33


def test_tenants_teach_each_other_nothing() -> None:
    policy = EmaFusion()
    for number in range(30):
        evidence = {"u": Evidence("feedback", False, "u", 0.0)}
        record = Record(
            f"{number}", 0.0, "other", "routed", "p", "1", TIERS, TIERS, task="t", evidence=evidence
        )
        record.attempts, record.served = [attempt("small")], 0
        policy.observe(record)

    assert policy.priors(given(EASY, tenant="other", task="t"))["small"] < 0.3
    assert policy.priors(given(EASY, task="t"))["small"] == pytest.approx(0.6)


def test_its_settings_are_heard_and_a_band_upside_down_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values: dict[str, object] = {
        "providers": {"p": {"base_url": "http://127.0.0.1:9/v1"}},
        "tiers": ladder().tiers,
        "emafusion": {"quality_per_dollar": 3},
    }
    assert "quality_per_dollar=3" in build_policies(build_settings(values))["emafusion"].version

    monkeypatch.setenv("AUTOSHIFT_EMAFUSION__GREY", "[0.8, 0.2]")
    with pytest.raises(SettingsError, match=r"0\.8 is over 0\.2; give low, then high"):
        build_settings(values)
