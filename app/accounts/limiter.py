"""What keys have used of their limits, counted here or on a server that several processes share."""

import asyncio
import logging
import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from app.errors import CountsDownError
from app.settings.configuration import secret
from app.settings.keys import Limits

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
PARTS = 12
"""A running total is kept in so many parts of its span, and the one under way: so it may be too
high by one part's worth, and is never too low."""
TIMEOUT_S = 2.0
SILENCE_S = 1.0
"""How long a server that did not answer is not asked again."""
CLOSED_S = 300.0
"""A part that ended so long ago is not corrected any more, and so is read once."""
CLOSED_MOST = 50_000
AT_ONCE = 32
"""A server gets no more questions at once, each of which needs a connection."""
OWED_MOST = 100_000
LOOK_S = 5.0
"""How often a server is looked at, so that whoever asks knows before a request has to."""
DOWN = "what this key has used cannot be counted now, and it has a limit; ask again soon"

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Total:
    """At most `most` over the last `span_s` seconds; `name` says whose and of what."""

    name: str
    most: int
    span_s: int

    @property
    def part_s(self) -> float:
        return self.span_s / PARTS

    @property
    def expiry_s(self) -> int:
        return self.span_s + math.ceil(2 * self.part_s)


@dataclass(frozen=True, slots=True)
class Held:
    """What was laid aside of a total, and where it is counted."""

    total: Total
    part: int
    amount: int


@dataclass(frozen=True, slots=True)
class Stand:
    """How a limit stands: what of it is left, and when more will be."""

    most: int
    left: int
    reset_s: float


Owed: TypeAlias = tuple[Held, int]


class Limiter:
    """Rates by the `limits` library's sliding window; sums that can be corrected on its storage.

    The library's windows cannot give back what was not used, and a sliding one weighs what it has
    forgotten; so money is counted in parts of its span. What is counted is called by its limit, a
    colon, and whose it is. `is_down`: the server did not answer last.

    Errors of every `async` method: CountsDownError, within seconds, and at once for a second after.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
        *,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`refused` is told the limit, each time that one refuses something."""
        self.refused = refused
        self.is_down = False
        self._close = close
        self._storage = storage or MemoryStorage()
        self._windows = SlidingWindowCounterRateLimiter(self._storage)
        self._owed: deque[Owed] = deque(maxlen=OWED_MOST)
        self._owes = asyncio.Event()
        self._silent_until_s = -math.inf
        self._under_way: Counter[str] = Counter()
        self._closed: dict[str, int] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def hit(self, name: str, per_minute: int) -> bool:
        """Count one; whether it was still within the limit, else it is not counted."""
        item = RateLimitItemPerMinute(per_minute)
        is_within = per_minute > 0 and await self._asked(lambda: self._windows.hit(item, name))
        if not is_within:
            self.refused(_limit_in(name))
        return is_within

    async def rate(self, name: str, per_minute: int) -> Stand:
        """How this rate stands."""
        item = RateLimitItemPerMinute(per_minute)
        found = await self._asked(lambda: self._windows.get_window_stats(item, name))
        return Stand(per_minute, max(0, found.remaining), max(0.0, found.reset_time - time.time()))

    async def lay_aside(self, total: Total, amount: int) -> Held | None:
        """Count the amount before it is spent; None, and nothing counted, where it is too much.

        It is counted first and looked at then: of several at once, none can miss the others.
        """
        await self.pay()
        # One after the other here, or many at once would only see each other, and all be refused.
        async with self._turns[total.name]:
            held = Held(total, int(time.time() / total.part_s), amount)
            await self._add(held, amount)
            if await self._used(total, held.part) <= total.most:
                return held
            await self._add(held, -amount)
            self.refused(_limit_in(total.name))
            return None

    def settle(self, held: Held, amount: int) -> None:
        """Correct soon what was laid aside to what was spent; fit for a `finally`."""
        if amount != held.amount:
            self._owed.append((held, amount - held.amount))
            self._owes.set()

    async def stand(self, total: Total) -> Stand:
        """How this total stands."""
        used = await self._used(total, int(time.time() / total.part_s))
        return Stand(total.most, max(0, total.most - used), total.part_s if used else 0.0)

    @contextmanager
    def counted(self, name: str, most: int | None) -> Iterator[bool]:
        """While a request is under way in this process: whether it is not one too many."""
        self._under_way[name] += 1
        try:
            is_within = most is None or self._under_way[name] <= most
            if not is_within:
                self.refused("concurrent")
            yield is_within
        finally:
            self._under_way[name] -= 1

    async def pay(self) -> None:
        """Make the corrections that are due."""
        while self._owed:
            held, amount = self._owed.popleft()
            try:
                await self._add(held, amount)
            except CountsDownError:
                # Whether it was counted is not known. Too high is safe, too low is not.
                if amount > 0:
                    self._owed.append((held, amount))
                raise

    async def run(self) -> None:
        """Make corrections as they fall due, and look after the server, until cancelled."""
        if self._close is None:
            await self._settle()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._settle())
                tasks.create_task(self._look())
        finally:
            await self._close()

    async def _settle(self) -> None:
        while True:
            await self._owes.wait()
            self._owes.clear()
            try:
                await self.pay()
            except CountsDownError:
                await asyncio.sleep(SILENCE_S)
                self._owes.set()

    async def _look(self) -> None:
        while True:
            with suppress(CountsDownError):
                await self._asked(lambda: self._storage.get("looked"))
            await asyncio.sleep(SILENCE_S if self.is_down else LOOK_S)

    async def _add(self, held: Held, amount: int) -> None:
        key, expiry_s = f"{held.total.name}:{held.part}", held.total.expiry_s
        await self._asked(lambda: self._storage.incr(key, expiry_s, amount))

    async def _used(self, total: Total, part: int) -> int:
        """Over the parts of the span, and the one under way."""
        used = 0
        for past in range(part - PARTS, part + 1):
            key = f"{total.name}:{past}"
            known = self._closed.get(key)
            if known is None:
                known = await self._asked(partial(self._storage.get, key))
                if total.part_s >= CLOSED_S and past < part - 1:
                    self._closed[key] = known
            used += known
        if len(self._closed) > CLOSED_MOST:
            self._closed.clear()
        return used

    async def _asked(self, ask: Callable[[], Awaitable[_Found]]) -> _Found:
        if time.monotonic() < self._silent_until_s:
            raise CountsDownError(DOWN)
        try:
            async with self._asking, asyncio.timeout(TIMEOUT_S):
                found = await ask()
        except (StorageError, OSError, TimeoutError) as exc:
            self._silent_until_s = time.monotonic() + SILENCE_S
            if not self.is_down:
                logger.warning("the limits' server does not answer", extra={"why": repr(exc)[:200]})
            self.is_down = True
            raise CountsDownError(DOWN) from exc
        if self.is_down:
            logger.info("the limits' server answers again")
        self.is_down = False
        return found


def _limit_in(name: str) -> str:
    """The limit, as it is configured, whose use is counted under this name."""
    return name.partition(":")[0]


def build_limiter(limits: Limits, refused: Callable[[str], None] = lambda _: None) -> Limiter:
    """In this process without a URL; else on that Redis or Valkey server, connected when used.

    Errors: SettingsError where its password is missing.
    """
    url, password = limits.url, secret(limits.password_env, wanted_by="limits")
    if url is None:
        return Limiter(refused=refused)
    # It brings Redis' client along, and that OpenTelemetry's SDK, which takes half a second.
    from limits.aio.storage.redis.redispy import RedispyBridge  # noqa: PLC0415

    options: dict[str, float | str | bool] = {"socket_timeout": TIMEOUT_S}
    options["socket_connect_timeout"] = TIMEOUT_S
    if password is not None:
        options["password"] = password.get_secret_value()
    # One client speaks to both: the protocol is the same.
    uri = f"async+{url.replace('valkey', 'redis', 1)}"
    storage = storage_from_string(
        uri, implementation="redispy", wrap_exceptions=True, key_prefix="autoshift", **options
    )
    assert isinstance(storage, RedisStorage)  # noqa: S101 - the scheme says so
    assert isinstance(storage.bridge, RedispyBridge)  # noqa: S101 - the implementation says so
    client = cast("Redis", storage.bridge.get_connection())
    return Limiter(storage, close=client.aclose, refused=refused)
