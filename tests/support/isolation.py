"""Several tenants at one gateway, each with canaries of its own: whoever sees another's is known.

A model of what each tenant should see is kept beside what it does see.
"""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from tests.support.gateway import Gateway, Json, until

TENANTS = 5
QUESTION = "Which of the two numbers of canaries is larger, and by how much?"
NOBODYS = "0190a0a0-0000-7000-8000-000000000000"


def environment() -> dict[str, str]:
    """The variables with the tenants' keys."""
    return {f"KEY_OF_{at}": f"sk-tenant-{at}-{at * 7919:08d}" for at in range(TENANTS)}


def keys() -> list[Json]:
    """The section `keys`: two of each tenant, which share what is the tenant's."""
    section: list[Json] = []
    for at, variable in enumerate(environment()):
        section.append({"name": f"key-{at}", "key_env": variable, "tenant": f"tenant-{at}"})
    return section


@dataclass(slots=True)
class Tenants:
    """What the tenants did, and so what each of them may see.

    `decided` has each one's decisions that are there; `erased` those that are gone.
    """

    gate: Gateway
    decided: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    erased: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    said: int = 0

    def rules(self) -> list[Callable[[int, random.Random], Awaitable[None]]]:
        """Everything a tenant may do, by itself or to another."""
        return [self.ask, self.ask, self.tell, self.pry, self.list_own, self.explain, self.erase]

    async def ask(self, who: int, rng: random.Random) -> None:
        """All ask the same question; only one's own answers to it are anyone's neighbours."""
        task, talk = f"task-{_canary(who)}", f"talk-{_canary(who)}-{rng.randint(0, 9)}"
        reply = await self._as(
            who,
            "POST",
            "/v1/chat/completions",
            {
                "model": rng.choice(["auto", "auto:value", "auto:cascade", "small"]),
                "messages": [{"role": "user", "content": f"{QUESTION} {_canary(who)}"}],
                "max_tokens": 50,
                "stream": rng.random() < 0.3,
                "autoshift": {"task": task, "conversation": talk},
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

    async def tell(self, who: int, rng: random.Random) -> None:
        """Feedback reaches one's own decisions, and nobody else's."""
        await self._tell(who, *self._any(rng))

    async def _tell(self, who: int, whose: int, decision: str) -> None:
        self.said += 1
        said = {"decision": decision, "score": self.said % 2, "comment": f"{self.said}"}
        reply = await self._as(who, "POST", "/v1/feedback", said)
        mine = who == whose and decision in self.decided[who]
        assert reply.status_code == (200 if mine else 404), reply.text

    async def pry(self, who: int, rng: random.Random) -> None:
        """Another's decision is told exactly as one that never was."""
        await self._pry(who, *self._any(rng))

    async def _pry(self, who: int, whose: int, decision: str) -> None:
        found = await self._as(who, "GET", f"/v1/decisions/{decision}")
        if who == whose and decision in self.decided[who]:
            assert found.json()["id"] == decision
            return
        never = await self._as(who, "GET", f"/v1/decisions/{NOBODYS}")
        assert (found.status_code, found.text.replace(decision, "")) == (
            404,
            never.text.replace(NOBODYS, ""),
        )

    async def list_own(self, who: int, rng: random.Random) -> None:
        """One's own records, all of them, whatever is asked for."""
        whose = rng.randrange(TENANTS)
        query = rng.choice(
            ["", f"&task=task-{_canary(whose)}", f"&principal=key-{whose}", "&vectors=true"]
        )
        page = (await self._as(who, "GET", f"/v1/records?limit=100{query}")).json()
        assert {record["tenant"] for record in page["data"]} <= {f"tenant-{who}"}
        if query in {"", "&vectors=true"}:
            seen = {record["id"] for record in page["data"]}
            assert seen <= set(self.decided[who])
            assert len(seen) == min(100, len(self.decided[who]))
        refused = await self._as(who, "GET", f"/v1/records?tenant=tenant-{(who + 1) % TENANTS}")
        assert refused.status_code == 403

    async def explain(self, who: int, rng: random.Random) -> None:
        """The evidence that a choice is explained by is one's own."""
        body = {"model": "auto", "messages": [{"role": "user", "content": QUESTION}]}
        told = await self._as(who, "POST", "/v1/explain", body)
        assert told.status_code == 200
        report = await self._as(who, "GET", "/v1/report")
        assert report.status_code == 200
        assert report.json()["alarms"] == []

    async def erase(self, who: int, rng: random.Random) -> None:
        """What one erases is one's own, whatever is named."""
        whose, decision = self._any(rng)
        every = rng.random() < 0.05
        reply = await self._as(
            who, "DELETE", "/v1/records?all=true" if every else f"/v1/records?decision={decision}"
        )
        mine = self.decided[who]
        gone = list(mine) if every else [decision] if decision in mine else []
        assert reply.json()["deleted"] == len(gone), (who, whose)
        self.decided[who] = [each for each in mine if each not in gone]
        self.erased[who] += gone

    async def each_with_each(self) -> None:
        """Everybody looks at everybody's latest decision, says a word on it, and would erase it."""
        for who in range(TENANTS):
            for whose in range(TENANTS):
                decision = (self.decided[whose] or [NOBODYS])[-1]
                await self._pry(who, whose, decision)
                await self._tell(who, whose, decision)
                if who != whose:
                    path = f"/v1/records?decision={decision}"
                    assert (await self._as(who, "DELETE", path)).json()["deleted"] == 0

    async def settled(self) -> None:
        """All that is written down has reached the store, and each sees as many as it has."""

        async def nothing_waits() -> bool:
            return bool((await self.gate.http.get("/readyz")).json()["outbox_entries"] == 0)

        await until(nothing_waits, within_s=30)
        for who in range(TENANTS):
            await self.list_own(who, random.Random(who))  # noqa: S311

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

    def _any(self, rng: random.Random) -> tuple[int, str]:
        """Somebody's decision, one that was erased, or one that never was."""
        whose = rng.randrange(TENANTS)
        there = self.decided[whose] + self.erased[whose][-3:]
        return (whose, rng.choice(there)) if there else (whose, NOBODYS)


def _canary(who: int) -> str:
    return f"canary{who * 104_729 + 15_485_863:x}"
