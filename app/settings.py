"""The configuration: typed sections, read from one YAML file, then from `AUTOSHIFT_*` variables."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from app.errors import SettingsError
from app.tiers import Positive, Tier, TierLadder

PREFIX = "AUTOSHIFT_"
CONFIG_VARIABLE = "AUTOSHIFT_CONFIG"
EXAMPLES = ("config/autoshift.example.yaml", "config/sandbox.yaml")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Admin(Section):
    host: str = "127.0.0.1"
    port: Port = 9090


class Server(Section):
    """Where to listen. `deadline_s` bounds a request until its answer streams live."""

    host: str = "127.0.0.1"
    port: Port = 8080
    admin: Admin | None = None
    drain_s: Positive = 60.0
    deadline_s: Positive = 280.0
    hold_s: Positive = 10.0
    body_bytes: Annotated[int, Field(gt=0)] = 32 * 1024 * 1024

    @model_validator(mode="after")
    def _loopback(self) -> "Server":
        for host in (self.host, self.admin.host if self.admin else self.host):
            if host not in LOOPBACK:
                raise ValueError(
                    f"host {host!r} is not a loopback address, and there are no keys: whoever "
                    "reaches it could spend your money. Not yet: keys, to bind other addresses"
                )
        return self


class Provider(Section):
    """An OpenAI-compatible service. `api_key_env` names the variable that holds the key."""

    base_url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")]
    api_key_env: str | None = None


class LlmAtSection(Section):
    threshold: Fraction = 0.7
    neighbours: Annotated[int, Field(ge=1, le=100)] = 5
    prior_weight: Annotated[float, Field(ge=0)] = 5.0


class JudgeSection(Section):
    """Who judges; left out: the policy's own rule. `max_tokens` caps a verdict and its reasoning."""

    by: str | None = None
    max_tokens: Annotated[int, Field(ge=16)] = 4096
    timeout_s: Positive = 60.0


class Stream(Section):
    mode: Literal["verified"] = "verified"

    @field_validator("mode", mode="before")
    @classmethod
    def _not_yet(cls, mode: object) -> object:
        if mode in {"direct", "auto"}:
            raise ValueError(f"{mode!r}: not yet; write 'verified'")
        return mode


class EmbedderSection(Section):
    """`static` needs nothing else; `fastembed` a model it knows, or a directory in `path`."""

    kind: Literal["static", "fastembed"] = "static"
    model: str = "BAAI/bge-small-en-v1.5"
    path: Path | None = None


class StoreSection(Section):
    """`path` holds the embedded store and the outbox; `url` names a Qdrant server instead.

    `upkeep_records`: how many new records make the embedded store worth re-indexing.
    """

    path: Path = Path("data")
    url: Annotated[str, Field(pattern=r"^https?://[^@\s]+$")] | None = None
    api_key_env: str | None = None
    collection: Name = "autoshift"
    upkeep_records: Annotated[int, Field(ge=1)] = 5000
    outbox_bytes: Annotated[int, Field(ge=4096)] = 256 * 1024 * 1024


class RecordsSection(Section):
    text: Literal["none", "excerpt", "full"] = "none"


class Settings(BaseSettings):
    """Everything that can be set. Frozen; unknown keys are refused with their path."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    server: Server = Server()
    providers: dict[Name, Provider]
    tiers: Annotated[tuple[Tier, ...], Field(min_length=2)]
    aliases: dict[str, str] = {}
    policy: str = "llm_at"
    llm_at: LlmAtSection = LlmAtSection()
    judge: JudgeSection = JudgeSection()
    stream: Stream = Stream()
    embedder: EmbedderSection = EmbedderSection()
    store: StoreSection = StoreSection()
    records: RecordsSection = RecordsSection()
    max_calls: Annotated[int, Field(ge=1, le=64)] = 6
    seed: int | None = None
    simulated: bool = False

    @property
    def ladder(self) -> TierLadder:
        return TierLadder(self.tiers)

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which arrives as init arguments."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        names = [tier.name for tier in self.tiers]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"tiers: the name {sorted(twice)[0]!r} is used twice")
        for tier in self.tiers:
            if tier.provider not in self.providers:
                raise ValueError(
                    f"tiers: {tier.name!r} names the provider {tier.provider!r}, which is not "
                    f"under providers ({', '.join(sorted(self.providers))})"
                )
        allowed = {"next", "self", "none", *names}
        if self.judge.by is not None and self.judge.by not in allowed:
            raise ValueError(
                f"judge.by: {self.judge.by!r} is none of {', '.join(sorted(allowed))}"
            )
        return self


def load_settings(path: Path | None = None) -> Settings:
    """The settings of this file and this environment.

    Errors: SettingsError, one line that names the key and says what would be right.
    """
    if path is None:
        named = os.environ.get(CONFIG_VARIABLE)
        if not named:
            raise SettingsError(
                f"no configuration: give --config FILE or set {CONFIG_VARIABLE}; "
                f"start from {EXAMPLES[0]}, or try {EXAMPLES[1]} (serve --sandbox)"
            )
        path = Path(named)
    return build_settings(read_yaml(path), where=str(path))


def build_settings(values: Mapping[str, object], *, where: str = "settings") -> Settings:
    """The settings of these values and this environment; errors as `load_settings`."""
    _refuse_later_keys(values, where)
    _refuse_unknown_variables()
    try:
        return Settings(**values)  # type: ignore[arg-type]  # pydantic checks every value
    except ValidationError as exc:
        raise SettingsError(f"{where}: {_one_line(exc)}") from None


def secret(variable: str | None, *, wanted_by: str) -> SecretStr | None:
    """The secret in this environment variable; None where no variable is named.

    Errors: SettingsError when the variable is named but missing or empty.
    """
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise SettingsError(
            f"{wanted_by}: the environment variable {variable} is not set; "
            f"export {variable}=… or leave api_key_env out if no key is needed"
        )
    return SecretStr(value)


_LATER_KEYS = {
    "value": "the `value` policy",
    "keys": "client keys",
    "limits": "limits",
    "mode": "shadow mode",
}


def _refuse_later_keys(values: Mapping[str, object], where: str) -> None:
    for key, what in _LATER_KEYS.items():
        if key in values:
            raise SettingsError(f"{where}: {key}: not yet: {what} will come; remove this key")
    policy = values.get("policy")
    if policy == "value":
        raise SettingsError(f"{where}: policy: 'value': not yet; write 'llm_at'")
    tiers = values.get("tiers")
    for index, tier in enumerate(tiers if isinstance(tiers, list | tuple) else ()):
        if isinstance(tier, Mapping) and "upstreams" in tier:
            raise SettingsError(
                f"{where}: tiers.{index}.upstreams: not yet; write provider and model"
            )
    records = values.get("records")
    if isinstance(records, Mapping) and "keep" in records:
        raise SettingsError(f"{where}: records.keep: not yet; remove this key, records are kept")


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        at = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or "not YAML"
        raise SettingsError(f"{path}: malformed YAML{at}: {problem}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise SettingsError(f"{path}: must be a mapping of sections; see {EXAMPLES[0]}")
    return values


def _refuse_unknown_variables() -> None:
    """pydantic-settings passes over variables it does not know; a misspelt one must not be lost."""
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        steps = variable.removeprefix(PREFIX).lower().split("__")
        if steps[0] in _LATER_KEYS:
            raise SettingsError(f"{variable}: not yet: {_LATER_KEYS[steps[0]]} will come")
        model: type[BaseModel] = Settings
        for depth, step in enumerate(steps):
            if step not in model.model_fields:
                near = difflib.get_close_matches(step, model.model_fields, n=1)
                path = [*steps[:depth], near[0]] if near else []
                hint = f"; did you mean {PREFIX}{'__'.join(path).upper()}?" if path else ""
                raise SettingsError(f"{variable}: no such setting{hint}")
            inner = _section(model.model_fields[step].annotation)
            if inner is None:
                break
            model = inner


def _section(annotation: object) -> type[BaseModel] | None:
    options = [annotation, *getattr(annotation, "__args__", ())]
    if not isinstance(annotation, type) and getattr(annotation, "__origin__", None) is not None:
        options = []
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _one_line(exc: ValidationError) -> str:
    problems = exc.errors(include_url=False, include_input=False, include_context=False)
    first = problems[0]
    path = ".".join(str(step) for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key"
        near = difflib.get_close_matches(str(first["loc"][-1]), _known_keys(first["loc"]), n=1)
        message += f"; did you mean {near[0]!r}?" if near else ""
    elif first["type"] == "missing":
        message = "is missing"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{path}: {message}" if path else message) + more


_LISTED: Mapping[str, type[BaseModel]] = {"tiers": Tier, "providers": Provider}


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys that would have been known where this path ends."""
    model: type[BaseModel] = Settings
    for step in path[:-1]:
        if isinstance(step, str) and step in model.model_fields:
            model = _LISTED.get(step) or _section(model.model_fields[step].annotation) or model
    return list(model.model_fields)
