"""What a request may still spend: asked before every call that costs, told afterwards what it cost.

Worst cases are laid aside, of the request's own bound and of its key's limits, and corrected when
the cost is known. What stays unknown stays laid aside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from app.accounts.keyring import Caller
from app.accounts.limiter import DAY_S, HOUR_S, MINUTE_S, Held, Limiter, Total
from app.accounts.worst import worst_answer_usd, worst_verdict_usd
from app.answers import Answer
from app.errors import (
    CountsDownError,
    GatewayError,
    QuotaError,
    RateLimitedError,
    RequestError,
    SettingsError,
    TooDearError,
)
from app.records import Usage
from app.settings.keys import Key
from app.tiers import Tier, TierLadder
from app.wire import ChatRequest

NANO = 1_000_000_000
"""Money is counted in whole billionths of a USD."""
USUAL_OUTPUT_TOKENS = 1_000
"""How long an answer is taken to be against a limit in tokens, where the request does not say."""

FIRST_SHARE = 0.5
"""Of a request's own bound, what the cheapest tier's answer may use up."""
FEWEST_TOKENS = 256
"""No answer is cut shorter for a request's own bound; one that cannot pay for them is refused."""

Reason: TypeAlias = Literal["budget", "limits"]


@dataclass(slots=True)
class Purse:
    """One request's. Without limits everything is allowed, and nothing is counted.

    `most_usd` is the request's own bound. `refusal` and `why`, after a refusal: it as an error, and
    in a word. `counted`: every rate was; else they let pass, as their server was down.
    """

    limiter: Limiter | None = None
    money: tuple[Total, ...] = ()
    tokens: Total | None = None
    escalations: tuple[str, int] | None = None
    most_usd: float | None = None
    output_tokens: int = 0
    judge_tokens: int = 0
    asked_tokens: int | None = None
    refusal: GatewayError | None = None
    why: Reason = "budget"
    counted: bool = True
    _spent_usd: float = 0.0
    _held_usd: float | None = None
    _held: list[Held] = field(default_factory=list)

    async def for_answer(self, tier: Tier, request: ChatRequest) -> bool:
        """Whether this tier may be asked; if so, what that can cost is laid aside."""
        if self._is_free:
            return True
        usd = worst_answer_usd(tier, request, self.output_tokens) if self._counts_money else None
        tokens = request.prompt_tokens() + (self.asked_tokens or USUAL_OUTPUT_TOKENS)
        return await self._lay_aside(usd, tokens, tier)

    async def for_verdict(
        self, by: Tier, request: ChatRequest, answers: Sequence[Answer], samples: int = 1
    ) -> bool:
        """Whether this tier may judge these answers; if so, what that can cost is laid aside.

        `samples`: how many times it is asked.
        """
        if self._is_free:
            return True
        usd = None
        if self._counts_money:
            usd = worst_verdict_usd(by, request, answers, self.judge_tokens)
        tokens = samples * (request.prompt_tokens() + USUAL_OUTPUT_TOKENS)
        return await self._lay_aside(None if usd is None else samples * usd, tokens, by)

    async def may_escalate(self) -> bool:
        """Whether a tier above may be asked; if so, that is counted."""
        if self.limiter is None or self.escalations is None:
            return True
        name, per_minute = self.escalations
        try:
            return await self.limiter.hit(name, per_minute)
        except CountsDownError:
            self.counted = False
            return True  # money is bounded apart

    def apart(self) -> "Purse":
        """The same limits, for what is done at the same time."""
        return replace(self, _held_usd=None, _held=[], refusal=None, counted=True)

    def settle(self, cost_usd: float | None, usage: Usage | None) -> None:
        """What the last call cost after all."""
        if self._held_usd is not None:
            self._spent_usd += self._held_usd if cost_usd is None else cost_usd
            self._held_usd = None
        held, self._held = self._held, []
        for each in held:
            if each.total == self.tokens:
                known = None if usage is None else usage.input_tokens + usage.output_tokens
                if usage is None and cost_usd == 0:
                    known = 0
            else:
                known = None if cost_usd is None else nano(cost_usd)
            if known is not None and self.limiter is not None:
                self.limiter.settle(each, known)

    @property
    def _is_free(self) -> bool:
        return not self._counts_money and self.tokens is None

    @property
    def _counts_money(self) -> bool:
        return bool(self.money) or self.most_usd is not None

    async def _lay_aside(self, usd: float | None, tokens: int, tier: Tier) -> bool:
        self.settle(None, None)  # a call that ended nobody knows how
        try:
            self.refusal = await self._refused(usd, tokens, tier)
        except CountsDownError as exc:
            # A limit in money holds whatever happens; rates let pass what cannot be counted.
            self.refusal, self.why = exc, "limits"
            self._note_refusal(exc.code)
        if self.refusal is None:
            self._held_usd = usd
            return True
        self.settle(0.0, None)
        return False

    async def _refused(self, usd: float | None, tokens: int, tier: Tier) -> GatewayError | None:
        self.why = "budget"
        if self._counts_money and usd is None:
            return TooDearError(f"the price of {tier.name} is not known, so its cost has no bound")
        if self.most_usd is not None and usd is not None:
            left_usd = self.most_usd - self._spent_usd
            if usd > left_usd:
                self._note_refusal("max_cost_usd")
                return TooDearError(
                    f"{tier.name} could cost up to ${usd:.6f}, and ${left_usd:.6f} is left of "
                    "max_cost_usd; raise it, or give a smaller max_tokens",
                    param="autoshift.max_cost_usd",
                )
        assert self.limiter is not None or not self.money  # noqa: S101 - they come together
        for total in self.money:
            held = await self._limited(total, nano(usd or 0.0))
            if held is None:
                return _spent(total, usd or 0.0, tier)
        if self.tokens is not None and not await self._tokens_left(self.tokens, tokens):
            self.why = "limits"
            return RateLimitedError(
                f"this key may use {self.tokens.most:,} tokens a minute; wait a little, or give a "
                "smaller max_tokens",
                retry_after_s=self.tokens.part_s,
            )
        return None

    def _note_refusal(self, limit: str | None) -> None:
        if self.limiter is not None:
            self.limiter.refused(limit or "")

    async def _limited(self, total: Total, amount: int) -> Held | None:
        assert self.limiter is not None  # noqa: S101 - there are limits
        held = await self.limiter.lay_aside(total, amount)
        if held is not None:
            self._held.append(held)
        return held

    async def _tokens_left(self, total: Total, tokens: int) -> bool:
        try:
            return await self._limited(total, tokens) is not None
        except CountsDownError:
            self.counted = False
            return True


class Purses:
    """Makes each request's purse. `ladder` is whom a request could have to pay."""

    def __init__(
        self, *, limiter: Limiter, ladder: TierLadder, output_tokens: int, judge_tokens: int
    ) -> None:
        self._limiter = limiter
        self._ladder = ladder
        self._output_tokens = output_tokens
        self._judge_tokens = judge_tokens

    def purse(self, caller: Caller, request: ChatRequest) -> Purse:
        """What this caller's request may spend.

        Errors: RequestError where its own bound cannot be kept, for want of a price.
        """
        most_usd = request.extension.max_cost_usd
        unpriced = [tier.name for tier in self._ladder if tier.price is None]
        if most_usd is not None and unpriced:
            raise RequestError(
                f"max_cost_usd cannot be kept: the price of the tier {unpriced[0]!r} is not known",
                param="autoshift.max_cost_usd",
            )
        tokens, escalations = token_total(caller), caller.limits.escalations_per_minute
        return Purse(
            limiter=self._limiter,
            money=money_totals(caller),
            tokens=tokens,
            escalations=None
            if escalations is None
            else (f"escalations_per_minute:{caller.name}", escalations),
            most_usd=most_usd,
            output_tokens=self._output_tokens,
            judge_tokens=self._judge_tokens,
            asked_tokens=request.token_cap,
            counted=caller.counted,
        )

    def bounded(self, caller: Caller, request: ChatRequest) -> ChatRequest:
        """The request with an end to its answer, where its cost must be known beforehand."""
        most_usd = request.extension.max_cost_usd
        is_bounded = caller.limits.money is not None or most_usd is not None
        if not is_bounded or request.token_cap is not None:
            return request
        tokens = self._output_tokens
        prices = [tier.price.output for tier in self._ladder if tier.price is not None]
        if most_usd is not None and min(prices, default=0.0) > 0:
            affordable = int(most_usd * FIRST_SHARE / min(prices) * 1_000_000)
            tokens = min(tokens, max(FEWEST_TOKENS, affordable))
        return replace(request, body={**request.body, "max_completion_tokens": tokens})


def check_prices(keys: Iterable[Key], ladder: TierLadder) -> None:
    """Errors: SettingsError where a limit in money could not be kept."""
    unpriced = [tier.name for tier in ladder if tier.price is None]
    for key in keys:
        if key.limits.money is not None and unpriced:
            raise SettingsError(
                f"keys.{key.name}.limits.{key.limits.money}: the price of the tier "
                f"{unpriced[0]!r} is not known, so what it costs cannot be limited; give it a price"
            )


def money_totals(caller: Caller) -> tuple[Total, ...]:
    """What this caller may spend, over each of its spans."""
    limits, name = caller.limits, caller.name
    spans = (("hour", HOUR_S, limits.usd_per_hour), ("day", DAY_S, limits.usd_per_day))
    return tuple(
        Total(f"usd_per_{span}:{name}", nano(usd), span_s)
        for span, span_s, usd in spans
        if usd is not None
    )


def token_total(caller: Caller) -> Total | None:
    """The tokens this caller may use in a minute, if that is limited."""
    most = caller.limits.tokens_per_minute
    return None if most is None else Total(f"tokens_per_minute:{caller.name}", most, MINUTE_S)


def nano(usd: float) -> int:
    """In whole billionths, rounded up."""
    return -int(-usd * NANO // 1)


def _spent(total: Total, usd: float, tier: Tier) -> QuotaError:
    span = total.name.partition(":")[0].removeprefix("usd_per_")
    return QuotaError(
        f"{tier.name} could cost up to ${usd:.6f}, more than is left of the ${total.most / NANO:g} "
        f"that this key may spend in {'an hour' if span == 'hour' else '24 hours'}; wait, or give "
        "a smaller max_tokens"
    )
