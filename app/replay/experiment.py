"""The protocol: every policy over the same orders, along other streams, and over its dial."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.replay.figures import Runs
from app.replay.policies import Choice, build_policy, sweep
from app.replay.report import Replayed
from app.replay.run import Advance, Course, by_arrival, by_topic, run, shuffled

BASELINE = Choice("random")
"""A random start, then the cascade: shown beside every policy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: these policies, over so many shuffled orders; `swept`: over their dials too."""

    choices: tuple[Choice, ...]
    orders: int
    seed: int
    swept: bool


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
    return len(course.recordings) * sum(each)


async def run_plan(course: Course, plan: Plan, progress: Progress) -> list[Replayed]:
    """Everything the plan says, one policy after the other."""
    orders = [shuffled(course, plan.seed + number) for number in range(plan.orders)]
    others = {"as recorded": by_arrival(course), "topic after topic": by_topic(course)}
    done = []
    for choice in planned(plan):
        settings = sweep(choice.name) if plan.swept else []
        done.append(
            Replayed(
                choice=choice,
                runs=await _runs(course, choice, orders, plan.seed, progress),
                streams={
                    name: await _runs(course, choice, [order], plan.seed, progress)
                    for name, order in others.items()
                },
                settings=[
                    (setting.dial or 0.0, await _runs(course, setting, orders, plan.seed, progress))
                    for setting in settings
                ],
            )
        )
    return done


async def _runs(
    course: Course,
    choice: Choice,
    orders: Sequence[Sequence[int]],
    seed: int,
    progress: Progress,
) -> Runs:
    """The policy over these orders; each starts from an empty store, with a policy made anew."""
    advance = progress(str(choice))
    return Runs(
        [
            await run(
                course,
                build_policy(choice, course.tiers),
                order,
                seed=seed + number,
                advance=advance,
            )
            for number, order in enumerate(orders)
        ]
    )
