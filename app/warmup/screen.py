"""A warm-up on a terminal: its price, a progress bar, what it has shown."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.records import Record
from app.warmup.prompts import Prompts
from app.warmup.quote import VERDICT_SHARE, Quote
from app.warmup.report import Mean, TierReport, WarmupReport
from app.warmup.run import Watcher, attempts_of, costs_usd

WIDTH = 80
CENTS_SAY_LITTLE_USD = 0.1
UNKNOWN = "unknown"

_ENDS = {
    "interrupted": "Stopped: nothing more is spent.",
    "too dear": "Stopped: more is spent than the highest estimate; raise --output-tokens.",
    "not kept": "Stopped: a record could not be written down (disk full? outbox full?).",
}
_AGAIN = "The same command goes on with what is missing."


def show_prompts(prompts: Prompts, already: int, console: Console) -> None:
    """What of the file is asked."""
    drawn = len(prompts.chosen)
    said = (
        f"{prompts.lines:,} prompts in the file, {prompts.distinct:,} different ones can be asked"
    )
    if drawn < prompts.distinct:
        said += f"; {drawn:,} of them drawn by chance (--questions)"
    if already:
        said += f"; {already:,} were asked by an earlier warm-up"
    _say(console, f"{said}.")
    for why, count in prompts.left_out.most_common():
        _say(console, f"Left out: {count:,}, since {why}.")
    if prompts.ignored:
        names = ", ".join(sorted(prompts.ignored)[:8])
        _say(console, f"Not sent, being no parameters of a chat request: {names}.")


def show_price(
    quotes: tuple[Quote, Quote, Quote], prompts: int, console: Console, *, simulated: bool
) -> None:
    """What it would cost: as assumed, with answers shorter, with answers longer."""
    low, expected, high = quotes
    label = "What it would cost" + (" (simulated)" if simulated else "")
    table = _table(f"{label}: {prompts:,} prompts, answered by all tiers", "tier")
    for heading in ("answers", "USD", "judgements by it", "USD", "USD in all"):
        table.add_column(heading, justify="right")
    for tier in expected.tiers:
        table.add_row(
            escape(tier.tier),
            f"{tier.answers:,.0f}",
            usd(tier.answers_usd),
            f"{tier.judging:,.0f}",
            usd(tier.judging_usd),
            usd(tier.usd),
        )
    least = "at least " if expected.unpriced else ""
    table.add_section()
    table.add_row("in all", "", "", "", "", f"{least}{usd(expected.known_usd)}")
    console.print(table, width=WIDTH)
    tokens = expected.assumed.output_tokens
    verdict = round(tokens * VERDICT_SHARE)
    _say(
        console,
        f"An estimate: {least}${usd(low.known_usd)} if answers are short "
        f"({low.assumed.output_tokens:,} tokens), ${usd(high.known_usd)} if they are long "
        f"({high.assumed.output_tokens:,}), reasoning included. Counted is the input, at four "
        f"characters a token, pictures aside. Assumed are {tokens:,} tokens an answer "
        f"(--output-tokens), {verdict:,} a judgement, and that {expected.assumed.differing:.0%} "
        "of the prompts go to an arbiter, where one is configured.",
    )
    if expected.unpriced:
        names = escape(", ".join(expected.unpriced))
        _say(
            console,
            f"[bold]The price of {names} is unknown[/]: what it costs is in no sum here, and "
            "cannot be limited. Give the tier its `price` to know.",
        )
    _say(console, f"Once ${usd(high.known_usd)} are known to be spent, no further prompt is begun.")


@contextmanager
def progress_bar(console: Console, prompts: int) -> Iterator[Watcher]:
    """A bar over the prompts, with what is spent and what failed; none where it is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("warming up", total=prompts)
        spent_usd, failed = 0.0, 0

        def advance(record: Record | None) -> None:
            nonlocal spent_usd, failed
            if record is not None:
                spent_usd += sum(paid or 0.0 for paid in costs_usd(record))
                failed += sum(attempt.outcome == "failed" for attempt in attempts_of(record))
            said = f"${usd(spent_usd)} spent" + (f", {failed} calls failed" if failed else "")
            bar.update(task, description=said, advance=1)

        yield advance


def show(report: WarmupReport, console: Console, *, serve: str, policy: str) -> None:
    """What was done, what it has shown, and what comes next."""
    table = _table("What your prompts say of every tier", "tier")
    heads = ("answers", "failed", "accuracy", "95 %", "$/1,000", "agreed", "of")
    for heading in heads:
        table.add_column(heading, justify="right", no_wrap=True)
    for tier in report.tiers:
        table.add_row(*_row(tier))
    console.print()
    console.print(table, width=WIDTH)
    for sentence in _sentences(report):
        _say(console, f"- {sentence}")
    if report.outcome.ended != "done":
        _say(console, f"{_ENDS[report.outcome.ended]} {_AGAIN}")
    if report.answered or report.already:
        told = f"Next: `{escape(serve)}`: its policy starts from these records."
        console.print(told, highlight=False, soft_wrap=True)
        if policy != "value":
            _say(
                console,
                f"The configured policy, {escape(policy)}, goes by judged answers of its own "
                "path; it is `value` that learns from all of this.",
            )


def _row(tier: TierReport) -> Sequence[str]:
    accuracy, agreement = tier.accuracy, tier.agreement
    return (
        escape(tier.tier),
        f"{tier.answers:,}",
        f"{tier.failed:,}",
        "?" if accuracy is None else f"{accuracy.value:.2f}",
        _interval(accuracy),
        UNKNOWN if tier.usd_per_1000 is None else usd(tier.usd_per_1000),
        "" if agreement is None else f"{agreement.value:.0%}",
        "" if agreement is None else f"{agreement.count:,}",
    )


def _interval(mean: Mean | None) -> str:
    if mean is None or mean.low is None or mean.high is None:
        return ""
    return f"{mean.low:.2f}-{mean.high:.2f}"


def _sentences(report: WarmupReport) -> Iterator[str]:
    low, expected, high = (quote.known_usd for quote in report.quotes)
    done = f"{report.answered:,} of {report.asked:,} prompts answered and recorded"
    if report.already:
        done += f", besides {report.already:,} by earlier warm-ups"
    spent = f"${usd(report.outcome.spent_usd)} spent"
    if report.outcome.ended == "done" and report.asked:
        spent += f", of an estimated ${usd(expected)} (${usd(low)} to ${usd(high)})"
    if report.unpriced:
        spent += f", and {report.unpriced:,} calls at an unknown cost"
    yield f"{done}; {spent}."
    yield (
        "Accuracy is no truth: answers were judged, and compared between tiers; where two differ, "
        "the higher tier's is taken to be right more often. `agreed` is how often the judge of the "
        "tier's answers said what the comparison with a better answer does."
    )
    if report.arbiter:
        counts = ", ".join(f"{what} {count:,} times" for what, count in report.arbiter.items())
        yield f"Where lowest and highest answer differ, an arbiter found the lower {counts}."
    for error, count in report.errors.most_common(5):
        yield f"Failed {count:,} times: {escape(error)}."
    for tier in report.tiers:
        if tier.no_verdict:
            yield f"No verdict on {tier.no_verdict:,} answers of {escape(tier.tier)}."
        if tier.cut_off:
            yield f"{tier.cut_off:,} answers of {escape(tier.tier)} were cut off: no label."


def usd(amount: float | None) -> str:
    """Two decimals; three digits where that would say little."""
    if amount is None:
        return UNKNOWN
    is_small = 0 < amount < CENTS_SAY_LITTLE_USD
    return f"{amount:.3g}" if is_small else f"{amount:,.2f}"


def _table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    return table


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, width=WIDTH, highlight=False)
