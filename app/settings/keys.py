"""The settings about whoever asks: keys, and what each of them may use."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from app.section import Count, Name, Positive, Section, Variable

Role: TypeAlias = Literal["user", "admin", "metrics"]

LOCAL = "local"
"""The tenant, and the key's name, of whoever asks while there are no keys."""


class KeyLimits(Section):
    """What one key may use; what is left out is not limited.

    `concurrent` counts requests under way in one process. An hour and a day are the last ones, not
    the clock's.
    """

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    escalations_per_minute: Annotated[int, Field(ge=0)] | None = None
    concurrent: Count | None = None
    usd_per_hour: Positive | None = None
    usd_per_day: Positive | None = None

    @property
    def money(self) -> str | None:
        """The name of a limit in money, if there is one."""
        names = ("usd_per_hour", "usd_per_day")
        return next((name for name in names if getattr(self, name) is not None), None)


class Key(Section):
    """Whoever presents it asks for `tenant`, whose records no other tenant sees.

    `key_env` names the variable that holds the key, or two of them while one replaces the other;
    `key_file` a file with a key on each line, which a reload reads again.
    `policy` answers `auto`; left out: the configured one. `user` may use its own tenant's routes;
    `admin` may name other tenants too, and read metrics; `metrics` may do only that.
    """

    name: Name
    key_env: Variable | Annotated[tuple[Variable, ...], Field(min_length=1, max_length=2)] = ()
    key_file: Path | None = None
    tenant: Name = LOCAL
    role: Role = "user"
    policy: str | None = None
    limits: KeyLimits = KeyLimits()

    @property
    def variables(self) -> tuple[str, ...]:
        return (self.key_env,) if isinstance(self.key_env, str) else self.key_env

    @model_validator(mode="after")
    def _is_somewhere(self) -> "Key":
        if not self.variables and self.key_file is None:
            raise ValueError("key_env is missing; it names the variable that holds the key")
        return self


class Limits(Section):
    """What holds for everybody. `max_calls`: upstream calls, verdicts among them, for one request.

    `url` is a Redis or Valkey server that counts what keys use, where several processes serve;
    `password_env` names the variable with its password. `output_tokens` is the longest answer a
    request gets that says nothing, where it has to be paid from a limited sum.

    `in_flight` is how many requests are served at once; `waiting` more wait up to `waiting_s`.
    `held_bytes` is how much memory, estimated, their bodies may take together; None: 1 GiB, or an
    eighth of what the container may have, if that is less.
    """

    in_flight: Count = 256
    waiting: Annotated[int, Field(ge=0)] = 64
    waiting_s: Positive = 1.0
    held_bytes: Count | None = None
    max_calls: Annotated[int, Field(ge=1, le=64)] = 8
    url: Annotated[str, Field(pattern=r"^(redis|rediss|valkey|valkeys)://[^@\s]+$")] | None = None
    password_env: Variable | None = None
    output_tokens: Count = 16_384

    @model_validator(mode="after")
    def _has_a_server(self) -> "Limits":
        if self.password_env is not None and self.url is None:
            raise ValueError("password_env is of no use without url")
        return self
