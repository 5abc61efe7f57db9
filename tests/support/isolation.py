"""Several tenants at one gateway, each with canaries of its own: whoever sees another's is known.

A model of what each tenant should see is kept beside what it does see.
"""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeAlias, TypeVar

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
)
from typing_extensions import override

from tests.support.gateway import Gateway, Json, gateway, until

TENANTS = 5
QUESTION = "Which of the two numbers of canaries is larger, and by how much?"
NOBODYS = "0190a0a0-0000-7000-8000-000000000000"
LOOKED_AT = (
    "/v1/report",
    "/v1/dashboard",
    "/v1/models",
    "/v1/records?limit=100",
    "/v1/records?limit=100&vectors=true",
    "/openapi.json",
    "/readyz",
)

Decision: TypeAlias = tuple[int, str]
"""Whose it is, and its id."""


def environment() -> dict[str, str]:
    """The variables with the tenants' keys."""
    return {f"KEY_OF_{at}": f"sk-tenant-{at}-{at * 7919:08d}" for at in range(TENANTS)}


def keys() -> list[Json]:
    """The section `keys`, one of each tenant."""
    return [
        {"name": f"key-{at}", "key_env": variable, "tenant": f"tenant-{at}"}
        for at, variable in enumerate(environment())
    ]


@dataclass(slots=True)
class Tenants:
    """What the tenants did, and so what each of them may see.

    `decided` has each one's decisions that are there; `erased` those that are gone.
    """

    gate: Gateway
    decided: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    erased: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    said: int = 0

    async def ask(self, who: int, model: str, *, talk: int = 0, stream: bool = False) -> str:
        """All ask the same question; only one's own answers to it are anyone's neighbours.

        The decision's id.
        """
        named = {"task": f"task-{_canary(who)}", "conversation": f"talk-{_canary(who)}-{talk}"}
        reply = await self._as(
            who,
            "POST",
            "/v1/chat/completions",
            {
                "model": model,
                "messages": [{"role": "user", "content": f"{QUESTION} {_canary(who)}"}],
                "max_tokens": 50,
                "stream": stream,
                "autoshift": named,
            },
        )
        assert reply.status_code == 200, reply.text
        listed = await self._as(who, "GET", "/v1/records?limit=1")
        (record,) = listed.json()["data"]
        assert record["tenant"] == f"tenant-{who}"
        self.decided[who].append(record["id"])
        start = record["start"]
        if start is not None:
            assert start["neighbours"] <= len(self.decided[who]) + len(self.erased[who])
        return str(record["id"])

    async def tell(self, who: int, whose: int, decision: str) -> None:
        """Feedback reaches one's own decisions, and nobody else's."""
        self.said += 1
        said = {"decision": decision, "score": self.said % 2, "comment": f"{self.said}"}
        reply = await self._as(who, "POST", "/v1/feedback", said)
        mine = who == whose and decision in self.decided[who]
        assert reply.status_code == (200 if mine else 404), reply.text

    async def pry(self, who: int, whose: int, decision: str) -> None:
        """Another's decision is told exactly as one that never was."""
        found = await self._as(who, "GET", f"/v1/decisions/{decision}")
        if who == whose and decision in self.decided[who]:
            assert found.json()["id"] == decision
            return
        never = await self._as(who, "GET", f"/v1/decisions/{NOBODYS}")
        assert (found.status_code, found.text.replace(decision, "")) == (
            404,
            never.text.replace(NOBODYS, ""),
        )

    async def list_own(self, who: int, query: str = "") -> None:
        """One's own records, all of them, whatever is asked for."""
        page = (await self._as(who, "GET", f"/v1/records?limit=100{query}")).json()
        assert {record["tenant"] for record in page["data"]} <= {f"tenant-{who}"}
        if not query:
            seen = {record["id"] for record in page["data"]}
            assert seen <= set(self.decided[who])
            assert len(seen) == min(100, len(self.decided[who]))
        refused = await self._as(who, "GET", f"/v1/records?tenant=tenant-{(who + 1) % TENANTS}")
        assert refused.status_code == 403

    async def look(self, who: int) -> None:
        """Whatever else can be read tells nothing of others, nor that anything is wrong."""
        body = {"model": "auto", "messages": [{"role": "user", "content": QUESTION}]}
        told = await self._as(who, "POST", "/v1/explain", body)
        assert told.status_code == 200
        assert len(told.json()["neighbours"]) <= len(self.decided[who])
        for path in LOOKED_AT:
            assert (await self._as(who, "GET", path)).status_code == 200, path
        assert (await self._as(who, "GET", "/v1/report")).json()["alarms"] == []
        for path in ("/metrics", f"/v1/report?tenant=tenant-{(who + 1) % TENANTS}"):
            assert (await self._as(who, "GET", path)).status_code == 403, path

    async def erase(self, who: int, decision: str | None) -> None:
        """What one erases is one's own, whatever is named; None: all that one has."""
        query = "all=true" if decision is None else f"decision={decision}"
        reply = await self._as(who, "DELETE", f"/v1/records?{query}")
        mine = self.decided[who]
        gone = [each for each in mine if decision in {None, each}]
        assert reply.json()["deleted"] == len(gone), who
        self.decided[who] = [each for each in mine if each not in gone]
        self.erased[who] += gone

    async def each_with_each(self) -> None:
        """Everybody looks at everybody's latest decision, says a word on it, and would erase it."""
        for who in range(TENANTS):
            for whose in range(TENANTS):
                decision = (self.decided[whose] or [NOBODYS])[-1]
                await self.pry(who, whose, decision)
                await self.tell(who, whose, decision)
                if who != whose:
                    path = f"/v1/records?decision={decision}"
                    assert (await self._as(who, "DELETE", path)).json()["deleted"] == 0

    async def settled(self) -> None:
        """All that is written down has reached the store, and each sees as many as it has."""

        async def nothing_waits() -> bool:
            return bool((await self.gate.http.get("/readyz")).json()["outbox_entries"] == 0)

        await until(nothing_waits, within_s=30)
        for who in range(TENANTS):
            await self.list_own(who)

    async def _as(
        self, who: int, method: str, path: str, body: Json | None = None
    ) -> httpx.Response:
        """One request with this tenant's key; nothing in the reply may be another's."""
        key = environment()[f"KEY_OF_{who}"]
        reply = await self.gate.http.request(
            method, path, json=body, headers={"authorization": f"Bearer {key}"}
        )
        for other in range(TENANTS):
            if other != who:
                assert _canary(other) not in reply.text, (who, other, method, path)
                assert f"tenant-{other}" not in reply.text or reply.status_code == 403
        return reply


_WHO = st.integers(0, TENANTS - 1)
_MODELS = st.sampled_from(["auto", "auto:value", "auto:cascade", "small"])
_Done = TypeVar("_Done")
_DECISIONS: Bundle[Decision] = Bundle("decisions")


class Isolation(RuleBasedStateMachine):
    """I11 as a state machine: whatever tenants do, in whatever order, stays their own."""

    decisions = _DECISIONS
    operations: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()

    @initialize(target=_DECISIONS)
    def everybody_asks(self) -> MultipleResults[Decision]:
        """A gateway of its own, and something of everybody's to look for."""
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        for variable, secret in environment().items():
            patch.setenv(variable, secret)
        directory = tempfile.TemporaryDirectory(prefix="autoshift-isolation-")
        path = Path(self._stack.enter_context(directory))
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        opened = gateway(path, keys=keys(), records={"text": "full"})
        gate = self._stack.enter_context(self._portal.wrap_async_context_manager(opened))
        self._tenants = Tenants(gate)
        return multiple(*(self._asked(who, "auto") for who in range(TENANTS)), (0, NOBODYS))

    @rule(target=_DECISIONS, who=_WHO, model=_MODELS, talk=st.integers(0, 9), stream=st.booleans())
    def ask(self, who: int, model: str, talk: int, stream: bool) -> Decision:
        return self._asked(who, model, talk=talk, stream=stream)

    @rule(who=_WHO, decision=_DECISIONS)
    def tell(self, who: int, decision: Decision) -> None:
        self._do(partial(self._tenants.tell, who, *decision))

    @rule(who=_WHO, decision=_DECISIONS)
    def pry(self, who: int, decision: Decision) -> None:
        self._do(partial(self._tenants.pry, who, *decision))

    @rule(who=_WHO, whose=_WHO, by=st.sampled_from(["", "task", "principal", "tier"]))
    def list_own(self, who: int, whose: int, by: str) -> None:
        named = {"task": f"task-{_canary(whose)}", "principal": f"key-{whose}", "tier": "small"}
        self._do(partial(self._tenants.list_own, who, f"&{by}={named[by]}" if by else ""))

    @rule(who=_WHO)
    def look(self, who: int) -> None:
        self._do(partial(self._tenants.look, who))

    @rule(who=_WHO, decision=_DECISIONS, every=st.integers(0, 19))
    def erase(self, who: int, decision: Decision, every: int) -> None:
        self._do(partial(self._tenants.erase, who, None if every == 0 else decision[1]))

    @override
    def teardown(self) -> None:
        """At the end everybody tries everything with everybody's, and the ledger balances."""
        with self._stack:
            if hasattr(self, "_tenants"):
                self._do(self._tenants.each_with_each)
                self._do(self._tenants.settled)

    def _asked(self, who: int, model: str, *, talk: int = 0, stream: bool = False) -> Decision:
        ask = partial(self._tenants.ask, who, model, talk=talk, stream=stream)
        return who, self._do(ask)

    def _do(self, step: Callable[[], Coroutine[object, object, _Done]]) -> _Done:
        Isolation.operations += 1
        return self._portal.call(step)


def _canary(who: int) -> str:
    return f"canary{who * 104_729 + 15_485_863:x}"
