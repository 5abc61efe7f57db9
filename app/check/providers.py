"""Whether every provider answers, accepts the key, and has the models of the tiers."""

import asyncio
import difflib
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpx

from app.check.findings import Finding
from app.errors import (
    SettingsError,
    UpstreamAuthError,
    UpstreamConnectError,
    UpstreamError,
    UpstreamMissingError,
    UpstreamUntrustedError,
)
from app.jsontext import Json
from app.settings import Settings
from app.settings.configuration import secret
from app.settings.providers import Provider
from app.tiers import Tier, Timeouts
from app.upstreams.access import access_of
from app.upstreams.client import Upstream

_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_TOKENS = 256  # room for a reasoning model to get to its one word
_PING_S = 20.0


async def look(
    settings: Settings, transport: httpx.AsyncBaseTransport, *, ask: bool
) -> AsyncGenerator[Finding, None]:
    """One finding for each provider, then for each of its tiers; `ask` spends a few tokens."""
    for name, provider in settings.providers.items():
        tiers = [
            tier.model_copy(update={"model": each.model})
            for tier in settings.tiers
            for each in tier.upstreams
            if each.provider == name
        ]
        try:
            key = secret(provider.api_key_env, wanted_by=f"providers.{name}")
        except SettingsError as exc:
            said, _, remedy = exc.message.partition("; ")
            yield Finding("error", f"provider {name}", said.partition(": ")[2], remedy)
            continue
        upstream = Upstream(name=name, access=access_of(provider, key), transport=transport)
        found, models = await _ping(name, provider, upstream, tiers)
        yield found
        if found.level == "error":
            continue
        for tier in tiers:
            yield await _asked(tier, upstream) if ask else _listed(tier, provider, models)


def missing_key(settings: Settings) -> str | None:
    """The first provider whose key is not in the environment."""
    for name, provider in settings.providers.items():
        try:
            secret(provider.api_key_env, wanted_by=name)
        except SettingsError:
            return name
    return None


async def _ping(
    name: str, provider: Provider, upstream: Upstream, tiers: Sequence[Tier]
) -> tuple[Finding, list[str]]:
    about = f"provider {name}"
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(_PING_S):
            models = await upstream.ping(tiers[0].timeouts if tiers else Timeouts())
    except UpstreamMissingError:
        says = f"{provider.base_url} has no list of models (HTTP 404)"
        remedy = "see that base_url is right, most end in /v1; check --ask asks every tier itself"
        return Finding("warning", about, says, remedy), []
    except (UpstreamError, TimeoutError) as exc:
        return Finding("error", about, _said(exc), _remedy(exc, provider)), []
    took_ms = (time.monotonic() - began_s) * 1000
    return Finding("ok", about, f"answers in {took_ms:.0f} ms, {len(models)} models"), models


def _listed(tier: Tier, provider: Provider, models: Sequence[str]) -> Finding:
    about = f"tier {tier.name}"
    names = {model.removeprefix("models/") for model in models}  # as Google lists them
    if tier.model.removeprefix("models/") in names:
        return Finding("ok", about, f"{tier.model} is among the provider's models")
    if not names:
        return Finding("ok", about, f"{tier.model}: nothing to look it up in; --ask tells for sure")
    if any(host in provider.base_url for host in _AZURE):
        says = f"{tier.model}: Azure lists models, not your deployments; --ask tells for sure"
        return Finding("ok", about, says)
    near = difflib.get_close_matches(tier.model, names, n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"it has {_some(sorted(names))}"
    return Finding("error", about, f"{tier.model} is not among the provider's models", remedy)


async def _asked(tier: Tier, upstream: Upstream) -> Finding:
    about = f"tier {tier.name}"
    body: Json = {
        "model": tier.model,
        "messages": [{"role": "user", "content": "Answer with the one word: ok"}],
        tier.token_param: min(_TOKENS, tier.max_output_tokens or _TOKENS),
    }
    began_s = time.monotonic()
    try:
        async with aclosing(upstream.complete(body, tier.timeouts)) as chunks:
            async for _ in chunks:
                pass
    except UpstreamError as exc:
        return Finding("error", about, f"{tier.model}: {_said(exc)}", _model_remedy(exc))
    return Finding("ok", about, f"{tier.model} answered in {time.monotonic() - began_s:.1f} s")


def _said(exc: Exception) -> str:
    if isinstance(exc, UpstreamError):
        return exc.message.partition(": ")[2] or exc.message
    return f"no answer within {_PING_S:g} s"


def _remedy(exc: Exception, provider: Provider) -> str:
    match exc:
        case UpstreamAuthError() if provider.api_key_env is None:
            return "it wants a key: name the variable that holds it in api_key_env"
        case UpstreamAuthError():
            return (
                f"see that ${provider.api_key_env} holds this provider's key, and that auth: "
                f"{provider.auth} is how it wants it"
            )
        case UpstreamUntrustedError():
            return (
                "see that its certificate is valid and for this name; SSL_CERT_FILE names the CAs"
            )
        case UpstreamConnectError():
            return f"see that {provider.base_url} is right and up"
        case _:
            return f"see that {provider.base_url} is an OpenAI-compatible address; most end in /v1"


def _model_remedy(exc: UpstreamError) -> str:
    if isinstance(exc, UpstreamMissingError):
        return "see that model is what the provider calls it; at Azure, the deployment's name"
    return "see what the provider's own documents say about this model"


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
