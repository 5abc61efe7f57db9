"""What the gateway remembers: one record a decision, with every attempt, verdict and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import TypeAdapter, ValidationError

from app.dials import Trade

PROSE = "~"
"""Begins the digest of a final answer that is no short one."""
Vector: TypeAlias = npt.NDArray[np.float32]
"""Shape: (dimension,), float32, length 1."""

Outcome = Literal["answered", "failed", "abandoned"]
Kind = Literal["routed", "pinned"]
Arrival = Literal["direct", "after_reject", "after_failure", "resample", "reprompt", "lesson"]
AttemptOutcome = Literal["complete", "censored", "truncated", "failed", "cancelled"]
Purpose = Literal["answer", "draft", "judge", "lesson"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
Told = Literal["judge", "tool_result", "feedback", "outcome"]
Learnt = Literal["lesson", "arbiter", "shadow", "canary", "strategy"]
EvidenceSource: TypeAlias = Told | Learnt


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; `cached_tokens` are part of `input_tokens`."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A tier's accuracy near one question, and the evidence behind it.

    Units: `accuracy` in [0, 1]; `weight_right` and `weight_wrong` are summed similarities.
    """

    accuracy: float
    prior: float
    weight_right: float = 0.0
    weight_wrong: float = 0.0


@dataclass(frozen=True, slots=True)
class Start:
    """Where the policy chose to begin, what it believed, and with what probability it chose so.

    `propensities`: how likely each tier was to be first, to weigh what was not done. `trade`: what
    accuracy was worth; `score`: what was compared with a threshold; each where the policy asks.
    """

    tier: str
    propensities: dict[str, float]
    estimates: dict[str, Estimate] = field(default_factory=dict)
    neighbours: int = 0
    top_similarity: float | None = None
    trade: Trade | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement of one answer. `valid` is None where the judge failed or babbled.

    `by` is `check:<name>` for an exact check, else the name of the tier that judged. With `against`
    it is not about right or wrong: `valid` says whether the answer comes to the same as that
    attempt's, and `by` is `same:<tier>`.
    """

    valid: bool | None
    by: str
    reason: str = ""
    confidence: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = 0.0
    latency_s: float = 0.0
    against: int | None = None

    @property
    def exact(self) -> bool:
        return self.by.startswith("check:")


@dataclass(slots=True)
class Attempt:
    """One tier's try at the question; `outcome` is `cancelled` until something better is known.

    `censored` is cut by the client's own token cap (or a content filter), `truncated` by the
    model's: neither teaches of quality. `live`: sent while it came, so that it was not refused.
    `dropped`: parameters it did not get. `final_answer`: a digest of what it boils down to;
    `margin`: how sure of its words it was; `reused`: paid for by the request whose trial this is.
    It was shown `strategies`, by the decisions they are from, unless a coin had them `withheld`.
    """

    tier: str
    arrived: Arrival
    live: bool = False
    model: str | None = None
    outcome: AttemptOutcome = "cancelled"
    error: str | None = None
    finish_reason: str | None = None
    final_answer: str | None = None
    margin: float | None = None
    dropped: tuple[str, ...] = ()
    reused: bool = False
    strategies: tuple[str, ...] = ()
    withheld: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    usage: Usage | None = None
    cost_usd: float | None = None
    first_byte_s: float | None = None
    latency_s: float = 0.0

    @property
    def paid_usd(self) -> float | None:
        return 0.0 if self.reused else self.cost_usd

    @property
    def ended(self) -> bool:
        """Whether there is an answer that could be served."""
        return self.outcome in {"complete", "censored", "truncated"}

    @property
    def comparable(self) -> bool:
        """Whether the answer can be compared with others for free: it is whole, and no prose."""
        prose = (self.final_answer or PROSE).startswith(PROSE)
        return self.outcome == "complete" and not prose

    @property
    def valid(self) -> bool | None:
        """The latest word on this answer; None where nobody could say."""
        words = [verdict.valid for verdict in self.verdicts if verdict.against is None]
        return words[-1] if words else None

    @property
    def refused(self) -> bool:
        return self.valid is False


@dataclass(frozen=True, slots=True)
class Lessons:
    """What one request gets to teach: coins that were flipped before its path was chosen.

    `propensities` has every coin's chance: a tier's name, "judges" and "full". `drawn` are those
    that fell. A tier that is drawn is asked in the background where the path did not ask it; "full"
    draws them all, and "judges".
    """

    propensities: dict[str, float]
    drawn: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether all of it was certain, as in a warm-up: that is paid apart, and served nobody."""
        return self.propensities.get("full", 0.0) >= 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What became known after the record was written, about the served answer unless said so.

    `by` is the tier that judged or decided, the decision in which a tool's result came in, or who
    gave feedback; `principal` is the name of the key with which it was given. `score` is feedback
    in [0, 1]; `correct` is a digest of the right final answer, as in `Attempt.final_answer`. Of a
    lesson: `attempts` are the answers of tiers the path did not ask, `verdicts` what was said of
    answers on the path, by tier. Of an arbiter: `tier` is whose answer it is about, `valid` whether
    that is as good as the better one it was compared with.
    """

    source: EvidenceSource
    valid: bool | None
    by: str
    time_s: float
    cost_usd: float | None = 0.0
    score: float | None = None
    correct: str | None = None
    comment: str | None = None
    principal: str | None = None
    tier: str | None = None
    attempts: tuple[Attempt, ...] = ()
    verdicts: dict[str, Verdict] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """One decision, as it happened. Labels are not facts: each policy computes its own.

    `ladder` was configured then, cheapest first; `eligible` could serve this request; `served` is
    the place in `attempts` of the answer the client got. `learn` false: it must teach nothing.
    `time_s` is Unix time; `text` and `example`, all that was said, are there only if `records.text`
    says so. `evidence` came later and is only added to; `principal` is the key's name, `trial_of`
    whose trial it is, `trace` a W3C traceparent, `sketch` the question's vector in few numbers.
    """

    id: str
    time_s: float
    tenant: str
    kind: Kind
    policy: str
    policy_version: str
    ladder: tuple[str, ...]
    eligible: tuple[str, ...]
    principal: str | None = None
    embedder: str | None = None
    task: str | None = None
    conversation: str | None = None
    features: dict[str, float] = field(default_factory=dict)
    sketch: tuple[float, ...] = ()
    learn: bool = True
    stream: bool = False
    start: Start | None = None
    lessons: Lessons | None = None
    attempts: list[Attempt] = field(default_factory=list)
    served: int | None = None
    outcome: Outcome = "failed"
    error: str | None = None
    degraded: tuple[str, ...] = ()
    latency_s: float = 0.0
    phases_s: dict[str, float] = field(default_factory=dict)
    text: str | None = None
    example: str | None = None
    trial_of: str | None = None
    trace: str | None = None
    evidence: dict[str, Evidence] = field(default_factory=dict)

    @property
    def served_attempt(self) -> Attempt | None:
        return None if self.served is None else self.attempts[self.served]

    @property
    def verified(self) -> bool:
        """Whether a judge, not only the exact checks, accepted the answer that was served."""
        served = self.served_attempt
        return served is not None and any(
            v.valid and not v.exact and v.against is None for v in served.verdicts
        )

    def costs_usd(self) -> dict[Purpose, float | None]:
        """Spend by purpose: the answer, answers not served, judging, lessons; None is unknown."""
        spent: dict[Purpose, list[float | None]] = {purpose: [] for purpose in PURPOSES}
        for index, attempt in enumerate(self.attempts):
            spent["answer" if index == self.served else "draft"].append(attempt.cost_usd)
            spent["judge"].extend(verdict.cost_usd for verdict in attempt.verdicts)
        for evidence in self.evidence.values():
            learnt = evidence.source in {"lesson", "arbiter", "canary", "strategy"}
            spent["lesson" if learnt else "judge"].append(evidence.cost_usd)
        return {purpose: total_usd(costs) for purpose, costs in spent.items()}

    @property
    def cost_usd(self) -> float | None:
        """All of it; None where a part is unknown."""
        return total_usd(list(self.costs_usd().values()))

    def to_json(self) -> bytes:
        """The record as it is written down and stored."""
        # A copy: what the library gives keeps the buffer it was written into, 16 KiB.
        return bytes(memoryview(orjson.dumps(self)))


Labels: TypeAlias = Mapping[str, float]
"""What a record teaches: for some tiers, the probability that their answer was right."""

_record_adapter = TypeAdapter(Record)


def record_from_json(data: bytes) -> Record | None:
    """The record, or None where the data is not one: what a store gives back is not trusted."""
    try:
        return _sound(_record_adapter.validate_json(data))
    except ValidationError:
        return None


def record_from_payload(payload: object) -> Record | None:
    """As `record_from_json`, from the decoded form."""
    try:
        return _sound(_record_adapter.validate_python(payload))
    except ValidationError:
        return None


def _sound(record: Record) -> Record | None:
    """The record, where the answer it says was served is one of its attempts."""
    served = record.served
    return record if served is None or 0 <= served < len(record.attempts) else None


def total_usd(costs: Sequence[float | None]) -> float | None:
    """The sum, or None where a part is unknown."""
    return None if None in costs else sum(cost or 0.0 for cost in costs)
