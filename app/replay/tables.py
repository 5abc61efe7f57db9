"""Tables of what each policy costs and gets right, beside everything it must beat."""

from collections.abc import Iterator

from app.replay.curves import Point
from app.replay.grids import Grid, between, cell, grid, maybe, points, ratio, usd
from app.replay.report import PolicyReport, ReplayReport


def tables(report: ReplayReport) -> Iterator[Grid]:
    """All of them, in the order they are read."""
    yield overview(report)
    swept = [policy for policy in report.policies if policy.settings]
    if any(policy.parity for policy in report.policies) or swept[1:]:
        yield parities(report)
    if any(policy.aiq_over_mixtures for policy in report.policies):
        yield areas(report)
    yield gains(report)
    yield purposes(report)
    yield tiers(report)
    yield calls(report)
    yield along(report)
    yield streams(report)
    if swept:
        yield settings(report)


def overview(report: ReplayReport) -> Grid:
    """Fixed tiers, baselines and policies."""
    heads = ("accuracy", "95 %", "$ per 1,000", "95 %", "AIQ", "+tiers")
    mixed = maybe(report.mixtures_aiq, ".3f")
    rows = [[name, *_point(point)] for name, point in report.fixed.items()]
    rows.append(["mixtures of tiers", "", "", "", "", mixed, mixed])
    if report.agreement is not None:
        rows.append(["agreement only", *_point(report.agreement.point)])
    rows += [
        [
            policy.policy,
            f"{policy.point.accuracy:.3f}",
            between(policy.accuracy, ".3f"),
            usd(policy.point.usd),
            between(policy.usd_per_1000, ".3g"),
            maybe(policy.aiq, ".3f"),
            maybe(policy.aiq_with_tiers, ".3f"),
        ]
        for policy in report.policies
    ]
    bound = maybe(report.upper_bound.aiq, ".3f")
    rows.append(["kNN, full labels", "", "", "", "", bound])
    rows.append(["oracle", *_point(report.oracle)])
    return grid("Accuracy and cost", heads, rows, (policy.policy for policy in report.policies))


def parities(report: ReplayReport) -> Grid:
    """What the first policy's accuracy costs elsewhere."""
    first, margin = report.policies[0], f"{100 * report.margin:g}"
    heads = ("setting", "accuracy, $", "points", "x its cost")
    rows = [
        [policy.policy, *_parity(policy)]
        for policy in report.policies
        if policy.settings and policy is not first
    ]
    title = (
        f"Cost at the accuracy of {first.policy} ({cell(first.point)}): "
        f"the cheapest setting surely less than {margin} points below"
    )
    return grid(title, heads, rows)


def areas(report: ReplayReport) -> Grid:
    """Mean gaps between curves over the log of cost."""
    others = [policy.policy for policy in report.policies if policy.aiq_over]
    rows = [
        [
            policy.policy,
            points(policy.aiq_over_mixtures),
            *(points(policy.aiq_over[o]) if o in policy.aiq_over else "" for o in others),
        ]
        for policy in report.policies
        if policy.aiq_over_mixtures is not None
    ]
    rows.append(["kNN, full labels", points(report.upper_bound.aiq_over_mixtures)])
    return grid("AIQ in points over …, paired, 95 %", ("hull of tiers", *others), rows)


def gains(report: ReplayReport) -> Grid:
    """Accuracy against what it must beat."""
    heads = ("the top tier", "mixtures, same cost", report.policies[0].policy)
    rows = [
        [
            policy.policy,
            points(policy.gain_over_top),
            points(policy.gain_over_mixtures),
            *([] if policy.gain_over_first is None else [points(policy.gain_over_first)]),
        ]
        for policy in report.policies
    ]
    return grid("Points of accuracy over …, paired, 95 %", heads, rows)


def purposes(report: ReplayReport) -> Grid:
    """Where the money goes."""
    heads = ("answers", "drafts", "judge", "lessons", "x top tier")
    rows = [
        [policy.policy, *map(usd, policy.purposes_usd.values()), ratio(policy.cost_of_top)]
        for policy in report.policies
    ]
    return grid("Where the money goes, $ per 1,000", heads, rows)


def tiers(report: ReplayReport) -> Grid:
    """The tier mix."""
    rows = [
        [
            tier,
            *(
                f"{policy.starts[tier]:.0%} / {policy.finals[tier]:.0%}"
                for policy in report.policies
            ),
        ]
        for tier in report.tiers
    ]
    return grid("Starts / answers served", [policy.policy for policy in report.policies], rows)


def calls(report: ReplayReport) -> Grid:
    """Calls, time, and what was believed of the tier that began."""
    heads = ("answers", "judgements", "p50 s", "p95 s", "believed", "true", "Brier", "ECE")
    rows = []
    for policy in report.policies:
        found = policy.calibration
        beliefs = (found.believed, found.true, found.brier, found.ece) if found else ()
        rows.append(
            [
                policy.policy,
                f"{policy.answers_per_query:.2f}",
                f"{policy.judgements_per_query:.2f}",
                f"{policy.latency_p50_s:.1f}",
                f"{policy.latency_p95_s:.1f}",
                *(f"{figure:.3f}" for figure in beliefs),
            ]
        )
    return grid("Calls and time a question; estimates of the first tier", heads, rows)


def along(report: ReplayReport) -> Grid:
    """Prequential figures."""
    stops = [stone.questions for stone in report.policies[0].milestones]
    rows = [
        [
            policy.policy,
            *(cell(Point(stone.usd_per_1000, stone.accuracy)) for stone in policy.milestones),
            "{:.3f} to {:.3f}".format(*policy.by_order),
        ]
        for policy in report.policies
    ]
    heads = (*(f"first {stop:,}" for stop in stops), "by order")
    return grid("Along the stream, burn-in included", heads, rows)


def streams(report: ReplayReport) -> Grid:
    """Other orders."""
    rows = [
        [policy.policy, *map(cell, (policy.point, *policy.streams.values()))]
        for policy in report.policies
    ]
    return grid("Other streams", ("shuffled", *report.policies[0].streams), rows)


def settings(report: ReplayReport) -> Grid:
    """The sweeps, side by side."""
    swept = [policy for policy in report.policies if policy.settings]
    most = max(len(policy.settings) for policy in swept)
    rows = [
        [
            f"{at + 1}",
            *(
                f"@{policy.settings[at].dial:g}: {cell(policy.settings[at].point)}"
                if at < len(policy.settings)
                else ""
                for policy in swept
            ),
        ]
        for at in range(most)
    ]
    return grid("Over the dial", [policy.policy for policy in swept], rows)


def _point(point: Point) -> list[str]:
    return [f"{point.accuracy:.3f}", "", usd(point.usd)]


def _parity(policy: PolicyReport) -> list[str]:
    found = policy.parity
    if found is None:
        return ["none"]
    return [found.setting, cell(found.point), points(found.gain), ratio(found.cost)]
