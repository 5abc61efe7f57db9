"""The demo on a terminal: a progress bar, then tables, curves and the verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import log10

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from app.sandbox import demo
from app.sandbox.report import DemoReport, percent
from app.sandbox.runs import PURPOSES, Served

WIDTH = 80
_TRACK = 23
_CENTS_SAY_LITTLE_USD = 0.1
_COLOURS = ("green", "yellow", "red", "magenta", "blue")
_PURPOSE_NAMES = {
    "answer": "answers served",
    "draft": "answers refused",
    "judge": "judging",
    "lesson": "lessons",
}


@contextmanager
def progress_bar(console: Console, runs: int = len(demo.TIERS) + 1) -> Iterator[demo.Progress]:
    """A bar over all runs with the time left; nothing but a line a run where it is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("auto")
        finished: list[str] = []

        def advance(name: str, done: int, total: int) -> None:
            completed = len(finished) * total + done
            label = f"simulated questions: {name}"
            bar.update(task, description=label, completed=completed, total=runs * total)
            if done == total:
                finished.append(name)
                if not console.is_terminal:
                    console.print(f"asked {total} simulated questions: {name}")

        yield advance


def show(report: DemoReport, console: Console) -> None:
    """The whole report, at most 80 columns wide."""
    console.print()
    console.print(
        f"[bold]Autoshift demo[/]: {report.questions} questions, seed {report.seed}, "
        "[bold]simulated[/] models and prices"
    )
    console.print(_runs(report), width=WIDTH)
    console.print(_tiers(report), width=WIDTH)
    console.print(_purposes(report), highlight=False)
    _show_curves(report, console)
    console.print()
    for sentence in report.sentences():
        console.print(f"- {escape(sentence)}", width=WIDTH, highlight=False)
    console.print()
    _show_example("routed directly", report.direct_example, console)
    _show_example("escalated", report.escalated_example, console)


def _runs(report: DemoReport) -> Table:
    table = _table("Same questions, known answers (simulated)", "served by")
    for heading in ("accuracy", "95 % interval", "$ per 1,000", "vs top", "calls", "ms"):
        table.add_column(heading, justify="right")
    top_usd = report.fixed[-1].usd_per_1000
    for run in report.runs:
        calls = run.calls_per_question
        table.add_row(
            Text("auto", "bold cyan") if run is report.auto else Text(f"always {run.name}"),
            f"{run.accuracy:.3f}",
            f"{run.interval.low:.3f} to {run.interval.high:.3f}",
            _usd(run.usd_per_1000),
            _change(run.usd_per_1000, top_usd),
            "?" if calls is None else f"{calls:.2f}",
            f"{run.latency_mean_s * 1000:.0f}",
        )
    return table


def _tiers(report: DemoReport) -> Table:
    table = _table("What auto did (simulated)", "tier")
    for heading in ("started here", "answered by it", "share of answers"):
        table.add_column(heading, justify="right")
    answers = sum(report.served_by.values()) or 1
    for tier, served in report.served_by.items():
        table.add_row(tier, str(report.starts[tier]), str(served), f"{served / answers:.0%}")
    return table


def _purposes(report: DemoReport) -> Text:
    spent = {purpose: report.auto.purpose_usd_per_1000(purpose) for purpose in PURPOSES}
    parts = [f"{_PURPOSE_NAMES[purpose]} {_usd(usd)}" for purpose, usd in spent.items()]
    return Text(f"  of auto's $ per 1,000: {', '.join(parts)}")


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    return table


def _show_curves(report: DemoReport, console: Console) -> None:
    """Accuracy and cost of every run, block by block of the stream, as two dot plots."""
    blocks = list(zip(*(run.blocks() for run in report.runs), strict=True))
    costs = [run.usd_per_1000 for block in blocks for run in block if run.usd_per_1000]
    low, high = (log10(min(costs)), log10(max(costs))) if costs else (0.0, 1.0)
    marks = _marks(report)
    legend = Text("  ").join(Text(f"{mark} {name}", style) for name, (mark, style) in marks.items())
    console.print()
    console.print("[italic]Along the stream (simulated):[/]", legend)
    floor = min(int(min(run.accuracy for block in blocks for run in block) * 10) / 10, 0.9)
    heads = (f"accuracy {floor:.1f} to 1.0", "$ per 1,000, log scale")
    console.print(
        f"{'questions':>9}  {heads[0]:<{_TRACK + 6}} {heads[1]}", style="dim", highlight=False
    )
    first = 1
    for block in blocks:
        last = first + len(block[0].served) - 1
        right = {run.name: (run.accuracy - floor) / (1 - floor) for run in block}
        spent = {
            run.name: (log10(run.usd_per_1000) - low) / ((high - low) or 1.0)
            for run in block
            if run.usd_per_1000
        }
        line = Text(f"{f'{first}-{last}':>9}  ")
        line += _track(right, marks) + Text(f" {block[0].accuracy:.2f}  ", "bold cyan")
        line += _track(spent, marks) + Text(f" {_usd(block[0].usd_per_1000):>6}", "bold cyan")
        console.print(line, width=WIDTH, highlight=False)
        first = last + 1


def _marks(report: DemoReport) -> dict[str, tuple[str, str]]:
    """A letter and a colour for every run; auto's is the one to look for."""
    marks = {"auto": ("A", "bold cyan")}
    for position, run in enumerate(report.fixed):
        initial = run.name[0].lower()
        taken = any(initial == mark for mark, _ in marks.values())
        mark = str(position + 1) if taken else initial
        marks[run.name] = (mark, _COLOURS[position % len(_COLOURS)])
    return marks


def _track(values: dict[str, float], marks: dict[str, tuple[str, str]]) -> Text:
    """A line of dots with each run's mark at its value, 0 to 1; auto on top."""
    cells = [(".", "dim")] * _TRACK
    for name in reversed(values):
        cells[round(min(max(values[name], 0.0), 1.0) * (_TRACK - 1))] = marks[name]
    return Text.assemble(*cells)


def _show_example(what: str, served: Served | None, console: Console) -> None:
    if served is None:
        console.print(f"No request that was {what} could be shown.")
        return
    cost = "?" if served.cost_usd is None else f"{served.cost_usd:.6f}"
    console.print(
        f"{what}: {' -> '.join(served.path)} (${cost}, simulated)\n  {served.decision_url}",
        highlight=False,
        soft_wrap=True,
    )


def _change(usd: float | None, against_usd: float | None) -> str:
    return "?" if usd is None or not against_usd else percent(usd / against_usd - 1)


def _usd(usd: float | None) -> str:
    """Two decimals; three digits where that would say little."""
    if usd is None:
        return "?"
    return f"{usd:.2f}" if usd == 0 or usd >= _CENTS_SAY_LITTLE_USD else f"{usd:.3g}"
