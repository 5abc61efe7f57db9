"""The protocol: every policy over the same orders, along other streams, dials and scenarios."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.replay.figures import Runs
from app.replay.honesty import Witness
from app.replay.noticing import Noticed
from app.replay.policies import Choice, build_policy, sweep
from app.replay.run import Advance, Course, Watch, by_arrival, by_topic, run, shuffled
from app.replay.scenarios import Ground, ScenarioName, Scene, scenes
from app.replay.trials import Tried
from app.replay.yardstick import Replayed

BASELINE = Choice("random")
"""A random start, then the cascade: shown beside every policy."""
REORDERED: tuple[ScenarioName, ...] = ("false-failures", "false-successes")
"""Scenarios with an order of their own, along which the plain stream is run too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: these policies, over so many shuffled orders; `swept`: over their dials too."""

    choices: tuple[Choice, ...]
    orders: int
    seed: int
    swept: bool
    scenarios: tuple[ScenarioName, ...] = ()


class Progress(Protocol):
    """Somebody who wants to know how far it is."""

    def __call__(self, name: str) -> Advance:
        """What to call after each question of the policy that now begins."""
        ...


def planned(plan: Plan) -> list[Choice]:
    """The policies asked for, and the baseline, each once."""
    return list(dict.fromkeys((*plan.choices, BASELINE)))


def questions(plan: Plan, course: Course) -> int:
    """How many questions will be run in all."""
    each = [
        plan.orders + 2 + plan.orders * len(sweep(c.name) if plan.swept else [])
        for c in planned(plan)
    ]
    tried = sum(1 + (name in REORDERED) for name in plan.scenarios)
    tried_by = len(dict.fromkeys(plan.choices))
    return len(course.recordings) * (sum(each) + plan.orders * tried * tried_by)


async def run_plan(ground: Ground, plan: Plan, progress: Progress) -> list[Replayed]:
    """Everything the plan says, one policy after the other."""
    course = ground.course
    orders = [shuffled(course, plan.seed + number) for number in range(plan.orders)]
    streams = [Scene(course, order) for order in orders]
    others = {"as recorded": by_arrival(course), "topic after topic": by_topic(course)}
    done = []
    for choice in planned(plan):
        stand = _Stand(plan, progress)
        settings = sweep(choice.name) if plan.swept else []
        witnesses = [Witness(tuple(tier.name for tier in course.tiers)) for _ in orders]
        runs = await stand.runs(choice, streams, witnesses=witnesses)
        done.append(
            Replayed(
                choice=choice,
                runs=runs,
                witnesses=witnesses,
                streams={
                    name: await stand.runs(choice, [Scene(course, order)], f", {name}")
                    for name, order in others.items()
                },
                settings=[
                    (setting.dial or 0.0, await stand.runs(setting, streams))
                    for setting in settings
                ],
                tried=[
                    await stand.tried(choice, name, ground, orders, runs)
                    for name in (plan.scenarios if choice in plan.choices else ())
                ],
            )
        )
    return done


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where policies run; each stream starts from an empty store, with a policy made anew."""

    plan: Plan
    progress: Progress

    async def tried(
        self,
        choice: Choice,
        name: ScenarioName,
        ground: Ground,
        orders: Sequence[Sequence[int]],
        plain: Runs,
    ) -> Tried:
        """The policy in a scenario."""
        shares = plain.shares("final", len(ground.course.tiers))
        most = ground.course.tiers[shares.index(max(shares))].name
        made = scenes(name, ground, orders, seed=self.plan.seed, most=most)
        if name in REORDERED:
            without = [replace(scene, course=ground.course) for scene in made]
            plain = await self.runs(choice, without, f", without {name}")
        return Tried(name, made, await self.runs(choice, made, f", {name}"), plain)

    async def runs(
        self,
        choice: Choice,
        streams: Sequence[Scene],
        where: str = "",
        *,
        witnesses: Sequence[Witness] = (),
    ) -> Runs:
        """The policy along these streams."""
        advance = self.progress(f"{choice}{where}")
        found, changes = [], []
        for number, scene in enumerate(streams):
            policy = build_policy(choice, scene.course.tiers)
            noticed = Noticed(policy)
            watches: list[Watch] = [noticed.note, *(w.note for w in witnesses[number:][:1])]
            outcomes = await run(
                scene.course,
                policy,
                scene.order,
                seed=self.plan.seed + number,
                advance=advance,
                watches=watches,
            )
            found.append(outcomes)
            changes.append(noticed.changes)
        return Runs(found, changes)
