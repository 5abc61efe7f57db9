"""One's own records, exported: what fixed tiers and other policies would have made of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from random import Random

import numpy as np
import orjson

from app.errors import SettingsError
from app.learning.influence import neighbours_for
from app.policy import Ask, Context, Policy
from app.record_files import FORMAT, Line, read_header
from app.record_files import read_lines as read_records
from app.records import Attempt, Record, Vector
from app.replay.ladders import PRIORS, PROVIDER, explaining_price
from app.replay.memory import MemoryStore
from app.replay.policies import Choice, build_policy
from app.replay.recordings import read_lines
from app.reporting.counterfactual import N_EFF_MIN, Sums
from app.reporting.sightings import SERVED, Row
from app.reporting.standing import Standing, standing_of
from app.reporting.window import Window
from app.store.protocol import Insert
from app.tiers import Tier, TierLadder


@dataclass(frozen=True, slots=True)
class Logged:
    """A record as it was exported, with its question's vector where it had one."""

    record: Record
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Choosing:
    """A policy that were asked only where to start, its first answer served unjudged.

    `starts` are the shares of the tiers; in `standing` it stands in for what was served.
    """

    policy: str
    starts: Mapping[str, float]
    standing: Standing


@dataclass(frozen=True, slots=True)
class OwnReport:
    """What the records say. `usable` had coins and could have been served by any tier.

    `missing` says what more it takes, where the evidence does not suffice.
    """

    records: int
    usable: int
    tiers: tuple[str, ...]
    logged: Standing
    policies: Sequence[Choosing]
    missing: str | None

    def to_json(self) -> str:
        return orjson.dumps(self, option=orjson.OPT_INDENT_2).decode()


def is_export(path: Path) -> bool:
    """Whether this file holds exported records, by its first line. Errors: SettingsError."""
    try:
        header: object = orjson.loads(next(read_lines(path), b""))
    except orjson.JSONDecodeError:
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT


def read_export(paths: Sequence[Path]) -> list[Logged]:
    """The records of all files, oldest first; of one that is there twice the later copy.

    Errors: SettingsError, one line that names file and line, and what is wrong there.
    """
    found: dict[str, Logged] = {}
    dimensions: dict[str | None, int] = {}
    for path in paths:
        try:
            for line in _lines(path):
                _check_dimension(line, dimensions)
                found[line.record.id] = Logged(line.record, line.vector)
        except SettingsError as exc:
            raise SettingsError(f"{path}: {exc.message}") from None
    return sorted(found.values(), key=lambda logged: (logged.record.time_s, logged.record.id))


async def evaluate(every: Sequence[Logged], choices: Sequence[Choice], seed: int) -> OwnReport:
    """What was served beside every fixed tier, and beside each policy's first choice.

    Only the latest ladder counts. Errors: SettingsError where no record can be used, and for an
    unknown policy.
    """
    if not every:
        raise SettingsError("the export holds no records")
    tiers = every[-1].record.ladder
    logged = [one for one in every if one.record.ladder == tiers and one.record.kind == "routed"]
    window = Window(tiers)
    rows = [window.read(one.record) for one in logged]
    usable = sum(row is not None for row in rows)
    if not usable:
        raise SettingsError(
            f"none of the {len(every)} records had coins flipped for lessons, so nothing that was "
            "not done can be estimated; serve with policy value, which flips them, and export again"
        )
    ladder = build_ladder(tiers, [one.record for one in logged])
    policies = [(choice, build_policy(choice, ladder.tiers)) for choice in choices]
    choosing = [
        _standing_in(str(choice), rows, await first_choices(logged, policy, ladder, seed), tiers)
        for choice, policy in policies
    ]
    return OwnReport(
        records=len(every),
        usable=usable,
        tiers=tiers,
        logged=standing_of(window.sums, window.left_out),
        policies=choosing,
        missing=_missing(window.sums),
    )


def build_ladder(names: Sequence[str], records: Sequence[Record]) -> TierLadder:
    """The tiers as they show in the records: their models, their priors, and what they charged."""
    spread = [float(prior) for prior in np.linspace(*PRIORS, len(names))]
    priors = dict(zip(names, spread, strict=True))
    for record in records:
        for tier, estimate in record.start.estimates.items() if record.start else ():
            if 0 < estimate.prior < 1:
                priors[tier] = estimate.prior
    answers: dict[str, list[Attempt]] = {name: [] for name in names}
    for record in records:
        lessons = [attempt for e in record.evidence.values() for attempt in e.attempts]
        for attempt in (*record.attempts, *lessons):
            if attempt.tier in answers:
                answers[attempt.tier].append(attempt)
    return TierLadder(tuple(_tier(name, priors[name], answers[name]) for name in names))


async def first_choices(
    logged: Sequence[Logged], policy: Policy, ladder: TierLadder, seed: int
) -> list[str | None]:
    """The tier at which the policy would have started each request, knowing those before it.

    None where it would not have asked. Departs from the gateway: evidence is there at once.
    """
    store = MemoryStore()
    rng = Random(seed)  # noqa: S311 - chooses tiers, guards nothing
    chosen: list[str | None] = []
    for one in logged:
        record, vector = one.record, one.vector
        neighbours = []
        if vector is not None and record.embedder is not None and policy.neighbours:
            neighbours = await neighbours_for(
                record, vector, record.embedder, store=store, limit=policy.neighbours
            )
        served = record.served_attempt
        usage = served.usage if served else None
        context = Context(
            ladder=ladder.only(frozenset(record.eligible)),
            neighbours=neighbours,
            rng=rng,
            prompt_tokens=usage.input_tokens if usage else 0,
            tenant=record.tenant,
            principal=record.principal,
            vector=vector,
            task=record.task,
        )
        action = policy.next(context, [])
        chosen.append(action.tier if isinstance(action, Ask) else None)
        policy.observe(record)
        taught = vector if record.learn else None
        store.apply(Insert(record.id, record.tenant, record.to_json(), taught))
    return chosen


def _standing_in(
    name: str, rows: Sequence[Row | None], chosen: Sequence[str | None], tiers: tuple[str, ...]
) -> Choosing:
    """The policy's first choices in the place of what was served."""
    sums, starts = Sums(tiers), Counter[str]()
    for row, tier in zip(rows, chosen, strict=True):
        if row is None or tier is None:
            continue
        starts[tier] += 1
        unpriced = row.unpriced - {SERVED} | ({SERVED} if tier in row.unpriced else frozenset())
        figures = {k: {**of, SERVED: of[tier]} for k, of in row.figures.items()}
        instead = Row(figures, unpriced)
        sums.add(sums.vector(instead), instead.unpriced)
    total = max(starts.total(), 1)
    return Choosing(
        policy=name,
        starts={tier: starts[tier] / total for tier in tiers},
        standing=standing_of(sums, float(len(rows) - starts.total())),
    )


def _missing(sums: Sums) -> str | None:
    """How many more requests it takes, and how to get by with fewer."""
    n_eff = {name: sums.n_eff(("accuracy", name)) for name in (*sums.tiers, SERVED)}
    least = min(n_eff, key=lambda name: n_eff[name])
    if n_eff[least] >= N_EFF_MIN:
        return None
    rows = sums.rows
    more = f"about {ceil(rows * (N_EFF_MIN / n_eff[least] - 1)):,}" if n_eff[least] >= 1 else "many"
    return (
        f"the effective sample for {least} is {n_eff[least]:.0f}, and {N_EFF_MIN:.0f} are needed: "
        f"log {more} more requests with lessons, or spend more on lessons"
    )


def _tier(name: str, prior: float, answers: Sequence[Attempt]) -> Tier:
    paid = [(a.usage, a.cost_usd) for a in answers if a.outcome == "complete"]
    models = [attempt.model for attempt in answers if attempt.model]
    return Tier(
        name=name,
        provider=PROVIDER,
        model=models[-1] if models else name,
        price=explaining_price([(u, usd) for u, usd in paid if u is not None and usd is not None]),
        prior=prior,
    )


def _lines(path: Path) -> Iterator[Line]:
    lines = read_lines(path)
    read_header(lines)
    yield from read_records(lines)


def _check_dimension(line: Line, known: dict[str | None, int]) -> None:
    if line.vector is None:
        return
    embedder, dimension = line.record.embedder, len(line.vector)
    before = known.setdefault(embedder, dimension)
    if dimension != before:
        raise SettingsError(
            f"line {line.number}: its vector has {dimension} numbers, where those of {embedder} "
            f"before it have {before}"
        )
