"""What an answer is before any judge sees it: whole or cut, and what the exact checks say."""

from app.answers import Answer
from app.judge.agreement import final_answer
from app.judge.checks import check
from app.records import Attempt
from app.wire import ChatRequest


def examine(
    attempt: Attempt, answer: Answer, request: ChatRequest, *, compared: bool = True
) -> None:
    """Note on the attempt how its answer ended, what it boils down to, and a failed check.

    `compared`: it may be held against another one.

    An answer cut by the client's own cap, or by a content filter, is what was asked for: it is not
    checked, and says nothing about quality.
    """
    attempt.margin = answer.margin
    attempt.finish_reason = answer.finish_reason
    attempt.final_answer = final_answer(answer) if compared else None
    capped = answer.finish_reason == "length" and request.token_cap is not None
    if capped or answer.finish_reason == "content_filter":
        attempt.outcome = "censored"
        return
    attempt.outcome = "truncated" if answer.finish_reason == "length" else "complete"
    refusal = check(request, answer)
    if refusal is not None:
        attempt.verdicts.append(refusal)
