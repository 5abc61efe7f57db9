"""The policies by name, one module each."""

from dataclasses import dataclass

from app.dials import DialName
from app.embedder import build_embedder
from app.learning.evaluations import embed_all, read_evaluations
from app.planning.affinity import Voucher
from app.policies.automix import AutoMix
from app.policies.bandit import Bandit
from app.policies.benchmark import Benchmark, Graded, graded
from app.policies.best_of_n import BestOfN
from app.policies.cascade_routing import CascadeRouting
from app.policies.emafusion import EmaFusion
from app.policies.fixed import Always, Cascade, RandomStart
from app.policies.inter_cascade import InterCascade
from app.policies.llm_at import LlmAt
from app.policies.margin import Margin
from app.policies.own import Builder, own_builders, own_policies
from app.policies.target_error import TargetError
from app.policies.value import Value
from app.policies.winrate import Winrate
from app.policy import Policy
from app.settings import Settings
from app.starter import AccuracyEstimator, Starter


@dataclass(frozen=True, slots=True)
class Files:
    """What policies are made of besides the settings: what stood in files when they were read."""

    graded: Graded | None
    own: tuple[Builder, ...]


def read_files(settings: Settings) -> Files:
    """The files that the settings name. Errors: SettingsError."""
    return Files(_graded(settings), own_builders(settings))


def build_policies(settings: Settings, files: Files | None = None) -> dict[str, Policy]:
    """Every policy a client may name after `auto:`, by that name; they have learned nothing yet.

    Errors: SettingsError.
    """
    files = files or read_files(settings)
    by = settings.judge.by
    judged = settings.judge.rates
    section = settings.llm_at
    policies: list[Policy] = [
        Value(
            dial=settings.value.dial,
            usd_per_second=settings.value.usd_per_second,
            judge=by,
            judged=judged,
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
        Bandit(
            quality_per_dollar=_number(settings.bandit.quality_per_dollar),
            explorer=settings.bandit.explorer,
            optimism=settings.bandit.optimism,
            discount=settings.bandit.discount,
            verdicts=settings.bandit.verdicts,
            lessons=settings.bandit.lessons,
            judge=by,
            judged=judged,
            vouch_accuracy=settings.stream.vouch_accuracy,
        ),
        Benchmark(
            files.graded,
            quality_per_dollar=_number(settings.benchmark.quality_per_dollar),
            prior_weight=settings.benchmark.prior_weight,
            lessons=settings.benchmark.lessons,
            judge=by,
            judged=judged,
            vouch_accuracy=settings.stream.vouch_accuracy,
        ),
        EmaFusion(
            quality_per_dollar=_number(settings.emafusion.quality_per_dollar),
            prior_weight=settings.emafusion.prior_weight,
            grey=settings.emafusion.grey,
            lessons=settings.emafusion.lessons,
            judge=by,
            judged=judged,
            vouch_accuracy=settings.stream.vouch_accuracy,
        ),
        Winrate(
            strong_share=settings.winrate.strong_share,
            threshold=settings.winrate.threshold,
            weak=settings.winrate.weak,
            strong=settings.winrate.strong,
            judge=by,
            judged=judged,
            lessons=settings.winrate.lessons,
            vouch_accuracy=settings.stream.vouch_accuracy,
        ),
        CascadeRouting(
            quality_per_dollar=_number(settings.cascade_routing.quality_per_dollar),
            usd_per_1000=settings.cascade_routing.usd_per_1000,
            judge=by,
            judged=judged,
            lessons=settings.cascade_routing.lessons,
            vouch_accuracy=settings.stream.vouch_accuracy,
        ),
        TargetError(
            error=settings.target_error.error,
            confidence=settings.target_error.confidence,
            judge=by,
            judged=judged,
            lessons=settings.target_error.lessons,
        ),
        AutoMix(
            samples=settings.automix.samples,
            threshold=settings.automix.threshold,
            variant=settings.automix.variant,
            quality_per_dollar=_number(settings.automix.quality_per_dollar),
            lessons=settings.automix.lessons,
        ),
        BestOfN(samples=settings.best_of_n.samples, dearer=settings.best_of_n.dearer, judge=by),
        InterCascade(
            by or "next",
            writes=settings.inter_cascade.strategies,
            similarity=settings.inter_cascade.similarity,
            held_out=settings.inter_cascade.held_out,
            budget=settings.inter_cascade.budget,
        ),
        Margin(escalate_share=settings.margin.escalate_share),
        Cascade(by or "next"),
        RandomStart(by or "next"),
        *(Always(tier.name) for tier in settings.tiers),
    ]
    policies += own_policies(settings, files.own, [policy.name for policy in policies])
    return {policy.name: policy for policy in policies}


def has_dial(policy: Policy, dial: DialName) -> bool:
    """Whether a request may say so what accuracy is worth to it."""
    if isinstance(policy, Value):
        return True
    return dial == "quality_per_dollar" and isinstance(
        policy, AutoMix | Bandit | Benchmark | CascadeRouting | EmaFusion
    )


def _graded(settings: Settings) -> Graded | None:
    """What the evaluation file says, if there is one."""
    section = settings.benchmark
    if section.file is None:
        return None
    evaluations = read_evaluations(section.file, settings.ladder.names)
    vectors = embed_all(build_embedder(settings.embedder), evaluations)
    return graded(evaluations, vectors, settings.ladder, within=section.within)


def at_threshold(policy: Policy, threshold: float) -> Policy | None:
    """The policy with another threshold; None where it has none."""
    return policy.at(threshold) if isinstance(policy, Winrate | LlmAt) else None


def _number(setting: float | str) -> float | None:
    """The setting, where it is not `auto`."""
    return setting if isinstance(setting, float) else None
