"""`autoshift records export|import|delete`: on the store itself, or through a running gateway."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import orjson
from anyio import to_thread
from rich.console import Console
from rich.progress import Progress

from app.commands import training
from app.commands.offline import offline_records
from app.commands.remote import add_remote, add_tenant, remote, whose
from app.conversations import as_recorded
from app.errors import SettingsError
from app.manual import FAILED, add_command
from app.settings.configuration import load_settings
from app.store.wanted import Wanted, moment_s

STANDARD = Path("-")

Advance = Callable[[int], None]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `autoshift records`."""
    actions = parser.add_subparsers(required=True, metavar="export|import|delete")
    export = add_command(
        actions,
        "export",
        "write records as JSON lines",
        examples=[
            "records export saved.jsonl --config autoshift.yaml",
            "records export --url http://127.0.0.1:8080 > saved.jsonl",
            "records export examples.jsonl --format training --config autoshift.yaml",
        ],
        failed="nothing to train with was kept; nothing was written",
    )
    export.add_argument(
        "--format",
        choices=("records", "training"),
        default="records",
        help="training: right answers of stronger tiers, with their questions, as OpenAI's chat "
        "format for fine-tuning has them; default: records",
    )
    export.add_argument(
        "--unverified",
        action="store_true",
        help="with --format training: the top tier's answers too that nobody judged",
    )
    export.add_argument("file", nargs="?", type=Path, default=STANDARD, help="default: stdout")
    export.set_defaults(action=_export)
    load = add_command(
        actions,
        "import",
        "read such a file; what is there already stays",
        examples=["records import saved.jsonl --config autoshift.yaml --json"],
    )
    load.add_argument("file", nargs="?", type=Path, default=STANDARD, help="default: stdin")
    load.add_argument(
        "--re-embed",
        action="store_true",
        help="make new vectors for those of another embedder, from the texts that were kept",
    )
    load.set_defaults(action=_import)
    delete = add_command(
        actions,
        "delete",
        "erase records, for good",
        examples=[
            "records delete --before 2026-01-01 --config autoshift.yaml",
            "records delete --all --yes --url http://127.0.0.1:8080",
        ],
        failed="declined; nothing was erased",
    )
    delete.add_argument("--decision", metavar="ID")
    delete.add_argument("--since", type=_moment, metavar="TIME", help="Unix time, or ISO 8601")
    delete.add_argument("--before", type=_moment, metavar="TIME", help="Unix time, or ISO 8601")
    delete.add_argument(
        "--conversation", metavar="NAME", help="its client's name for it, or as the records have it"
    )
    delete.add_argument(
        "--principal", metavar="KEY", help="the name of the key they were asked with"
    )
    delete.add_argument("--all", action="store_true", help="every record")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.set_defaults(action=_delete)
    for action in (export, load, delete):
        action.add_argument(
            "--config", type=Path, metavar="FILE", help="default: $AUTOSHIFT_CONFIG"
        )
        action.add_argument("--json", action="store_true", help="the counts as JSON")
    for action in (export, delete):
        add_remote(action)
    add_tenant(load)


async def run(given: argparse.Namespace) -> int:
    """Do it; the exit status. Errors: SettingsError, StoreError, OutboxError."""
    status: int = await given.action(given)
    return status


async def _export(given: argparse.Namespace) -> int:
    if given.format == "training":
        return await _export_training(given)
    if given.unverified:
        raise SettingsError("--unverified goes with --format training")
    with _progress("exporting") as (bar, advance):
        if given.url is not None:
            with _opened(given.file, "wb") as file:
                written = await remote(given, given.url).export(file, advance)
        else:
            async with offline_records(load_settings(given.config), tenant=whose(given)) as records:
                bar(await records.count())
                # Not before the store is open: a file that is there would be emptied for nothing.
                with _opened(given.file, "wb") as file:
                    written = await records.export(file, advance)
    _tell({"exported": written}, given, f"{written:,} records exported")
    return 0


async def _export_training(given: argparse.Namespace) -> int:
    with _progress("looking for examples") as (_, advance):
        async with AsyncExitStack() as stack:
            source: training.Source
            if given.url is not None:
                source = remote(given, given.url)
            else:
                store = offline_records(load_settings(given.config), tenant=whose(given))
                source = await stack.enter_async_context(store)
            chosen = await training.choose(source, advance, unverified=given.unverified)
            if not chosen.kept_text:
                print(training.NO_TEXT, file=sys.stderr)  # noqa: T201
                return FAILED
            with _opened(given.file, "wb") as file:
                counts = await training.write(source, chosen, file)
    _tell(counts, given, training.said(counts))
    return 0


async def _import(given: argparse.Namespace) -> int:
    settings = load_settings(given.config)
    with _opened(given.file, "rb") as file, _progress("importing") as (bar, advance):
        bar(None if given.file == STANDARD else given.file.stat().st_size)
        async with offline_records(settings, tenant=whose(given)) as records:
            counts = await records.load(iter(file), advance, re_embed=given.re_embed)
    said = f"{counts.read:,} records read, {counts.new:,} of them new"
    if counts.re_embedded or counts.without_vector:
        said += f"; {counts.re_embedded:,} embedded again, {counts.without_vector:,} kept without"
        said += " a vector, so that they teach nothing"
    _tell(asdict(counts), given, said)
    return 0


async def _delete(given: argparse.Namespace) -> int:
    wanted = Wanted(
        whose(given),
        id=given.decision,
        since_s=given.since,
        before_s=given.before,
        conversation=given.conversation and as_recorded(given.conversation),
        principal=given.principal,
    )
    if given.all == (wanted != Wanted(wanted.tenant)):
        raise SettingsError(
            "say which: --decision, --since, --before, --conversation, --principal; or --all"
        )
    if not given.yes and not await to_thread.run_sync(_confirmed, wanted):
        print("Nothing was erased.", file=sys.stderr)  # noqa: T201
        return FAILED
    if given.url is not None:
        erased = await remote(given, given.url).erase(wanted)
    else:
        async with offline_records(load_settings(given.config), tenant=whose(given)) as offline:
            erased = await offline.erase(wanted)
    _tell({"deleted": erased}, given, f"{erased:,} records erased")
    return 0


def _confirmed(wanted: Wanted) -> bool:
    """What was answered at the terminal. Errors: SettingsError where nobody sits there."""
    if not sys.stdin.isatty():
        raise SettingsError("nobody is there to confirm; say --yes to erase without asking")
    which = {name: value for name, value in asdict(wanted).items() if value is not None}
    del which["tenant"]
    said = ", ".join(f"{name} {value}" for name, value in which.items()) or "EVERY record"
    print(f"Erase, for good: {said}? [y/N] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """The file, or the standard stream. Errors: SettingsError."""
    if path == STANDARD:
        yield sys.stdout.buffer if mode == "wb" else sys.stdin.buffer
        return
    try:
        file = path.open(mode)
    except OSError as exc:
        raise SettingsError(f"{path}: cannot be opened: {exc.strerror}") from exc
    with file:
        yield file


@contextmanager
def _progress(doing: str) -> Iterator[tuple[Callable[[float | None], None], Advance]]:
    """A bar on stderr: how to say how much there is, and how much was done."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(doing, total=None)
        yield lambda total: shown.update(task, total=total), lambda n: shown.advance(task, n)


def _tell(counts: dict[str, int], given: argparse.Namespace, said: str) -> None:
    """The counts on stdout, unless the records themselves go there."""
    taken = given.action is _export and given.file == STANDARD
    line = orjson.dumps(counts).decode() if given.json else said
    print(line, file=sys.stderr if taken else sys.stdout, flush=True)


def _moment(text: str) -> float:
    try:
        return moment_s(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} {exc}") from exc
