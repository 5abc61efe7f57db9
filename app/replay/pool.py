"""Pools what replays of several sets found: areas between curves, each set's and all sets'."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import NormalDist

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import SettingsError
from app.replay.bootstrap import Estimated, Interval
from app.replay.grids import Grid, grid, points

HULL = "hull of tiers"
Z_95 = NormalDist().inv_cdf(0.975)
SETS_MIN = 2
ERROR_MIN = 1e-6


class _Area(BaseModel):
    """A difference of areas as a report holds it."""

    value: float
    error: float = Field(ge=0)


class _Policy(BaseModel):
    """What of a policy's report is pooled."""

    policy: str
    aiq_over_mixtures: _Area | None
    aiq_over: dict[str, _Area]

    @property
    def areas(self) -> dict[str, _Area]:
        hull = {} if self.aiq_over_mixtures is None else {HULL: self.aiq_over_mixtures}
        return hull | self.aiq_over


class _Report(BaseModel):
    """What of a replay's `--json` is pooled."""

    model_config = ConfigDict(extra="ignore")

    queries: int
    judge: str
    policies: list[_Policy]


@dataclass(frozen=True, slots=True)
class Pooled:
    """One policy's area over another's, or over the hull of fixed tiers, by set and over all.

    `alike` is the mean, every set counting the same; in `by_precision` it counts by how surely its
    area is known. Sets are independent, so errors add in squares.
    """

    policy: str
    over: str
    sets: Mapping[str, Estimated]
    alike: Estimated
    by_precision: Estimated


def pool(files: Sequence[Path]) -> list[Pooled]:
    """Every area that all these reports know. Errors: SettingsError."""
    if len({path.stem for path in files}) < max(SETS_MIN, len(files)):
        raise SettingsError("--pool: name two reports or more, each of another name")
    reports = {path.stem: _read(path) for path in files}
    found = list(_pooled(reports))
    if not found:
        raise SettingsError("--pool: no policy was swept in all of these replays; run them --sweep")
    return found


def grids(pooled: Sequence[Pooled]) -> Iterator[Grid]:
    """A table a policy."""
    for policy in dict.fromkeys(one.policy for one in pooled):
        own = [one for one in pooled if one.policy == policy]
        rows = [[name, *(points(one.sets[name]) for one in own)] for name in own[0].sets]
        rows.append(["every set alike", *(points(one.alike) for one in own)])
        rows.append(["by precision", *(points(one.by_precision) for one in own)])
        title = f"AIQ of {policy} in points over …, 95 %"
        yield grid(title, [one.over for one in own], rows, ("every set alike", "by precision"))


def to_json(pooled: Sequence[Pooled]) -> str:
    """All of it as data."""
    return orjson.dumps(pooled, option=orjson.OPT_INDENT_2).decode()


def _read(path: Path) -> _Report:
    try:
        return _Report.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be read: {exc}") from exc
    except ValidationError as exc:
        raise SettingsError(f"{path}: is no report that a replay wrote with --json") from exc


def _pooled(reports: Mapping[str, _Report]) -> Iterator[Pooled]:
    by_set = {
        name: {p.policy: p.areas for p in report.policies} for name, report in reports.items()
    }
    first, *others = by_set.values()
    for policy, areas in first.items():
        for over in areas:
            if all(over in known.get(policy, {}) for known in others):
                yield _one(policy, over, {n: known[policy][over] for n, known in by_set.items()})


def _one(policy: str, over: str, areas: Mapping[str, _Area]) -> Pooled:
    alike = dict.fromkeys(areas, 1.0)
    precise = {name: max(area.error, ERROR_MIN) ** -2 for name, area in areas.items()}
    sets = {name: _estimated(area.value, area.error) for name, area in areas.items()}
    return Pooled(policy, over, sets, _mean(areas, alike), _mean(areas, precise))


def _mean(areas: Mapping[str, _Area], weights: Mapping[str, float]) -> Estimated:
    total = sum(weights.values())
    value = sum(weights[name] * area.value for name, area in areas.items()) / total
    error = sqrt(sum((weights[name] * area.error) ** 2 for name, area in areas.items())) / total
    return _estimated(value, error)


def _estimated(value: float, error: float) -> Estimated:
    half = Z_95 * error
    return Estimated(value, Interval(value - half, value + half), error)
