"""A first configuration as text: YAML that explains itself, and never holds a key."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.init.presets import Preset, Rung
from app.prices import price_of

_PLAIN = re.compile(r"[A-Za-z][\w./-]*|https?://[\w./:-]+")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True, slots=True)
class Draft:
    """What was chosen; `key_env` None: no key is needed."""

    preset: Preset
    base_url: str
    key_env: str | None
    rungs: tuple[Rung, ...]

    def provider_of(self, rung: Rung) -> str:
        """The name of the provider this tier is at."""
        return self.preset.name if rung.base_url is None else f"{self.preset.name}-{rung.name}"


def text_of(draft: Draft, file: str) -> str:
    """The configuration; `file` is where it will be, for its own instructions."""
    parts = (_head(draft, file), _providers(draft), _tiers(draft), [_REST])
    return "\n\n".join("\n".join(part) for part in parts)


def _head(draft: Draft, file: str) -> Iterator[str]:
    yield f"# Autoshift's configuration, for {draft.preset.title}."
    yield "#"
    if draft.key_env is not None:
        yield f"#   export {draft.key_env}=…"
    yield f"#   autoshift check --config {file}      says what is wrong"
    yield f"#   autoshift serve --config {file}"
    yield "#"
    yield '# Then point an OpenAI client at http://127.0.0.1:8080/v1 and ask for the model "auto".'
    yield "# Every other key is explained in config/autoshift.example.yaml."
    if draft.preset.hints:
        yield "#"
        yield from (f"# {hint}" for hint in draft.preset.hints)


def _providers(draft: Draft) -> Iterator[str]:
    yield "providers:"
    addresses = {draft.provider_of(rung): rung.base_url or draft.base_url for rung in draft.rungs}
    for name, base_url in addresses.items():
        yield f"  {name}:"
        yield f"    base_url: {_scalar(base_url)}"
        if draft.key_env is None:
            yield "    api_key_env: null      # no key is needed"
        else:
            yield (
                f"    api_key_env: {draft.key_env}"
                "      # the NAME of the variable that holds the key, never the key"
            )
        if draft.preset.auth != "bearer":
            yield f"    auth: {draft.preset.auth}      # the header that carries the key"
        if draft.preset.headers:
            pairs = (f"{name}: {_scalar(value)}" for name, value in draft.preset.headers.items())
            yield f"    headers: {{{', '.join(pairs)}}}"


def _tiers(draft: Draft) -> Iterator[str]:
    yield "# The ladder, cheapest first; two tiers or more. prior is the share of right answers you"
    yield "# expect before there are records; a rough guess will do, records correct it."
    yield "tiers:"
    for rung in draft.rungs:
        yield f"  - name: {_scalar(rung.name)}"
        yield f"    provider: {draft.provider_of(rung)}"
        yield f"    model: {_scalar(rung.model)}{_list_price(draft, rung)}"
        yield f"    prior: {rung.prior:.2f}"
        if rung.price is not None:
            given, taken = rung.price
            yield f"    price: {{input: {given:g}, output: {taken:g}}}      # USD, million tokens"
        if draft.preset.token_param != "max_completion_tokens":  # noqa: S105 - no secret
            yield f"    token_param: {draft.preset.token_param}"


def _list_price(draft: Draft, rung: Rung) -> str:
    """A comment about what is known of its price."""
    if rung.price is not None:
        return ""
    price = price_of(rung.model, rung.base_url or draft.base_url)
    if price is None:
        return "      # its price is not known: add price: {input: …, output: …}"
    return f"      # list price: ${price.input:g} in, ${price.output:g} out per million tokens"


_REST = """\
# value buys what is worth its price: an answer, a verdict, a second tier's answer. What accuracy
# is worth is set by one of three dials.
policy: value
value:
  quality_per_dollar: auto      # a mean call of the top tier must buy ten points of accuracy
  # keep_quality: 0.98          # or: the share of the top tier's accuracy to keep
  # usd_per_1000: 2.50          # or: what 1,000 requests may cost, all told

# What was asked, answered and judged: routing learns from it. Texts are kept only if you say so.
store: {path: ./data}
records: {text: none}      # or excerpt, or full

server:
  host: 127.0.0.1
  port: 8080
"""


def _scalar(text: str) -> str:
    """The text as YAML reads it back; quoted where it could be read as something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
