"""The verdict on each policy in words, good or bad."""

from collections.abc import Iterator

from app.replay.grids import points, usd
from app.replay.report import PolicyReport, ReplayReport


def sentences(report: ReplayReport) -> list[str]:
    """The verdict on each policy in words, good or bad."""
    every = [sentence for policy in report.policies for sentence in _verdict(policy, report)]
    if report.agreement is not None:
        every.append(f"Agreement only: the best such program in hindsight, {report.agreement}.")
    every.append(
        "kNN, full labels: an upper bound that nobody can run; it knows how every tier did on all "
        "other questions."
    )
    return every


def _verdict(policy: PolicyReport, report: ReplayReport) -> Iterator[str]:
    gain = policy.gain_over_mixtures
    if gain.interval.low > 0:
        word = "beats"
    elif gain.interval.high < 0:
        word = "loses to"
    else:
        word = "cannot be told from"
    yield (
        f"{policy.policy} {word} the best mixture of fixed tiers at its cost: "
        f"{points(gain)} points."
    )
    better = [
        name
        for name, point in report.fixed.items()
        if point.accuracy >= policy.point.accuracy and point.usd <= policy.point.usd
    ]
    if better:
        yield f"Always {better[0]} is at least as accurate as {policy.policy}, and cheaper."
    if policy.hindsight is not None:
        costs = f"${usd(policy.hindsight.point.usd)} to its ${usd(policy.point.usd)}"
        yield (
            f"In hindsight the cheapest program as accurate as {policy.policy} is "
            f"{policy.hindsight}: {costs}."
        )
    if policy.judgements_without_verdict:
        silent = policy.judgements_without_verdict * report.queries
        yield f"{policy.policy} asked for {silent:.0f} verdicts an order that nobody recorded."
    if policy.two_tiers is not None:
        two = policy.two_tiers
        figures = (_recovered(two.apgr), _recovered(two.cpt_50), _recovered(two.cpt_80))
        gained = "none" if two.delta_ibc is None else f"{two.delta_ibc:+.0f} %"
        yield "{}: APGR {}, CPT(50 %) {}, CPT(80 %) {}, ∆IBC {}.".format(
            policy.policy, *figures, gained
        )


def _recovered(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
