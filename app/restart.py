"""Restores what was known, at the start and after records were erased: by showing what is left."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from app.archive import Archive, Place
from app.audience import Audience
from app.errors import GatewayError
from app.policy import Policy
from app.records import record_from_json

logger = logging.getLogger(__name__)

RESTORED = 16_000
"""Of a tenant's records so many, the newest: fewer than learners remember, so none counts twice."""
AGAIN_S = 30.0
QUIET_S = 1.0
SLICE_S = 0.002
SETTLED = 500
"""After so many, what is remembered of them is out of the garbage collector's sight: it will stay,
and to look through all of it again and again would hold requests up for tenths of a second."""


class Restart:
    """Does so once, in the background; requests are served meanwhile, from what is known by then.

    What is learned is a function of the records in their order, so this restores it, and learns
    what was imported. Records erased since are no longer among them. With `learners`, policies that
    know nothing yet learn it, and then take the place of those that serve.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        audience: Audience,
        tenants: Sequence[str],
        records: int = RESTORED,
        again_s: float = AGAIN_S,
        learners: Callable[[], Mapping[str, Policy]] | None = None,
    ) -> None:
        self._learners = learners
        self._archive = archive
        self._audience = audience
        self._tenants = tenants
        self._records = records
        self._again_s = again_s

    async def run(self) -> None:
        """Restore; while the store is down, again and again."""
        while True:
            if await self._restored():
                return
            await asyncio.sleep(self._again_s)

    async def _restored(self) -> bool:
        started_s = time.monotonic()
        try:
            records = await self._restore()
        except GatewayError as exc:
            extra = {"why": exc.message, "again_s": self._again_s}
            logger.warning("what was learned cannot be restored yet", extra=extra)
            return False
        except Exception:
            # Requests are served all the same, by the priors and their neighbours.
            logger.exception("what was learned cannot be restored")
            return False
        took_s = round(time.monotonic() - started_s, 3)
        extra = {"records": records, "took_s": took_s}
        logger.info("what was learned is restored", extra=extra)
        return True

    async def _restore(self) -> int:
        learners = None if self._learners is None else self._learners()
        async with self._audience.restoring(learners) as show:
            found: dict[Place, bytes] = {}
            for tenant in self._tenants:
                found |= await self._archive.latest(tenant, self._records)
            await self._wake([*found.values()])
            since_s = time.monotonic()
            for number, place in enumerate(sorted(found), start=1):
                record = record_from_json(found[place])
                if record is not None:
                    show(record)
                if number % SETTLED == 0:
                    gc.freeze()
                if time.monotonic() - since_s > SLICE_S:
                    await asyncio.sleep(SLICE_S)  # as long for requests
                    since_s = time.monotonic()
            return len(found)

    async def _wake(self, bodies: Sequence[bytes]) -> None:
        """Have policies that decided before learn again, from all records."""
        for start in range(0, len(bodies), SETTLED):
            self._audience.wake(bodies[start : start + SETTLED])
            await asyncio.sleep(0)


class Relearning:
    """Learns anew, when records were erased, from those that are left, as a restart would.

    Requests are served by what was known until that is done. `restart` gives one with `learners`.
    """

    def __init__(self, restart: Callable[[], Restart]) -> None:
        self._restart = restart
        self._due = asyncio.Event()
        self._hurries = asyncio.Event()

    def ask(self) -> None:
        """Have it done some time soon, once for all that is erased until then."""
        self._due.set()

    def hurry(self) -> None:
        """Do not wait until no more is erased, nor rest."""
        self._hurries.set()

    async def run(self) -> None:
        """Work, until cancelled; at most half of the time, so that nobody can keep it busy."""
        while True:
            await self._due.wait()
            await self._pause(QUIET_S)
            self._due.clear()
            started_s = time.monotonic()
            await self._restart().run()
            gc.unfreeze()  # what is forgotten now was to stay
            await self._pause(max(AGAIN_S, time.monotonic() - started_s))

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._hurries.wait()
