"""`autoshift warmup FILE`: reads the prompts, shows the price, asks, and runs."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console

from app.errors import SettingsError
from app.judge.arbiter import arbiter_rule
from app.parts import Parts, build_parts
from app.policies.warmup import Warmup
from app.settings import Settings
from app.warmup import screen
from app.warmup.prompts import Prompt, read_prompts
from app.warmup.quote import OUTPUT_TOKENS, Assumed, Quote, Teller
from app.warmup.report import WarmupReport, report_of
from app.warmup.run import Run, asked_before

QUESTIONS = 200
AT_ONCE, AT_ONCE_MAX = 8, 64
FAILED, INTERRUPTED = 1, 130
LEARNS = "value"
"""The policy that these records are for."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift warmup`, but for those about the configuration."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="prompts: one a line as text, or JSON lines; may be gzipped",
    )
    parser.add_argument(
        "--questions",
        type=_count,
        default=QUESTIONS,
        metavar="N",
        help=f"how many prompts at most, drawn by chance; default: {QUESTIONS}",
    )
    parser.add_argument(
        "--output-tokens",
        type=_count,
        default=OUTPUT_TOKENS,
        metavar="N",
        help=f"how long answers are, for the estimate; default: {OUTPUT_TOKENS}",
    )
    parser.add_argument(
        "--at-once",
        type=_at_once,
        default=AT_ONCE,
        metavar="N",
        help=f"how many prompts are under way at a time; default: {AT_ONCE}",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask; spend it")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")


async def run(given: argparse.Namespace, settings: Settings, *, serve: str) -> int:
    """Do it; the exit status. `serve` is the command that comes next.

    Errors: SettingsError, StoreError, OutboxError.
    """
    console = Console(stderr=given.json)
    parts = build_parts(settings)
    prompts = read_prompts(
        given.file, lambda request: parts.catalogue.route(request).ladder, most=given.questions
    )
    policy = Warmup(parts.policies[LEARNS])
    async with parts.working(parts.recorder):
        earlier = await asked_before(parts, prompts.chosen)
        waiting = [prompt for prompt in prompts.chosen if prompt.key not in earlier]
        screen.show_prompts(prompts, len(earlier), console)
        quotes = _quotes(parts, policy, waiting, Assumed(given.output_tokens))
        if waiting:
            screen.show_price(quotes, len(waiting), console, simulated=settings.simulated)
            if not given.yes and not await _confirmed():
                print("Nothing was asked, nothing was spent.", file=sys.stderr)  # noqa: T201
                return FAILED
        with screen.progress_bar(console, len(waiting)) as watch:
            running = Run(parts, policy, ceiling_usd=quotes[-1].known_usd, watch=watch)
            with _interruptible(running):
                outcome = await running.all(waiting, at_once=given.at_once)
    report = report_of(
        outcome, prompts, quotes, tiers=parts.ladder.names, earlier=tuple(earlier.values())
    )
    screen.show(report, console, serve=serve, policy=settings.policy)
    if given.json:
        print(orjson.dumps(report.to_json()).decode(), flush=True)  # noqa: T201
    return _status(report)


def _quotes(
    parts: Parts, policy: Warmup, prompts: Sequence[Prompt], assumed: Assumed
) -> tuple[Quote, Quote, Quote]:
    """The price with short answers, with those assumed, with long ones."""
    section = parts.settings.judge
    teller = Teller(
        parts.ladder,
        judged_by=policy.judged_by,
        arbiter=arbiter_rule(section.arbiter),
        verdict_tokens=section.max_tokens,
    )
    return (
        teller.quote(prompts, assumed.shorter),
        teller.quote(prompts, assumed),
        teller.quote(prompts, assumed.longer),
    )


async def _confirmed() -> bool:
    """What was answered at the terminal. Errors: SettingsError where nobody sits there."""
    if not sys.stdin.isatty():
        raise SettingsError("nobody is there to confirm the price; say --yes to spend it unasked")
    print("Ask all this, at that price? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), there.set)  # a thread that reads could not be interrupted
    try:
        await there.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def _interruptible(running: Run) -> Iterator[None]:
    """Ctrl-C stops the spending, not the report."""
    loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, running.interrupt)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _status(report: WarmupReport) -> int:
    match report.outcome.ended:
        case "done":
            return 0 if report.answered or (report.already and not report.asked) else FAILED
        case "interrupted":
            return INTERRUPTED
        case "too dear" | "not kept":
            return FAILED


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too few; it must be at least 1")
    return value


def _at_once(text: str) -> int:
    value = _count(text)
    if value > AT_ONCE_MAX:
        raise argparse.ArgumentTypeError(f"{value} is too many; at most {AT_ONCE_MAX}")
    return value
