"""The value policy: its steps, what its records teach, and how it recovers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest

from app.learning.judge_rates import USUAL_RATES
from app.learning.labels import Taught, judged_by_coin, taught
from app.neighbours import Neighbour
from app.planning.climb import judge_rule
from app.planning.nearby import Nearby
from app.policies.value import Value
from app.policy import Accept, Ask, Context, Judge, Seat, Stop
from app.records import (
    Arrival,
    Attempt,
    AttemptOutcome,
    Estimate,
    Evidence,
    Lessons,
    Record,
    Start,
    Verdict,
    record_from_json,
)
from app.tiers import Price, Tier, TierLadder

TIERS = ("small", "medium", "large")
LADDER = TierLadder(
    tuple(
        Tier(name=name, provider="p", model=name, prior=prior, price=Price(input=usd, output=usd))
        for name, prior, usd in zip(TIERS, (0.6, 0.75, 0.9), (1, 10, 100), strict=True)
    )
)
REFUSED = Verdict(valid=False, by="medium", cost_usd=0.001)
VALID = Verdict(valid=True, by="medium", cost_usd=0.001)
CHECK_REFUSED = Verdict(valid=False, by="check:json")


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - nothing here is a secret


def context(*neighbours: Neighbour, ladder: TierLadder = LADDER) -> Context:
    return Context(ladder, neighbours, seeded(0), prompt_tokens=100, tenant="local")


def attempt(
    tier: str,
    answer: str | None,
    *verdicts: Verdict,
    arrived: Arrival = "direct",
    outcome: AttemptOutcome = "complete",
    cost_usd: float = 0.001,
) -> Attempt:
    return Attempt(
        tier,
        arrived,
        outcome=outcome,
        final_answer=answer,
        verdicts=list(verdicts),
        cost_usd=cost_usd,
    )


def record(*attempts: Attempt, record_id: str = "r", start: Start | None = None) -> Record:
    """A record of these attempts, the last one served."""
    return Record(
        id=record_id,
        time_s=0.0,
        tenant="local",
        kind="routed",
        policy="value",
        policy_version="1",
        ladder=TIERS,
        eligible=TIERS,
        attempts=list(attempts),
        served=len(attempts) - 1,
        outcome="answered",
        start=start,
    )


def with_lesson(told: Record, *lessons: Attempt, drawn: tuple[str, ...] = ("large",)) -> Record:
    """The record, with these answers asked afterwards because of these coins."""
    told.lessons = Lessons(dict.fromkeys((*TIERS, "full"), 0.1), drawn)
    usd = sum(lesson.cost_usd or 0.0 for lesson in lessons)
    usd += sum(v.cost_usd or 0.0 for lesson in lessons for v in lesson.verdicts)
    told.evidence["lesson"] = Evidence(
        "lesson", None, "lesson", told.time_s + 1, usd, attempts=lessons
    )
    return told


def labels(*attempts: Attempt) -> dict[str, tuple[float, float]]:
    """What a record of these attempts teaches: right, and weight."""
    found = {one.tier: one.label(USUAL_RATES) for one in taught(record(*attempts))}
    return {tier: (round(one.right, 9), round(one.weight, 9)) for tier, one in found.items()}


def started() -> Start:
    return Start("small", {"small": 1.0}, {t.name: Estimate(t.prior, t.prior) for t in LADDER})


def test_the_first_request_is_routed_by_the_priors() -> None:
    action = Value().next(context(), [])

    assert isinstance(action, Ask)
    assert action.arrived == "direct"
    assert action.start is not None
    assert action.start.propensities == {action.tier: 1.0}
    estimates = action.start.estimates
    assert [estimates[tier].accuracy for tier in TIERS] == pytest.approx([0.6, 0.75, 0.9])


def first_tier(policy: Value) -> str:
    action = policy.next(context(), [])
    assert isinstance(action, Ask)
    return action.tier


def test_money_that_must_buy_more_starts_lower() -> None:
    starts = [
        TIERS.index(first_tier(Value(quality_per_dollar=dial))) for dial in (1, 10, 100, 10_000)
    ]

    assert starts == sorted(starts, reverse=True)
    assert starts[-1] == 0


def test_agreement_of_two_tiers_is_accepted() -> None:
    policy = Value(judge="none")
    attempts = [attempt("small", "x"), attempt("medium", "x", arrived="after_reject")]

    assert policy.next(context(), attempts) == Accept(1)


def test_disagreement_is_looked_into_where_money_is_no_object() -> None:
    policy = Value(quality_per_dollar=0.0)
    attempts = [attempt("small", "x"), attempt("medium", "y", arrived="after_reject")]

    action = policy.next(context(), attempts)

    assert isinstance(action, Ask | Judge)


def test_nothing_is_bought_where_a_dollar_must_buy_everything() -> None:
    policy = Value(quality_per_dollar=1e6)

    assert policy.next(context(), [attempt("small", "x")]) == Accept(0)


def test_an_earlier_answer_may_be_the_one_served() -> None:
    attempts = [
        attempt("small", "x", VALID, VALID, VALID),
        attempt("medium", "y", REFUSED, REFUSED, REFUSED, arrived="after_reject"),
    ]

    assert Value(quality_per_dollar=1e6).next(context(), attempts) == Accept(0)


def test_a_refused_answer_goes_out_only_as_degraded() -> None:
    policy = Value(quality_per_dollar=1e6)

    assert policy.next(context(), [attempt("small", "x", REFUSED)]) == Stop(0)


def test_an_answer_that_failed_a_check_is_not_judged() -> None:
    action = Value().next(context(), [attempt("small", "x", CHECK_REFUSED)])

    assert isinstance(action, Ask)
    assert action.tier != "small"


def test_a_failed_tier_is_passed_over_and_a_lower_one_helps_out() -> None:
    failed = [attempt(tier, None, outcome="failed") for tier in ("medium", "large")]

    action = Value().next(context(), failed)

    assert isinstance(action, Ask)
    assert (action.tier, action.arrived) == ("small", "after_failure")
    every = [*failed, attempt("small", None, outcome="failed")]
    assert Value().next(context(), every) == Stop(None)


def test_quality_escalation_only_goes_up() -> None:
    policy = Value(quality_per_dollar=0.0)
    attempts = [attempt("medium", "x", CHECK_REFUSED)]

    action = policy.next(context(), attempts)

    assert isinstance(action, Ask)
    assert action.tier == "large"


@pytest.mark.parametrize(("dearer", "by"), [(2.0, "large"), (10.0, "medium")])
def test_the_next_tier_judges_unless_it_is_much_dearer(dearer: float, by: str) -> None:
    ladder = TierLadder(
        tuple(
            tier.model_copy(update={"price": Price(input=dearer**at, output=dearer**at)})
            for at, tier in enumerate(LADDER)
        )
    )
    policy = Value()

    assert policy.judged_by(ladder, "small") == "medium"
    assert policy.judged_by(ladder, "medium") == by
    assert policy.judged_by(ladder, "large") is None
    assert Value(judge="large").judged_by(ladder, "medium") == "large"


def test_a_silent_judge_is_not_asked_again() -> None:
    silent = Verdict(valid=None, by="medium", reason="timeout")

    action = Value(quality_per_dollar=0.0).next(context(), [attempt("small", "x", silent)])

    assert not isinstance(action, Judge)


def test_a_request_that_one_tier_must_do_alone_is_neither_judged_nor_moved() -> None:
    policy = Value()
    alone = replace(context(), single=True)

    assert isinstance(policy.next(alone, []), Ask)
    assert policy.next(alone, [attempt("small", "x", CHECK_REFUSED)]) == Accept(0)


def test_while_tools_are_under_way_the_tier_that_called_them_goes_on() -> None:
    turn = replace(context(), tool_turn=True, seat=Seat("medium"))

    action = Value(quality_per_dollar=1e6).next(turn, [])

    assert isinstance(action, Ask)
    assert action.tier == "medium"
    assert Value().next(turn, [attempt("medium", "x")]) == Accept(0)


def test_a_prompt_in_the_providers_cache_is_a_reason_to_stay() -> None:
    prices = [Price(input=10, output=10, cached=1), Price(input=8, output=8)]
    ladder = TierLadder(
        tuple(
            Tier(name=name, provider="p", model=name, prior=0.8, price=price)
            for name, price in zip(("here", "there"), prices, strict=True)
        )
    )
    cold = replace(context(ladder=ladder), prompt_tokens=100_000)
    warm = replace(cold, seat=Seat("here", cached_tokens=100_000))

    tiers = [Value(quality_per_dollar=1.0).next(one, []) for one in (cold, warm)]

    assert [ask.tier for ask in tiers if isinstance(ask, Ask)] == ["there", "here"]


def test_an_answer_streams_live_only_where_nothing_could_replace_it_and_audits_vouch_for_it() -> (
    None
):
    def goes_live(policy: Value) -> bool:
        action = policy.next(replace(context(), mode="auto"), [])
        assert isinstance(action, Ask)
        return action.live

    sure = Value(quality_per_dollar=1e6)
    assert not goes_live(sure)  # nobody has looked yet
    for number in range(30):
        told = record(attempt("small", "x"), record_id=f"{number}")
        sure.observe(with_lesson(told, attempt("large", "x", arrived="lesson", cost_usd=0.1)))
    assert goes_live(sure)
    for number in range(30, 60):
        told = record(attempt("small", "x"), record_id=f"{number}")
        sure.observe(with_lesson(told, attempt("large", "y", arrived="lesson", cost_usd=0.1)))
    assert not goes_live(sure)


def three(*priors: float) -> TierLadder:
    """The ladder with other priors."""
    pairs = zip(LADDER, priors, strict=True)
    return TierLadder(tuple(tier.model_copy(update={"prior": prior}) for tier, prior in pairs))


def test_a_top_tier_whose_answer_may_lose_to_an_earlier_one_is_held_back() -> None:
    streaming = replace(context(ladder=three(0.7, 0.7, 0.65)), mode="auto")
    attempts = [attempt("small", "x"), attempt("medium", "y", arrived="after_reject")]

    action = Value(quality_per_dollar=0.0, judge="none").next(streaming, attempts)

    assert action == Ask("large", "after_reject", live=False)


def test_answers_that_cannot_be_compared_are_not_asked_for_their_agreement() -> None:
    """Two cheap tiers pay where they can agree; else the top one is asked at once."""

    def starts_at(answer: str | None) -> str:
        policy = Value(quality_per_dollar=20.0, judge="none")
        seen = [
            record(attempt(tier, answer, cost_usd=cost_usd), record_id=tier)
            for tier, cost_usd in zip(TIERS, (0.001, 0.001, 0.008), strict=True)
        ]
        for one in seen:
            policy.observe(one)
        near = context(*(Neighbour(0.9, one) for one in seen), ladder=three(0.72, 0.72, 0.9))
        action = policy.next(near, [])
        assert isinstance(action, Ask)
        return action.tier

    assert starts_at("x") == "small"
    assert starts_at(None) == "large"


def test_answers_in_prose_are_compared_by_asking_where_that_is_worth_its_price() -> None:
    policy = Value(quality_per_dollar=1.0, judge="none")
    prose = [attempt("small", "~x"), attempt("medium", "~y", arrived="after_reject")]

    asked = policy.next(context(ladder=three(0.6, 0.7, 0.72)), prose)
    told = {
        same: policy.next(
            context(ladder=three(0.6, 0.7, 0.72)),
            [
                prose[0],
                attempt(
                    "medium",
                    "~y",
                    Verdict(valid=same, by="same:small", against=0),
                    arrived="after_reject",
                ),
            ],
        )
        for same in (True, False)
    }

    assert asked == Judge(1, by="small", against=0)
    assert isinstance(told[True], Accept)
    assert isinstance(told[False], Ask)
    dear = Value(quality_per_dollar=1e6, judge="none")
    assert isinstance(dear.next(context(), prose), Accept)


def test_prose_that_was_compared_teaches_as_short_answers_do() -> None:
    def of(valid: bool | None) -> dict[str, tuple[float, float]]:
        word = Verdict(valid=valid, by="same:small", against=0)
        return labels(attempt("small", "~x"), attempt("large", "~y", word))

    assert of(None) == {}
    assert of(True) == labels(attempt("small", "x"), attempt("large", "x"))
    assert of(False) == labels(attempt("small", "x"), attempt("large", "y"))


def test_what_somebody_says_who_knows_counts_before_anything_else() -> None:
    told = record(attempt("small", "x"), attempt("large", "y"))
    policy = Value()
    told.evidence["1"] = Evidence("feedback", True, "ann", 1.0)
    assert policy.label(told)["large"] == 1.0
    told.evidence["2"] = Evidence("feedback", False, "ann", 2.0)
    assert policy.label(told)["large"] == 0.0
    told.evidence["3"] = Evidence("feedback", None, "bob", 3.0, score=0.5)
    assert policy.label(told)["large"] == 0.25
    told.evidence["4"] = Evidence("feedback", None, "ann", 4.0, correct="x")
    assert policy.label(told) == {"small": 1.0, "large": 0.0}


def test_an_arbiters_word_decides_a_difference() -> None:
    def of(valid: bool) -> float:
        told = with_lesson(record(attempt("small", "x")), attempt("large", "y", arrived="lesson"))
        told.evidence["2"] = Evidence("arbiter", valid, "medium", 2.0, tier="small")
        return Value().label(told)["small"]

    assert (of(True), of(False)) == (0.9, 0.1)


def test_what_arbiters_find_of_served_answers_says_nothing_of_those_that_were_refused() -> None:
    policy = Value()
    refused = record(attempt("small", "A", REFUSED), attempt("large", "B"), record_id="refused")
    policy.observe(refused)
    near = Neighbour(0.9, refused)

    def right() -> float:
        action = policy.next(context(near), [])
        assert isinstance(action, Ask)
        assert action.start is not None
        return action.start.estimates["small"].weight_right

    before = right()
    for number in range(50):
        served = with_lesson(
            record(attempt("small", "A"), record_id=f"{number}"), attempt("large", "B")
        )
        served.evidence["2"] = Evidence("arbiter", True, "medium", 2.0, tier="small")
        policy.observe(served)

    assert right() == pytest.approx(before)


def test_evidence_that_comes_in_late_changes_what_a_neighbour_says() -> None:
    policy = Value()
    told = [record(attempt("small", "x", VALID), record_id=f"{number}") for number in range(30)]
    near = [Neighbour(0.9, one) for one in told]

    def believed() -> float:
        action = policy.next(context(*near), [])
        assert isinstance(action, Ask)
        assert action.start is not None
        return action.start.estimates["small"].accuracy

    before = believed()
    for one in told:
        one.evidence["1"] = Evidence("tool_result", valid=False, by="next", time_s=1.0)

    assert believed() < before - 0.3


def test_lessons_teach_how_far_the_judge_errs_and_are_paid_from_their_budget() -> None:
    nearby = Nearby(judge_rule("next"))
    for number in range(50):
        told = record(attempt("small", "x", VALID, cost_usd=0.01), record_id=f"{number}")
        nearby.observe(with_lesson(told, attempt("large", "y", arrived="lesson", cost_usd=0.1)))

    ledger = nearby.learner.ledger("local")
    assert ledger.rates("small", "unknown")[1] > 0.7
    assert ledger.lessons_usd == pytest.approx(50 * 0.1)
    assert ledger.spent_usd == pytest.approx(50 * 0.111)


def test_all_judging_of_a_full_lesson_is_paid_from_the_lessons_budget() -> None:
    nearby = Nearby(judge_rule("next"))
    lessons = [
        attempt("medium", "x", VALID, arrived="lesson"),
        attempt("large", "x", arrived="lesson"),
    ]
    nearby.observe(with_lesson(record(attempt("small", "x", VALID)), *lessons, drawn=("full",)))

    assert nearby.learner.ledger("local").lessons_usd == pytest.approx(0.003)


def test_labels_are_those_of_the_strongest_evidence() -> None:
    assert labels(attempt("small", "x")) == {}
    assert labels(attempt("small", "x", CHECK_REFUSED)) == {"small": (0.03, 1.0)}
    assert labels(attempt("small", "x", VALID)) == {"small": (1.2, 0.25)}
    assert labels(attempt("small", "x", REFUSED)) == {"small": (-0.8, 0.25)}
    assert labels(attempt("small", "x"), attempt("large", "x")) == {
        "small": (0.95, 1.0),
        "large": (0.96, 0.5),
    }
    assert labels(attempt("small", "x"), attempt("large", "y")) == {
        "small": (0.22, 1.0),
        "large": (0.70, 0.5),
    }


@pytest.mark.parametrize("outcome", ["censored", "truncated", "failed", "cancelled"])
def test_attempts_that_were_cut_off_or_failed_teach_nothing(outcome: AttemptOutcome) -> None:
    assert labels(attempt("small", "x", VALID, outcome=outcome)) == {}


def test_a_record_that_must_not_teach_does_not() -> None:
    assert taught(replace(record(attempt("small", "x", VALID)), learn=False)) == ()


def test_a_label_for_the_protocol_is_a_probability() -> None:
    assert Value().label(record(attempt("small", "x", VALID))) == {"small": 1.0}
    assert Value().label(record(attempt("small", "x", REFUSED))) == {"small": 0.0}


def test_labels_are_functions_of_the_record_alone() -> None:
    told = record(
        attempt("small", "x", REFUSED), attempt("medium", "y", VALID, arrived="after_reject")
    )
    told.start = started()
    policy = Value()
    before = policy.label(told)
    for number in range(50):
        policy.observe(record(attempt("small", "x", CHECK_REFUSED), record_id=f"{number}"))

    read = record_from_json(told.to_json())

    assert read is not None
    assert policy.label(told) == Value().label(read) == before


def test_a_tools_failure_and_a_late_verdict_come_into_the_label() -> None:
    told = record(attempt("small", "x"))
    policy = Value()
    assert policy.label(told) == {}

    told.evidence["1"] = Evidence("judge", valid=True, by="large", time_s=1.0)
    assert policy.label(told) == {"small": 1.0}

    told.evidence["2"] = Evidence("tool_result", valid=False, by="next", time_s=2.0)
    assert policy.label(told) == {"small": 0.0}


def test_of_two_verdicts_the_later_one_counts() -> None:
    told = record(attempt("small", "x", VALID))
    told.evidence["1"] = Evidence("judge", valid=False, by="large", time_s=1.0)

    assert Value().label(told) == {"small": 0.0}


def test_a_tier_reached_by_rejection_is_not_blamed_for_the_harder_questions() -> None:
    reached = record(attempt("small", "x", REFUSED), attempt("medium", "y", arrived="after_reject"))
    reached.start = started()

    shift = {one.tier: one.shift for one in taught(reached)}

    assert shift["small"] == 0
    assert 0.05 < shift["medium"] < 0.3


def test_shifted_labels_have_no_selection_left_in_them() -> None:
    """In a world made as the belief says, climbing after a refusal still shows the true rate."""
    rng = seeded(8)
    seen: list[Taught] = []
    for number in range(8_000):
        right = world(rng)
        verdict = VALID if rng.random() < USUAL_RATES[not right["small"]] else REFUSED
        if verdict.valid:
            continue
        medium = VALID if rng.random() < USUAL_RATES[not right["medium"]] else REFUSED
        climbed = record(
            attempt("small", None, verdict),
            attempt("medium", None, medium, arrived="after_reject"),
            record_id=f"{number}",
            start=started(),
        )
        seen.extend(one for one in taught(climbed) if one.tier == "medium")

    shifted = sum(one.label(USUAL_RATES).right for one in seen) / len(seen)
    plain = shifted - sum(one.shift for one in seen) / len(seen)

    assert shifted == pytest.approx(0.75, abs=0.04)
    assert plain < 0.68


def test_judges_are_measured_by_coins_and_not_by_climbs() -> None:
    climbed = record(attempt("small", "x", REFUSED), attempt("large", "y", arrived="after_reject"))
    audited = with_lesson(
        record(attempt("small", "x", VALID)), attempt("large", "y", arrived="lesson")
    )
    both = record(attempt("small", "x", REFUSED), attempt("large", "y", arrived="after_reject"))
    both.lessons = Lessons({"large": 0.1}, ("large",))

    assert list(judged_by_coin(climbed)) == []
    assert [judged.valid for judged in judged_by_coin(both)] == [False]
    (judged,) = judged_by_coin(audited)
    assert (judged.tier, judged.relation, judged.right, judged.valid) == (
        "small",
        "unknown",
        0.22,
        True,
    )


def test_what_was_learned_is_rebuilt_from_the_records_in_order() -> None:
    records = stream(Value(), 120, seeded(9), lambda _: dict.fromkeys(TIERS, 0.8))
    again = Value()
    for one in records:
        read = record_from_json(one.to_json())
        assert read is not None
        again.observe(read)
    told = Value()
    for one in records:
        told.observe(one)
    asked = context(*(Neighbour(0.9, one) for one in records[:50]))

    assert again.next(asked, []) == told.next(asked, [])


def test_start_estimates_follow_the_topic() -> None:
    """Two topics, far apart; the small tier does one well and the other badly."""
    rng, policy = seeded(10), Value()
    truth = {"easy": 0.92, "hard": 0.3}
    records: dict[str, list[Record]] = {topic: [] for topic in truth}
    for number in range(600):
        topic = rng.choice(sorted(truth))
        near = [Neighbour(0.9, one) for one in records[topic][-50:]]
        skill = {"small": truth[topic], "medium": 0.9, "large": 0.95}
        told = play(policy, near, rng, skill, f"{number}")
        records[topic].append(told)

    believed = {}
    for topic in truth:
        action = policy.next(context(*(Neighbour(0.9, r) for r in records[topic][-50:])), [])
        assert isinstance(action, Ask)
        assert action.start is not None
        believed[topic] = action.start.estimates["small"].accuracy

    assert believed["easy"] == pytest.approx(truth["easy"], abs=0.1)
    assert believed["easy"] - believed["hard"] > 0.2


def test_a_tier_that_looked_bad_by_mistake_comes_back_by_lessons() -> None:
    """Twenty false failures lock the small tier out; probes show that it is good again."""
    skill = {"small": 0.95, "medium": 0.96, "large": 0.97}

    def share_at_the_end(*, lessons: bool) -> float:
        policy = Value(quality_per_dollar=60.0)
        bad = [
            record(attempt("small", "x", CHECK_REFUSED), record_id=f"bad{number}")
            for number in range(20)
        ]
        for one in bad:
            policy.observe(one)
        records = stream(policy, 1_200, seeded(1), lambda _: skill, bad, lessons=lessons)
        return sum(one.attempts[0].tier == "small" for one in records[-300:]) / 300

    assert share_at_the_end(lessons=False) == 0
    assert share_at_the_end(lessons=True) > 0.5


def world(rng: Random) -> dict[str, bool]:
    """Which tiers are right, as the belief at the priors would have it."""
    import numpy as np  # noqa: PLC0415

    from app.learning.belief import joint  # noqa: PLC0415

    belief = np.cumsum(joint([tier.prior for tier in LADDER]))
    state = int(np.searchsorted(belief, rng.random() * belief[-1]))
    return {tier: bool(state >> at & 1) for at, tier in enumerate(TIERS)}


def stream(
    policy: Value,
    count: int,
    rng: Random,
    skill: Callable[[int], dict[str, float]],
    before: Sequence[Record] = (),
    *,
    lessons: bool = True,
) -> list[Record]:
    """As many requests, served by the policy, all alike; what came before are neighbours too."""
    records = list(before)
    for number in range(count):
        near = [Neighbour(0.9, one) for one in records[-50:]]
        records.append(play(policy, near, rng, skill(number), f"{number}", lessons=lessons))
    return records[len(before) :]


COST_USD = dict(zip(TIERS, (0.0005, 0.005, 0.05), strict=True))


def play(
    policy: Value,
    near: Sequence[Neighbour],
    rng: Random,
    skill: dict[str, float],
    name: str,
    *,
    lessons: bool = True,
) -> Record:
    """One request against tiers of this skill and a judge of .9 and .3, and its lessons."""
    asked = Context(LADDER, near, rng, prompt_tokens=100, tenant="local")
    drawn = policy.lessons(asked)
    assert drawn is not None
    right = {tier: rng.random() < skill[tier] for tier in TIERS}
    told = record(record_id=name)

    def ask(tier: str, arrived: Arrival) -> Attempt:
        answer = "right" if right[tier] else f"wrong {tier}"
        return attempt(tier, answer, arrived=arrived, cost_usd=COST_USD[tier])

    while True:
        match policy.next(asked, told.attempts):
            case Ask(tier, arrived, _, start):
                told.start = told.start or start
                told.attempts.append(ask(tier, arrived))
            case Judge(index, by):
                tier = told.attempts[index].tier
                valid = rng.random() < (0.9 if right[tier] else 0.3)
                told.attempts[index].verdicts.append(Verdict(valid=valid, by=by, cost_usd=0.002))
            case Accept(index) | Stop(index):
                told.served = index
                break
    if lessons:
        ran = {one.tier for one in told.attempts}
        wanted = set(TIERS if "full" in drawn.drawn else drawn.drawn) - ran
        if wanted:
            asked_later = [ask(tier, "lesson") for tier in sorted(wanted)]
            with_lesson(told, *asked_later, drawn=drawn.drawn)
    policy.observe(told)
    return told


def test_a_verdict_is_bought_of_judges_that_are_said_to_be_good() -> None:
    steps = [
        Value(judged=judged).next(context(), [attempt("medium", "4")])
        for judged in ((0.95, 0.1), None, (0.9, 0.65))
    ]
    # Half as surely told apart, a verdict is worth less than it costs.
    assert [type(step) for step in steps] == [Judge, Judge, Ask]
