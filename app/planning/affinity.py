"""Whether a conversation changes its tier, and whether a stream may go out unjudged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from app.policy import Context, Seat
from app.records import Estimate, Usage
from app.tiers import Tier

MARGIN = 0.10
"""How much accuracy a whole call of the top tier must buy: the exchange rate of money."""

USUAL_OUTPUT_TOKENS = 256


def settled(context: Context, estimates: Mapping[str, Estimate], chosen: str) -> str:
    """The tier to start at: the chosen one, unless the conversation had better stay where it is.

    It moves when the accuracy won is worth the money: the difference in price, and the prompt that
    the provider has in its cache only here. Without known prices it stays. While tools are under
    way it always stays: providers want their own call ids and reasoning back.
    """
    seat = context.seat
    if seat is None or seat.tier not in context.ladder or seat.tier == chosen:
        return chosen
    if context.tool_turn:
        return seat.tier
    here_usd = _turn_usd(context, context.ladder[seat.tier], seat, seat.cached_tokens)
    there_usd = _turn_usd(context, context.ladder[chosen], seat)
    top_usd = _turn_usd(context, context.ladder.top, seat)
    if here_usd is None or there_usd is None or not top_usd:
        return seat.tier
    won = estimates[chosen].accuracy - estimates[seat.tier].accuracy
    return chosen if won > MARGIN * (there_usd - here_usd) / top_usd else seat.tier


@dataclass(frozen=True, slots=True)
class Voucher:
    """When records vouch for a tier, so that its answer may stream before it is judged.

    `bound` is for the accuracy's lower confidence bound (one standard deviation of its Beta
    posterior); `evidence` for how many neighbours' worth of labels stand behind it.
    """

    bound: float
    evidence: float
    prior_weight: float

    def vouches(self, estimate: Estimate | None) -> bool:
        """Whether there is enough evidence, and it is good enough."""
        if estimate is None:
            return False
        weight = estimate.weight_right + estimate.weight_wrong
        posterior = weight + self.prior_weight
        spread = math.sqrt(estimate.accuracy * (1 - estimate.accuracy) / (posterior + 1))
        return weight >= self.evidence and estimate.accuracy - spread >= self.bound


def goes_live(context: Context, tier: str, *, vouched: bool = False) -> bool:
    """Whether a stream of this tier's answer is let out while it comes.

    What will be served whatever happens always is. Else it depends on the mode: `direct` lets it
    out, `auto` where the records vouch for the tier. A tool call is executed at once, so it needs
    their word even in `direct`.
    """
    if context.single or tier == context.ladder.top.name:
        return True
    match context.mode:
        case "verified":
            return False
        case "auto":
            return vouched
        case "direct":
            return vouched or not context.tools


def _turn_usd(context: Context, tier: Tier, seat: Seat, cached_tokens: int = 0) -> float | None:
    """What this turn would cost there."""
    prompt_tokens = context.prompt_tokens
    return tier.cost_usd(
        Usage(
            input_tokens=prompt_tokens,
            output_tokens=seat.output_tokens or USUAL_OUTPUT_TOKENS,
            cached_tokens=min(cached_tokens, prompt_tokens),
        )
    )
