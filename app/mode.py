"""Whether the policy really serves: everything, nothing yet (shadow), or a share (canary)."""

import asyncio
import hashlib
import logging
from dataclasses import replace

import orjson

from app.catalogue import pinned_to
from app.events import Order
from app.jsontext import Json
from app.reporting.survey import against
from app.reporting.tracker import Tracker
from app.reporting.window import WATCHED
from app.settings.mode import Canary, ModeSetting, ShadowSection
from app.tiers import TierLadder
from app.wire import ChatRequest, text_of

logger = logging.getLogger(__name__)

LOOK_S = 2.0


ABOUT_ALL = frozenset({"returned", "tried", "spent_usd"})
"""What is told of the mode that comes of everybody's requests, and so is for admins."""


class Mode:
    """In shadow the client's own model, `tier`, answers, and what the policy would do is tried.

    Of a canary a share is really routed: always the same conversations. It returns to shadow for
    good when the accuracy of what is routed, less that of `tier` on the same questions, lies below
    minus `margin` by three standard errors: the report's doubly robust difference, which coins and
    not the policy's own belief decide.
    """

    def __init__(
        self,
        setting: ModeSetting,
        shadow: ShadowSection,
        *,
        ladder: TierLadder,
        tracker: Tracker,
        look_s: float = LOOK_S,
    ) -> None:
        self.tier = shadow.tier or ladder.top.name
        self._canary = setting.canary if isinstance(setting, Canary) else None
        self._shadows = setting == "shadow"
        self._margin = shadow.margin
        self._tracker = tracker
        self._look_s = look_s
        self._returned: str | None = None

    @property
    def name(self) -> str:
        """`route`, `shadow`, `canary`, or `returned`: a canary that is one no more."""
        if self._canary is None:
            return "shadow" if self._shadows else "route"
        return "canary" if self._returned is None else "returned"

    def drive(self, order: Order) -> Order:
        """The order as it is to be carried out; who asks for a tier by name gets that tier."""
        match self.name:
            case "route":
                return order
            case "canary" if _place(order) < (self._canary or 0.0):
                return order
            case _:
                return order if order.kind == "pinned" else self._shadowed(order)

    def told(self) -> Json:
        """How it stands."""
        return {
            "name": self.name,
            "tier": None if self.name == "route" else self.tier,
            "canary": self._canary,
            "returned": self._returned,
        }

    def look(self) -> None:
        """Return to shadow where the canary is worse for sure."""
        sums = self._tracker.sums()
        if self.name != "canary" or sums is None or self.tier not in sums.tiers:
            return
        found = against(sums, self.tier).accuracy
        if found.value is None or found.low is None:
            return
        highest = found.value + WATCHED * (found.value - found.low)
        if highest < -self._margin:
            points = f"{100 * found.value:+.1f} points of accuracy against {self.tier}"
            self._returned = f"{points}, at most {100 * highest:+.1f}"
            logger.warning("the canary is worse: back to shadow", extra={"says": self._returned})

    async def run(self) -> None:
        """Keep looking, until cancelled."""
        while self.name == "canary":
            self.look()
            await asyncio.sleep(self._look_s)

    def _shadowed(self, order: Order) -> Order:
        tier = self.tier if self.tier in order.ladder else order.ladder.top.name
        route = pinned_to(tier, order.ladder)
        return replace(
            order, policy=route.policy, ladder=route.ladder, kind=route.kind, beside=order
        )


def _place(order: Order) -> float:
    """Where a conversation stands between 0 and 1, at every turn the same."""
    named = order.request.extension.conversation
    opening = [named] if named is not None else _opening(order.request)
    digest = hashlib.blake2b(orjson.dumps([order.tenant, opening]), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _opening(request: ChatRequest) -> list[str]:
    """What was said up to the first question."""
    said = []
    for message in request.messages:
        said.append(text_of(message))
        if message["role"] == "user":
            break
    return said
