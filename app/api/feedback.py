"""`POST /v1/feedback`: what became known about an answer: right or wrong, a score, a comment."""

import re
from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from app.accounts.keyring import Caller
from app.answers import Answer
from app.api.auth import Asking
from app.api.body import ClientLeft
from app.api.fields import Fields, NoReply, body_of
from app.api.story import json_reply, no_decision
from app.audience import Audience
from app.clock import Clock
from app.errors import OutboxError, RequestError
from app.judge.agreement import final_answer
from app.recorder import Recorder
from app.records import Evidence, Record

BODY_BYTES = 1024 * 1024
ANSWER_CHARACTERS = 256 * 1024
COMMENT_CHARACTERS = 4000
NAME_CHARACTERS = 64
WORDS_A_DECISION = 50
"""Of feedback about one decision; more is a mistake, or an attack on the store."""

_KNOWN = ("decision", "correct", "score", "comment", "correct_answer", "outcome", "by")
_SAYING = ("correct", "score", "comment", "correct_answer")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


class Feedback:
    """Takes feedback in: written down first, then heard of by everyone who learns from records.

    `keep_comments`: whether comments may be kept; an outcome's word always is.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        audience: Audience,
        clock: Clock,
        keep_comments: bool,
    ) -> None:
        self._recorder = recorder
        self._audience = audience
        self._clock = clock
        self._keep_comments = keep_comments

    async def take(self, fields: Fields, caller: Caller) -> dict[str, object]:
        """What the client is told of it.

        A word that its author has just said about the decision is not kept twice: clients that
        see no reply send it again. Another word is, and from then on counts.
        Errors: RequestError, NotFoundError, StoreError, OutboxError.
        """
        decision = fields.text("decision", most=NAME_CHARACTERS)
        if decision is None:
            raise RequestError("decision is missing", code="missing_parameter", param="decision")
        said = replace(
            _evidence(fields, self._clock.time_s(), keep_comments=self._keep_comments),
            principal=caller.principal,
        )
        record = await self._recorder.get(decision, tenant=caller.tenant)
        if record is None:
            raise no_decision(decision, param="decision")
        if not _repeats(said, record):
            self._note(said, record)
            self._audience.show_again(record.id, record.tenant)
        return {
            "object": "autoshift.feedback",
            "decision": decision,
            "accepted": True,
            "source": said.source,
            "by": said.by,
            "comment_kept": fields.has("comment") and self._keep_comments,
        }

    def _note(self, said: Evidence, record: Record) -> None:
        if sum(_is_word(evidence) for evidence in record.evidence.values()) >= WORDS_A_DECISION:
            raise RequestError(
                f"there is feedback about this decision {WORDS_A_DECISION} times already",
                code="too_much_feedback",
                param="decision",
            )
        if not self._recorder.note(record.id, record.tenant, said):
            raise OutboxError("the feedback could not be written down; send it again later")


def feedback_router(feedback: Feedback) -> APIRouter:
    """The one route."""
    router = APIRouter()

    @router.post("/feedback")
    async def give_feedback(request: Request, caller: Asking) -> Response:
        try:
            given = await body_of(request, BODY_BYTES)
        except ClientLeft:
            return NoReply()
        return json_reply(await feedback.take(Fields(given, _KNOWN), caller))

    return router


def _evidence(fields: Fields, time_s: float, *, keep_comments: bool) -> Evidence:
    """What is said, as it is kept."""
    correct = fields.boolean("correct")
    answer = fields.text("correct_answer", most=ANSWER_CHARACTERS)
    comment = fields.text("comment", most=COMMENT_CHARACTERS)
    outcome = _word(fields, "outcome")
    if not any(fields.has(name) for name in _SAYING):
        raise RequestError(
            f"nothing is said about the decision; give one of {', '.join(_SAYING)}",
            code="missing_parameter",
            param="correct",
        )
    if outcome is not None and correct is None:
        raise RequestError(
            "outcome says what happened, and needs correct: true or false beside it",
            code="missing_parameter",
            param="correct",
        )
    told = (outcome, comment if keep_comments else None)
    return Evidence(
        source="feedback" if outcome is None else "outcome",
        valid=correct,
        by=fields.text("by", most=NAME_CHARACTERS) or "user",
        time_s=time_s,
        score=fields.number("score", 0, 1),
        correct=None if answer is None else _digest(answer),
        comment=": ".join(part for part in told if part is not None) or None,
    )


def _word(fields: Fields, name: str) -> str | None:
    word = fields.text(name, most=NAME_CHARACTERS)
    if word is not None and not _WORD.fullmatch(word):
        raise RequestError(f"{name} must be one short word, such as tests_passed", param=name)
    return word


def _digest(text: str) -> str:
    """As an attempt's final answer is kept, so that the two can be compared."""
    answer = Answer()
    answer.add({"choices": [{"index": 0, "message": {"content": text}}]})
    return final_answer(answer)


def _is_word(evidence: Evidence) -> bool:
    return evidence.source in {"feedback", "outcome"}


def _repeats(said: Evidence, record: Record) -> bool:
    """Whether its author's last word was the same."""
    words = [e for e in record.evidence.values() if (e.source, e.by) == (said.source, said.by)]
    last = max(words, key=lambda word: word.time_s, default=None)
    return last is not None and _told(last) == _told(said)


def _told(word: Evidence) -> tuple[object, ...]:
    return word.valid, word.score, word.correct, word.comment
