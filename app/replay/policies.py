"""The policies a replay runs, by the name they are served under, and the dial each one has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from app.errors import SettingsError
from app.policies import build_policies
from app.policies.value import Value
from app.policy import Policy
from app.replay.ladders import PROVIDER
from app.settings import Settings
from app.settings.configuration import build_settings
from app.tiers import Tier

UNUSED_URL = "http://recording.invalid/v1"


@dataclass(frozen=True, slots=True)
class Dial:
    """The setting that trades accuracy against cost, and the values a sweep tries."""

    section: str
    key: str
    values: tuple[float, ...]


GLOBAL = "value:global"
"""`value` with each tier's rate over all questions, and no neighbours: what these are worth."""

_VALUE = Dial(
    "value",
    "quality_per_dollar",
    (0.1, 0.3, 0.6, 1, 1.4, 1.8, 2.4, 3, 4, 5, 6, 8, 12, 20, 40, 80, 160, 400),
)

DIALS: Mapping[str, Dial] = {
    "llm_at": Dial(
        "llm_at", "threshold", (0.0, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
    ),
    "value": _VALUE,
    "bandit": Dial("bandit", "quality_per_dollar", _VALUE.values),
    "benchmark": Dial("benchmark", "quality_per_dollar", _VALUE.values),
    "emafusion": Dial("emafusion", "quality_per_dollar", _VALUE.values),
    "cascade_routing": Dial("cascade_routing", "quality_per_dollar", _VALUE.values),
    "target_error": Dial("target_error", "error", (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)),
    "automix": Dial("automix", "quality_per_dollar", _VALUE.values),
    "margin": Dial("margin", "escalate_share", tuple(at / 10 for at in range(11))),
    "winrate": Dial("winrate", "strong_share", tuple(at / 10 for at in range(11))),
    GLOBAL: _VALUE,
    **{f"value:{name}": Dial("value", name, ()) for name in ("usd_per_1000", "keep_quality")},
}
"""`value` has three dials; a sweep turns the first."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy to run; `dial` None leaves its dial where the configuration's default has it."""

    name: str
    dial: float | None = None

    @override
    def __str__(self) -> str:
        return self.name if self.dial is None else f"{self.name}@{self.dial:g}"


def parse_choice(text: str) -> Choice:
    """The choice in `NAME` or `NAME@DIAL`. Errors: SettingsError."""
    name, at, value = text.partition("@")
    if not at:
        return Choice(name)
    if name not in DIALS:
        raise SettingsError(f"--policy: {name!r} has no dial; {', '.join(DIALS)} have")
    try:
        return Choice(name, float(value))
    except ValueError:
        raise SettingsError(f"--policy: {text!r}: after @ comes a number") from None


ALL = "all"
UNRANKED = frozenset({"cascade", "random", "margin", "best_of_n", "inter_cascade"})
"""Not among `all`: what learns nothing, what goes by what is seldom recorded (token probabilities,
further answers), and what is another one here: no recording has strategies, so `inter_cascade` is
the plain cascade."""


def parse_choices(texts: Sequence[str], tiers: Sequence[Tier]) -> tuple[Choice, ...]:
    """The choices, each once; `all` is every policy but `UNRANKED`, `value` first.

    Errors: SettingsError.
    """
    found: list[Choice] = []
    for text in texts:
        if text == ALL:
            names = build_policies(_settings({"tiers": tuple(tiers)}, ALL))
            learned = (name for name in names if name not in UNRANKED and ":" not in name)
            found += [Choice(name) for name in learned]
        else:
            found.append(parse_choice(text))
    return tuple(dict.fromkeys(found))


def sweep(name: str) -> list[Choice]:
    """The policy at every value of its dial; none where it has no dial."""
    dial = DIALS.get(name)
    return [] if dial is None else [Choice(name, value) for value in dial.values]


def build_policy(choice: Choice, tiers: Sequence[Tier]) -> Policy:
    """The policy as a gateway with these tiers would serve it. Errors: SettingsError."""
    values: dict[str, object] = {"tiers": tuple(tiers)}
    if choice.dial is not None:
        dial = DIALS[choice.name]
        values[dial.section] = {dial.key: choice.dial}
    settings = _settings(values, str(choice))
    if choice.name == GLOBAL:
        return Value(quality_per_dollar=choice.dial, neighbours=0, name=GLOBAL)
    policies = build_policies(settings)
    name = DIALS[choice.name].section if choice.dial is not None else choice.name
    if choice.dial is None and choice.name in DIALS and name not in policies:
        raise SettingsError(f"--policy: {choice.name!r} needs a number: {choice.name}@…")
    if name not in policies:
        known = ", ".join(sorted({*DIALS, *policies}))
        raise SettingsError(f"--policy: {choice.name!r} is unknown; known: {known}")
    return policies[name]


def _settings(values: Mapping[str, object], choice: str) -> Settings:
    providers = {PROVIDER: {"base_url": UNUSED_URL}}
    return build_settings({"providers": providers, **values}, where=f"--policy {choice}")
