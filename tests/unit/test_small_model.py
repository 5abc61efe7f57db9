"""The small model below the first tier: when it answers, what it learns, and when it is silent."""

import json
from collections.abc import Callable
from random import Random
from uuid import uuid4

import numpy as np
import pytest

from app.answers import Answer
from app.clock import SystemClock
from app.events import Order
from app.learning.softmax import REMEMBERED, Example, Softmax
from app.policies.fixed import Always
from app.records import Attempt, Evidence, Vector, Verdict
from app.settings.policies import LEARNER, LearnerSection
from app.small_model import FLOOR, SmallModels
from app.underway import Run, new_record
from app.wire import parse_request
from tests.support.gateway import chat
from tests.support.made_world import ladder, place, seeded

LABELS = ("billing", "delivery", "other")
PLACES = [place(seed) for seed in range(len(LABELS))]


def near(at: int, rng: Random, spread: float = 0.5) -> Vector:
    """A question of this class: a little beside its place."""
    noise = np.array([rng.gauss(0, spread / 8) for _ in range(64)])
    vector = PLACES[at] + noise
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def model(seed: int = 1, **more: float) -> SmallModels:
    section = LearnerSection(enabled=True, **more)  # type: ignore[arg-type]
    return SmallModels(section, rng=seeded(seed), clock=SystemClock())


def begun(
    vector: Vector | None,
    *,
    tenant: str = "local",
    principal: str | None = None,
    task: str | None = "triage",
    trial_of: str | None = None,
    **more: object,
) -> Run:
    """A request under way, before any tier was asked."""
    extension = {} if task is None else {"autoshift": {"task": task}}
    body = chat("Which department?", **extension, **more)
    order = Order(
        id=str(uuid4()),
        tenant=tenant,
        principal=principal,
        request=parse_request(json.dumps(body).encode(), {}),
        policy=Always("small"),
        ladder=ladder(),
        kind="routed",
        mode="verified",
        deadline_s=10.0,
        trial_of=trial_of,
    )
    return Run(order, new_record(order, ladder().names, 1.0), 0.0, vector)


def answered(run: Run, text: str) -> Answer:
    """A tier answers, and that is served."""
    answer = Answer()
    message = {"role": "assistant", "content": text}
    answer.add({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    run.record.attempts.append(Attempt("small", "direct", outcome="complete"))
    run.record.served, run.record.outcome = len(run.record.attempts) - 1, "answered"
    return answer


Truth = Callable[[int], str]


def serve(known: SmallModels, count: int, truth: Truth, rng: Random, **more: object) -> list[str]:
    """So many requests; for each what the small model said, or nothing where a tier was asked."""
    said = []
    for _ in range(count):
        at = rng.randrange(len(LABELS))
        run = begun(near(at, rng), **more)  # type: ignore[arg-type]
        answer = known.serve(run)
        if answer is None:
            known.note(run, answered(run, truth(at)))
            said.append("")
        else:
            said.append("right" if answer.text == LABELS[at] else "wrong")
    return said


def clear(at: int) -> str:
    return LABELS[at]


def noisy(share: float) -> Truth:
    """Of the answers this share is just any."""
    rng = seeded(11)
    return lambda at: rng.choice(LABELS) if rng.random() < share else LABELS[at]


def test_it_learns_what_tiers_answer_and_then_answers_itself_and_right() -> None:
    known, rng = model(), seeded(2)
    first = serve(known, 60, clear, rng)
    assert first == [""] * 60  # too few were compared, whatever it thinks of itself
    later = serve(known, 600, clear, rng)[-300:]
    own = [word for word in later if word]
    assert len(own) > 0.85 * len(later)
    assert own.count("right") / len(own) >= 0.95


def test_it_stays_silent_where_tiers_answers_do_not_follow_from_the_question() -> None:
    known, rng = model(), seeded(2)
    assert not any(serve(known, 800, noisy(1.0), rng))


def test_nine_of_ten_alike_are_too_few_for_an_agreement_of_95_percent_and_enough_for_80() -> None:
    strict, lax = model(confidence=0.5), model(confidence=0.5, agreement=0.8)
    assert sum(map(bool, serve(strict, 800, noisy(0.15), seeded(3)))) < 40
    assert sum(map(bool, serve(lax, 800, noisy(0.15), seeded(3)))) > 300


def test_it_defers_less_and_less_by_a_coin_that_the_record_keeps_but_never_not_at_all() -> None:
    known, rng = model(agreement=0.6), seeded(2)
    serve(known, 20, clear, rng)
    chances, deferred = [], 0
    for _ in range(2000):
        at = rng.randrange(len(LABELS))
        run = begun(near(at, rng, spread=0.1))
        answer = known.serve(run)
        if "learner_deferral" in run.record.features:
            chances.append(run.record.features["learner_deferral"])
            deferred += answer is None
        if answer is None:
            known.note(run, answered(run, LABELS[at]))
    assert chances[0] > 0.1
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] == FLOOR
    assert deferred / len(chances) == pytest.approx(np.mean(chances), abs=0.02)


def test_when_what_tiers_say_changes_it_stops_and_learns_anew() -> None:
    known, rng = model(), seeded(2)
    assert "right" in serve(known, 400, clear, rng)[-100:]

    changed = serve(known, 1500, lambda at: LABELS[(at + 1) % len(LABELS)], rng)
    assert 0 < sum(map(bool, changed[:400])) < 250  # until the coins had shown two misses
    silent = [at for at in range(len(changed) - 20) if not any(changed[at : at + 20])]
    assert silent
    # What it says after that silence is what tiers say now.
    own = [word for word in changed[-200:] if word]
    assert own.count("wrong") >= 0.9 * len(own)  # "wrong" by what was true before


def trained(**more: object) -> SmallModels:
    known = model()
    serve(known, 300, clear, seeded(2), **more)
    return known


def ready(known: SmallModels, **more: object) -> bool:
    """Whether it answers any of a few clear questions of this kind."""
    rng = seeded(5)
    return any(known.serve(begun(near(0, rng, 0.1), **more)) for _ in range(20))  # type: ignore[arg-type]


def test_tasks_keys_tenants_and_prompts_know_nothing_of_each_other() -> None:
    known = trained()
    assert ready(known)
    assert not ready(known, task="other")
    assert not ready(known, task=None)
    assert not ready(known, tenant="another")
    assert not ready(known, principal="key")
    system = {"role": "system", "content": "Answer in German."}
    user = {"role": "user", "content": "Which department?"}
    assert not ready(known, messages=[system, user])


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "more", [{"tools": [TOOL]}, {"n": 2}, {"logprobs": True}, {"stop": ["x"]}, {"trial_of": "x"}]
)
def test_it_answers_nothing_that_is_more_than_a_word(more: dict[str, object]) -> None:
    known = trained()
    assert ready(known)
    assert not ready(known, **more)
    vectorless = begun(None)
    assert known.serve(vectorless) is None


def test_a_task_with_many_or_long_answers_is_no_classification() -> None:
    known, rng = model(labels=5), seeded(2)
    serve(known, 200, clear, rng)
    assert ready(known)
    for number in range(3):
        run = begun(near(0, rng))
        known.note(run, answered(run, f"department {number}"))
    assert not ready(known)
    known = trained()
    run = begun(near(0, rng))
    known.note(run, answered(run, "It depends. " * 10))
    assert not ready(known)
    assert not any(serve(known, 300, clear, rng))  # for good


@pytest.mark.parametrize("spoilt", ["refused", "truncated", "degraded", "not to teach"])
def test_what_was_not_accepted_whole_is_not_learned(spoilt: str) -> None:
    known, rng = model(), seeded(2)
    for _ in range(300):
        at = rng.randrange(len(LABELS))
        run = begun(near(at, rng))
        answer = answered(run, LABELS[at])
        match spoilt:
            case "refused":
                run.record.attempts[0].verdicts = [Verdict(False, "medium")]
            case "truncated":
                run.record.attempts[0].outcome = "truncated"
            case "degraded":
                run.record.degraded = ("deadline",)
            case _:
                run.record.learn = False
        known.note(run, answer)
    assert not ready(known)


def own(known: SmallModels) -> Run:
    """A request that it answered."""
    rng = seeded(6)
    for _ in range(100):
        run = begun(near(0, rng, 0.1))
        if known.serve(run) is not None:
            return run
    raise AssertionError("it answers nothing")


@pytest.mark.parametrize("stream", [False, True])
def test_its_answer_is_one_like_any_other_and_free(stream: bool) -> None:
    known, rng = trained(), seeded(6)
    for _ in range(100):
        run = begun(near(0, rng, 0.1), stream=stream)
        answer = known.serve(run)
        if answer is not None:
            break
    else:
        raise AssertionError("it answers nothing")
    record = run.record
    attempt = record.served_attempt
    assert attempt is not None
    assert (answer.text, answer.finish_reason) == (LABELS[0], "stop")
    assert (attempt.tier, attempt.outcome, attempt.cost_usd) == (LEARNER, "complete", 0.0)
    assert (record.outcome, record.cost_usd, record.learn) == ("answered", 0.0, False)
    assert record.features["learner_confidence"] >= 0.8
    assert len(list(answer.chunks)) == (3 if stream else 1)


def test_feedback_that_it_was_wrong_counts_like_a_tiers_other_answer_and_once() -> None:
    known = trained()
    for _ in range(2):
        run = own(known)
        run.record.evidence["f"] = Evidence("feedback", False, "user", 2.0)
        known.observe(run.record)
        known.observe(run.record)
    assert not ready(known)


def test_a_tiers_answer_that_was_wrong_is_unlearned() -> None:
    known, rng = model(), seeded(2)
    for number in range(300):
        at = rng.randrange(len(LABELS))
        run = begun(near(at, rng))
        wrong = number % 3 == 0
        answer = answered(run, "other" if wrong else LABELS[at])
        known.note(run, answer)
        if wrong:
            run.record.evidence["f"] = Evidence("feedback", False, "user", 2.0)
            known.observe(run.record)
    (task,) = known._tasks.values()  # noqa: SLF001
    assert len(task.model.examples) == 200


def test_what_was_erased_is_unlearned_and_of_its_tenant_alone() -> None:
    known = trained()
    (task,) = known._tasks.values()  # noqa: SLF001
    ids = [example.record for example in task.model.examples]
    known.forget("another", ids)
    assert ready(known)
    known.forget("local", ["nobody's"])
    assert ready(known)
    known.forget("local", ids[:1])
    assert not ready(known)
    assert ids[0] not in {example.record for example in task.model.examples}
    known.forget("local", ids)
    assert task.model.examples == []
    assert task.model.labels == []


def test_switched_off_it_neither_learns_nor_answers() -> None:
    known = SmallModels(LearnerSection(), rng=seeded(1), clock=SystemClock())
    serve(known, 300, clear, seeded(2))
    assert not ready(known)
    assert known._tasks == {}  # noqa: SLF001


# The model itself.


def test_after_forgetting_it_is_what_it_would_have_been() -> None:
    rng = seeded(4)
    examples = [Example(f"{n}", near(n % 3, rng), LABELS[n % 3]) for n in range(60)]
    whole, without = Softmax(64), Softmax(64)
    for example in examples:
        whole.learn(example)
    for example in examples:
        if int(example.record) % 4:
            without.learn(example)
    gone = {f"{n}" for n in range(0, 60, 4)}
    vector = near(1, rng)
    assert whole.predict(vector) is not None
    assert whole.forget(gone)
    assert not whole.forget(gone)
    assert whole.predict(vector) is None
    for number in range(3):
        more = Example(f"{100 + number}", near(number, rng), LABELS[number])
        whole.learn(more)
        without.learn(more)
    assert whole.predict(vector) == without.predict(vector) is not None
    assert whole.updates == without.updates == 48


def test_it_remembers_no_more_than_it_may_and_knows_nothing_of_one_class() -> None:
    known, rng = Softmax(64), seeded(4)
    for number in range(REMEMBERED + 20):
        known.learn(Example(f"{number}", near(0, rng), "one"))
    assert known.predict(near(0, rng)) is None
    assert len(known.examples) == REMEMBERED
    assert known.examples[0].record == "20"


def test_its_chances_are_of_all_classes_and_sound() -> None:
    known, rng = Softmax(64), seeded(4)
    for number in range(90):
        at = number % 3
        known.learn(Example(f"{number}", near(at, rng), LABELS[at]))
    hits = [known.predict(near(at, rng)) for at in (0, 1, 2) for _ in range(50)]
    right = [hit is not None and hit[0] == LABELS[n // 50] for n, hit in enumerate(hits)]
    sure = [hit[1] for hit in hits if hit is not None]
    assert sum(right) >= 145
    assert all(1 / 3 <= chance <= 1 for chance in sure)
