"""What a warm-up will cost, as far as that can be said beforehand."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from app.judge import comparing, llm
from app.judge.arbiter import ArbiterRule
from app.judge.prompt import CONVERSATION_CHARACTERS, TEXT_CHARACTERS
from app.planning.affinity import USUAL_OUTPUT_TOKENS
from app.records import Usage, total_usd
from app.tiers import Tier, TierLadder
from app.warmup.prompts import Prompt

OUTPUT_TOKENS = USUAL_OUTPUT_TOKENS
SPREAD = 4
"""How many times longer, or shorter, answers may well be than assumed."""
DIFFERING = 0.5
"""Assumed share of prompts to which the lowest tier and the top one answer differently."""
VERDICT_SHARE = 0.25
"""Assumed length of a verdict, reasoning included, as a share of an answer's."""
FORM_TOKENS = 120
"""What stands around the data a judge is shown: fences, and the schema of its reply."""

JudgeRule: TypeAlias = Callable[[TierLadder, str], str | None]


@dataclass(frozen=True, slots=True)
class Assumed:
    """What nobody knows beforehand: how long answers are, and how often tiers differ."""

    output_tokens: int = OUTPUT_TOKENS
    differing: float = DIFFERING

    @property
    def shorter(self) -> "Assumed":
        return Assumed(max(1, self.output_tokens // SPREAD), self.differing / 2)

    @property
    def longer(self) -> "Assumed":
        return Assumed(self.output_tokens * SPREAD, 1.0)


@dataclass(slots=True)
class TierQuote:
    """What one tier is asked for. Units: USD, None where its price is unknown.

    `judging` counts verdicts and comparisons that it gives on others' answers.
    """

    tier: str
    answers: float = 0.0
    judging: float = 0.0
    answers_usd: float | None = 0.0
    judging_usd: float | None = 0.0

    @property
    def usd(self) -> float | None:
        return total_usd([self.answers_usd, self.judging_usd])


@dataclass(frozen=True, slots=True)
class Quote:
    """The price by tier. `unpriced` tiers are asked for something, at a price that is unknown."""

    tiers: tuple[TierQuote, ...]
    assumed: Assumed = field(default_factory=Assumed)

    @property
    def unpriced(self) -> tuple[str, ...]:
        return tuple(each.tier for each in self.tiers if each.usd is None)

    @property
    def known_usd(self) -> float:
        """Of the tiers whose price is known."""
        return sum(each.usd or 0.0 for each in self.tiers)


class Teller:
    """Says what prompts cost. `ladder` has all tiers, priced where that can be."""

    def __init__(
        self,
        ladder: TierLadder,
        *,
        judged_by: JudgeRule,
        arbiter: ArbiterRule,
        verdict_tokens: int,
    ) -> None:
        self._ladder = ladder
        self._judged_by = judged_by
        self._arbiter = arbiter
        self._verdict_tokens = verdict_tokens

    def quote(self, prompts: Sequence[Prompt], assumed: Assumed) -> Quote:
        """The price of asking every tier for each of these, of verdicts and of the arbiter.

        Input tokens are counted as the gateway does: four characters each, pictures aside.
        """
        found = {tier.name: TierQuote(tier.name) for tier in self._ladder}
        for prompt in prompts:
            for call in self._calls(prompt, assumed):
                _add(found[call.tier.name], call)
        return Quote(tuple(found.values()), assumed)

    def _calls(self, prompt: Prompt, assumed: Assumed) -> "Iterator[_Call]":
        prompt_tokens, ladder = prompt.request.prompt_tokens(), prompt.ladder
        lengths = {tier.name: _length(tier, prompt, assumed) for tier in ladder}
        for tier in ladder:
            yield _Call(tier, Usage(prompt_tokens, lengths[tier.name]), judging=False)
            by = self._judged_by(ladder, tier.name)
            if by is not None:
                yield self._judgement(by, prompt_tokens, [lengths[tier.name]], assumed)
        lowest, top = ladder.lowest.name, ladder.top.name
        by = self._arbiter(ladder, lowest, top)
        if by is not None:
            pair = [lengths[lowest], lengths[top]]
            # In both orders.
            yield self._judgement(by, prompt_tokens, pair, assumed, times=2 * assumed.differing)

    def _judgement(
        self,
        by: str,
        prompt_tokens: int,
        answers_tokens: Iterable[int],
        assumed: Assumed,
        times: float = 1.0,
    ) -> "_Call":
        answers = list(answers_tokens)
        task = llm.TASK if len(answers) == 1 else comparing.TASK
        shown = min(prompt_tokens, (TEXT_CHARACTERS + CONVERSATION_CHARACTERS) // 4)
        shown += sum(min(tokens, TEXT_CHARACTERS // 4) for tokens in answers)
        said = max(1, round(assumed.output_tokens * VERDICT_SHARE))
        usage = Usage(len(task.system) // 4 + FORM_TOKENS + shown, min(said, self._verdict_tokens))
        return _Call(self._ladder[by], usage, judging=True, times=times)


@dataclass(frozen=True, slots=True)
class _Call:
    tier: Tier
    usage: Usage
    judging: bool
    times: float = 1.0


def _add(to: TierQuote, call: _Call) -> None:
    usd = call.tier.cost_usd(call.usage)
    paid_usd = None if usd is None else call.times * usd
    if call.judging:
        to.judging += call.times
        to.judging_usd = total_usd([to.judging_usd, paid_usd])
    else:
        to.answers += call.times
        to.answers_usd = total_usd([to.answers_usd, paid_usd])


def _length(tier: Tier, prompt: Prompt, assumed: Assumed) -> int:
    """Of the tier's answer, in tokens: as assumed, within what client and tier allow."""
    caps = [assumed.output_tokens, prompt.request.token_cap, tier.max_output_tokens]
    return min(cap for cap in caps if cap is not None)
