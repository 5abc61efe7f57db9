"""The command line: `serve`, `demo`, `warmup`, `replay`, `records`, `report`, `check`."""

import argparse
import asyncio
import gc
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from app import logs, record_commands, report_command
from app.configuration import build_settings, load_settings, read_yaml
from app.errors import GatewayError, UpstreamError
from app.main import create_app
from app.parts import build_upstreams
from app.replay import command as replay
from app.replay import screen as replay_screen
from app.replay.experiment import questions
from app.sandbox.config import sandbox_config
from app.sandbox.demo import run_demo
from app.sandbox.provider import sandbox_app
from app.sandbox.screen import progress_bar, show
from app.serving import Listening, serving
from app.settings import Settings
from app.upstreams.transport import build_client
from app.warmup import command as warmup

FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 is success, 1 a failed check, 2 a mistake in the configuration or call."""
    given = _parser().parse_args(arguments)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status: int = runner.run(given.command(given))
    except GatewayError as exc:
        _say(f"autoshift: {exc.message}")
        return WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoshift", description="An automatic transmission for LLM tiers."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the gateway")
    _add_config(serve)
    serve.add_argument(
        "--sandbox", action="store_true", help="with simulated models: no key, no network"
    )
    serve.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    serve.set_defaults(command=_serve)

    demo = commands.add_parser("demo", help="route simulated questions and show what it saved")
    demo.add_argument("--questions", type=_count, default=300, metavar="N", help="default: 300")
    demo.add_argument("--seed", type=int, default=7, metavar="N", help="default: 7")
    demo.add_argument("--serve", action="store_true", help="keep serving afterwards")
    demo.add_argument("--json", action="store_true", help="the figures as JSON")
    demo.set_defaults(command=_demo)

    warmed = commands.add_parser(
        "warmup", help="have all tiers answer some of your own prompts, to start from"
    )
    _add_config(warmed)
    warmed.add_argument("--sandbox", action="store_true", help="with simulated models")
    warmup.add_options(warmed)
    warmed.set_defaults(command=_warmup)

    replayed = commands.add_parser("replay", help="run policies over recorded answers")
    replay.add_options(replayed)
    replayed.set_defaults(command=_replay)

    records = commands.add_parser("records", help="export, import or erase records")
    record_commands.add_options(records)
    records.set_defaults(command=_records)

    report = commands.add_parser("report", help="say whether routing pays")
    report_command.add_options(report)
    report.set_defaults(command=_report)

    check = commands.add_parser("check", help="validate the configuration and ping every provider")
    _add_config(check)
    check.add_argument("--json", action="store_true", help="the findings as JSON")
    check.set_defaults(command=_check)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the YAML file; default: $AUTOSHIFT_CONFIG"
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too few; it must be at least 1")
    return value


async def _serve(given: argparse.Namespace) -> int:
    logs.configure(given.log_level)
    async with AsyncExitStack() as stack:
        if given.sandbox:
            settings = await stack.enter_async_context(_sandbox(given.config))
        else:
            settings = load_settings(given.config)
        listening = await stack.enter_async_context(_gateway(settings))
        _say(f"Autoshift listens on {listening.url}/v1 (policy {settings.policy})")
        if settings.simulated:
            _say("The models are simulated: every reply says x-autoshift-simulated: yes")
        # What is here by now stays; to look through it for garbage would hold requests up.
        gc.freeze()
        await _until_signal(listening)
    return 0


async def _demo(given: argparse.Namespace) -> int:
    logs.configure("WARNING")
    with tempfile.TemporaryDirectory(prefix="autoshift-demo-") as store:
        values = {"store": {"path": store}, "server": {"port": 0}, "seed": given.seed}
        async with _sandbox(None, values) as settings, _gateway(settings) as listening:
            console = Console(stderr=given.json)
            with progress_bar(console) as progress:
                report = await run_demo(
                    listening.url, questions=given.questions, seed=given.seed, progress=progress
                )
            if given.json:
                _print(report.to_json())
            else:
                show(report, console)
            if not given.serve:
                _say("The addresses above end with this command; `demo --serve` keeps them.")
            else:
                _say(f"Still serving on {listening.url}/v1; stop with Ctrl-C")
                await _until_signal(listening)
    return 0


async def _warmup(given: argparse.Namespace) -> int:
    logs.configure("ERROR")  # what else goes wrong is counted, and told in the end
    serve = "autoshift serve" + (" --sandbox" if given.sandbox else "")
    if given.config is not None:
        serve += f" --config {given.config}"
    if not given.sandbox:
        return await warmup.run(given, load_settings(given.config), serve=serve)
    async with _sandbox(given.config) as settings:
        return await warmup.run(given, settings, serve=serve)


async def _replay(given: argparse.Namespace) -> int:
    logs.configure("WARNING")
    console = Console(width=max(Console().width, replay_screen.WIDTH))
    if given.pool:
        replay_screen.show_pooled(replay.pool_reports(given), console)
        return 0
    if replay.is_own(given):
        own = await replay.replay_own(given)
        replay.write(own, given)
        replay_screen.show_own(own, console)
        return 0
    call = replay.Replay(given)
    with replay_screen.progress_bar(console, questions(call.plan, call.course)) as progress:
        report = await call.run(progress)
    replay.write(report, given)
    replay_screen.show(report, console)
    return 0


async def _records(given: argparse.Namespace) -> int:
    logs.configure("WARNING")
    return await record_commands.run(given)


async def _report(given: argparse.Namespace) -> int:
    logs.configure("WARNING")
    return await report_command.run(given)


async def _check(given: argparse.Namespace) -> int:
    logs.configure("ERROR")
    settings = load_settings(given.config)
    create_app(settings)
    found = await _ping(settings)
    if given.json:
        _print(orjson.dumps(found).decode())
    else:
        table = Table("tier", "model", "provider", "finding", title="Tiers, cheapest first")
        for tier in settings.tiers:
            table.add_row(tier.name, tier.model, tier.provider, found[tier.name])
        Console().print(table)
    return 0 if all(finding.startswith("ok") for finding in found.values()) else FAILED


async def _ping(settings: Settings) -> dict[str, str]:
    """What each tier's provider says, by tier."""
    found: dict[str, str] = {}
    async with build_client() as client:
        upstreams = build_upstreams(settings, client)
        for tier in settings.tiers:
            try:
                models = await upstreams[tier.provider].ping(tier.timeouts)
            except UpstreamError as exc:
                found[tier.name] = exc.message
                continue
            listed = not models or tier.model in models
            found[tier.name] = "ok" if listed else f"{tier.model} is not among its models"
    return found


@asynccontextmanager
async def _sandbox(
    config: Path | None, values: dict[str, object] | None = None
) -> AsyncGenerator[Settings, None]:
    """The sandbox's settings, with its provider up."""
    path = config or sandbox_config()
    configured = {**read_yaml(path), **(values or {})}
    async with serving(sandbox_app()) as provider:
        configured["providers"] = {"sandbox": {"base_url": f"{provider.url}/v1"}}
        yield build_settings(configured, where=str(path))


@asynccontextmanager
async def _gateway(settings: Settings) -> AsyncGenerator[Listening, None]:
    """The gateway, up; beside it the admin port, where one is configured."""
    app = create_app(settings)
    server = settings.server
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        if server.admin is not None:
            await stack.enter_async_context(
                serving(app.state.admin, server.admin.host, server.admin.port)
            )
        yield await stack.enter_async_context(
            serving(app, server.host, server.port, drain_s=server.drain_s)
        )


async def _until_signal(listening: Listening) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, listening.stop)
    await listening.until_stopped()


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
