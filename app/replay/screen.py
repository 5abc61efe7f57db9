"""A replay on a terminal: a progress bar, then tables and the verdict in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.counterfactual import Figure
from app.replay.curves import Point
from app.replay.experiment import Progress as Watcher
from app.replay.figures import Estimated
from app.replay.own import OwnReport
from app.replay.report import PolicyReport, ReplayReport
from app.replay.run import Advance
from app.standing import Standing, Way

WIDTH = 96
SMALL_USD = 0.1


@contextmanager
def progress_bar(console: Console, questions: int) -> Iterator[Watcher]:
    """A bar over all questions of all policies; nothing where it is no terminal."""
    columns = (
        TextColumn("replaying {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=questions)

        def begin(name: str) -> Advance:
            bar.update(task, description=name)
            return lambda: bar.advance(task)

        yield begin


def show(report: ReplayReport, console: Console) -> None:
    """The whole report."""
    left_out = f" ({report.left_out} left out: an answer is missing)" if report.left_out else ""
    console.print(
        f"\n[bold]Replay[/]: {report.queries:,} questions{left_out}, {report.orders} orders, "
        f"seed {report.seed}, judge: [bold]{escape(report.judge)}[/]"
    )
    tables = (_overview, _gains, _purposes, _tiers, _calls, _learning, _streams)
    for table in tables:
        console.print(table(report), width=WIDTH)
    if any(policy.settings for policy in report.policies):
        console.print(_settings(report), width=WIDTH)
    for sentence in sentences(report):
        console.print(f"- {escape(sentence)}", width=WIDTH, highlight=False)


def show_own(report: OwnReport, console: Console) -> None:
    """What one's own records say."""
    console.print(
        f"\n[bold]Replay[/] of one's own records: {report.records:,}, of which {report.usable:,} "
        "any tier could have served, with coins for lessons"
    )
    heads = ("accuracy", "95 %", "$ per 1,000", "95 %", "n_eff")
    table = _table("What was served, and what would have been", "", *heads)
    for tier, way in report.logged.fixed.items():
        table.add_row(escape(tier), *_way(way))
    table.add_row("[bold]as served[/]", *_way(report.logged.served))
    for policy in report.policies:
        table.add_row(f"{escape(policy.policy)}, first answers", *_way(policy.standing.served))
    console.print(table, width=WIDTH)
    for sentence in _own_sentences(report):
        console.print(f"- {escape(sentence)}", width=WIDTH, highlight=False)


def _own_sentences(report: OwnReport) -> Iterator[str]:
    yield f"As served: {report.logged.sentence}."
    for policy in report.policies:
        starts = ", ".join(f"{share:.0%} {tier}" for tier, share in policy.starts.items())
        yield f"{policy.policy} would have started at {starts}. {_unjudged(policy.standing)}."
    if report.missing is not None:
        yield f"Too little is known: {report.missing}."


def _unjudged(standing: Standing) -> str:
    return f"If its first answers had been served unjudged: {standing.sentence}"


def _way(way: Way) -> tuple[str, ...]:
    n_eff = f"{way.accuracy.n_eff:,.0f}"
    return (*_figure(way.accuracy, ".3f"), *_figure(way.usd_per_1000, ".3g"), n_eff)


def _figure(figure: Figure, form: str) -> tuple[str, str]:
    """The value and its interval; where it is refused, that and why."""
    if figure.value is None:
        return "unknown", figure.why or ""
    return f"{figure.value:{form}}", f"\\[{figure.low:{form}}, {figure.high:{form}}]"


def sentences(report: ReplayReport) -> list[str]:
    """The verdict on each policy in words, good or bad."""
    return [sentence for policy in report.policies for sentence in _verdict(policy, report)]


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
        f"{_points(gain)} points."
    )
    better = [
        name
        for name, point in report.fixed.items()
        if point.accuracy >= policy.point.accuracy and point.usd <= policy.point.usd
    ]
    if better:
        yield f"Always {better[0]} is at least as accurate as {policy.policy}, and cheaper."
    if policy.hindsight is not None:
        usd = policy.hindsight.point.usd
        yield (
            f"In hindsight the cheapest program as accurate as {policy.policy} is "
            f"{policy.hindsight}: ${_usd(usd)} to its ${_usd(policy.point.usd)}."
        )
    if policy.judgements_without_verdict:
        silent = policy.judgements_without_verdict * report.queries
        yield f"{policy.policy} asked for {silent:.0f} verdicts an order that nobody recorded."
    if policy.two_tiers is not None:
        two = policy.two_tiers
        figures = (_share(two.apgr), _share(two.cpt_50), _share(two.cpt_80))
        yield "{}: APGR {}, CPT(50 %) {}, CPT(80 %) {}.".format(policy.policy, *figures)


def _overview(report: ReplayReport) -> Table:
    heads = ("accuracy", "95 %", "$ per 1,000", "95 %", "AIQ", "+tiers")
    table = _table("Accuracy and cost", "", *heads)
    for name, point in report.fixed.items():
        table.add_row(name, f"{point.accuracy:.3f}", "", _usd(point.usd))
    mixed_aiq = _aiq(report.mixtures_aiq)
    table.add_row("mixtures of tiers", "", "", "", "", mixed_aiq, mixed_aiq)
    for policy in report.policies:
        table.add_row(
            f"[bold]{escape(policy.policy)}[/]",
            f"{policy.point.accuracy:.3f}",
            _range(policy.accuracy, ".3f"),
            _usd(policy.point.usd),
            _range(policy.usd_per_1000, ".3g"),
            _aiq(policy.aiq),
            _aiq(policy.aiq_with_tiers),
        )
    table.add_row("oracle", f"{report.oracle.accuracy:.3f}", "", _usd(report.oracle.usd))
    return table


def _gains(report: ReplayReport) -> Table:
    first = report.policies[0].policy
    heads = ("the top tier", "mixtures, same cost", escape(first))
    table = _table("Points of accuracy over …, paired, 95 %", "", *heads)
    for policy in report.policies:
        gains = (policy.gain_over_top, policy.gain_over_mixtures, policy.gain_over_first)
        cells = ["" if gain is None else escape(_points(gain)) for gain in gains]
        table.add_row(escape(policy.policy), *cells)
    return table


def _purposes(report: ReplayReport) -> Table:
    heads = ("answers", "drafts", "judge", "lessons", "x top tier", "95 %")
    table = _table("Where the money goes, $ per 1,000", "", *heads)
    for policy in report.policies:
        spent = [_usd(usd) for usd in policy.purposes_usd.values()]
        ratio = policy.cost_of_top
        compared = (f"{ratio.value:.2f}", _range(ratio, ".2f")) if ratio else ()
        table.add_row(escape(policy.policy), *spent, *compared)
    return table


def _tiers(report: ReplayReport) -> Table:
    names = [escape(policy.policy) for policy in report.policies]
    table = _table("Starts / answers served", "", *names)
    for tier in report.tiers:
        shares = [(policy.starts[tier], policy.finals[tier]) for policy in report.policies]
        table.add_row(tier, *(f"{start:.0%} / {final:.0%}" for start, final in shares))
    return table


def _calls(report: ReplayReport) -> Table:
    heads = ("answers", "judgements", "p50 s", "p95 s", "believed", "true", "Brier", "ECE")
    table = _table("Calls and time a question; estimates of the first tier", "", *heads)
    for policy in report.policies:
        calls = (policy.answers_per_query, policy.judgements_per_query)
        times_s = (policy.latency_p50_s, policy.latency_p95_s)
        found = policy.calibration
        beliefs = (found.believed, found.true, found.brier, found.ece) if found else ()
        table.add_row(
            escape(policy.policy),
            *(f"{count:.2f}" for count in calls),
            *(f"{time_s:.1f}" for time_s in times_s),
            *(f"{figure:.3f}" for figure in beliefs),
        )
    return table


def _learning(report: ReplayReport) -> Table:
    stops = [stone.questions for stone in report.policies[0].milestones]
    heads = [f"first {stop:,}" for stop in stops]
    table = _table("Along the stream, burn-in included", "", *heads, "by order")
    for policy in report.policies:
        cells = [_cell(Point(stone.usd_per_1000, stone.accuracy)) for stone in policy.milestones]
        low, high = policy.by_order
        table.add_row(escape(policy.policy), *cells, f"{low:.3f} to {high:.3f}")
    return table


def _streams(report: ReplayReport) -> Table:
    table = _table("Other streams", "", "shuffled", *report.policies[0].streams)
    for policy in report.policies:
        points = (policy.point, *policy.streams.values())
        table.add_row(escape(policy.policy), *(_cell(point) for point in points))
    return table


def _settings(report: ReplayReport) -> Table:
    table = _table("Over the dial", "", "dial", "accuracy, $ per 1,000")
    for policy in report.policies:
        for setting in policy.settings:
            table.add_row(escape(policy.policy), f"{setting.dial:g}", _cell(setting.point))
    return table


def _table(title: str, first: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for head in heads:
        table.add_column(head, justify="right")
    return table


def _cell(point: Point) -> str:
    return f"{point.accuracy:.3f} ${_usd(point.usd)}"


def _points(gain: Estimated) -> str:
    low, high = (100 * end for end in (gain.interval.low, gain.interval.high))
    return f"{100 * gain.value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _range(figure: Estimated, form: str) -> str:
    return f"\\[{figure.interval.low:{form}}, {figure.interval.high:{form}}]"


def _aiq(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _usd(usd: float) -> str:
    """Two decimals; three digits where that would say little."""
    return f"{usd:.2f}" if usd == 0 or usd >= SMALL_USD else f"{usd:.3g}"
