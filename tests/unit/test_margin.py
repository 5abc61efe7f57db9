"""Margins: what a model's token probabilities say of its answer, and what follows from them."""

from collections.abc import Sequence
from dataclasses import replace
from math import log

import pytest

from app.margins import SHORT_TOKENS, asking_for_logprobs, gaps, margin_of
from app.planning.prefilter import HEARD_MIN, Prefilter
from app.policies.margin import Margin
from app.policy import Accept, Action, Ask, Context, Judge
from app.records import Attempt, Record, Verdict
from app.replay.policies import Choice, build_policy
from app.replay.run import run
from app.tiers import Tier
from app.wire import parse_request
from tests.support.made_world import TIERS, attempt, given
from tests.support.recordings import answer, course, line

REFUSED = Verdict(valid=False, by="check:schema")


def token(*chances: float) -> dict[str, object]:
    """A token as the provider tells it, with its alternatives."""
    words = [{"token": f"{at}", "logprob": log(chance)} for at, chance in enumerate(chances)]
    return {**words[0], "top_logprobs": words}


def sure(tier: str, margin: float | None, *verdicts: Verdict) -> Attempt:
    made = attempt(tier, "a", *verdicts)
    made.margin = margin
    return made


def record(*attempts: Attempt, record_id: str = "r", tenant: str = "local") -> Record:
    return Record(
        id=record_id,
        time_s=0.0,
        tenant=tenant,
        kind="routed",
        policy="margin",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=list(attempts),
        served=len(attempts) - 1,
        outcome="answered",
    )


def taught(margins: Sequence[float], share: float = 0.3) -> Margin:
    """A policy that has seen these margins of the lowest tier."""
    policy = Margin(escalate_share=share)
    for at, margin in enumerate(margins):
        policy.observe(record(sure("small", margin), record_id=f"{at}"))
    return policy


def test_a_gap_is_the_likeliest_token_less_the_next() -> None:
    found = list(gaps({"content": [token(0.7, 0.2), token(0.6, 0.3)]}))
    assert found == pytest.approx([0.5, 0.3])


def test_of_a_token_without_alternatives_it_is_the_least_that_it_can_be() -> None:
    told = {"content": [{"token": "a", "logprob": log(0.9)}]}
    assert list(gaps(told)) == pytest.approx([0.8])
    assert list(gaps({"content": [{**told["content"][0], "top_logprobs": []}]})) == pytest.approx(
        [0.8]
    )


@pytest.mark.parametrize(
    "nonsense",
    [None, [], {}, {"content": None}, {"content": [None, 3, {"logprob": "x"}]}, {"content": "a"}],
)
def test_what_cannot_be_read_says_nothing(nonsense: object) -> None:
    assert list(gaps(nonsense)) == []
    assert margin_of([]) is None


def test_a_short_answer_goes_by_its_first_token_a_longer_one_by_its_least_sure() -> None:
    """The mean of the longer one is .91: most tokens are certain in any answer."""
    assert margin_of([0.2, 1.0, 1.0]) == 0.2
    longer = [1.0, 0.1, 0.2, 0.3, *[1.0] * 16]
    assert len(longer) > SHORT_TOKENS
    assert margin_of(longer) == 0.3  # the third lowest of twenty: a tenth lies below


def test_only_a_tier_known_to_tell_logprobs_is_asked_for_them() -> None:
    raw = b'{"model": "auto", "messages": [{"role": "user", "content": "hi"}]}'
    request = parse_request(raw, {})
    unknown = Tier(name="a", provider="p", model="m", prior=0.5)
    able = Tier(name="a", provider="p", model="m", prior=0.5, supports=frozenset({"logprobs"}))
    drops = able.model_copy(update={"drops": frozenset({"logprobs"})})

    assert asking_for_logprobs(request, able).body["top_logprobs"] == 2
    for tier in (unknown, drops):
        assert asking_for_logprobs(request, tier) is request
    asked = replace(request, body=request.body | {"logprobs": True, "top_logprobs": 5})
    assert asking_for_logprobs(asked, able) is asked


def test_the_least_sure_share_is_passed_on_and_the_rest_stands() -> None:
    policy = taught([at / 100 for at in range(100)])
    passed = [
        policy.next(given(seed=at), [sure("small", at / 100)]) != Accept(0) for at in range(100)
    ]
    assert passed[:29] == [True] * 29
    assert passed[31:] == [False] * 69


def test_where_all_are_alike_the_share_holds_all_the_same() -> None:
    """Ties, and the empty state: a coin breaks them."""
    for policy in (taught([0.5] * 200), taught([])):
        passed = [
            isinstance(policy.next(given(seed=at), [sure("small", 0.5)]), Ask) for at in range(400)
        ]
        assert sum(passed) / 400 == pytest.approx(0.3, abs=0.07)


def test_a_record_counts_once_however_often_it_is_shown() -> None:
    policy = taught([0.9] * 10)
    low = record(sure("small", 0.1), record_id="again")
    for _ in range(50):
        policy.observe(low)
    # The second lowest of twelve; had the lowest been counted fifty times, it would be sure enough.
    assert asks(policy.next(given(), [sure("small", 0.5)])) == "medium"


def test_it_starts_at_the_lowest_tier_asks_for_logprobs_and_goes_one_up() -> None:
    policy = taught([0.9] * 50)
    first = policy.next(given(), [])
    assert isinstance(first, Ask)
    assert (first.tier, first.scored, first.live) == ("small", True, False)
    second = policy.next(given(), [sure("small", 0.1)])
    assert isinstance(second, Ask)
    assert (second.tier, second.scored, second.arrived) == ("medium", True, "after_reject")
    climbed = [sure("small", 0.1), sure("medium", None)]
    assert asks(policy.next(given(), climbed)) == "large"
    assert policy.next(given(), [*climbed, sure("large", None)]) == Accept(2)


def test_an_answer_of_unknown_certainty_is_passed_on_and_so_is_a_refused_one() -> None:
    policy = taught([0.1] * 50, share=0.0)
    assert policy.next(given(), [sure("small", 0.0)]) == Accept(0)
    assert asks(policy.next(given(), [sure("small", None)])) == "medium"
    assert asks(policy.next(given(), [sure("small", 0.9, REFUSED)])) == "medium"


def test_tenants_have_quantiles_of_their_own() -> None:
    policy = taught([0.9] * 200)
    for at in range(200):
        policy.observe(record(sure("small", 0.1), record_id=f"b{at}", tenant="b"))
    assert asks(policy.next(given(), [sure("small", 0.5)])) == "medium"
    assert policy.next(given(tenant="b"), [sure("small", 0.5)]) == Accept(0)


def asks(action: Action) -> str:
    assert isinstance(action, Ask)
    return action.tier


def filtering(*, valid: bool, share: float = 0.2) -> Prefilter:
    """A filter that has seen a hundred margins, each answer judged."""
    found = Prefilter(share)
    said = Verdict(valid=valid, by="medium")
    for at in range(200):
        found.note(record(sure("small", at % 100 / 100, said), record_id=f"{at}"))
    return found


def skipped(found: Prefilter, margin: float | None, context: Context | None = None) -> float:
    """How often the verdict is left out."""
    judge, answers = Judge(0, by="medium"), [sure("small", margin)]
    heeded = [found.heed(judge, answers, context or given(seed=at)) for at in range(200)]
    assert set(heeded) <= {judge, Accept(0)}
    return sum(action == Accept(0) for action in heeded) / 200


def test_the_surest_answers_need_no_verdict_once_judges_are_known_to_accept_them() -> None:
    found = filtering(valid=True)
    assert skipped(found, 0.99) == pytest.approx(0.9, abs=0.07)  # a tenth is judged all the same
    assert skipped(found, 0.5) == 0
    assert skipped(found, None) == 0


def test_a_model_that_is_sure_of_what_is_wrong_is_judged() -> None:
    assert skipped(filtering(valid=False), 0.99) == 0


def test_it_needs_verdicts_is_off_by_default_and_keeps_tenants_apart() -> None:
    few = Prefilter(0.2)
    for at in range(int(HEARD_MIN) - 1):
        few.note(record(sure("small", 0.9, Verdict(True, "medium")), record_id=f"{at}"))
    assert skipped(few, 0.95) == 0
    assert skipped(filtering(valid=True, share=0.0), 0.99) == 0
    assert skipped(filtering(valid=True), 0.99, given(tenant="other")) == 0


def test_a_comparison_is_never_left_out() -> None:
    found, answers = filtering(valid=True), [sure("small", 0.99), sure("medium", 0.99)]
    compare = Judge(1, by="large", against=0)
    assert {found.heed(compare, answers, given(seed=at)) for at in range(50)} == {compare}


@pytest.mark.anyio
async def test_in_replay_it_goes_by_recorded_margins() -> None:
    """Two questions the small tier was sure of, two it was not; a share of half passes those on."""
    lines = [
        line(
            at,
            answer("small", "x", correct=True, margin=margin),
            answer("medium", "x", correct=True, margin=0.9),
            answer("large", "x", correct=True),
        )
        for at, margin in enumerate((0.9, 0.1) * 30)
    ]
    laid = course(lines)
    outcomes = await run(laid, build_policy(Choice("margin", 0.5), laid.tiers), range(60), seed=1)
    passed_on = outcomes["final"][20:] > 0
    assert passed_on.tolist() == [False, True] * 20
    assert (outcomes["judge_usd"] == 0).all()
