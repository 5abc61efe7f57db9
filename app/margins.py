"""How sure a model was of its own words: the gap between the two likeliest tokens, token by token.

Source: Ramírez, Birch and Titov 2024, "Optimising Calls to Large Language Models with Uncertainty-
Based Two-Tier Selection" (COLM 2024, arXiv 2405.02134); quantiles in the place of means: Gupta et
al. 2024, "Language Model Cascades: Token-level uncertainty and beyond" (ICLR 2024, arXiv
2404.10136).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import exp

from app.jsontext import Json
from app.tiers import Tier
from app.wire import ChatRequest

SHORT_TOKENS = 8
"""Of an answer up to this long the first token counts, which decides it; of a longer one a low
quantile: its least sure tokens, and not the many that any model is sure of."""
QUANTILE = 0.1
DIGITS = 4
_ALTERNATIVES = 2


def asking_for_logprobs(request: ChatRequest, tier: Tier) -> ChatRequest:
    """The request that brings token probabilities along; itself where the tier has none to give.

    Only where the tier is known to have them: other providers refuse what they do not know.
    """
    able = tier.supports is not None and "logprobs" in tier.supports
    if not able or request.body.get("logprobs") or "logprobs" in tier.drops:
        return request
    asked = {"logprobs": True, "top_logprobs": _ALTERNATIVES}
    return replace(request, body=request.body | asked)


def drop_logprobs(chunk: Json) -> None:
    """Take out of the chunk what the client has not asked for."""
    for choice in chunk["choices"]:
        choice["logprobs"] = None


def gaps(logprobs: object) -> Iterator[float]:
    """P(likeliest) - P(next) of each token of a choice's `logprobs`, where they can be read.

    Of a token whose alternatives are not told the least that it can be: 2·P - 1. In [-1, 1].
    """
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    for token in content if isinstance(content, list) else ():
        chances = sorted(_chances(token), reverse=True)
        if chances:
            yield chances[0] - (chances[1] if len(chances) > 1 else 1 - chances[0])


def margin_of(found: Sequence[float]) -> float | None:
    """What these tokens' gaps come to; None where there are none."""
    if not found:
        return None
    if len(found) <= SHORT_TOKENS:
        return round(found[0], DIGITS)
    return round(sorted(found)[int(QUANTILE * len(found))], DIGITS)


def _chances(token: object) -> Iterator[float]:
    """How likely each word was that could have stood here: those told, else the one that does."""
    if not isinstance(token, dict):
        return
    told = token.get("top_logprobs")
    words = told if isinstance(told, list) and told else [token]
    for word in words:
        logprob = word.get("logprob") if isinstance(word, dict) else None
        if isinstance(logprob, int | float):
            yield min(1.0, exp(min(0.0, logprob)))
