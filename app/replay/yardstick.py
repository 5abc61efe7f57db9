"""Measures what was replayed against everything it must beat."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.replay.baselines import (
    PER,
    Program,
    Truth,
    agreement_only,
    fixed_points,
    oracle_point,
    programs,
    truth_of,
)
from app.replay.bootstrap import Bootstrap, Estimated, Floats
from app.replay.curves import Point, Share, aiq, apgr, cpt, delta_ibc, upper_hull
from app.replay.estimates import SETTLED, Reliability, reliability
from app.replay.figures import PURPOSES, Runs
from app.replay.full_labels import MARGINS, auc_by_tier, full_labels, swept
from app.replay.honesty import Witness, honesty
from app.replay.policies import Choice
from app.replay.report import PolicyReport, ReplayReport, Setting, TwoTiers, UpperBound
from app.replay.run import Course
from app.replay.sweeps import Areas, Parity, parity, spent_by
from app.replay.trials import Tried, trial

RECOVERED = (0.5, 0.8)
TWO_TIERS = 2
UPPER_BOUND = "kNN with full labels"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One policy's runs: at its own setting, along other streams, over its dial, in scenarios."""

    choice: Choice
    runs: Runs
    witnesses: Sequence[Witness]
    streams: dict[str, Runs]
    settings: list[tuple[float, Runs]]
    tried: Sequence[Tried] = ()

    @property
    def curve(self) -> list[Runs]:
        """The sweep, or where there is none the single setting."""
        return [runs for _, runs in self.settings] or [self.runs]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all figures rest on: who judged, how many orders, what counts as not worse."""

    judge: str
    left_out: int
    orders: int
    seed: int
    margin: float


def build_report(
    course: Course, vectors: Floats, replayed: Sequence[Replayed], frame: Frame
) -> ReplayReport:
    """The report on these runs. Shape of `vectors`: (queries, dimension)."""
    yardstick = _yardstick(course, replayed, frame)
    return ReplayReport(
        queries=len(course.recordings),
        left_out=frame.left_out,
        judge=frame.judge,
        orders=frame.orders,
        seed=frame.seed,
        margin=frame.margin,
        tiers=yardstick.names,
        priors=tuple(yardstick.priors.values()),
        fixed=dict(zip(yardstick.names, yardstick.fixed, strict=True)),
        mixtures=upper_hull(yardstick.fixed),
        mixtures_aiq=aiq(yardstick.fixed, yardstick.fixed),
        oracle=oracle_point(yardstick.truth),
        programs=list(yardstick.programs),
        agreement=agreement_only(yardstick.programs, yardstick.fixed),
        upper_bound=yardstick.upper_bound(vectors),
        policies=[yardstick.measure(each) for each in replayed],
    )


def _yardstick(course: Course, replayed: Sequence[Replayed], frame: Frame) -> "Yardstick":
    truth = truth_of(course)
    bootstrap = Bootstrap(orders=frame.orders, queries=len(course.recordings), seed=frame.seed)
    areas = Areas(truth, bootstrap)
    for each in replayed:
        areas.add(str(each.choice), [spent_by(runs) for runs in each.curve])
    return Yardstick(
        priors={tier.name: tier.prior for tier in course.tiers},
        truth=truth,
        fixed=fixed_points(truth),
        programs=programs(course, truth),
        bootstrap=bootstrap,
        areas=areas,
        first=replayed[0],
        swept=frozenset(str(each.choice) for each in replayed if each.settings),
        margin=frame.margin,
    )


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What every policy is measured against; `first` is the first of them.

    `priors` names the tiers, lowest first; `swept` names the policies with a curve.
    """

    priors: Mapping[str, float]
    truth: Truth
    fixed: Sequence[Point]
    programs: Sequence[Program]
    bootstrap: Bootstrap
    areas: Areas
    first: Replayed
    swept: frozenset[str]
    margin: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.priors)

    def measure(self, replayed: Replayed) -> PolicyReport:
        """The report on one policy."""
        runs, draws, name = replayed.runs, self.bootstrap, str(replayed.choice)
        by_order = runs.correct.mean(axis=1)
        reached = [p for p in self.programs if p.point.accuracy >= runs.point.accuracy]
        settings = [Setting(dial, each.point) for dial, each in replayed.settings]
        points = [each.point for each in replayed.curve]
        first = self.first.runs
        return PolicyReport(
            policy=name,
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
            parity=self._parity(replayed),
            gain_over_first=None if runs is first else draws.mean(runs.correct - first.correct),
            gain_over_top=draws.mean(runs.correct - self.truth.correct[-1]),
            gain_over_mixtures=self.areas.gain_over_mixtures(spent_by(runs)),
            cost_of_top=draws.ratio(runs.usd, self.truth.usd[-1]),
            hindsight=min(reached, key=lambda p: p.point.usd, default=None),
            streams={where: each.point for where, each in replayed.streams.items()},
            settings=settings,
            aiq=aiq(points, self.fixed),
            aiq_with_tiers=aiq([*points, *self.fixed], self.fixed),
            aiq_over_mixtures=self.areas.over_mixtures(name),
            aiq_over=self._over_swept(name),
            two_tiers=_two_tiers(replayed, self.fixed) if len(self.names) == TWO_TIERS else None,
            estimates=dict(self._estimates(runs)),
            honesty=honesty(replayed.witnesses, runs, self.truth),
            trials=[trial(tried, name, self.names, draws) for tried in replayed.tried],
        )

    def upper_bound(self, vectors: Floats) -> UpperBound:
        """What full labels near each question would make possible."""
        labels = full_labels(vectors, self.truth)
        curve = swept(labels, self.truth)
        self.areas.add(UPPER_BOUND, curve)
        points = [spent.point for spent in curve]
        return UpperBound(
            settings=[Setting(*pair) for pair in zip(MARGINS, points, strict=True)],
            aiq=aiq(points, self.fixed),
            aiq_over_mixtures=self.areas.over_mixtures(UPPER_BOUND),
            auc=auc_by_tier(labels, self.truth, self.names),
        )

    def _parity(self, replayed: Replayed) -> Parity | None:
        """For every policy but the first that was swept."""
        if replayed is self.first or not replayed.settings:
            return None
        name = replayed.choice.name
        settings = {f"{name}@{dial:g}": spent_by(each) for dial, each in replayed.settings}
        settings[str(replayed.choice)] = spent_by(replayed.runs)
        return parity(settings, spent_by(self.first.runs), self.bootstrap, self.margin)

    def _over_swept(self, name: str) -> dict[str, Estimated]:
        if name not in self.swept:
            return {}
        gaps = self.areas.over_others(name)
        return {other: gap for other, gap in gaps.items() if other in self.swept}

    def _estimates(self, runs: Runs) -> Iterator[tuple[int, Reliability]]:
        for after in (0, SETTLED):
            found = reliability(runs, self.truth, self.priors, after=after)
            if found is not None:
                yield after, found

    def _by_tier(self, shares: Sequence[float]) -> dict[str, float]:
        return dict(zip(self.names, shares, strict=True))


def _two_tiers(replayed: Replayed, fixed: Sequence[Point]) -> TwoTiers:
    weak, strong = (point.accuracy for point in fixed)
    runs = replayed.curve
    shares = [Share(each.shares("final", TWO_TIERS)[1], each.point.accuracy) for each in runs]
    half, most = (cpt(shares, weak, strong, wanted) for wanted in RECOVERED)
    gained = delta_ibc([each.point for each in runs], *fixed)
    return TwoTiers(apgr(shares, weak, strong), half, most, gained)
