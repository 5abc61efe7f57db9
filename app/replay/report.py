"""What a replay found, as data: each policy beside everything it must beat."""

from dataclasses import dataclass

import orjson

from app.replay.baselines import Program
from app.replay.bootstrap import Estimated
from app.replay.curves import Point
from app.replay.estimates import Reliability
from app.replay.figures import Calibration, Milestone
from app.replay.honesty import Honesty
from app.replay.sweeps import Parity
from app.replay.trials import Trial


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a policy's dial, and where it leads."""

    dial: float
    point: Point


@dataclass(frozen=True, slots=True)
class TwoTiers:
    """RouteLLM's measures: the gap recovered, and the strong calls that half and 80 % of it take.

    And AutoMix's: by how many percent money buys more than on the way from weak to strong. None
    where the strong tier is no better, or so much is never recovered.
    """

    apgr: float | None
    cpt_50: float | None
    cpt_80: float | None
    delta_ibc: float | None


@dataclass(frozen=True, slots=True)
class UpperBound:
    """A router that knows the grade of every tier's answer to all other questions.

    Nobody can run it. The dial of `settings` is the accuracy (of 1) that a mean call of the dearest
    tier must buy; `auc` says how well each tier's accuracy near a question tells right from wrong.
    """

    settings: list[Setting]
    aiq: float | None
    aiq_over_mixtures: Estimated | None
    auc: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """One policy over all orders.

    `parity` is the cheapest setting not worse than the first policy by the margin, and None for the
    first one. `gain_over_first` is its accuracy minus the first policy's, `gain_over_top` minus the
    top tier's, `gain_over_mixtures` minus that of the best mixture of fixed tiers at the same cost.
    `cost_of_top` is its cost over the top tier's. `hindsight` is the cheapest program at least as
    accurate. `streams` has one run each in the file's order and topic after topic. `aiq` is over
    the sweep where there is one, else over the single point; `aiq_with_tiers` lets coins mix the
    fixed tiers in, so what it has over the mixtures' is what the policy adds to them.
    `aiq_over_mixtures` and, for every other policy that was swept, `aiq_over` are differences of
    `aiq`: the mean gap between two curves. `estimates` are looked at from the first question on,
    and from the 500th.
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
    parity: Parity | None
    gain_over_first: Estimated | None
    gain_over_top: Estimated
    gain_over_mixtures: Estimated
    cost_of_top: Estimated | None
    hindsight: Program | None
    streams: dict[str, Point]
    settings: list[Setting]
    aiq: float | None
    aiq_with_tiers: float | None
    aiq_over_mixtures: Estimated | None
    aiq_over: dict[str, Estimated]
    two_tiers: TwoTiers | None
    estimates: dict[int, Reliability]
    honesty: Honesty
    trials: list[Trial]


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """Everything a replay found. `judge` says who judged, and whether that was simulated.

    `margin` is by how much a setting may be worse and still count as not worse, stated beforehand.
    `agreement` is the best program that goes by agreement and pays no judge, known in hindsight.
    """

    queries: int
    left_out: int
    judge: str
    orders: int
    seed: int
    margin: float
    tiers: tuple[str, ...]
    priors: tuple[float, ...]
    fixed: dict[str, Point]
    mixtures: list[Point]
    mixtures_aiq: float | None
    oracle: Point
    programs: list[Program]
    agreement: Program | None
    upper_bound: UpperBound
    policies: list[PolicyReport]

    def to_json(self) -> str:
        options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
        return orjson.dumps(self, option=options).decode()
