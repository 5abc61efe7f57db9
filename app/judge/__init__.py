"""Judging: exact checks first, then another model's verdict."""

from typing import Protocol

from app.answers import Answer
from app.records import Verdict
from app.tiers import Tier
from app.wire import ChatRequest


class Judge(Protocol):
    """Whoever says whether an answer is valid: a model, or a recording of one."""

    async def judge(self, by: Tier, request: ChatRequest, answer: Answer) -> Verdict:
        """The verdict; `valid` is None where the judge failed or babbled. Errors: none."""
        ...
