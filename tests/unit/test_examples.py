"""Which answers are fit to train a smaller model with."""

import orjson
import pytest

from app.answers import Answer
from app.extension import Extension
from app.learning.examples import Chosen, Fitness, fitness
from app.records import Attempt, Evidence, Record, Verdict
from app.texts import EXAMPLE_BYTES, Texts, example_of
from app.wire import ChatRequest
from tests.support.records import record

RIGHT, WRONG = Verdict(True, "large"), Verdict(False, "large")


def served(
    tier: str = "medium",
    *verdicts: Verdict,
    gist: str = "7",
    evidence: tuple[Evidence, ...] = (),
    question: str = "What is 3 + 4?",
    **more: object,
) -> Record:
    """A climb from `small`, whose answer was another and refused, to this tier."""
    made = record(time_s=float(more.pop("time_s", 1.0)))  # type: ignore[arg-type]
    made.ladder = made.eligible = ("small", "medium", "large")
    last = Attempt(tier, "after_reject", outcome="complete", final_answer=gist)
    last.verdicts = list(verdicts)
    first = Attempt("small", "direct", outcome="complete", final_answer="9")
    first.verdicts = [Verdict(False, "medium")]
    made.attempts, made.served = [first, last], 1
    made.evidence = {str(at): each for at, each in enumerate(evidence)}
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": gist}]
    made.example = orjson.dumps({"messages": turns}).decode()
    for name, value in more.items():
        setattr(made, name, value)
    return made


def said(source: str, by: str = "user", **more: object) -> Evidence:
    facts = {"valid": None, "time_s": 2.0, **more}
    return Evidence(source=source, by=by, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "found"),
    [
        (served("medium", RIGHT), "fit"),
        (served("medium"), "unverified"),
        (served("large"), "unverified"),
        (served("small", RIGHT), "lowest_tier"),
        (served("medium", RIGHT, WRONG), "refused"),
        (served("medium", RIGHT, example=None), "no_text"),
        (served("medium", RIGHT, learn=False), "unused"),
        (served("medium", RIGHT, trial_of="another"), "unused"),
        (served("medium", RIGHT, outcome="abandoned"), "unused"),
        (served("medium", RIGHT, kind="pinned"), "unused"),
        # What somebody says who knows counts more than any judge, and the last word most.
        (served("large", evidence=(said("feedback", valid=True),)), "fit"),
        (served("medium", RIGHT, evidence=(said("feedback", valid=False),)), "refused"),
        (served("medium", RIGHT, evidence=(said("feedback", score=0.6),)), "unverified"),
        (
            served(
                "large",
                evidence=(said("feedback", valid=False), said("feedback", valid=True, time_s=3.0)),
            ),
            "fit",
        ),
        (
            served(
                "medium",
                RIGHT,
                evidence=(said("feedback", valid=False, principal="b"),),
                principal="a",
            ),
            "refused",
        ),
        (served("large", evidence=(said("feedback", correct="7"),)), "fit"),
        (served("medium", RIGHT, evidence=(said("feedback", correct="8"),)), "refused"),
        (served("medium", RIGHT, evidence=(said("tool_result", valid=False),)), "refused"),
        # Later words of judges, of higher tiers and of the arbiter.
        (served("medium", RIGHT, evidence=(said("judge", "large", valid=False),)), "refused"),
        (served("medium", evidence=(said("judge", "large", valid=True),)), "fit"),
        (
            served(
                "medium", RIGHT, evidence=(said("arbiter", "large", valid=False, tier="medium"),)
            ),
            "refused",
        ),
        (
            served("medium", evidence=(said("arbiter", "large", valid=True, tier="medium"),)),
            "fit",
        ),
        (
            served(
                "medium",
                RIGHT,
                evidence=(
                    said(
                        "lesson",
                        "lesson",
                        attempts=(
                            Attempt("large", "lesson", outcome="complete", final_answer="8"),
                        ),
                    ),
                ),
            ),
            "unverified",
        ),
        (served("large", gist="9"), "fit"),  # what the lower tier had said, refused or not
    ],
)
def test_an_answer_is_fit_where_the_best_word_on_it_is_that_it_is_right(
    made: Record, found: Fitness
) -> None:
    assert fitness(made) == found


def test_the_top_tiers_unjudged_answers_are_taken_only_if_asked_for() -> None:
    assert fitness(served("large"), unverified=True) == "fit"
    assert fitness(served("medium"), unverified=True) == "unverified"
    told = served("large", evidence=(said("feedback", valid=False),))
    assert fitness(told, unverified=True) == "refused"


def test_of_a_question_the_vouched_the_higher_the_newer_answer_is_taken() -> None:
    good = (said("feedback", valid=True),)
    vouched = served("medium", evidence=good, time_s=1.0)
    higher = served("large", RIGHT, gist="seven", time_s=2.0)
    newer = served("large", RIGHT, gist="sieben", time_s=3.0)
    other = served("medium", RIGHT, question="What is 4 + 4?")
    for several, best in (
        ([vouched, higher, newer, other], vouched),
        ([higher, newer, other], newer),
        ([newer, higher, other], newer),
        ([served("medium", RIGHT, time_s=9.0), higher, other], higher),
    ):
        chosen = Chosen()
        for each in several:
            chosen.look_at(each)
        assert chosen.ids() == {best.id, other.id}
        assert chosen.duplicates == len(several) - 2


def request(messages: list[dict[str, object]], **more: object) -> ChatRequest:
    return ChatRequest({"messages": messages, **more}, "auto", messages, False, False, Extension())


def answer(text: str | None, **more: object) -> Answer:
    found = Answer()
    message = {"role": "assistant", "content": text, **more}
    found.add({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    return found


def test_an_example_is_the_whole_conversation_in_the_fine_tuning_format() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    asked = request(
        [
            {"role": "developer", "content": "Be short.", "cache_control": {"type": "ephemeral"}},
            {"role": "user", "content": [{"type": "text", "text": "3 + 4?"}]},
        ],
        tools=[tool],
        temperature=0.3,
    )
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    line = example_of(asked, answer(None, tool_calls=[call]))
    assert line is not None
    assert orjson.loads(line) == {
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "3 + 4?"}]},
            {"role": "assistant", "tool_calls": [call]},
        ],
        "tools": [tool],
    }


def test_there_is_no_example_of_pictures_of_nothing_and_of_very_much() -> None:
    hello: list[dict[str, object]] = [{"role": "user", "content": "Hello"}]
    picture = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    assert example_of(request(hello), answer("Hi")) is not None
    assert example_of(request([{"role": "user", "content": picture}]), answer("Hi")) is None
    assert example_of(request(hello), answer("")) is None
    assert example_of(request(hello), answer("a" * EXAMPLE_BYTES)) is None


@pytest.mark.parametrize("kept", ["none", "excerpt", "full"])
def test_no_answer_is_kept_where_only_questions_are(kept: str) -> None:
    hello: list[dict[str, object]] = [{"role": "user", "content": "Hello"}]
    assert Texts(kept).example(request(hello), answer("Hi")) is None  # type: ignore[arg-type]
    assert Texts("exchange").example(request(hello), answer("Hi")) is not None
