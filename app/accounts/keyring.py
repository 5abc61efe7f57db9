"""Who asks: the caller behind a presented key."""

import hashlib
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from app.errors import SettingsError
from app.settings.configuration import secrets_in, secrets_in_file
from app.settings.keys import LOCAL, Key, KeyLimits, Role

logger = logging.getLogger(__name__)

SHORT = 16
"""A key with fewer characters may be guessed."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks: the name of the key, its tenant, and what it may do.

    `counted`: this request counts against the key's rates, where it has any.
    """

    name: str = LOCAL
    tenant: str = LOCAL
    role: Role = "user"
    policy: str | None = None
    limits: KeyLimits = field(default_factory=KeyLimits)
    counted: bool = True

    @property
    def principal(self) -> str | None:
        """The key that asks; None where there are no keys, and so nobody to be told apart."""
        return None if self is UNKEYED else self.name


UNKEYED = Caller(role="admin")
"""Without keys only this machine can ask, and whoever is on it may do everything."""


class Keyring:
    """The callers by digests of their keys; the keys themselves are not kept."""

    def __init__(self, callers: Sequence[tuple[bytes, Caller]]) -> None:
        self._callers = tuple(callers)

    @property
    def empty(self) -> bool:
        return not self._callers

    @property
    def tenants(self) -> frozenset[str]:
        """All there are; without keys, the one."""
        return frozenset(caller.tenant for _, caller in self._callers) or frozenset({LOCAL})

    def caller(self, presented: str | None) -> Caller | None:
        """Whose key this is; None where it is nobody's.

        It takes as long for a wrong key as for a right one: every digest is compared, always.
        """
        if self.empty:
            return UNKEYED
        digest = digest_of(presented or "")
        found: Caller | None = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def build_keyring(keys: Sequence[Key]) -> Keyring:
    """The ring of these keys, read from the environment.

    Errors: SettingsError where a key is missing, or two have the same.
    """
    taken: dict[bytes, str] = {}
    callers = []
    for key in keys:
        caller = Caller(key.name, key.tenant, key.role, key.policy, key.limits)
        for place, secret in _secrets(key):
            value = secret.get_secret_value()
            digest = digest_of(value)
            if digest in taken:
                raise SettingsError(
                    f"keys: {taken[digest]} and {place} hold the same key; it must be one's own"
                )
            if len(value) < SHORT:
                logger.warning("a key is short enough to be guessed", extra={"key": key.name})
            taken[digest] = place
            callers.append((digest, caller))
    return Keyring(callers)


def _secrets(key: Key) -> list[tuple[str, SecretStr]]:
    """All of this caller's, by where they are. Errors: SettingsError."""
    wanted_by = f"keys.{key.name}"
    found = secrets_in(key.variables, wanted_by=wanted_by) if key.variables else []
    if key.key_file is not None:
        found += secrets_in_file(key.key_file, wanted_by=wanted_by)
    return found


def digest_of(key: str) -> bytes:
    """As keys are kept and compared."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
