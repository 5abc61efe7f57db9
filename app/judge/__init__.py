"""Judging: exact checks first, then another model's word on one answer, or on two."""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from app.answers import Answer
from app.records import Usage, Verdict
from app.tiers import Tier
from app.wire import ChatRequest

Better: TypeAlias = Literal["first", "second", "tie"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one question, held against each other by the tier `by`.

    `verdict` is the better one, `same` whether they come to the same final answer; both are None
    where the judge failed or babbled.
    """

    by: str
    verdict: Better | None = None
    same: bool | None = None
    reason: str = ""
    usage: Usage | None = None
    cost_usd: float | None = None
    latency_s: float = 0.0

    def verdict_on(self, valid: bool | None, role: str, against: int | None = None) -> Verdict:
        """What follows from it for one of the answers, said in this role."""
        return Verdict(
            valid=valid,
            by=f"{role}:{self.by}",
            reason=self.reason,
            usage=self.usage,
            cost_usd=self.cost_usd,
            latency_s=self.latency_s,
            against=against,
        )


class Judge(Protocol):
    """Whoever says whether an answer is valid: a model, or a recording of one."""

    async def judge(self, by: Tier, request: ChatRequest, answer: Answer) -> Verdict:
        """The verdict; `valid` is None where the judge failed or babbled. Errors: none."""
        ...

    async def verify(self, by: Tier, request: ChatRequest, answer: Answer, samples: int) -> Verdict:
        """What the tier that answered says of its answer, asked so many times.

        `confidence` is the share of what could be read that says it is correct. Errors: none.
        """
        ...

    async def compare(
        self, by: Tier, request: ChatRequest, first: Answer, second: Answer
    ) -> Comparison:
        """Which of the answers is better, and whether they come to the same. Errors: none."""
        ...
