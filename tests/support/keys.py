"""Keys of several tenants, and how they are presented."""

import pytest

from tests.support.gateway import Json

SECRETS = {
    "a-1": "sk-canary-a1-3f9c2b7e51d84a60",
    "a-2": "sk-canary-a2-77d1c0be92f54e13",
    "b-1": "sk-canary-b1-0c4de8a1b6f94d72",
    "root": "sk-canary-root-9be2a7c4d1f03586",
    "prom": "sk-canary-prom-5a61f0e7c3d8924b",
}
"""Two of tenant `a`, one of `b`, an admin's, one for metrics."""


def keys_in(environment: pytest.MonkeyPatch, more: dict[str, Json] | None = None) -> list[Json]:
    """The section `keys`, its secrets in the environment; `more` is added to those it names."""
    roles = {"root": "admin", "prom": "metrics"}
    section = []
    for name, secret in SECRETS.items():
        variable = f"KEY_{name.upper().replace('-', '_')}"
        environment.setenv(variable, secret)
        key = {"name": name, "key_env": variable, "role": roles.get(name, "user")}
        tenant = {"a": "tenant-a", "b": "tenant-b"}.get(name[0])
        if tenant is not None:
            key["tenant"] = tenant
        section.append({**key, **(more or {}).get(name, {})})
    return section


def bearer(name: str) -> dict[str, str]:
    """The header that presents this key."""
    return {"authorization": f"Bearer {SECRETS[name]}"}
