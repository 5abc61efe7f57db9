"""What stands in for the world in a replay: judge, store, recorder, requests."""

from random import Random

import pytest

from app.answers import Answer
from app.errors import SettingsError
from app.extension import Extension
from app.judge.agreement import final_answer
from app.replay.memory import MemoryRecorder, MemoryStore
from app.replay.recordings import RecordedAnswer, Recording
from app.replay.simulated import SimulatedVerdicts, parse_rates
from app.replay.stand_ins import recording_of, request_of, said
from app.store import RecordStore
from app.tiers import Tier
from app.wire import ChatRequest
from tests.support.recordings import MODELS, answer, line, recordings
from tests.support.records import direction, found, insert, record

SMALL, MEDIUM, LARGE = (Tier(name=m, provider="p", model=m, prior=0.5) for m in MODELS)


def boiled_down(recorded: RecordedAnswer) -> str:
    whole = Answer()
    message = {"role": "assistant", "content": said(recorded)}
    whole.add({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    return final_answer(whole)


def given(text: str, final: str | None, **more: object) -> RecordedAnswer:
    return RecordedAnswer.model_validate(
        {"text": text, "answer": final, "correct": True, "cost_usd": 0.0, **more}
    )


def test_the_recorded_final_answer_decides_whether_two_answers_agree() -> None:
    one = boiled_down(given("So the answer is: 7, or rather more.", "12"))

    assert one == boiled_down(given("def f():\n    return 3 * 4", "12"))
    assert one == boiled_down(given('{"answer": 5}', " 12 "))
    assert one != boiled_down(given("So the answer is: 7, or rather more.", "13"))
    assert boiled_down(given("It is 7", None)) == boiled_down(given("It is 7", ""))


def test_who_abstains_says_nothing_and_an_empty_text_is_not_taken_for_that() -> None:
    assert said(given("I would rather not say", "12", abstained=True)) == ""
    assert said(given("", None)).strip()


def test_a_context_is_the_systems_prompt_so_that_the_question_alone_is_embedded() -> None:
    (with_context,) = recordings(
        [line(1, *(answer(m, "x", correct=True) for m in MODELS), context="A long story.")]
    )

    request = request_of(with_context)

    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert recording_of(request) is with_context


def test_a_stand_in_refuses_a_request_that_was_not_recorded() -> None:
    messages = [{"role": "user", "content": "?"}]
    other = ChatRequest({"messages": messages}, "auto", messages, False, False, Extension())

    with pytest.raises(TypeError):
        recording_of(other)


def many(questions: int = 2000) -> list[Recording]:
    """Questions of mixed difficulty; each model errs more on harder ones."""
    rng = Random(3)  # noqa: S311
    lines = []
    for number in range(questions):
        hard = rng.random()
        rights = {model: rng.random() > hard for model in MODELS}
        answers = (
            answer(m, "right" if ok else rng.choice("abc"), correct=ok) for m, ok in rights.items()
        )
        lines.append(line(number, *answers))
    return recordings(lines)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_a_simulated_judge_errs_as_often_as_stated(correlation: float) -> None:
    every = many()
    verdicts = SimulatedVerdicts(every, MODELS, parse_rates(f"0.9,0.3,{correlation}"), seed=1)

    for model in MODELS:
        for right, rate in ((True, 0.9), (False, 0.3)):
            alike = [r for r in every if r.answers[model].correct is right]
            accepted = sum(bool(verdicts.verdict(r, model, LARGE).valid) for r in alike)
            # Four standard errors of some 1,000 draws.
            assert accepted / len(alike) == pytest.approx(rate, abs=0.055)


def test_correlated_errors_gather_where_answers_are_hard_or_wrongly_agree() -> None:
    every = many()
    judged_by = {
        corr: SimulatedVerdicts(every, MODELS, parse_rates(f"0.9,0.3,{corr}"), seed=1)
        for corr in (0, 0.8)
    }

    def accepted_when_wrong(corr: float, *, agreeing: bool) -> float:
        wrong = [
            r
            for r in every
            if not r.answers["small"].correct
            and (r.answers["small"].answer == r.answers["medium"].answer) is agreeing
        ]
        valid = [judged_by[corr].verdict(r, "small", MEDIUM).valid for r in wrong]
        return sum(map(bool, valid)) / len(wrong)

    gap = accepted_when_wrong(0.8, agreeing=True) - accepted_when_wrong(0.8, agreeing=False)
    assert gap > 0.25
    chance = accepted_when_wrong(0, agreeing=True) - accepted_when_wrong(0, agreeing=False)
    assert abs(chance) < 0.1


def test_a_simulated_verdict_is_the_same_whoever_asks_and_in_whatever_order() -> None:
    every = many(50)
    rates = parse_rates("0.8,0.4,0.5")
    one = SimulatedVerdicts(every, MODELS, rates, seed=1)
    other = SimulatedVerdicts(every[::-1], MODELS, rates, seed=1)
    reseeded = SimulatedVerdicts(every, MODELS, rates, seed=2)

    def all_of(verdicts: SimulatedVerdicts) -> list[bool | None]:
        return [verdicts.verdict(r, m, LARGE).valid for r in every for m in MODELS]

    assert all_of(one) == all_of(other) != all_of(reseeded)
    assert one.verdict(every[0], "small", LARGE).cost_usd == 0.1


@pytest.mark.parametrize("text", ["", "0.9", "0.9,0.3", "0.9,0.3,2", "a,b,c", "1,1,1,1", "nan,0,0"])
def test_error_rates_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="three numbers from 0 to 1"):
        parse_rates(text)


@pytest.mark.anyio
async def test_the_store_in_memory_finds_the_nearest_of_this_tenant_at_once() -> None:
    store = MemoryStore()
    _: RecordStore = store
    await store.write(
        [
            insert(record(tenant="other"), direction(0)),
            insert(record(embedder="another"), direction(0)),
        ]
    )
    kept = [record() for _ in range(1200)]
    for angle, each in enumerate(kept):
        store.apply(insert(each, direction(angle / 10)))
    store.apply(insert(record()))

    assert await found(store, limit=3) == [each.id for each in kept[:3]]
    assert len(await found(store, limit=2000)) == 1200
    assert await store.get(kept[0].id, tenant="other") is None
    near = await store.search(
        direction(60), tenant="local", embedder=str(kept[0].embedder), limit=1
    )
    assert near[0].record.id == kept[600].id
    assert near[0].similarity == pytest.approx(1)


@pytest.mark.anyio
async def test_the_recorder_in_memory_writes_once_and_what_must_not_teach_without_its_vector() -> (
    None
):
    store = MemoryStore()
    recorder = MemoryRecorder(store)
    taught, kept = record(), record(learn=False)

    assert recorder.submit(taught, direction(0))
    taught.outcome = "failed"
    assert recorder.submit(taught, direction(0))
    assert recorder.submit(kept, direction(0))

    assert await found(store) == [taught.id]
    stored = await store.get(taught.id, tenant="local")
    assert stored is not None
    assert stored.outcome == "answered"
    assert await store.get(kept.id, tenant="local") is not None
