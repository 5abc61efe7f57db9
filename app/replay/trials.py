"""What a scenario did to a policy: beside the same stream without it, and how soon it was over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.replay.baselines import truth_of
from app.replay.bootstrap import Bootstrap, Estimated, Floats
from app.replay.curves import Point
from app.replay.estimates import SETTLED
from app.replay.figures import Runs
from app.replay.scenarios import ScenarioName, Scene

Bools = npt.NDArray[np.bool_]

BACK = 0.8
"""The share of the eventual change, or of the traffic without it, that counts as there."""
WINDOW = 50
WINDOW_NEAR = 100
"""Near what was planted questions are few, so more of the stream is taken together."""
STEP = 10
EVENTUAL = 1 / 3
MOVED_MIN = 0.05
"""A share of traffic that changes by less has not moved; so little traffic is none."""
GOOD = 0.01


@dataclass(frozen=True, slots=True)
class Tried:
    """A policy's runs through a scenario, and the same streams without it."""

    scenario: ScenarioName
    scenes: Sequence[Scene]
    runs: Runs
    plain: Runs


@dataclass(frozen=True, slots=True)
class Traffic:
    """The share of questions that start at, or are served by, one tier, and its return.

    `before`, `after` (the first so many questions) and `eventual` (the last third of what follows)
    are shares with the scenario; `plain` is the eventual one without it. `moved_after` counts the
    stream's questions until 80 % is there: of the traffic without what was planted, or of the
    eventual change; 0 where it was never gone, None where that never is, or nothing moves.
    """

    before: float
    after: float
    eventual: float
    plain: float
    moved_after: int | None


@dataclass(frozen=True, slots=True)
class Trapped:
    """After the first questions: against the cheapest tier within a point of the best."""

    good: str
    after: int
    cost: Estimated | None
    gain: Estimated | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One policy in one scenario. `gain` and `cost` compare it with itself in the plain stream.

    `noticed_after` says, of a fall and for each order, after how many questions the policy made out
    that the tier has changed; None where it did not.
    """

    scenario: ScenarioName
    policy: str
    plain: Point
    point: Point
    gain: Estimated
    cost: Estimated | None
    tier: str | None
    starts: Traffic | None
    served: Traffic | None
    noticed_after: list[int | None]
    trap: Trapped | None


def trial(tried: Tried, policy: str, tiers: Sequence[str], bootstrap: Bootstrap) -> Trial:
    """What became of it; `tiers` as they are without the scenario, lowest first."""
    runs, plain = tried.runs, tried.plain
    return Trial(
        scenario=tried.scenario,
        policy=policy,
        plain=plain.point,
        point=runs.point,
        gain=bootstrap.mean(runs.correct - plain.correct),
        cost=bootstrap.ratio(runs.usd, plain.usd),
        tier=tried.scenes[0].tier,
        starts=_traffic(tried, "start", tiers) if tried.scenes[0].planted else None,
        served=_traffic(tried, "final", tiers) if tried.scenes[0].tier else None,
        noticed_after=list(_noticed(tried)) if tried.scenario == "fall" else [],
        trap=_trapped(tried, tiers, bootstrap) if tried.scenario == "trap" else None,
    )


def _noticed(tried: Tried) -> Iterator[int | None]:
    for scene, changes in zip(tried.scenes, tried.runs.changes, strict=True):
        late = (at - scene.at for at, tier in changes if tier == scene.tier and at >= scene.at)
        yield next(late, None)


def _traffic(tried: Tried, what: str, tiers: Sequence[str]) -> Traffic:
    """The traffic of the tier the scenario is about; its scenes are alike in all orders."""
    scene = tried.scenes[0]
    position = tiers.index(scene.tier or "")
    there = tried.runs.streams[what] == position
    plain = tried.plain.streams[what] == position
    seen = np.stack([_counted(each) for each in tried.scenes])
    first = scene.at + scene.planted
    last = slice(first + round((1 - EVENTUAL) * (there.shape[1] - first)), None)
    if not scene.planted:
        moved_after = moved(plain[:, first:].astype(np.float64) - there[:, first:])
    else:
        # What has to come back after false successes is the traffic of the other tiers.
        is_away = tried.scenario == "false-successes"
        moved_after = back(
            there[:, first:] != is_away, plain[:, first:] != is_away, seen[:, first:]
        )
    return Traffic(
        before=_share(there, seen, slice(0, scene.at)),
        after=_share(there, seen, slice(first, first + WINDOW_NEAR)),
        eventual=_share(there, seen, last),
        plain=_share(plain, seen, last),
        moved_after=moved_after,
    )


def _counted(scene: Scene) -> Bools:
    """The positions of the stream that count: those near what is planted, else all."""
    order = np.array(scene.order)
    return np.isin(order, sorted(scene.near)) if scene.planted else np.ones(order.shape, np.bool_)


def back(there: Bools, plain: Bools, seen: Bools) -> int | None:
    """After how many questions, the window they are seen in included, 80 % of the traffic is back.

    Counted over all orders and only where `seen`, as is the traffic without what was planted. 0
    where it was never gone; None where there is hardly any, and where it does not come back.
    """
    is_any = plain[seen].mean() >= MOVED_MIN if seen.any() else False
    for start in range(0, there.shape[1] - WINDOW_NEAR + 1, STEP) if is_any else ():
        window = slice(start, start + WINDOW_NEAR)
        usual = (plain & seen)[:, window].sum()
        if usual and (there & seen)[:, window].sum() >= BACK * usual:
            return start and start + WINDOW_NEAR
    return None


def moved(lost: Floats) -> int | None:
    """After how many questions, the window included, the share lost is 80 % of what it comes to.

    Shape: (orders, positions), what is lost at each. None where hardly any ever is.
    """
    share = lost.mean(axis=0)
    eventual = share[round((1 - EVENTUAL) * share.size) :].mean() if share.size else 0.0
    if abs(eventual) < MOVED_MIN:
        return None
    windows = np.convolve(share, np.full(WINDOW, 1 / WINDOW), mode="valid")
    there = np.flatnonzero(windows / eventual >= BACK)
    return int(there[0]) + WINDOW if there.size else None


def _share(there: Bools, seen: Bools, positions: slice) -> float:
    """Over all orders; 0 where nothing counts."""
    counted = seen[:, positions].sum()
    return float((there & seen)[:, positions].sum() / counted) if counted else 0.0


def _trapped(tried: Tried, tiers: Sequence[str], bootstrap: Bootstrap) -> Trapped:
    runs, truth = tried.runs, truth_of(tried.scenes[0].course)
    accuracies = truth.correct.mean(axis=1)
    costs_usd = truth.usd.mean(axis=1)
    is_good = accuracies >= accuracies.max() - GOOD
    good = int(np.where(is_good, costs_usd, np.inf).argmin())
    queries = runs.streams.shape[1]
    after = SETTLED if queries > SETTLED else queries // 2
    late = np.zeros(runs.correct.shape)
    for order, stream in enumerate(runs.streams["query"]):
        late[order, stream[after:]] = 1.0
    gains = (runs.correct - truth.correct[good]) * late
    return Trapped(
        good=tiers[good],
        after=after,
        cost=bootstrap.ratio(runs.usd * late, truth.usd[good] * late),
        gain=bootstrap.ratio(gains, late),
    )
