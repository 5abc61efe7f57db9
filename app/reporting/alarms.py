"""Alarms for learning that looks corrupt: what cannot be, or is too unlikely to be chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, log
from typing import Literal, get_args

from app.learning.judge_rates import USUAL_RATES
from app.records import Attempt, Record, Verdict
from app.reporting.counterfactual import N_EFF_MIN, Sums
from app.reporting.sightings import UNKNOWN_ACCURACY, Row

AlarmName = Literal["no_labels", "judge", "believed", "impossible", "share", "canary"]
ALARMS: tuple[AlarmName, ...] = get_args(AlarmName)

SURPRISE_MAX = 14.0
"""Of a run of like events: minus the log of its chance, so about one in a million."""
RUN_MIN = 50
MEMORY = 1000
"""Over how many events a share is remembered; also how long what is impossible is remembered."""
JUDGE_PRIOR_WEIGHT = 100.0
SHARE_EVENTS_MIN = 350
SHARE_SETTLED = 0.15
"""Where a tier was, or was not, started at so rarely before, a run of the same is no news."""
DUE_MAX = 20.0
BELIEVED_MARGIN = 0.05


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something to look at. `since_s` is the Unix time of the request at which it was first so."""

    name: AlarmName
    about: str
    sentence: str
    since_s: float
    figures: Mapping[str, float]


@dataclass(slots=True)
class Run:
    """A stream of yes and no: how often it is yes, and how unlikely its last run of likes is."""

    yes: float = 0.0
    total: float = 0.0
    least: float = 0.0
    last: bool | None = None
    length: int = 0
    surprise: float = 0.0

    @property
    def share(self) -> float:
        """How often it was yes, smoothed."""
        return (self.yes + 1) / (self.total + 2)

    @property
    def is_unlikely(self) -> bool:
        return self.length >= RUN_MIN and self.surprise > SURPRISE_MAX

    @property
    def is_settled(self) -> bool:
        """Whether the run has gone on for so long that it is what is usual."""
        like = self.share if self.last else 1 - self.share
        return like > 1 - SHARE_SETTLED

    def add(self, event: bool) -> None:
        """One more event. Its chance is what was usual before it."""
        if event is not self.last:
            self.last, self.length, self.surprise = event, 0, 0.0
        self.length += 1
        if self.total >= self.least:
            self.surprise -= log(self.share if event else 1 - self.share)
        kept = 1 - 1 / MEMORY
        self.yes, self.total = kept * self.yes + event, kept * self.total + 1


@dataclass(slots=True)
class Pulse:
    """What is counted along the way beside the sums. Bounded by the ladder's length."""

    time_s: float = 0.0
    requests: int = 0
    due: float = 0.0
    unlabelled: int = 0
    starts: dict[str, Run] = field(default_factory=dict)
    judges: dict[tuple[str, str], Run] = field(default_factory=dict)
    impossible: tuple[int, str] | None = None
    fooled: tuple[int, str] | None = None

    def observe(self, record: Record, row: Row | None) -> None:
        """Take note of a record that is new."""
        self.time_s = record.time_s
        self.requests += 1
        self._note_impossible(record)
        for attempt in record.attempts:
            for verdict in attempt.verdicts:
                self._note_verdict(record, attempt, verdict)
        if record.start is not None and record.kind == "routed":
            for tier in record.ladder:
                start = self.starts.setdefault(tier, Run(least=SHARE_EVENTS_MIN))
                start.add(tier == record.start.tier)
        if row is not None:
            self.due += row.due
            self.unlabelled += 1
            self._note_labels(row)

    def observe_again(self, record: Record, row: Row | None) -> None:
        """Take note of what became known later."""
        self._note_impossible(record)
        if row is not None:
            self._note_labels(row)

    def hear(self, record: Record) -> bool:
        """Take note of a judge that accepted what is known to be wrong; whether it is the first."""
        known = self.fooled
        for evidence in record.evidence.values():
            for by, verdict in evidence.verdicts.items():
                if evidence.source == "canary" and verdict.valid:
                    self.fooled = (self.requests, by)
        return known is None and self.fooled is not None

    def _note_labels(self, row: Row) -> None:
        if row.taught:
            self.due, self.unlabelled = 0.0, 0

    def _note_verdict(self, record: Record, attempt: Attempt, verdict: Verdict) -> None:
        if verdict.valid is None or verdict.by not in record.ladder:
            return
        run = self.judges.get((verdict.by, attempt.tier))
        if run is None:
            expected = _accepts(record, attempt.tier)
            run = Run(yes=JUDGE_PRIOR_WEIGHT * expected, total=JUDGE_PRIOR_WEIGHT)
            self.judges[verdict.by, attempt.tier] = run
        run.add(verdict.valid)

    def _note_impossible(self, record: Record) -> None:
        for why in impossibilities(record):
            self.impossible = (self.requests, why)


def raised(pulse: Pulse, sums: Sums, before: Sequence[Alarm] = ()) -> tuple[Alarm, ...]:
    """The alarms that these figures give reason for; those that were on before keep their time."""
    since_s = {(alarm.name, alarm.about): alarm.since_s for alarm in before}
    found = (
        Alarm(name, about, sentence, since_s.get((name, about), pulse.time_s), figures)
        for name, about, sentence, figures in _found(pulse, sums)
    )
    return tuple(found)


def impossibilities(record: Record) -> Iterator[str]:
    """What cannot be in a record, however the requests were."""
    lessons, start = record.lessons, record.start
    coins = lessons.propensities if lessons else {}
    if not all(0 <= chance <= 1 for chance in coins.values()):
        yield "a coin's chance is outside [0, 1]"
    if lessons and any(not coins.get(name, 0.0) > 0 for name in lessons.drawn):
        yield "a coin fell that had no chance to"
    if start and not all(0 < chance <= 1 for chance in start.propensities.values()):
        yield "the chance of a start is outside (0, 1]"
    if start and any(
        not 0 <= e.accuracy <= 1 or e.weight_right + e.weight_wrong < 0
        for e in start.estimates.values()
    ):
        yield "an estimate is no probability, or its evidence weighs less than nothing"
    if not all(cost is None or (cost >= 0 and isfinite(cost)) for cost in _costs_usd(record)):
        yield "a cost is negative or no number"
    if record.served is not None and not 0 <= record.served < len(record.attempts):
        yield "an answer was served that nobody gave"
    taught = [a.tier for e in record.evidence.values() for a in e.attempts]
    if len(taught) > len(set(taught)) or not set(taught) <= set(record.eligible):
        yield "more answers came from lessons than were asked for"


def _found(pulse: Pulse, sums: Sums) -> Iterator[tuple[AlarmName, str, str, dict[str, float]]]:
    if pulse.due > DUE_MAX:
        sentence = (
            f"no label has come for {pulse.unlabelled} requests, "
            f"though lessons should have brought {pulse.due:.0f}"
        )
        figures = {"requests": float(pulse.unlabelled), "due": pulse.due}
        yield "no_labels", "", sentence, figures
    for (by, tier), run in pulse.judges.items():
        if run.is_unlikely:
            word = "accepted" if run.last else "refused"
            sentence = f"{by} has {word} {run.length} answers of {tier} in a row"
            yield "judge", f"{by} of {tier}", sentence, _figures(run)
    yield from _misbelieved(sums)
    if pulse.impossible is not None and pulse.requests - pulse.impossible[0] < MEMORY:
        ago = pulse.requests - pulse.impossible[0]
        sentence = f"a record holds what cannot be: {pulse.impossible[1]}"
        yield "impossible", "", sentence, {"requests_ago": float(ago)}
    if pulse.fooled is not None and pulse.requests - pulse.fooled[0] < MEMORY:
        by = pulse.fooled[1]
        figures = {"requests_ago": float(pulse.requests - pulse.fooled[0])}
        yield "canary", by, f"{by} accepted an answer that is known to be wrong", figures
    for tier, run in pulse.starts.items():
        if run.is_unlikely and not run.is_settled:
            word = "all" if run.last else "none"
            sentence = f"{word} of the last {run.length} requests started at {tier}"
            yield "share", tier, sentence, _figures(run)


def _misbelieved(
    sums: Sums,
) -> Iterator[tuple[AlarmName, str, str, dict[str, float]]]:
    for tier in sums.tiers:
        figure = sums.figure(("accuracy", tier))
        if figure.value is None or figure.high is None or figure.n_eff < N_EFF_MIN:
            continue
        gap = sums.correction(("accuracy", tier))
        if abs(gap) > figure.high - figure.value + BELIEVED_MARGIN:
            believed = figure.value - gap
            sentence = (
                f"{tier} is believed to be right in {believed:.0%} of cases, "
                f"and was in {figure.value:.0%} where a coin made sure that it was looked at"
            )
            figures = {"believed": believed, "audited": figure.value, "n_eff": figure.n_eff}
            yield "believed", tier, sentence, figures


def _accepts(record: Record, tier: str) -> float:
    """How often a judge as they usually are accepts this tier's answers."""
    estimate = record.start.estimates.get(tier) if record.start else None
    accuracy = UNKNOWN_ACCURACY if estimate is None else estimate.accuracy
    of_right, of_wrong = USUAL_RATES
    return of_wrong + (of_right - of_wrong) * accuracy


def _costs_usd(record: Record) -> Iterator[float | None]:
    for attempt in record.attempts:
        yield attempt.cost_usd
        yield from (verdict.cost_usd for verdict in attempt.verdicts)
    yield from (evidence.cost_usd for evidence in record.evidence.values())


def _figures(run: Run) -> dict[str, float]:
    return {"length": float(run.length), "usual_share": run.share}
