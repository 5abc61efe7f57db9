"""Best of n: what is asked again, what agreement accepts, what a judge picks."""

import pytest

from app.learning.labels import taught
from app.policies.best_of_n import BestOfN
from app.policy import Accept, Action, Ask, Context, Judge, Stop
from app.records import PROSE, Arrival, Attempt, Record, Verdict
from app.replay.policies import Choice, build_policy
from app.replay.run import run
from app.resampling import PROMPT, again, varies
from app.tiers import TierLadder
from app.wire import parse_request
from tests.support.made_world import TIERS, attempt, given, ladder
from tests.support.recordings import answer, course, line

VALID, REFUSED = Verdict(True, "medium"), Verdict(False, "medium")


def asks(action: Action) -> tuple[str, Arrival]:
    assert isinstance(action, Ask)
    return action.tier, action.arrived


def more(tier: str, said: str, *verdicts: Verdict, arrived: Arrival = "resample") -> Attempt:
    return attempt(tier, said, *verdicts, arrived=arrived)


def test_two_samples_that_agree_are_accepted_without_a_judge() -> None:
    policy, context = BestOfN(), given()
    assert asks(policy.next(context, [])) == ("small", "direct")
    assert asks(policy.next(context, [attempt("small", "a")])) == ("small", "resample")
    assert policy.next(context, [attempt("small", "a"), more("small", "a")]) == Accept(1)


def test_the_last_sample_gets_another_prompt_and_may_settle_it() -> None:
    policy, context = BestOfN(), given()
    two = [attempt("small", "a"), more("small", "b")]
    assert asks(policy.next(context, two)) == ("small", "reprompt")
    assert policy.next(context, [*two, more("small", "b", arrived="reprompt")]) == Accept(2)


def test_what_never_agrees_is_judged_in_turn_and_the_first_valid_one_is_served() -> None:
    policy, context = BestOfN(), given()
    first, second = attempt("small", "a"), more("small", "b")
    third = more("small", "c", arrived="reprompt")
    assert policy.next(context, [first, second, third]) == Judge(0, by="medium")
    first.verdicts.append(REFUSED)
    assert policy.next(context, [first, second, third]) == Judge(1, by="medium")
    second.verdicts.append(VALID)
    assert policy.next(context, [first, second, third]) == Judge(2, by="medium")
    third.verdicts.append(REFUSED)
    assert policy.next(context, [first, second, third]) == Accept(1)
    second.verdicts[0] = REFUSED
    assert asks(policy.next(context, [first, second, third])) == ("medium", "after_reject")


def test_a_dearer_answer_stands_where_it_agrees_with_a_sample() -> None:
    policy, context = BestOfN(), given()
    refused = [
        attempt("small", "a", REFUSED),
        more("small", "b", REFUSED),
        more("small", "c", REFUSED, arrived="reprompt"),
    ]
    up = more("medium", "b", arrived="after_reject")
    assert policy.next(context, [*refused, up]) == Accept(3)
    other = more("medium", "d", arrived="after_reject")
    assert asks(policy.next(context, [*refused, other])) == ("medium", "resample")


def test_prose_is_judged_at_once_since_nobody_can_tell_whether_it_agrees() -> None:
    policy, context = BestOfN(), given()
    prose = attempt("small", f"{PROSE}1")
    assert policy.next(context, [prose]) == Judge(0, by="medium")
    prose.verdicts.append(VALID)
    assert policy.next(context, [prose]) == Accept(0)
    prose.verdicts[0] = REFUSED
    assert asks(policy.next(context, [prose])) == ("small", "resample")


def test_where_the_next_tier_costs_little_more_it_is_asked_instead() -> None:
    """Each tier of this ladder is ten times as dear as the one below."""
    assert asks(BestOfN(dearer=9).next(given(), [attempt("small", "a")]))[1] == "resample"
    assert BestOfN(dearer=11).next(given(), [attempt("small", "a")]) == Judge(0, by="medium")
    unpriced = Context(ladder_without_prices(), (), given().rng)
    assert BestOfN().next(unpriced, [attempt("small", "a")]) == Judge(0, by="medium")


def ladder_without_prices() -> TierLadder:
    made = ladder()
    return TierLadder(tuple(tier.model_copy(update={"price": None}) for tier in made.tiers))


def test_a_request_that_is_the_same_every_time_gets_the_other_prompt_only() -> None:
    context = given()
    same = Context(context.ladder, (), context.rng, varies=False)
    one = attempt("small", "a")
    assert asks(BestOfN().next(same, [one])) == ("small", "reprompt")
    both = [one, more("small", "b", arrived="reprompt")]
    assert BestOfN().next(same, both) == Judge(0, by="medium")


def test_a_sample_that_fails_is_not_asked_for_again() -> None:
    failed = Attempt("small", "resample", outcome="failed")
    one = attempt("small", "a")
    assert BestOfN().next(given(), [one, failed]) == Judge(0, by="medium")
    one.verdicts.append(VALID)
    assert BestOfN().next(given(), [one, failed]) == Accept(0)
    one.verdicts[0] = REFUSED
    assert asks(BestOfN().next(given(), [one, failed])) == ("medium", "after_failure")
    alone = Attempt("small", "direct", outcome="failed")
    assert asks(BestOfN().next(given(), [alone])) == ("medium", "after_failure")


def test_tools_and_the_top_tier_are_asked_once() -> None:
    context = given()
    tools = Context(context.ladder, (), context.rng, tools=True)
    assert BestOfN().next(tools, [attempt("small", "a")]) == Judge(0, by="medium")
    assert BestOfN().next(given(), [attempt("large", "a")]) == Accept(0)
    broken = attempt("large", "a", Verdict(False, "check:schema"))
    assert BestOfN().next(given(), [broken]) == Stop(0)


@pytest.mark.parametrize(
    ("more_of_it", "differs"),
    [("", True), (', "seed": 1', False), (', "temperature": 0', False)],
)
def test_what_varies(more_of_it: str, differs: bool) -> None:
    body = f'{{"model": "auto", "messages": [{{"role": "user", "content": "hi"}}]{more_of_it}}}'
    assert varies(parse_request(body.encode(), {})) == differs


def test_the_other_prompt_stands_behind_the_clients_own_instructions() -> None:
    raw = (
        b'{"model": "auto", "messages": [{"role": "system", "content": "be brief"},'
        b' {"role": "user", "content": "hi"}]}'
    )
    request = parse_request(raw, {})
    tried = [attempt("small", "a")]
    assert again(request, "after_reject", "medium", tried) is request
    plain = again(request, "resample", "small", tried)
    assert (plain.body, plain.sample) == (request.body, 1)
    other = again(request, "reprompt", "small", [*tried, more("small", "b")])
    assert [m["content"] for m in other.body["messages"]] == ["be brief", PROMPT, "hi"]
    assert (other.messages, other.sample) == (other.body["messages"], 2)
    assert len(request.messages) == 2  # the client's own is as it was
    form = parse_request(raw[:-1] + b', "response_format": {"type": "json_object"}}', {})
    assert again(form, "reprompt", "small", tried).body == form.body


def test_what_a_record_teaches_of_a_tier_is_its_first_answer() -> None:
    record = Record(
        id="r",
        time_s=0.0,
        tenant="local",
        kind="routed",
        policy="best_of_n",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=[attempt("small", "a"), more("small", "b"), more("medium", "b")],
        served=2,
        outcome="answered",
    )
    of_small = next(one for one in taught(record) if one.tier == "small")
    assert of_small.label((0.9, 0.3)).right < 0.5


@pytest.mark.anyio
async def test_in_replay_further_answers_are_those_that_were_recorded() -> None:
    repeats = [answer("small", "y", correct=True), answer("small", "y", correct=True)]
    lines = [
        line(
            at,
            answer("small", "x", correct=False, repeats=repeats),
            answer("medium", "y", correct=True),
            answer("large", "y", correct=True),
        )
        for at in range(5)
    ]
    laid = course(lines)
    outcomes = await run(laid, build_policy(Choice("best_of_n"), laid.tiers), range(5), seed=1)
    assert outcomes["answers"].tolist() == [3] * 5
    assert outcomes["final"].tolist() == [0] * 5
