"""Whether the gateway's own figures are true: what it would report of a run, beside what was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.records import Record
from app.replay.baselines import Truth
from app.replay.figures import Runs
from app.reporting.alarms import Alarm, Pulse, raised
from app.reporting.sightings import SERVED
from app.reporting.standing import Way
from app.reporting.tracker import LOOK_EVERY
from app.reporting.window import Window


class Witness:
    """Follows one run's records as the running gateway does; knows nothing of the truth."""

    def __init__(self, tiers: tuple[str, ...]) -> None:
        self._window = Window(tiers)
        self._pulse = Pulse()
        self._alarms: tuple[Alarm, ...] = ()
        self.alarms = 0

    def note(self, record: Record) -> None:
        """Take note of a finished record, its lessons over."""
        self._pulse.observe(record, self._window.read(record))
        if self._pulse.requests % LOOK_EVERY == 0:
            known = {(alarm.name, alarm.about) for alarm in self._alarms}
            self._alarms = raised(self._pulse, self._window.sums, self._alarms)
            now = {(alarm.name, alarm.about) for alarm in self._alarms}
            self.alarms += len(now - known)

    def ways(self) -> dict[str, Way]:
        """What was served, and every fixed tier, as they would be reported."""
        standing = self._window.standing
        return {SERVED: standing.served, **standing.fixed}


@dataclass(frozen=True, slots=True)
class Reported:
    """One accuracy as it is reported, doubly robust, and as it was; means over the orders.

    `reported` and `error` are None where the effective sample was too small in every order;
    `orders` counts those where it was not. `worst` is the largest error of an order, either way.
    """

    true: float
    n_eff: float
    reported: float | None
    error: float | None
    worst: float | None
    orders: int


@dataclass(frozen=True, slots=True)
class Honesty:
    """`accuracy` by tier, and under `SERVED`.

    `alarms` were raised, and `changes` of tiers made out, over the requests of all orders; since
    nothing changes in a shuffled stream, these are false alarms.
    """

    accuracy: dict[str, Reported]
    alarms: int
    changes: int
    requests: int


def honesty(witnesses: Sequence[Witness], runs: Runs, truth: Truth) -> Honesty:
    """What these witnesses, one an order, would have reported of the runs."""
    ways = [witness.ways() for witness in witnesses]
    served = runs.correct.mean(axis=1).tolist()
    fixed = truth.correct.mean(axis=1).tolist()
    true = {
        name: served if name == SERVED else [fixed[at - 1]] * len(served)
        for at, name in enumerate(ways[0])
    }
    return Honesty(
        accuracy={name: _reported([way[name] for way in ways], true[name]) for name in ways[0]},
        alarms=sum(witness.alarms for witness in witnesses),
        changes=sum(len(changes) for changes in runs.changes),
        requests=runs.streams.size,
    )


def _reported(ways: Sequence[Way], true: Sequence[float]) -> Reported:
    found = [
        (way.accuracy.value, was)
        for way, was in zip(ways, true, strict=True)
        if way.accuracy.value is not None
    ]
    errors = np.array([value - was for value, was in found])
    return Reported(
        true=float(np.mean(true)),
        n_eff=float(np.mean([way.accuracy.n_eff for way in ways])),
        reported=float(np.mean([value for value, _ in found])) if found else None,
        error=float(errors.mean()) if found else None,
        worst=float(np.abs(errors).max()) if found else None,
        orders=len(found),
    )
