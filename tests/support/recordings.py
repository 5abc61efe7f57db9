"""Small made recordings whose every figure can be worked out by hand."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from app.embedder import StaticEmbedder
from app.replay.recordings import Recording
from app.replay.run import Course, lay_out
from app.replay.stand_ins import RecordedVerdicts

Json: TypeAlias = dict[str, Any]

MODELS = ("small", "medium", "large")
COSTS_USD = {"small": 0.001, "medium": 0.01, "large": 0.1}
JUDGE_USD = 0.002


def answer(
    model: str, said: str, *, correct: bool, verdict: str | None = None, **more: object
) -> Json:
    """One model's answer; a verdict costs 0.002 USD."""
    judge = {"judge_model": "j", "verdict": verdict, "cost_usd": JUDGE_USD}
    return {
        "text": f"I think it is {said}.",
        "answer": said,
        "correct": correct,
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "cost_usd": COSTS_USD[model],
        "latency_s": 1.0,
        "judge": judge if verdict else None,
        **more,
    }


def line(number: int, small: Json, medium: Json, large: Json, **more: object) -> Json:
    answers = {"small": small, "medium": medium, "large": large}
    return {"id": f"q{number}", "query": f"What is {number} + {number}?", "answers": answers} | more


def four() -> list[Json]:
    """Answered by: all three; the upper two; the top only, though lower ones agree; nobody."""
    return [
        line(
            0,
            answer("small", "x", correct=True, verdict="yes"),
            answer("medium", "x", correct=True, verdict="yes"),
            answer("large", "x", correct=True),
        ),
        line(
            1,
            answer("small", "y", correct=False, verdict="no"),
            answer("medium", "z", correct=True, verdict="yes"),
            answer("large", "z", correct=True),
        ),
        line(
            2,
            answer("small", "y", correct=False, verdict="yes"),
            answer("medium", "y", correct=False, verdict="yes"),
            answer("large", "z", correct=True),
        ),
        line(
            3,
            answer("small", "u", correct=False, verdict="no"),
            answer("medium", "v", correct=False, verdict="uncertain"),
            answer("large", "w", correct=False),
        ),
    ]


def recordings(lines: Sequence[Mapping[str, object]]) -> list[Recording]:
    return [Recording.model_validate(each) for each in lines]


def course(lines: Sequence[Mapping[str, object]], priors: Sequence[float] = ()) -> Course:
    """These lines, laid out with their recorded judge."""
    return lay_out(
        recordings(lines),
        MODELS,
        priors=priors,
        verdicts=RecordedVerdicts(),
        embedder=StaticEmbedder(),
    )
