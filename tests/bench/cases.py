"""What is measured: who is asked for what, and what the provider must have been asked for it."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.bench.load import Target, chat
from tests.bench.stock import question

SIZES = (1_000, 10_000, 100_000)
USUAL_SIZE = 10_000
STREAM_GAP_MS = 10
QUESTIONS = 5_000
"""So many different ones, that what is kept of earlier ones helps as little as it does in life."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to be asked: of which process, and how many judge calls a request takes."""

    name: str
    stand: str
    model: str
    verdicts: int = 0
    mode: str | None = None

    def target(self, url: str, *, wait_ms: int = 0, stream: bool = False) -> Target:
        """What to send, where."""
        how = f"wait={wait_ms} gap={STREAM_GAP_MS if stream else 0}"
        more: dict[str, object] = {"stream": True} if stream else {}
        if self.mode is not None:
            more["autoshift"] = {"stream": self.mode}
        rng = Random(self.name)  # noqa: S311 - guards nothing
        asked = [f"{question(rng)} {how}" for _ in range(QUESTIONS)]
        return Target(url, [chat(self.model, text, **more) for text in asked])


BARE = Case("bare proxy, same stack", "bare", "scripted")
BARE_HTTPX = Case("bare proxy, httpx's own transport", "bare-httpx", "scripted")
NGINX = Case("nginx", "nginx", "scripted")
PROVIDER = Case("the provider itself", "provider", "scripted")
PINNED = Case("pinned", "gateway-10000", "small")
AUTO = tuple(
    Case(f"auto, no judge call, {size:,} records", f"gateway-{size}", "auto") for size in SIZES
)
AUTO_USUAL = AUTO[SIZES.index(USUAL_SIZE)]
JUDGED = Case(
    "auto, one judge call (llm_at), 10,000 records", "gateway-10000", "auto:llm_at", verdicts=1
)

PLAIN = (NGINX, BARE, BARE_HTTPX, PINNED, *AUTO, JUDGED)
"""For CPU per request and requests per second."""
PACED = (PROVIDER, NGINX, BARE, PINNED, AUTO_USUAL, JUDGED)
"""For latency at a given rate."""
STREAMED = (
    PROVIDER,
    NGINX,
    BARE,
    Case("pinned", "gateway-10000", "small"),
    Case("auto, direct", "gateway-10000", "auto", mode="direct"),
    Case("auto, verified", "gateway-10000", "auto:llm_at", verdicts=1, mode="verified"),
)
"""For CPU per chunk and time to first words."""


def configuration(provider_url: str, store: Path) -> dict[str, object]:
    """Three tiers at the scripted provider; calls can be counted: no lessons, no canaries."""
    prices = {"small": 0.1, "medium": 1.0, "large": 10.0}
    return {
        "server": {"port": 0},
        "providers": {"scripted": {"base_url": f"{provider_url}/v1"}},
        "tiers": [
            {
                "name": name,
                "provider": "scripted",
                "model": f"model-{name}",
                "price": {"input": usd, "output": 4 * usd},
                "prior": prior,
            }
            for (name, usd), prior in zip(prices.items(), (0.8, 0.85, 0.9), strict=True)
        ],
        "value": {"lessons": 0},
        "judge": {"canary_every": 0},
        "store": {"path": str(store)},
        "seed": 1,
    }
