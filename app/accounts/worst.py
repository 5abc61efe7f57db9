"""What a call can cost at worst, before it is made."""

from collections.abc import Sequence

from app.answers import Answer
from app.jsontext import Json, dump_json
from app.records import Usage
from app.tiers import Tier
from app.wire import ChatRequest, parts

IMAGE_TOKENS = 10_000
"""More than a picture usually costs; small models may count more, and take less for each."""
JUDGE_PROMPT_TOKENS = 2_500
"""A judge's instructions and fences."""


def worst_answer_usd(tier: Tier, request: ChatRequest, output_tokens: int) -> float | None:
    """What this tier's answer can cost; None where its price is unknown.

    A token is a byte or more, so a prompt has no more tokens than bytes. `output_tokens` is the
    longest answer where the request does not say.
    """
    caps = [cap for cap in (request.token_cap, tier.max_output_tokens) if cap is not None]
    answers = int(request.body.get("n") or 1)
    return tier.cost_usd(Usage(prompt_bytes(request), min(caps, default=output_tokens) * answers))


def worst_verdict_usd(
    by: Tier, request: ChatRequest, answers: Sequence[Answer], max_tokens: int
) -> float | None:
    """What this tier's verdict on these answers can cost; None where its price is unknown."""
    # Shown as data: quotes and line ends are written with one more byte.
    shown_bytes = 2 * sum(_bytes(answer) for answer in answers)
    prompt_tokens = JUDGE_PROMPT_TOKENS + prompt_bytes(request) + shown_bytes
    return by.cost_usd(Usage(prompt_tokens, max_tokens))


def prompt_bytes(request: ChatRequest) -> int:
    """The request's length, pictures at what they cost."""
    images = 0
    messages: list[Json] = []
    for message in request.messages:
        shown = [part for part in parts(message) if part.get("type") != "image_url"]
        images += len(parts(message)) - len(shown)
        messages.append({**message, "content": shown})
    body = {**request.body, "messages": messages}
    return len(dump_json(body)) + IMAGE_TOKENS * images


def _bytes(answer: Answer) -> int:
    called = [text for call in answer.tool_calls for text in (call.name, call.arguments)]
    return sum(len(text.encode()) for text in (answer.text, answer.refusal, *called))
