"""What was learned is there again after a restart: a function of the records, and of no others."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest
from typing_extensions import override

from app.archive import Archive
from app.audience import Audience
from app.policies.fixed import Always
from app.policy import Policy
from app.recorder import Recorder
from app.records import Record
from app.reporting.tracker import Tracker
from app.restart import Restart
from app.store import Outbox, Wanted
from tests.support.gateway import Gateway, Json, gateway, until
from tests.support.logged import World, kept
from tests.support.provider import Says
from tests.support.records import delivered, evidence, insert, new_id, record, running
from tests.support.scripted_store import ScriptedStore

pytestmark = pytest.mark.anyio

RESTORED = "what was learned is restored"


@dataclass(frozen=True)
class Listens(Always):
    """A policy that keeps what it is shown."""

    heard: list[Record] = field(default_factory=list)

    @override
    def observe(self, record: Record) -> None:
        self.heard.append(record)

    @property
    def ids(self) -> list[str]:
        return [record.id for record in self.heard]


async def accuracies(gate: Gateway, text: str = "Who wrote Faust?") -> dict[str, float]:
    """What is believed of each tier; to ask teaches nothing."""
    reply = await gate.ask(text, autoshift={"learn": False})
    estimates: Json = (await gate.decision_of(reply))["start"]["estimates"]
    return {tier: estimate["accuracy"] for tier, estimate in estimates.items()}


def restored(caplog: pytest.LogCaptureFixture) -> int:
    return sum(line.getMessage() == RESTORED for line in caplog.records)


async def test_two_gateways_after_each_other_believe_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway(tmp_path / "new", policy="value") as fresh:
        unlearned = await accuracies(fresh)
    async with gateway(tmp_path / "kept", policy="value", value={"lessons": 0.5}) as gate:
        for number in range(60):
            # Small is wrong every other time, and medium never.
            gate.provider.answers("model-small", Says(f"{number + 2 * (number % 2)}"))
            for model in ("model-medium", "model-large"):
                gate.provider.answers(model, Says(f"{number}"))
            reply = await gate.ask(f"What is {number} + 0?")
            assert reply.status_code == 200
            body = {
                "decision": reply.headers["x-autoshift-decision"],
                "correct": reply.headers["x-autoshift-tier"] != "small" or number % 2 == 0,
            }
            assert (await gate.http.post("/v1/feedback", json=body)).status_code == 200
        await gate_is_quiet(gate)
        learned = await accuracies(gate)
        standing = (await gate.http.get("/v1/report")).json()
    count = restored(caplog)
    async with gateway(tmp_path / "kept", policy="value") as again:
        await until(lambda: restored(caplog) > count)
        remembered = await accuracies(again)
        told = (await again.http.get("/v1/report")).json()
    assert remembered == pytest.approx(learned, abs=0.02)
    assert learned != pytest.approx(unlearned, abs=0.02)
    assert told["requests"] == pytest.approx(standing["requests"], abs=0.5)
    spend, before = told["spend_usd_per_1000"], standing["spend_usd_per_1000"]
    assert spend == pytest.approx(before, rel=0.05)


async def gate_is_quiet(gate: Gateway) -> None:
    """Everything is in the store, and nobody teaches any more."""
    asked = -1

    async def is_quiet() -> bool:
        nonlocal asked
        before, asked = asked, len(gate.provider.calls)
        ready = (await gate.http.get("/readyz")).json()
        await asyncio.sleep(0.1)
        return before == asked and ready["outbox_entries"] == 0

    await until(is_quiet, 20)


async def test_what_was_brought_into_the_store_is_learned_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway(tmp_path / "empty", policy="value") as gate:
        unlearned = await accuracies(gate)
    world = World(1, skill={"small": 0.95, "medium": 0.4, "large": 1.0}, start="small")
    await kept(tmp_path / "full", [world.record() for _ in range(400)])
    count = restored(caplog)
    async with gateway(tmp_path / "full", policy="value", value={"frozen": True}) as gate:
        assert (await gate.http.get("/readyz")).status_code == 200
        await until(lambda: restored(caplog) > count, 20)
        learned = await accuracies(gate)
        # They have no vectors, so this is not what neighbours say.
        assert learned["small"] > unlearned["small"] + 0.1
        assert learned["medium"] < learned["small"]
        assert (await gate.http.request("DELETE", "/v1/records?all=true")).json()["deleted"] >= 400
    async with gateway(tmp_path / "full", policy="value") as gate:
        await until(lambda: restored(caplog) > count + 1, 20)
        assert await accuracies(gate) == pytest.approx(unlearned)
        assert (await gate.http.get("/v1/report")).json()["requests"] == 0


async def test_what_was_learned_of_erased_records_leaves_the_running_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway(tmp_path / "empty", policy="value") as gate:
        unlearned = await accuracies(gate)
    world = World(1, skill={"small": 0.95, "medium": 0.4, "large": 1.0}, start="small")
    records = [world.record() for _ in range(400)]
    await kept(tmp_path / "full", records)
    await kept(tmp_path / "half", records[200:])
    count = restored(caplog)
    async with gateway(tmp_path / "half", policy="value") as gate:
        await until(lambda: restored(caplog) > count, 20)
        of_half = await accuracies(gate)
    async with gateway(tmp_path / "full", policy="value") as gate:
        await until(lambda: restored(caplog) > count + 1, 20)
        learned = await accuracies(gate)
        assert learned["small"] > unlearned["small"] + 0.1

        async def erase(query: str) -> None:
            before = restored(caplog)
            assert (await gate.http.delete(f"/v1/records?{query}")).json()["deleted"] > 0
            gate.app.state.memory.relearning.hurry()
            await until(lambda: restored(caplog) > before, 20)

        await erase(f"before={records[200].time_s}")
        assert await accuracies(gate) == pytest.approx(of_half)
        assert (await gate.http.get("/v1/report")).json()["requests"] == pytest.approx(200, abs=12)
        await erase("all=true")
        assert await accuracies(gate) == pytest.approx(unlearned)
        assert (await gate.http.get("/v1/report")).json()["requests"] == 0
        page = (await gate.http.get("/v1/dashboard")).json()
        assert page["report"]["requests"] == 0
        # And what comes now is learned by those who serve now.
        for number in range(20):
            gate.provider.answers("model-small", Says(f"{number}"))
            await gate.ask(f"What is {number} + 0?", model="auto:value")
        await gate_is_quiet(gate)
        assert (await gate.http.get("/v1/report")).json()["requests"] == pytest.approx(20, abs=1)
        assert await accuracies(gate) != pytest.approx(unlearned)


async def test_what_was_erased_before_it_was_heard_of_is_not_learned_anew(tmp_path: Path) -> None:
    store, outbox = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24)
    kept_one, gone = record(time_s=1.0), record(time_s=2.0)
    again = Listens("a")
    async with running(store, outbox) as recorder:
        here = started(recorder, outbox, store, [Listens("a")])
        for each in (kept_one, gone):
            recorder.submit(each, None)
            here.audience.show(each)
        await here.archive.erase(Wanted("local", id=gone.id))
        await here.restart(learners=lambda: {again.name: again}).run()
        await here.audience.catch_up()
    assert again.ids == [kept_one.id]


async def test_a_frozen_policy_learns_again_only_what_it_knew(tmp_path: Path) -> None:
    store, outbox = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24)
    old, new, names = record(time_s=1.0), record(time_s=20.0), ("always:a", "always:b")
    again: dict[str, Policy] = {name: Listens(name.removeprefix("always:")) for name in names}
    async with running(store, outbox) as recorder:
        await store.write([insert(old)])
        here = started(recorder, outbox, store, [Listens("a"), Listens("b")], frozen=names[:1])
        await here.restart().run()
        await store.write([insert(new)])
        await here.restart(learners=lambda: again).run()
        later = record(time_s=30.0)
        here.audience.show(later)
        await here.audience.catch_up()
    frozen, learning = again.values()
    assert isinstance(frozen, Listens)
    assert isinstance(learning, Listens)
    assert frozen.ids == [old.id]
    assert learning.ids == [old.id, new.id, later.id]
    assert here.policies == again


@dataclass(slots=True)
class Started:
    """Everything that restores, over a store that fails as it is told to."""

    store: ScriptedStore
    recorder: Recorder
    audience: Audience
    archive: Archive
    tracker: Tracker
    policies: dict[str, Policy]

    def restart(
        self, records: int = 100, learners: Callable[[], Mapping[str, Policy]] | None = None
    ) -> Restart:
        return Restart(
            archive=self.archive,
            audience=self.audience,
            tenants=("local",),
            records=records,
            again_s=0.05,
            learners=learners,
        )


def started(
    recorder: Recorder,
    outbox: Outbox,
    store: ScriptedStore,
    policies: Sequence[Listens],
    frozen: Iterable[str] = (),
    *,
    asleep: Sequence[str] = (),
) -> Started:
    tracker, named = Tracker(), {policy.name: cast("Policy", policy) for policy in policies}
    audience = Audience(
        recorder,
        policies=named,
        frozen=tuple(frozen),
        asleep=asleep,
        tracker=tracker,
        begun_s=10.0,
    )
    archive = Archive(recorder=recorder, store=store, outbox=outbox)
    return Started(store, recorder, audience, archive, tracker, named)


def logged(count: int) -> list[Record]:
    world = World(1)
    return [replace(world.record(), id=new_id()) for _ in range(count)]


async def test_old_records_come_first_in_their_order_and_none_counts_twice(tmp_path: Path) -> None:
    store, outbox, policy = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    old, new = logged(80), record(time_s=1_800_000_000.0)
    async with running(store, outbox) as recorder:
        await store.write([insert(each) for each in reversed(old)])
        here = started(recorder, outbox, store, [policy])
        restart = here.restart()
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(here.audience.run())
            async with here.audience.restoring():
                restoring = tasks.create_task(restart.run())
                recorder.submit(new, None)
                here.audience.show(new)
                await delivered(recorder)
            await restoring
            await until(lambda: policy.ids.count(new.id) == 2)
            working.cancel()
    assert [each for each in policy.ids if each != new.id] == [each.id for each in old]
    standing = here.tracker.standing()
    assert standing is not None
    assert standing.requests == pytest.approx(80, abs=2)


async def test_of_too_many_records_the_newest_are_restored_without_their_texts(
    tmp_path: Path,
) -> None:
    store, outbox, policy = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    old = [replace(each, text="secret") for each in logged(300)]
    async with running(store, outbox) as recorder:
        await store.write([insert(each) for each in old])
        await started(recorder, outbox, store, [policy]).restart(100).run()
    assert 100 <= len(policy.ids) < 150
    assert policy.ids == [each.id for each in old][-len(policy.ids) :]
    assert {each.text for each in policy.heard} == {None}


async def test_records_of_one_time_are_all_restored(tmp_path: Path) -> None:
    store, outbox, policy = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    old = [record() for _ in range(90)]
    async with running(store, outbox) as recorder:
        await store.write([insert(each) for each in old])
        await started(recorder, outbox, store, [policy]).restart().run()
    assert sorted(policy.ids) == sorted(each.id for each in old)


async def test_a_store_that_is_down_is_asked_again_and_requests_teach_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store, outbox, policy = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    old, new = record(), record(time_s=2.0)
    async with running(store, outbox) as recorder:
        await store.write([insert(old)])
        store.down = True
        here = started(recorder, outbox, store, [policy])
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(here.audience.run())
            restoring = tasks.create_task(here.restart().run())
            recorder.submit(new, None)
            here.audience.show(new)
            await until(lambda: policy.ids == [new.id])
            await until(lambda: "cannot be restored yet" in caplog.text)
            store.down = False
            await restoring
            working.cancel()
    assert policy.ids == [new.id, old.id, new.id]
    assert restored(caplog) == 1


async def test_a_frozen_policy_hears_of_what_was_and_of_nothing_that_comes(tmp_path: Path) -> None:
    store, outbox = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24)
    frozen, learning, old, new = Listens("a"), Listens("b"), record(), record(time_s=2.0)
    async with running(store, outbox) as recorder:
        await store.write([insert(old)])
        here = started(recorder, outbox, store, [frozen, learning], frozen=[frozen.name])
        await here.restart().run()
        recorder.submit(new, None)
        here.audience.show(new, frozen)
        recorder.note(old.id, "local", evidence())
        here.audience.show_again(new.id, "local", frozen)
        await here.audience.catch_up()
    assert frozen.ids == [old.id]
    assert learning.ids == [old.id, new.id, new.id]


async def test_a_bug_while_restoring_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(ScriptedStore):
        broken = True

        @override
        async def by_time(self, wanted, *, newest_first, limit, vectors=False):  # type: ignore[no-untyped-def]
            if self.broken:
                raise RuntimeError("a bug")
            return await super().by_time(
                wanted, newest_first=newest_first, limit=limit, vectors=vectors
            )

    store, outbox, policy = Broken(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    old = record()
    async with running(store, outbox) as recorder:
        await store.write([insert(old)])
        here = started(recorder, outbox, store, [policy])
        async with asyncio.TaskGroup() as tasks:
            restoring = tasks.create_task(here.restart().run())
            await until(lambda: "cannot be restored" in caplog.text)
            store.broken = False
            await restoring
    assert policy.ids == [old.id]


async def test_when_too_many_wait_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24)) as recorder:
        policy = Listens("a")
        audience = Audience(recorder, policies={policy.name: policy}, waiting=2)
        for _ in range(5):
            audience.show(record())
        await audience.catch_up()
    assert len(policy.ids) == 2
    assert caplog.text.count("too many records wait") == 1


async def test_a_failed_tool_call_is_heard_of(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    question = {"role": "user", "content": "Rain?"}
    async with gateway(tmp_path, policy="value") as gate:
        for model in ("model-small", "model-medium", "model-large"):
            gate.provider.answers(model, Says("", tool_calls=[call], finish="tool_calls"))
        reply = await gate.ask(messages=[question], tools=tools)
        for model in ("model-small", "model-medium", "model-large"):
            gate.provider.answers(model, Says("No idea"))
        before = await accuracies(gate)
        turns = [
            question,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "error: no such city"},
        ]
        assert (await gate.ask(messages=turns, tools=tools)).status_code == 200
        tier = reply.headers["x-autoshift-tier"]

        async def is_believed_less() -> bool:
            return (await accuracies(gate))[tier] < before[tier]

        await until(is_believed_less)


async def test_a_policy_learns_from_the_first_request_that_asks_for_it(tmp_path: Path) -> None:
    store, outbox, policy = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    records = logged(3)
    async with running(store, outbox) as recorder:
        audience = Audience(recorder, policies={policy.name: policy}, asleep={policy.name})
        audience.show(records[0])
        audience.show(records[1], policy)
        audience.show(records[2])
        await audience.catch_up()
    assert policy.ids == [record.id for record in records[1:]]


@pytest.mark.parametrize("decided", [True, False])
async def test_a_restart_teaches_it_all_records_if_it_made_any_decision(
    tmp_path: Path, decided: bool
) -> None:
    store, outbox, policy = ScriptedStore(), Outbox(tmp_path, capacity_bytes=1 << 24), Listens("a")
    old = logged(20)
    if decided:
        old[-1] = replace(old[-1], policy=policy.name)
    async with running(store, outbox) as recorder:
        await store.write([insert(each) for each in old])
        here = started(recorder, outbox, store, [policy], asleep=[policy.name])
        await here.restart().run()
    assert policy.ids == ([each.id for each in old] if decided else [])
