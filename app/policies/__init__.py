"""The policies by name, one module each."""

from app.moving import Voucher
from app.policies.fixed import Always, Cascade, RandomStart
from app.policies.llm_at import LlmAt
from app.policies.value import Value
from app.policy import Policy
from app.settings import Settings
from app.starter import AccuracyEstimator, Starter


def build_policies(settings: Settings) -> dict[str, Policy]:
    """Every policy a client may name after `auto:`, by that name."""
    by = settings.judge.by
    section = settings.llm_at
    policies: list[Policy] = [
        Value(
            dial=settings.value.dial,
            usd_per_second=settings.value.usd_per_second,
            judge=by,
            vouch_accuracy=settings.stream.vouch_accuracy,
            lessons=settings.value.lessons,
            frozen=settings.value.frozen,
        ),
        LlmAt(
            starter=Starter(section.threshold, section.neighbours),
            estimator=AccuracyEstimator(section.prior_weight),
            voucher=Voucher(
                bound=settings.stream.vouch_accuracy,
                evidence=settings.stream.vouch_evidence,
                prior_weight=section.prior_weight,
            ),
            judge=by,
        ),
        Cascade(by or "next"),
        RandomStart(by or "next"),
        *(Always(tier.name) for tier in settings.tiers),
    ]
    return {policy.name: policy for policy in policies}


def has_dial(policy: Policy) -> bool:
    """Whether a request may say what accuracy is worth to it."""
    return isinstance(policy, Value)
