"""Reads the configuration: one YAML file, then `AUTOSHIFT_*` variables; mistakes in one line."""

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic_settings
import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from typing_extensions import override

from app.errors import SettingsError
from app.settings import PREFIX, Settings
from app.settings.keys import Key
from app.settings.providers import Provider
from app.tiers import Tier

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
EXAMPLES = ("config/autoshift.example.yaml", "config/sandbox.yaml")


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
    _refuse_unknown_variables()
    try:
        return Settings(**values)  # type: ignore[arg-type]  # pydantic checks every value
    except ValidationError as exc:
        raise SettingsError(f"{where}: {_one_line(exc)}") from None
    except pydantic_settings.SettingsError as exc:
        raise SettingsError(f"an {PREFIX} variable is not the JSON it must be: {exc}") from None


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


def secrets_in(variables: Sequence[str], *, wanted_by: str) -> list[tuple[str, SecretStr]]:
    """The secrets in those of these variables that are set, by their names.

    Errors: SettingsError when none is.
    """
    found = [(name, os.environ.get(name, "").strip()) for name in variables]
    secrets = [(name, SecretStr(value)) for name, value in found if value]
    if not secrets:
        raise SettingsError(
            f"{wanted_by}: the environment variable {' or '.join(variables)} is not set; "
            f"export {variables[0]}=…"
        )
    return secrets


def secrets_in_file(path: Path, *, wanted_by: str) -> list[tuple[str, SecretStr]]:
    """The secrets in this file, one a line, by where they are. Errors: SettingsError."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"{wanted_by}: key_file {path} cannot be read: {exc}") from None
    found = [
        (f"{path} line {number}", SecretStr(line))
        for number, line in enumerate(lines, start=1)
        if line
    ]
    if not found:
        raise SettingsError(f"{wanted_by}: key_file {path} holds no key")
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - safe
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


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently keep the last."""

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} is given twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def _refuse_unknown_variables() -> None:
    """pydantic-settings passes over variables it does not know; a misspelt one must not be lost."""
    for variable in sorted(os.environ):
        if not variable.upper().startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        steps = variable[len(PREFIX) :].lower().split("__")
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
    problems = exc.errors(include_url=False, include_input=False)
    first = problems[0]
    path = ".".join(str(step) for step in first["loc"]).replace("\n", "\\n")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "unknown key"
        near = difflib.get_close_matches(str(first["loc"][-1]), _known_keys(first["loc"]), n=1)
        message += f"; did you mean {near[0]!r}?" if near else ""
    elif first["type"] == "missing":
        message = "is missing"
    elif first["type"] == "too_short":
        found = first["ctx"]
        message = f"at least {found['min_length']} are needed, not {found['actual_length']}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return (f"{path}: {message}" if path else message) + more


_LISTED: Mapping[str, type[BaseModel]] = {"tiers": Tier, "providers": Provider, "keys": Key}


def _known_keys(path: tuple[int | str, ...]) -> list[str]:
    """The keys that would have been known where this path ends."""
    model: type[BaseModel] = Settings
    for step in path[:-1]:
        if isinstance(step, str) and step in model.model_fields:
            model = _LISTED.get(step) or _section(model.model_fields[step].annotation) or model
    return list(model.model_fields)
