"""`autoshift report`: whether routing pays, of a running gateway or of the records in the store."""

import argparse
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from app.configuration import load_settings
from app.jsontext import Json
from app.offline_records import offline_records
from app.remote_records import RemoteRecords
from app.report import report_of
from app.restart import RESTORED
from app.settings import Settings
from app.tracker import Tracker

TENANT = "local"
UNKNOWN = "?"


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift report`."""
    parser.add_argument("--url", help="of a running gateway, such as http://127.0.0.1:8080")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="whose store to read; default: $AUTOSHIFT_CONFIG",
    )
    parser.add_argument("--json", action="store_true", help="the figures as JSON")


async def run(given: argparse.Namespace) -> int:
    """Tell it; the exit status. Errors: SettingsError, StoreError, OutboxError."""
    if given.url is not None:
        report = await RemoteRecords(given.url).report()
    else:
        report = await _offline(load_settings(given.config))
    if given.json:
        print(orjson.dumps(report).decode(), flush=True)  # noqa: T201
    else:
        show(report, Console())
    return 0


async def _offline(settings: Settings) -> Json:
    """What a gateway would tell that starts now."""
    tracker = Tracker(ladder=settings.ladder.names)
    async with (
        offline_records(settings, tenant=TENANT) as records,
        aclosing(records.latest(RESTORED)) as latest,
    ):
        async for record in latest:
            tracker.restore(record)
    tracker.look()
    return report_of(tracker, TENANT, simulated=settings.simulated)


def show(report: Json, console: Console) -> None:
    """The report as a table and a few sentences."""
    simulated = " (simulated)" if report["simulated"] else ""
    if report["served"] is not None:
        console.print(_table(report, f"Does routing pay?{simulated}"))
    for sentence in _sentences(report):
        console.print(f"- {sentence}", highlight=False, markup=False)


def _table(report: Json, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("served by")
    for name in ("accuracy", "95 % interval", "$ per 1,000", "evidence"):
        table.add_column(name, justify="right")
    ways = {"routing": report["served"]}
    ways |= {f"always {tier}": way for tier, way in report["fixed"].items()}
    for name, way in ways.items():
        accuracy, usd = way["accuracy"], way["usd_per_1000"]["value"]
        table.add_row(
            name, _rounded(accuracy["value"]), _interval(accuracy), _usd(usd), _evidence(accuracy)
        )
    best = report["best"]
    if best is not None and best["cheaper"] != best["dearer"]:
        coin = f"{best['cheaper']} {1 - best['share']:.0%}, {best['dearer']} {best['share']:.0%}"
        table.add_row(coin, _rounded(best["accuracy"]), "", _usd(best["usd_per_1000"]), "")
    return table


def _sentences(report: Json) -> Iterator[str]:
    sentence: str = report["sentence"]
    yield f"{sentence[0].upper()}{sentence[1:]}."
    if report["served"] is not None:
        yield (
            f"Estimated from {report['requests']:,.0f} requests, the older ones fading; "
            f"{report['left_out']:.0%} of all cannot be compared and are left out."
        )
    spend = report["spend_usd_per_1000"]
    if spend is not None:
        parts = ", ".join(f"{purpose} {_usd(usd)}" for purpose, usd in spend.items())
        yield f"Of routing's $ per 1,000: {parts}."
    for alarm in report["alarms"]:
        since = datetime.fromtimestamp(alarm["since_s"], UTC)
        yield f"ALARM since {since:%Y-%m-%d %H:%M} UTC: {alarm['sentence']}."


def _interval(figure: Json) -> str:
    """Where there is none, why."""
    if figure["value"] is None:
        return str(figure["why"] or UNKNOWN)
    return f"{_rounded(figure['low'])} to {_rounded(figure['high'])}"


def _rounded(value: float | None) -> str:
    """Estimates may leave [0, 1] a little; accuracies do not."""
    return UNKNOWN if value is None else f"{min(1.0, max(0.0, value)):.3f}"


def _usd(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.3g}" if value < 1 else f"{value:,.2f}"


def _evidence(figure: Json) -> str:
    return f"{figure['n_eff']:,.0f}"
