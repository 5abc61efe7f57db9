"""How what was served stands beside fixed tiers and coins between two, in figures and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.reporting.counterfactual import (
    N_EFF_MIN,
    Figure,
    Mixture,
    Quantity,
    Sums,
    best_fixed,
    gain_over,
)
from app.reporting.sightings import SERVED, Kind

State = Literal["unknown", "even", "pays", "fixed"]

PER = 1000.0
_READINGS: tuple[Kind, ...] = ("accuracy", "tied")
_OPENINGS: Mapping[State, str] = {
    "pays": "routing pays",
    "fixed": "a fixed tier would have been better",
    "even": "no difference is sure",
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to answer everything. Units: USD per 1,000 requests."""

    accuracy: Figure
    usd_per_1000: Figure


@dataclass(frozen=True, slots=True)
class Standing:
    """How what was served compares with every fixed tier, on requests that any could have served.

    `requests` fade; `left_out` is their share for which that cannot be asked. `best` is the coin
    between fixed tiers that does best at no more than the cost of what was served, `gain` the
    accuracy of what was served over that; `tied` is the same if no tier is right where two differ
    and nobody has decided: what is sure must be so either way.
    """

    requests: float
    left_out: float
    served: Way
    fixed: Mapping[str, Way]
    best: Mixture | None
    gain: Figure | None
    tied: Figure | None
    state: State
    sentence: str


def standing_of(sums: Sums, left_out: float, *, margin: float = 1.0) -> Standing:
    """How things stand by these sums; `left_out` is how many rows could not be in them.

    To be sure, the 95 % interval must leave 0 out even if it is widened by `margin`.
    """
    ways = {
        name: Way(sums.figure(("accuracy", name)), sums.figure(("usd", name), per=PER))
        for name in (*sums.tiers, SERVED)
    }
    served = _is_known(ways[SERVED])
    known = tuple(tier for tier in sums.tiers if _is_known(ways[tier]))
    readings = {kind: _reading(sums, known, kind) for kind in _READINGS} if served else {}
    best, gain = readings.get("accuracy", (None, None))
    _, tied = readings.get("tied", (None, None))
    complete = len(known) == len(sums.tiers)
    states = {_state(figure, margin, complete=complete) for figure in (gain, tied)}
    state: State = "unknown" if "unknown" in states else "even"
    if len(states) == 1:
        (state,) = states
    return Standing(
        requests=sums.rows,
        left_out=left_out / max(left_out + sums.rows, 1.0),
        served=ways.pop(SERVED),
        fixed=ways,
        best=best,
        gain=gain,
        tied=tied,
        state=state,
        sentence=_sentence(sums, state, best, gain, tied),
    )


def _reading(
    sums: Sums, tiers: tuple[str, ...], kind: Kind
) -> tuple[Mixture | None, Figure | None]:
    best = best_fixed(sums, tiers, kind)
    return best, None if best is None else gain_over(sums, best, kind)


def _is_known(way: Way) -> bool:
    return way.accuracy.value is not None and way.usd_per_1000.value is not None


def _state(gain: Figure | None, margin: float, *, complete: bool) -> State:
    if gain is None or gain.value is None or gain.low is None:
        return "unknown"
    half = margin * (gain.value - gain.low)
    if gain.value + half < 0:
        return "fixed"
    if not complete:
        return "unknown"
    return "pays" if gain.value - half > 0 else "even"


def _sentence(
    sums: Sums, state: State, best: Mixture | None, gain: Figure | None, tied: Figure | None
) -> str:
    if state == "unknown" or best is None or gain is None or tied is None:
        return _missing(sums)
    spent = f"${PER * sums.mean(('usd', SERVED)):.3g}"
    against = f" to its ${PER * best.usd:.3g}" if best.cheaper == best.dearer else ""
    money = f"{spent}{against} per 1,000 requests"
    return (
        f"{_OPENINGS[state]}: {_points(gain)} of accuracy against {_named(best)} "
        f"({_points(tied)} if differences that nobody decided are ties), for {money}"
    )


def _points(gain: Figure) -> str:
    value, low, high = (100 * (end or 0.0) for end in (gain.value, gain.low, gain.high))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"


def _missing(sums: Sums) -> str:
    for name in (*sums.tiers, SERVED):
        if sums.is_unpriced(name):
            return f"costs cannot be compared: a price of {name} is unknown"
    quantities: list[Quantity] = [
        (kind, name) for kind in ("accuracy", "usd") for name in (*sums.tiers, SERVED)
    ]
    least = min(quantities, key=sums.n_eff)
    return f"not enough evidence yet: n_eff {sums.n_eff(least):.0f} of {N_EFF_MIN:.0f} ({least[1]})"


def _named(best: Mixture) -> str:
    if best.cheaper == best.dearer:
        return f"{best.dearer} alone"
    return f"a coin between {best.cheaper} ({1 - best.share:.0%}) and {best.dearer}"
