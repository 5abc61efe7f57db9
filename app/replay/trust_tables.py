"""Tables of whether a policy can be relied on: its estimates, its own reports, its scenarios."""

from collections.abc import Iterator

from app.replay.grids import UNKNOWN, Grid, cell, grid, maybe, points, ratio
from app.replay.honesty import Reported
from app.replay.report import PolicyReport, ReplayReport
from app.replay.trials import Traffic, Trial
from app.reporting.sightings import SERVED

ALARMS_PER = 5000


def tables(report: ReplayReport) -> Iterator[Grid]:
    """Those there is something to say in."""
    if any(policy.estimates for policy in report.policies):
        yield estimates(report)
    if any(_is_audited(policy) for policy in report.policies):
        yield reports(report)
    trials = [trial for policy in report.policies for trial in policy.trials]
    if trials:
        yield scenarios(trials)
    if any(trial.served for trial in trials):
        yield traffic(trials)


def estimates(report: ReplayReport) -> Grid:
    """Every tier's estimate against the truth, beside what full labels could tell."""
    heads = ("compared", "skill", "ECE", *report.tiers)
    rows = [
        [
            policy.policy if not after else f"{policy.policy}, after {after}",
            f"{found.comparisons:,}",
            maybe(found.skill, "+.3f"),
            f"{found.ece:.3f}",
            *(maybe(found.auc[tier], ".3f") for tier in report.tiers),
        ]
        for policy in report.policies
        for after, found in policy.estimates.items()
    ]
    bound = report.upper_bound.auc
    aucs = [maybe(bound[tier], ".3f") for tier in report.tiers]
    rows.append(["full labels", "", "", "", *aucs])
    title = "Estimates: Brier skill over running rates; ECE; AUC by tier, leave-one-out at the end"
    return grid(title, heads, rows)


def reports(report: ReplayReport) -> Grid:
    """What the gateway would say of itself, less what was."""
    heads = ("served", *report.tiers, "alarms", "changes")
    rows = [
        [
            policy.policy,
            *(_error(policy.honesty.accuracy[name]) for name in (SERVED, *report.tiers)),
            f"{ALARMS_PER * policy.honesty.alarms / policy.honesty.requests:.1f}",
            f"{ALARMS_PER * policy.honesty.changes / policy.honesty.requests:.1f}",
        ]
        for policy in report.policies
        if _is_audited(policy)
    ]
    title = (
        "Accuracy as the gateway would report it, less the truth, in points (in the worst order, "
        f"orders with enough evidence); false alarms per {ALARMS_PER:,}"
    )
    return grid(title, heads, rows)


def scenarios(trials: list[Trial]) -> Grid:
    """Each scenario beside the plain stream."""
    heads = ("plain", "there", "points", "x cost")
    rows = []
    for trial in trials:
        compared = (cell(trial.plain), cell(trial.point), points(trial.gain), ratio(trial.cost))
        rows.append([f"{trial.scenario}, {trial.policy}", *compared])
        if trial.trap is not None:
            trap = trial.trap
            name = f"  from {trap.after:,} on, over {trap.good}"
            rows.append([name, "", "", points(trap.gain), ratio(trap.cost)])
        if any(after is not None for after in trial.noticed_after):
            rows.append([f"  noticed after: {_noticed(trial.noticed_after)}"])
    return grid("Scenarios: the policy against itself in the plain stream", heads, rows)


def traffic(trials: list[Trial]) -> Grid:
    """How the traffic of the tier in question went."""
    heads = ("tier", "before > after > end", "without it", "80 % there after")
    rows = [
        [f"{trial.scenario}, {trial.policy}", trial.tier or "", *_traffic(found)]
        for trial in trials
        if (found := trial.starts or trial.served) is not None
    ]
    title = "Traffic of the tier it is about: starts near what was planted; of fall, all served"
    return grid(title, heads, rows)


def _is_audited(policy: PolicyReport) -> bool:
    return any(reported.n_eff for reported in policy.honesty.accuracy.values())


def _error(reported: Reported) -> str:
    """The mean error, the largest of an order, and in how many orders enough was seen."""
    if reported.error is None or reported.worst is None:
        return f"— (of {reported.n_eff:.0f})"
    return f"{100 * reported.error:+.1f} ({100 * reported.worst:.1f}, {reported.orders})"


def _noticed(after: list[int | None]) -> str:
    """By order, as far as it was."""
    return ", ".join(UNKNOWN if each is None else f"{each:,}" for each in after)


def _traffic(found: Traffic) -> list[str]:
    shares = " > ".join(f"{s:.0%}" for s in (found.before, found.after, found.eventual))
    return [shares, f"{found.plain:.0%}", _questions(found.moved_after)]


def _questions(moved_after: int | None) -> str:
    if moved_after is None:
        return UNKNOWN
    return f"{moved_after:,} questions" if moved_after else "never gone"
