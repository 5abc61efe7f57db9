"""`autoshift report`: whether routing pays, of a running gateway or of the records in the store."""

import argparse
import time
from contextlib import aclosing
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.commands.offline import offline_records
from app.commands.remote import add_remote, remote, whose
from app.errors import RequestError
from app.jsontext import Json
from app.mode import Mode
from app.reporting.page import page_of
from app.reporting.report import report_of, told_by
from app.reporting.tracker import Tracker
from app.reporting.words import Sheet, sentences, sheets
from app.restart import RESTORED
from app.settings import Settings
from app.settings.configuration import load_settings
from app.store.wanted import since_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift report`."""
    add_remote(parser)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="whose store to read; default: $AUTOSHIFT_CONFIG",
    )
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="only requests from then on: 24h, 7d, 2026-11-22T09:30:00Z; default: all, fading",
    )
    parser.add_argument("--baseline", metavar="TIER", help="to compare with; default: the dearest")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="the figures as JSON")
    shown.add_argument("--html", action="store_true", help="as a page of one file: > report.html")


async def run(given: argparse.Namespace) -> int:
    """Tell it; the exit status. Errors: SettingsError, StoreError, OutboxError."""
    if given.url is not None:
        wanted = {"since": given.since, "baseline": given.baseline}
        asked = {name: value for name, value in wanted.items() if value is not None}
        report = await remote(given, given.url).report(**asked)
    else:
        report = await _offline(load_settings(given.config), given)
    if given.json:
        print(orjson.dumps(report).decode(), flush=True)  # noqa: T201
    elif given.html:
        print(page_of(report, time.time()), flush=True)  # noqa: T201
    else:
        show(report, Console())
    return 0


async def _offline(settings: Settings, given: argparse.Namespace) -> Json:
    """What a gateway would tell that starts now."""
    since_s = None
    if given.since is not None:
        try:
            since_s = since_of(given.since, time.time())
        except ValueError as exc:
            raise RequestError(f"--since {exc}", param="since") from None
    tracker = Tracker(ladder=settings.ladder.names)
    async with (
        offline_records(settings, tenant=whose(given)) as records,
        aclosing(records.latest(RESTORED)) as latest,
    ):
        async for record in latest:
            tracker.restore(record)
    tracker.look()
    told = told_by(tracker, whose(given), since_s=since_s, simulated=settings.simulated)
    mode = Mode(settings.mode, settings.shadow, ladder=settings.ladder, tracker=tracker).told()
    return {**report_of(told, given.baseline or mode["tier"]), "mode": mode}


def show(report: Json, console: Console) -> None:
    """The report as tables and a few sentences."""
    tables = [_table(sheet) for sheet in sheets(report)]
    if report["served"] is not None:
        console.print(tables.pop(0))
    for sentence in sentences(report):
        console.print(f"- {sentence}", highlight=False, markup=False)
    for table in tables:
        console.print()
        console.print(table)


def _table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for position, name in enumerate(sheet.heads):
        table.add_column(name, justify="right" if position else "left")
    for row in sheet.rows:
        table.add_row(*map(escape, row))
    return table
