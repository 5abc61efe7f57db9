"""A simulated judge, with stated error rates and errors where real judges have theirs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

from typing_extensions import override

from app.errors import SettingsError
from app.judge.verifying import EVEN
from app.records import Verdict
from app.replay.recordings import RecordedAnswer, Recording
from app.tiers import Tier

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How a judge errs.

    `accepts_right` is P(accept | right), `accepts_wrong` P(accept | wrong); `correlation` says how
    far its errors follow the question and the other answers (1) rather than pure chance (0).
    """

    accepts_right: float
    accepts_wrong: float
    correlation: float

    @override
    def __str__(self) -> str:
        return f"{self.accepts_right:g},{self.accepts_wrong:g},{self.correlation:g}"


def parse_rates(text: str) -> ErrorRates:
    """The rates in `TPR,FPR,corr`. Errors: SettingsError."""
    try:
        rates = ErrorRates(*(float(part) for part in text.split(",")))
    except (TypeError, ValueError):
        rates = None
    if rates is None or not all(
        0 <= rate <= 1 for rate in (rates.accepts_right, rates.accepts_wrong, rates.correlation)
    ):
        raise SettingsError(
            f"--judge: simulated:{text} must be simulated:TPR,FPR,corr, three numbers from 0 to 1"
        )
    return rates


class SimulatedVerdicts:
    """Verdicts drawn once a question and tier: the same for every policy, order and run.

    A verdict errs where a latent normal exceeds the quantile of its rate: part chance, part what
    makes judges err. That part grows with the share of models that get the question wrong; with
    the share that give the same answer, where this one is wrong, and a different one, where it is
    right. Its ranks are made normal within each model's right and wrong answers, so that the
    stated rates hold for each. A call costs and takes what the judging model's own answer to the
    question did: recorded judges came within a factor of two of that.
    """

    def __init__(
        self, recordings: Sequence[Recording], models: Sequence[str], rates: ErrorRates, seed: int
    ) -> None:
        self._valid: dict[tuple[str, str], bool] = {}
        self._causes: dict[tuple[str, str], float] = {}
        self._rates, self._seed = rates, seed
        for model in models:
            for right in (True, False):
                alike = [r for r in recordings if r.answers[model].correct is right]
                self._draw(alike, model, models, rates, seed)

    def verdict(self, recording: Recording, model: str, by: Tier) -> Verdict:
        """As the protocol says."""
        own = recording.answers[by.model]
        return Verdict(
            valid=self._valid[recording.id, model],
            by=by.name,
            cost_usd=own.cost_usd,
            latency_s=own.latency_s,
        )

    def samples(self, recording: Recording, model: str, by: Tier, count: int) -> Verdict:
        """So many draws that share what leads this judge astray and differ in chance.

        Each costs and takes what an answer does; they are asked for at once.
        """
        own, rates = recording.answers[by.model], self._rates
        cause = self._causes[recording.id, model]
        right = recording.answers[model].correct
        rng = _random(self._seed, recording.id, f"{model}\0samples")
        words = [_accepts(cause, rng, rates, right=right) for _ in range(count)]
        confidence = sum(words) / count
        return Verdict(
            valid=confidence >= EVEN,
            by=by.name,
            confidence=confidence,
            cost_usd=count * own.cost_usd,
            latency_s=own.latency_s,
        )

    def _draw(
        self,
        recordings: Sequence[Recording],
        model: str,
        models: Sequence[str],
        rates: ErrorRates,
        seed: int,
    ) -> None:
        """Verdicts on this model's answers to questions it got all right, or all wrong."""
        draws = {r.id: _random(seed, r.id, model) for r in recordings}
        ranked = sorted(
            recordings, key=lambda r: (_temptation(r, model, models), draws[r.id].random())
        )
        for rank, recording in enumerate(ranked):
            cause = _NORMAL.inv_cdf((rank + 0.5) / len(ranked))
            right = recording.answers[model].correct
            self._causes[recording.id, model] = cause
            self._valid[recording.id, model] = _accepts(
                cause, draws[recording.id], rates, right=right
            )


def _accepts(cause: float, rng: Random, rates: ErrorRates, *, right: bool) -> bool:
    """One word: it errs where cause and chance together exceed the quantile of its rate."""
    shared, own = rates.correlation**0.5, (1 - rates.correlation) ** 0.5
    latent = _NORMAL.cdf(shared * cause + own * rng.gauss(0, 1))
    return latent < rates.accepts_right if right else latent > 1 - rates.accepts_wrong


def _temptation(recording: Recording, model: str, models: Sequence[str]) -> float:
    """How much about this answer leads a judge astray."""
    answer = recording.answers[model]
    others = [recording.answers[other] for other in models if other != model]
    difficulty = sum(not recording.answers[m].correct for m in models) / len(models)
    agreeing = sum(_same(answer, other) for other in others) / len(others)
    return difficulty + (1 - agreeing if answer.correct else agreeing)


def _same(answer: RecordedAnswer, other: RecordedAnswer) -> bool:
    return (answer.answer or answer.text).strip() == (other.answer or other.text).strip()


def _random(seed: int, recording: str, model: str) -> Random:
    digest = hashlib.blake2b(f"{seed}\0{recording}\0{model}".encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest))  # noqa: S311 - simulates chance, guards nothing
