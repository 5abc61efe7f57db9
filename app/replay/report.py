"""What a replay found, as data: each policy beside everything it must beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from app.replay.baselines import PER, Program, Truth, fixed_points, oracle_point, programs
from app.replay.curves import Point, Share, aiq, apgr, cpt, upper_hull
from app.replay.figures import PURPOSES, Bootstrap, Calibration, Estimated, Milestone, Runs
from app.replay.policies import Choice
from app.replay.run import Course

RECOVERED = (0.5, 0.8)
TWO_TIERS = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a policy's dial, and where it leads."""

    dial: float
    point: Point


@dataclass(frozen=True, slots=True)
class TwoTiers:
    """RouteLLM's measures: the gap recovered, and the strong calls that half and 80 % of it take.

    None where the strong tier is no better, or so much is never recovered.
    """

    apgr: float | None
    cpt_50: float | None
    cpt_80: float | None


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """One policy over all orders.

    `gain_over_first` is its accuracy minus the first policy's, `gain_over_top` minus the top
    tier's, `gain_over_mixtures` minus that of the best mixture of fixed tiers at the same cost.
    `cost_of_top` is its cost over the top tier's. `hindsight` is the cheapest program at least as
    accurate. `streams` has one run each in the file's order and topic after topic. `aiq` is over
    the sweep where there is one, else over the single point; `aiq_with_tiers` lets coins mix the
    fixed tiers in, so what it has over the mixtures' is what the policy adds to them.
    """

    policy: str
    point: Point
    accuracy: Estimated
    usd_per_1000: Estimated
    by_order: tuple[float, float]
    purposes_usd: dict[str, float]
    starts: dict[str, float]
    finals: dict[str, float]
    answers_per_query: float
    judgements_per_query: float
    judgements_without_verdict: float
    latency_p50_s: float
    latency_p95_s: float
    calibration: Calibration | None
    milestones: list[Milestone]
    gain_over_first: Estimated | None
    gain_over_top: Estimated
    gain_over_mixtures: Estimated
    cost_of_top: Estimated | None
    hindsight: Program | None
    streams: dict[str, Point]
    settings: list[Setting]
    aiq: float | None
    aiq_with_tiers: float | None
    two_tiers: TwoTiers | None


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Everything a replay found. `judge` says who judged, and whether that was simulated."""

    queries: int
    left_out: int
    judge: str
    orders: int
    seed: int
    tiers: tuple[str, ...]
    priors: tuple[float, ...]
    fixed: dict[str, Point]
    mixtures: list[Point]
    mixtures_aiq: float | None
    oracle: Point
    programs: list[Program]
    policies: list[PolicyReport]

    def to_json(self) -> str:
        return orjson.dumps(self, option=orjson.OPT_INDENT_2).decode()


@dataclass(frozen=True, slots=True)
class Replayed:
    """One policy's runs: at its own setting, along other streams, and over its dial."""

    choice: Choice
    runs: Runs
    streams: dict[str, Runs]
    settings: list[tuple[float, Runs]]


def build_report(
    course: Course,
    truth: Truth,
    replayed: Sequence[Replayed],
    *,
    judge: str,
    left_out: int,
    orders: int,
    seed: int,
) -> ReplayReport:
    """The report on these runs."""
    yardstick = Yardstick(
        names=tuple(tier.name for tier in course.tiers),
        truth=truth,
        fixed=fixed_points(truth),
        programs=programs(course, truth),
        bootstrap=Bootstrap(orders=orders, queries=len(course.recordings), seed=seed),
        first=replayed[0].runs,
    )
    return ReplayReport(
        queries=len(course.recordings),
        left_out=left_out,
        judge=judge,
        orders=orders,
        seed=seed,
        tiers=yardstick.names,
        priors=tuple(tier.prior for tier in course.tiers),
        fixed=dict(zip(yardstick.names, yardstick.fixed, strict=True)),
        mixtures=upper_hull(yardstick.fixed),
        mixtures_aiq=aiq(yardstick.fixed, yardstick.fixed),
        oracle=oracle_point(truth),
        programs=list(yardstick.programs),
        policies=[yardstick.measure(each) for each in replayed],
    )


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What every policy is measured against; `first` are the runs of the first one."""

    names: tuple[str, ...]
    truth: Truth
    fixed: Sequence[Point]
    programs: Sequence[Program]
    bootstrap: Bootstrap
    first: Runs

    def measure(self, replayed: Replayed) -> PolicyReport:
        """The report on one policy."""
        runs, draws = replayed.runs, self.bootstrap
        by_order = runs.correct.mean(axis=1)
        reached = [p for p in self.programs if p.point.accuracy >= runs.point.accuracy]
        settings = [Setting(dial, each.point) for dial, each in replayed.settings]
        points = [setting.point for setting in settings] or [runs.point]
        gain = None if runs is self.first else draws.mean(runs.correct - self.first.correct)
        return PolicyReport(
            policy=str(replayed.choice),
            point=runs.point,
            accuracy=draws.mean(runs.correct),
            usd_per_1000=draws.mean(PER * runs.usd),
            by_order=(float(by_order.min()), float(by_order.max())),
            purposes_usd={purpose: runs.usd_per_1000(purpose) for purpose in PURPOSES},
            starts=self._by_tier(runs.shares("start", len(self.names))),
            finals=self._by_tier(runs.shares("final", len(self.names))),
            answers_per_query=runs.mean("answers"),
            judgements_per_query=runs.mean("judgements"),
            judgements_without_verdict=runs.mean("silent"),
            latency_p50_s=runs.latency_s(50),
            latency_p95_s=runs.latency_s(95),
            calibration=runs.calibration(),
            milestones=runs.milestones(),
            gain_over_first=gain,
            gain_over_top=draws.mean(runs.correct - self.truth.correct[-1]),
            gain_over_mixtures=draws.over_mixtures(runs, self.truth),
            cost_of_top=draws.ratio(runs.usd, self.truth.usd[-1]),
            hindsight=min(reached, key=lambda p: p.point.usd, default=None),
            streams={name: each.point for name, each in replayed.streams.items()},
            settings=settings,
            aiq=aiq(points, self.fixed),
            aiq_with_tiers=aiq([*points, *self.fixed], self.fixed),
            two_tiers=_two_tiers(replayed, self.fixed) if len(self.names) == TWO_TIERS else None,
        )

    def _by_tier(self, shares: Sequence[float]) -> dict[str, float]:
        return dict(zip(self.names, shares, strict=True))


def _two_tiers(replayed: Replayed, fixed: Sequence[Point]) -> TwoTiers:
    weak, strong = (point.accuracy for point in fixed)
    runs = [each for _, each in replayed.settings] or [replayed.runs]
    shares = [Share(each.shares("final", TWO_TIERS)[1], each.point.accuracy) for each in runs]
    half, most = (cpt(shares, weak, strong, wanted) for wanted in RECOVERED)
    return TwoTiers(apgr(shares, weak, strong), half, most)
