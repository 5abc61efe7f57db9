"""The policies by name, one module each."""

from app.climb import judge_rule
from app.policies.fixed import Always, Cascade, RandomStart
from app.policies.llm_at import LlmAt, paper_judge
from app.policy import Policy
from app.settings import Settings
from app.starter import AccuracyEstimator, Starter


def build_policies(settings: Settings) -> dict[str, Policy]:
    """Every policy a client may name after `auto:`, by that name."""
    by = settings.judge.by
    section = settings.llm_at
    cascade_judge = judge_rule(by or "next")
    policies: list[Policy] = [
        LlmAt(
            starter=Starter(section.threshold, section.neighbours),
            estimator=AccuracyEstimator(section.prior_weight),
            judged_by=paper_judge if by is None else judge_rule(by),
        ),
        Cascade(cascade_judge),
        RandomStart(cascade_judge),
        *(Always(tier.name) for tier in settings.tiers),
    ]
    return {policy.name: policy for policy in policies}
