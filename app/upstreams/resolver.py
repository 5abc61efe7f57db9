"""Resolves providers' names, and leaves out the addresses that they must not have."""

import socket
from collections.abc import Mapping

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from typing_extensions import override

from app.addresses import Addresses, is_refused


class CheckedResolver(AbstractResolver):
    """Resolves as the system does, and leaves out what is refused; `allowed` is by host name.

    The connection then goes to an address from here, so no later answer can change it.
    """

    def __init__(self, allowed: Mapping[str, Addresses]) -> None:
        self._allowed = allowed
        self._inner = ThreadedResolver()

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses that may be used. Errors: OSError where there is none."""
        allowed = self._allowed.get(host.lower(), "private")
        found = await self._inner.resolve(host, port, family)
        kept = [each for each in found if not is_refused(each["host"], allowed)]
        if found and not kept:
            raise OSError(f"{host} has only addresses that a provider must not have")
        return kept

    @override
    async def close(self) -> None:
        """Nothing to close."""
