"""Loads the policies that the operator wrote, from the files that the settings name."""

import importlib.util
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from app.errors import SettingsError
from app.policy import Policy
from app.section import NAME
from app.settings import Settings

PARTS = ("name", "version", "neighbours", "next", "judged_by", "lessons", "label", "observe")


@dataclass(frozen=True, slots=True)
class Builder:
    """A file's `build`, where it has one."""

    path: Path
    build: object


def own_builders(settings: Settings) -> tuple[Builder, ...]:
    """Of each file that is named. The files are run: they may do whatever the gateway may.

    Errors: SettingsError where one cannot be run.
    """
    return tuple(Builder(path, _load(path)) for path in settings.own_policies)


def own_policies(
    settings: Settings, builders: Iterable[Builder], taken: Collection[str]
) -> Iterator[Policy]:
    """What each file's `build(settings)` gives.

    Errors: SettingsError where that is no policy, or a name is `taken`.
    """
    known = set(taken)
    for builder in builders:
        path, policy = builder.path, _built(builder, settings)
        if policy.name in known:
            raise SettingsError(f"own_policies: {path}: the name {policy.name!r} is taken")
        known.add(policy.name)
        yield policy


def _load(path: Path) -> object:
    spec = importlib.util.spec_from_file_location(f"own_policy_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"own_policies: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise _unfit(path, exc) from exc
    return getattr(module, "build", None)


def _built(builder: Builder, settings: Settings) -> Policy:
    path, build = builder.path, builder.build
    try:
        policy: object = build(settings) if callable(build) else None
    except Exception as exc:
        raise _unfit(path, exc) from exc
    if policy is None:
        raise SettingsError(f"own_policies: {path} needs a function build(settings) -> Policy")
    missing = [part for part in PARTS if not hasattr(policy, part)]
    if missing:
        raise SettingsError(f"own_policies: {path}: its policy has no {', '.join(missing)}")
    found = cast("Policy", policy)
    if not NAME.fullmatch(str(found.name)):
        raise SettingsError(
            f"own_policies: {path}: a name is letters, digits, '.', '_' and '-', at most 64"
        )
    return found


def _unfit(path: Path, exc: Exception) -> SettingsError:
    return SettingsError(f"own_policies: {path} cannot be run: {type(exc).__name__}: {exc}")
