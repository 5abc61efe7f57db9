"""What may change while the gateway serves: keys, limits, prices, names; swapped all at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from app.accounts.keyring import Keyring, build_keyring
from app.accounts.purse import Purses, check_prices
from app.catalogue import Catalogue
from app.errors import SettingsError
from app.explanation import Explainer
from app.extension import StreamMode
from app.parts import Parts, priced_ladder
from app.settings import Settings
from app.transmission import Transmission

_Model = TypeVar("_Model", bound=BaseModel)

logger = logging.getLogger(__name__)

RELOADED = frozenset({"keys", "aliases", "policy"})
"""Whole sections."""
RELOADED_LIMITS = ("max_calls", "output_tokens")
RELOADED_OF_TIERS = ("price", "prior")


@dataclass(frozen=True, slots=True)
class Rules:
    """What one request is understood by, admitted, paid and served, from its start to its end."""

    settings: Settings
    keyring: Keyring
    catalogue: Catalogue
    purses: Purses
    transmission: Transmission
    explainer: Explainer
    mode: StreamMode


class InForce:
    """The rules of now. Requests under way keep those that they began with."""

    def __init__(self, parts: Parts, learn_of: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Errors: SettingsError. `learn_of` restores what is known of tenants that are new."""
        self.rules = rules_of(parts.settings, parts)
        self._parts = parts
        self._learn_of = learn_of
        self._new: asyncio.Queue[Sequence[str]] = asyncio.Queue()

    def reload(self, read: Callable[[], Settings]) -> None:
        """Put what `read` finds in force, as far as that can be done without a restart.

        Errors: none; settings that are wrong change nothing, and the log says what is wrong.
        """
        try:
            wanted = read()
            rules = rules_of(reloaded(self.rules.settings, wanted), self._parts)
        except SettingsError as exc:
            logger.error("not reloaded, the old settings stay", extra={"why": exc.message})  # noqa: TRY400 - the message says it all
            return
        new = sorted(rules.keyring.tenants - self.rules.keyring.tenants)
        self.rules = rules
        self._parts.afterwards.reprice(rules.transmission.ladder)
        self._parts.trying.loop = rules.transmission
        if new:
            self._new.put_nowait(new)
        extra = {"keys": len(wanted.keys), "needs_restart": list(_beyond(rules.settings, wanted))}
        logger.info("the settings are reloaded", extra=extra)

    async def run(self) -> None:
        """Restore what is known of tenants that come with a reload, until cancelled."""
        while True:
            await self._learn_of(await self._new.get())


def rules_of(settings: Settings, parts: Parts) -> Rules:
    """These settings' rules, over parts that stay. Errors: SettingsError."""
    ladder = priced_ladder(settings)
    for key in settings.keys:
        if key.policy is not None and key.policy not in parts.policies:
            raise SettingsError(
                f"keys.{key.name}.policy: {key.policy!r} is none of {', '.join(parts.policies)}"
            )
    check_prices(settings.keys, ladder)
    catalogue = Catalogue(
        ladder=ladder, policies=parts.policies, default=settings.policy, aliases=settings.aliases
    )
    transmission = copy(parts.transmission)
    transmission.ladder, transmission.max_calls = ladder, settings.limits.max_calls
    return Rules(
        settings=settings,
        keyring=build_keyring(settings.keys),
        catalogue=catalogue,
        purses=Purses(
            limiter=parts.limiter,
            ladder=ladder,
            output_tokens=settings.limits.output_tokens,
            judge_tokens=settings.judge.max_tokens,
        ),
        transmission=transmission,
        explainer=Explainer(
            transmission=transmission,
            catalogue=catalogue,
            ladder=ladder,
            clock=parts.clock,
            is_down=parts.exchange.is_left_alone,
        ),
        mode=settings.stream.mode,
    )


def reloaded(old: Settings, new: Settings) -> Settings:
    """The old settings with what can be changed without a restart as the new ones have it.

    Errors: SettingsError where the new ones could only be half in force.
    """
    if bool(old.keys) != bool(new.keys):
        raise SettingsError("keys: to have the first ones, or none any more, needs a restart")
    wanted = {tier.name: tier for tier in new.tiers}
    if [tier.name for tier in old.tiers] != list(wanted):
        raise SettingsError("tiers: other tiers, or another order of them, need a restart")
    return old.model_copy(
        update={
            **{name: getattr(new, name) for name in RELOADED},
            "limits": _with(old.limits, new.limits, RELOADED_LIMITS),
            "tiers": tuple(_with(t, wanted[t.name], RELOADED_OF_TIERS) for t in old.tiers),
            "stream": _with(old.stream, new.stream, ("mode",)),
        }
    )


def _with(old: _Model, new: _Model, names: Sequence[str]) -> _Model:
    return old.model_copy(update={name: getattr(new, name) for name in names})


def _beyond(applied: Settings, wanted: Settings) -> Iterator[str]:
    """The sections that are wanted otherwise than they are now."""
    for name in type(wanted).model_fields:
        if getattr(applied, name) != getattr(wanted, name):
            yield name
