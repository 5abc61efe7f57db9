"""`autoshift check`: everything that can be told beforehand, told at once."""

import argparse
import socket
from collections.abc import AsyncGenerator, Iterator

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.accounts.limiter import build_limiter
from app.check import providers
from app.check.findings import Finding, to_json, worst
from app.errors import CountsDownError, GatewayError, SettingsError, StoreError
from app.manual import DONE, FAILED, WRONG_USE
from app.parts import build_parts, priced_ladder
from app.prices import doubts
from app.settings import Settings
from app.settings.configuration import load_settings, secret, secrets_in
from app.settings.keys import Limits
from app.store.probe import OLDEST_SERVER, is_too_old, look_at, server_version
from app.upstreams.build import build_transport

SAYS = "say what is wrong with a configuration, and what would be right"
FAILS = "something is wrong (with --strict: or doubtful)"
EXAMPLES = [
    "check --config autoshift.yaml",
    "check --config autoshift.yaml --ask",
    "check --config autoshift.yaml --json --strict",
]
_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "error": "[red]error[/]"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift check`, but for those about the configuration."""
    parser.add_argument(
        "--ask",
        action="store_true",
        help="also have every tier answer one word, which costs a fraction of a cent",
    )
    parser.add_argument("--strict", action="store_true", help="warnings count as errors")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")


async def run(given: argparse.Namespace) -> int:
    """Look at everything; the exit status."""
    console = Console(stderr=given.json)
    try:
        settings = load_settings(given.config)
    except SettingsError as exc:
        if not given.json:
            raise
        _print_json([Finding("error", "configuration", exc.message)])
        return WRONG_USE
    with console.status("looking …"):
        findings = [finding async for finding in look(settings, ask=given.ask)]
    if given.json:
        _print_json(findings)
    else:
        show(findings, console)
    allowed = {"ok"} if given.strict else {"ok", "warning"}
    return DONE if worst(findings) in allowed else FAILED


async def look(settings: Settings, *, ask: bool) -> AsyncGenerator[Finding, None]:
    """Everything that was found, in the order a reader needs it."""
    async with build_transport(settings) as transport:
        async for finding in providers.look(settings, transport, ask=ask):
            yield finding
    keys = list(_keys(settings))
    for finding in (*keys, *_prices(settings)):
        yield finding
    try:
        parts = build_parts(settings)
    except GatewayError as exc:
        said = worst(keys) == "error" or providers.missing_key(settings) is not None
        if not said:
            yield Finding("error", "configuration", exc.message)
    else:
        await parts.transport.aclose()
        if settings.limits.url is not None:
            yield await _counts(settings.limits)
    yield await _server(settings) if settings.store.url is not None else _directory(settings)
    yield _address(settings)


def show(findings: list[Finding], console: Console) -> None:
    """The findings as a table, and one sentence."""
    table = Table("", "about", "what was found", box=None, pad_edge=False)
    for finding in findings:
        remedy = f"\n[bold]→ {escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(_MARKS[finding.level], finding.about, f"{escape(finding.says)}{remedy}")
    console.print(table)
    said = {
        "ok": "Everything is as it should be.",
        "warning": "It would serve, with the warnings above.",
        "error": "It would not serve as it is; see the errors above.",
    }
    console.print(f"\n{said[worst(findings)]}", highlight=False)


def _keys(settings: Settings) -> Iterator[Finding]:
    """Those of the clients: whether each is there, and whether its money can be counted."""
    unknown = [tier.name for tier in priced_ladder(settings).tiers if tier.price is None]
    for key in settings.keys:
        about = f"key {key.name}"
        try:
            secrets_in(key.variables, wanted_by=about)
        except SettingsError as exc:
            says, _, remedy = exc.message.partition("; ")
            yield Finding("error", about, says.partition(": ")[2], remedy)
            continue
        if key.limits.money is not None and unknown:
            says = f"{key.limits.money} caps money, but what {', '.join(unknown)} costs is unknown"
            yield Finding("error", about, says, "give every tier a price, or cap tokens instead")
            continue
        yield Finding("ok", about, f"asks for tenant {key.tenant} as {key.role}")


def _prices(settings: Settings) -> Iterator[Finding]:
    tiers = priced_ladder(settings).tiers
    odd = list(doubts(tiers))
    for doubt in odd:
        says, _, remedy = doubt.rpartition("; ")
        yield Finding("warning", "prices", says, remedy)
    unknown = [tier.name for tier in tiers if tier.price is None]
    if unknown and settings.value.usd_per_1000 is not None:
        yield Finding(
            "error",
            "value.usd_per_1000",
            f"caps money, but what {', '.join(unknown)} costs is unknown",
            "give every tier a price, or use another dial",
        )
    if not odd:
        rising = ", ".join(
            f"{tier.name} {tier.price.input:g}/{tier.price.output:g}"
            for tier in tiers
            if tier.price
        )
        yield Finding("ok", "prices", f"rise: {rising} USD per million tokens in/out")


async def _counts(limits: Limits) -> Finding:
    """The server that counts what keys use."""
    limiter = build_limiter(limits)
    try:
        await limiter.rate("check", 1)
    except CountsDownError:
        remedy = "start it, or correct limits.url and password_env; keys with limits need it"
        return Finding("error", "limits", f"{limits.url} does not answer", remedy)
    return Finding("ok", "limits", f"{limits.url} answers")


def _directory(settings: Settings) -> Finding:
    path = settings.store.path
    try:
        place = look_at(path)
    except StoreError as exc:
        remedy = "give this user the directory, or set store.path to one it may write"
        return Finding("error", "store", exc.message, remedy)
    if place.is_full:
        says = f"only {place.free_bytes // 2**20} MiB are free in {path}"
        return Finding("error", "store", says, "make room, or set store.path to another disk")
    if place.in_use:
        says = f"{path} is in use by another process: one gateway at a time may have it"
        return Finding(
            "warning",
            "store",
            says,
            "fine if that is this gateway; else give it its own store.path",
        )
    free = f"{place.free_bytes / 2**30:.1f} GiB free"
    return Finding("ok", "store", f"{path} can be written, {free}")


async def _server(settings: Settings) -> Finding:
    store = settings.store
    try:
        key = secret(store.api_key_env, wanted_by="store")
        version = await server_version(store.url or "", key)
    except SettingsError as exc:
        says, _, remedy = exc.message.partition("; ")
        return Finding("error", "store", says, remedy)
    except StoreError as exc:
        remedy = "start it, or correct store.url; until then records wait in the outbox"
        return Finding("error", "store", exc.message, remedy)
    if is_too_old(version):
        wanted = ".".join(map(str, OLDEST_SERVER))
        says = f"Qdrant {version} at {store.url} is too old"
        return Finding("error", "store", says, f"it must be {wanted} or later")
    return Finding("ok", "store", f"Qdrant {version} at {store.url}")


def _address(settings: Settings) -> Finding:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as exc:
            says = f"{host}:{port} cannot be listened on: {exc.strerror}"
            remedy = "fine if this gateway is running already; else choose another server.port"
            return Finding("warning", "server", says, remedy)
    return Finding("ok", "server", f"{host}:{port} is free")


def _print_json(findings: list[Finding]) -> None:
    print(orjson.dumps(to_json(findings)).decode(), flush=True)  # noqa: T201
