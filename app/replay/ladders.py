"""From recorded models to a ladder: which ones, in what order, at what price, believed how good."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from typing_extensions import override

from app.errors import SettingsError
from app.records import Usage
from app.replay.recordings import RecordedAnswer, Recording
from app.tiers import Price, Tier, TierLadder

PROVIDER = "recording"
MOST_TIERS = 6
PRIORS = (0.6, 0.9)
"""What is believed of the lowest and the top tier when nobody says; those between are spaced."""


class RecordedTier(Tier):
    """A tier on one question. Its price is the list price; its bill is what that answer cost.

    A policy that guesses at costs sees the list price, as it would at a provider; only the usage
    of the recorded answer itself brings out the recorded cost.
    """

    bill_usd: float
    billed: Usage | None

    @override
    def cost_usd(self, usage: Usage | None) -> float | None:
        return self.bill_usd if usage == self.billed else super().cost_usd(usage)


def choose_models(recordings: Sequence[Recording], wanted: Sequence[str]) -> tuple[str, ...]:
    """The models of the ladder: those wanted, else all there are, by rising mean cost.

    Errors: SettingsError for an unknown or repeated name, and for fewer than two or too many.
    """
    known = sorted({model for recording in recordings for model in recording.answers})
    for name in wanted:
        if name not in known:
            raise SettingsError(f"--tiers: {name!r} is not recorded; there are {', '.join(known)}")
    chosen = list(dict.fromkeys(wanted)) or sorted(known, key=lambda m: _mean_usd(recordings, m))
    if len(chosen) < len(wanted):
        raise SettingsError("--tiers: a name is given twice")
    if not 1 < len(chosen) <= MOST_TIERS:
        raise SettingsError(
            f"--tiers: a ladder has 2 to {MOST_TIERS} tiers, not {len(chosen)}; "
            f"name them in rising order, of {', '.join(known)}"
        )
    return tuple(chosen)


def build_tiers(
    recordings: Sequence[Recording], models: Sequence[str], priors: Sequence[float]
) -> tuple[Tier, ...]:
    """One tier a model, lowest first; the priors are given or generic, never looked up.

    Errors: SettingsError where there is not one prior in (0, 1) a tier.
    """
    believed = priors or [float(prior) for prior in np.linspace(*PRIORS, len(models))]
    if len(believed) != len(models) or not all(0 < prior < 1 for prior in believed):
        raise SettingsError(f"--priors: give {len(models)} numbers over 0 and under 1")
    return tuple(
        Tier(
            name=_tier_name(model),
            provider=PROVIDER,
            model=model,
            price=_list_price([recording.answers[model] for recording in recordings]),
            prior=prior,
        )
        for model, prior in zip(models, believed, strict=True)
    )


def ladder_for(recording: Recording, tiers: Sequence[Tier]) -> TierLadder:
    """The ladder as this question finds it."""
    return TierLadder(tuple(_billed(tier, recording.answers[tier.model]) for tier in tiers))


def _billed(tier: Tier, answer: RecordedAnswer) -> RecordedTier:
    return RecordedTier(
        name=tier.name,
        provider=tier.provider,
        model=tier.model,
        price=tier.price,
        prior=tier.prior,
        bill_usd=answer.cost_usd,
        billed=answer.usage,
    )


def _mean_usd(recordings: Sequence[Recording], model: str) -> float:
    return fmean(r.answers[model].cost_usd for r in recordings if model in r.answers)


def _tier_name(model: str) -> str:
    """The model's name with what a tier's name may not have made into dashes."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in model)
    return plain.lstrip("._-")[:64] or "tier"


def _list_price(answers: Sequence[RecordedAnswer]) -> Price | None:
    """The price that explains what these answers cost."""
    counted = [(answer.usage, answer.cost_usd) for answer in answers]
    return explaining_price([(usage, usd) for usage, usd in counted if usage is not None])


def explaining_price(paid: Sequence[tuple[Usage, float]]) -> Price | None:
    """USD per million tokens that explain these costs best; None without any."""
    if not paid:
        return None
    tokens = np.array([(u.input_tokens, u.output_tokens) for u, _ in paid], dtype=np.float64)
    costs_usd = np.array([usd for _, usd in paid])
    (per_input, per_output), *_ = np.linalg.lstsq(tokens, costs_usd, rcond=None)
    if min(per_input, per_output) < 0:
        per_input = per_output = costs_usd.sum() / max(tokens.sum(), 1.0)
    return Price(input=float(per_input) * 1e6, output=float(per_output) * 1e6)
