"""`autoshift report`: whether routing pays, of a running gateway or of the records in the store."""

import argparse
import time
from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from app.configuration import load_settings
from app.errors import RequestError
from app.jsontext import Json
from app.mode import Mode
from app.offline_records import offline_records
from app.remote_records import RemoteRecords
from app.report import report_of, told_by
from app.restart import RESTORED
from app.settings import Settings
from app.store.wanted import since_of
from app.tracker import Tracker

TENANT = "local"
UNKNOWN = "?"
_SOURCES = {
    "feedback": "feedback",
    "check": "exact checks",
    "arbiter": "an arbiter",
    "comparison": "audits beside another tier",
    "judge": "verdicts corrected for the judge's errors",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift report`."""
    parser.add_argument("--url", help="of a running gateway, such as http://127.0.0.1:8080")
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
    parser.add_argument("--json", action="store_true", help="the figures as JSON")


async def run(given: argparse.Namespace) -> int:
    """Tell it; the exit status. Errors: SettingsError, StoreError, OutboxError."""
    if given.url is not None:
        wanted = {"since": given.since, "baseline": given.baseline}
        asked = {name: value for name, value in wanted.items() if value is not None}
        report = await RemoteRecords(given.url).report(**asked)
    else:
        report = await _offline(load_settings(given.config), given)
    if given.json:
        print(orjson.dumps(report).decode(), flush=True)  # noqa: T201
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
        offline_records(settings, tenant=TENANT) as records,
        aclosing(records.latest(RESTORED)) as latest,
    ):
        async for record in latest:
            tracker.restore(record)
    tracker.look()
    told = told_by(tracker, TENANT, since_s=since_s, simulated=settings.simulated)
    mode = Mode(settings.mode, settings.shadow, ladder=settings.ladder, tracker=tracker).told()
    return {**report_of(told, given.baseline or mode["tier"]), "mode": mode}


def show(report: Json, console: Console) -> None:
    """The report as tables and a few sentences."""
    simulated = " (simulated)" if report["simulated"] else ""
    if report["served"] is not None:
        console.print(_ways(report, f"Does routing pay?{simulated}"))
    for sentence in _sentences(report):
        console.print(f"- {sentence}", highlight=False, markup=False)
    for by in ("task", "tier", "tenant"):
        groups = report.get(f"by_{by}", ())
        if len(groups) > 1:
            console.print()
            console.print(_groups(groups, by, f"By {by}, beside {report['baseline']}{simulated}"))


def _ways(report: Json, title: str) -> Table:
    heads = ("accuracy", "95 % interval", "$ per 1,000", "saved by routing", "evidence")
    table = _table(title, "served by", *heads)
    ways = {"routing": report["served"]}
    ways |= {f"always {tier}": way for tier, way in report["fixed"].items()}
    saved = {f"always {tier}": _saved(one) for tier, one in report["savings"].items()}
    for name, way in ways.items():
        accuracy, usd = way["accuracy"], way["usd_per_1000"]["value"]
        figures = (_rounded(accuracy["value"]), _interval(accuracy), _usd(usd))
        table.add_row(name, *figures, saved.get(name, ""), _evidence(accuracy))
    best = report["best"]
    if best is not None and best["cheaper"] != best["dearer"]:
        coin = f"{best['cheaper']} {1 - best['share']:.0%}, {best['dearer']} {best['share']:.0%}"
        table.add_row(coin, _rounded(best["accuracy"]), "", _usd(best["usd_per_1000"]), "", "")
    return table


def _groups(groups: list[Json], by: str, title: str) -> Table:
    heads = ("requests", "accuracy", "against it, points", "$ per 1,000", "saved")
    table = _table(title, by, *heads)
    for group in groups:
        served, against = group["served"], group["against"]
        usd = served["usd_per_1000"]["value"]
        points = _points(against["accuracy"]) + (" WORSE" if against["harm"] else "")
        figures = (_rounded(served["accuracy"]["value"]), points, _usd(usd), _saved(against))
        table.add_row(str(group["name"] or "-"), f"{group['requests']:,}", *figures)
    return table


def _table(title: str, first: str, *heads: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first)
    for name in heads:
        table.add_column(name, justify="right")
    return table


def _sentences(report: Json) -> Iterator[str]:
    yield _capital(report["sentence"])
    if report["served"] is not None:
        yield _capital(report["saving_sentence"])
        fading = "the older ones fading; " if report["since_s"] is None else ""
        yield (
            f"Estimated from {report['requests']:,.0f} requests, {fading}"
            f"{report['left_out']:.0%} of all cannot be compared and are left out."
        )
        yield f"The accuracy served is estimated from {_sources(report)}."
    yield from _spent(report)
    yield from _mode(report.get("mode", {}))
    for alarm in report["alarms"]:
        since = datetime.fromtimestamp(alarm["since_s"], UTC)
        yield f"ALARM since {since:%Y-%m-%d %H:%M} UTC: {alarm['sentence']}."


def _mode(mode: Json) -> Iterator[str]:
    """Where not everything is routed, who answers instead."""
    if mode.get("name", "route") == "route":
        return
    share = "" if mode["name"] != "canary" else f" all but {mode['canary']:.0%} of"
    yield (
        f"Mode {mode['name']}: {mode['tier']} answers{share} what would be routed; what is said of "
        "routing comes from trials beside it."
    )
    if "tried" in mode:
        yield f"Tried since the start: {mode['tried']:,} requests, for ${_usd(mode['spent_usd'])}."
    if mode["returned"]:
        yield f"The canary was worse: {mode['returned']}; so it is shadow again."


def _spent(report: Json) -> Iterator[str]:
    rates = report["spend_usd_per_1000"]
    if rates is not None:
        parts = ", ".join(f"{purpose} {_usd(usd)}" for purpose, usd in rates.items())
        yield f"Of routing's $ per 1,000: {parts}."
    counts, spend = report["counts"], report["spend"]
    if counts["all"]:
        purposes = spend["by_purpose_usd"].items()
        parts = ", ".join(f"{purpose} {_usd(usd)}" for purpose, usd in purposes)
        unknown = spend["requests_of_unknown_cost"]
        missing = f"; the cost of {unknown:,} requests is unknown" if unknown else ""
        yield (
            f"All {counts['all']:,} requests, {counts['pinned']:,} of them pinned: "
            f"${_usd(spend['usd'])} ({parts}){missing}."
        )


def _sources(report: Json) -> str:
    parts = [
        f"{_SOURCES[name]} {source['weight']:.0%} ({source['labels']:,})"
        for name, source in report["accuracy_from"].items()
        if source["labels"]
    ]
    return ", ".join(parts) or "no labels yet"


def _capital(sentence: str) -> str:
    return f"{sentence[0].upper()}{sentence[1:]}."


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


def _saved(against: Json) -> str:
    """Signed: USD per 1,000 requests, and the share."""
    saved, share = against["saved_usd_per_1000"]["value"], against["saved"]["value"]
    if saved is None:
        return UNKNOWN
    sign = "-" if saved < 0 else "+"
    return f"{sign}{_usd(abs(saved))}" + ("" if share is None else f" ({share:+.0%})")


def _points(figure: Json) -> str:
    if figure["value"] is None:
        return UNKNOWN
    value, low, high = (100 * figure[end] for end in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"
