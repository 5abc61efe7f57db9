"""Providers that a first configuration knows, each with a ladder to start from."""

from dataclasses import dataclass, field
from typing import Literal

from app.settings.providers import Auth


@dataclass(frozen=True, slots=True)
class Rung:
    """A suggested tier. `price` is USD per million tokens in and out, where no list has it.

    `base_url` is where it lives, if not where the others do.
    """

    name: str
    model: str
    prior: float
    price: tuple[float, float] | None = None
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """`asks_for` is what of the address only its user knows; `hints` become comments."""

    name: str
    title: str
    base_url: str
    key_env: str | None
    rungs: tuple[Rung, ...]
    auth: Auth = "bearer"
    headers: dict[str, str] = field(default_factory=dict)
    token_param: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"  # noqa: S105
    asks_for: Literal["resource", "base_url"] | None = None
    hints: tuple[str, ...] = ()


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="openai",
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_env="OPENAI_API_KEY",
        rungs=(
            Rung("small", "gpt-6-luna", 0.60),
            Rung("medium", "gpt-6.1-terra", 0.75),
            Rung("large", "gpt-6.1-sol", 0.90),
        ),
    ),
    Preset(
        name="openrouter",
        title="OpenRouter: models of many makers under one key",
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        rungs=(
            Rung("small", "openai/gpt-6-luna", 0.60),
            Rung("medium", "openai/gpt-6.1-terra", 0.75),
            Rung("large", "anthropic/claude-opus-5.5", 0.90),
        ),
        token_param="max_tokens",  # noqa: S106
        hints=("headers: {x-title: my-gateway} names you on OpenRouter's own pages.",),
    ),
    Preset(
        name="azure",
        title="Azure OpenAI",
        base_url="https://RESOURCE.openai.azure.com/openai/v1",
        key_env="AZURE_OPENAI_API_KEY",
        rungs=(
            Rung("small", "gpt-6-luna", 0.60),
            Rung("medium", "gpt-6.1-terra", 0.75),
            Rung("large", "gpt-6.1-sol", 0.90),
        ),
        auth="api-key",
        asks_for="resource",
        hints=(
            "model is the name of YOUR deployment; where it differs from the model's own, the",
            "price is not found: write it down as price: {input: …, output: …}.",
            "Azure's older addresses want a provider a deployment, and a version:",
            "  base_url: https://RESOURCE.openai.azure.com/openai/deployments/DEPLOYMENT",
            '  query: {api-version: "2024-10-21"}',
        ),
    ),
    Preset(
        name="anthropic",
        title="Anthropic, through its OpenAI-compatible address",
        base_url="https://api.anthropic.com/v1",
        key_env="ANTHROPIC_API_KEY",
        rungs=(
            Rung("small", "claude-haiku-5-5", 0.60),
            Rung("medium", "claude-sonnet-5-5", 0.80),
            Rung("large", "claude-opus-5-5", 0.90),
        ),
        headers={"anthropic-version": "2023-06-01"},
        hints=("Anthropic means this address for trials: JSON schemas are not enforced there.",),
    ),
    Preset(
        name="google",
        title="Google Gemini, through its OpenAI-compatible address",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        rungs=(
            Rung("small", "gemini-3.5-flash-lite", 0.60),
            Rung("medium", "gemini-3.8-flash", 0.75),
            Rung("large", "gemini-4-argon", 0.90),
        ),
    ),
    Preset(
        name="ollama",
        title="Ollama, on this machine",
        base_url="http://127.0.0.1:11434/v1",
        key_env=None,
        rungs=(
            Rung("small", "qwen3:4b", 0.50, (0.02, 0.06)),
            Rung("medium", "qwen3:14b", 0.65, (0.06, 0.24)),
            Rung("large", "qwen3:32b", 0.75, (0.10, 0.40)),
        ),
        token_param="max_tokens",  # noqa: S106
        hints=(
            "Your own machine sends no bill, but routing must know what is dear: the prices are",
            "made up, by the models' sizes. Pull the models first: ollama pull qwen3:4b",
        ),
    ),
    Preset(
        name="vllm",
        title="vLLM, or another server of your own",
        base_url="http://127.0.0.1:8000/v1",
        key_env=None,
        rungs=(
            Rung("small", "Qwen/Qwen3-4B", 0.50, (0.02, 0.06)),
            Rung("large", "Qwen/Qwen3-32B", 0.75, (0.10, 0.40), "http://127.0.0.1:8001/v1"),
        ),
        token_param="max_tokens",  # noqa: S106
        hints=(
            "A vLLM server has one model, so every tier has a provider of its own.",
            "Your own machine sends no bill, but routing must know what is dear: the prices are",
            "made up, by the models' sizes.",
        ),
    ),
    Preset(
        name="litellm",
        title="a LiteLLM proxy, behind this gateway",
        base_url="http://127.0.0.1:4000/v1",
        key_env="LITELLM_API_KEY",
        rungs=(
            Rung("small", "gpt-6-luna", 0.60, (0.10, 0.50)),
            Rung("medium", "gpt-6.1-terra", 0.75, (1.00, 5.00)),
            Rung("large", "gpt-6.1-sol", 0.90, (2.00, 10.00)),
        ),
        hints=("model is a model_name of your LiteLLM configuration; prices are not looked up.",),
    ),
    Preset(
        name="other",
        title="another OpenAI-compatible service",
        base_url="https://api.example.com/v1",
        key_env="PROVIDER_API_KEY",
        rungs=(
            Rung("small", "small-model", 0.60),
            Rung("large", "large-model", 0.90),
        ),
        token_param="max_tokens",  # noqa: S106
        asks_for="base_url",
        hints=(
            "Where a model's price is unknown, write price: {input: …, output: …} at its tier.",
        ),
    ),
)
BY_NAME = {preset.name: preset for preset in PRESETS}
