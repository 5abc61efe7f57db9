"""A replay on a terminal: a progress bar, then tables and the verdict in words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.replay import pool, tables, trust_tables
from app.replay.experiment import Progress as Watcher
from app.replay.grids import Grid
from app.replay.own import OwnReport
from app.replay.pool import Pooled
from app.replay.report import ReplayReport
from app.replay.run import Advance
from app.replay.wording import sentences
from app.reporting.counterfactual import Figure
from app.reporting.standing import Standing, Way

WIDTH = 96


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
        f"seed {report.seed}, judge: [bold]{escape(report.judge)}[/], "
        f"margin: {100 * report.margin:g} points"
    )
    for grid in (*tables.tables(report), *trust_tables.tables(report)):
        console.print(_rendered(grid), width=WIDTH)
    for sentence in sentences(report):
        console.print(f"- {escape(sentence)}", width=WIDTH, highlight=False)


def show_pooled(pooled: Sequence[Pooled], console: Console) -> None:
    """Areas of several sets."""
    for each in pool.grids(pooled):
        console.print(_rendered(each), width=WIDTH)


def _rendered(grid: Grid) -> Table:
    table = _table(escape(grid.title), *map(escape, grid.heads))
    for name, *cells in grid.rows:
        shown = f"[bold]{escape(name)}[/]" if name in grid.strong else escape(name)
        table.add_row(shown, *map(escape, cells))
    return table


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


def _table(title: str, first: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for head in heads:
        table.add_column(head, justify="right")
    return table
