"""Loads the policies that the operator wrote, from the files that the settings name."""

import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import cast

from app.errors import SettingsError
from app.policy import Policy
from app.section import NAME
from app.settings import Settings

PARTS = ("name", "version", "neighbours", "next", "judged_by", "lessons", "label", "observe")


def own_policies(settings: Settings, taken: Collection[str]) -> Iterator[Policy]:
    """Each file's `build(settings)`. The files are run: they may do whatever the gateway may.

    Errors: SettingsError where a file cannot be run, gives no policy, or a name is `taken`.
    """
    known = set(taken)
    for path in settings.own_policies:
        policy = _load(path, settings)
        if policy.name in known:
            raise SettingsError(f"own_policies: {path}: the name {policy.name!r} is taken")
        known.add(policy.name)
        yield policy


def _load(path: Path, settings: Settings) -> Policy:
    spec = importlib.util.spec_from_file_location(f"own_policy_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SettingsError(f"own_policies: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        build = getattr(module, "build", None)
        policy: object = build(settings) if callable(build) else None
    except Exception as exc:
        raise SettingsError(
            f"own_policies: {path} cannot be run: {type(exc).__name__}: {exc}"
        ) from exc
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
