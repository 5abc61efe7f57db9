"""The command line: runs the command that was given."""

import argparse
import asyncio
import gc
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import orjson
import uvloop
from rich.console import Console

from app.check import command as check
from app.commands import explain as explain_command
from app.commands import records as record_commands
from app.commands import report as report_command
from app.commands.usage import completion, parser
from app.drain import Drain
from app.ending import Signals
from app.errors import GatewayError
from app.http_guard import HttpLimits
from app.init import command as init
from app.main import create_app
from app.manual import DONE, INTERRUPTED, WRONG_USE
from app.replay import command as replay
from app.replay import screen as replay_screen
from app.replay.experiment import questions
from app.sandbox.config import sandbox_config
from app.sandbox.demo import run_demo
from app.sandbox.provider import sandbox_app
from app.sandbox.screen import progress_bar, show
from app.serving import Listening, serving
from app.settings import Settings
from app.settings.configuration import build_settings, load_settings, read_yaml
from app.telemetry import logs
from app.warmup import command as warmup


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `app.manual` says what the exit status means."""
    given = parser().parse_args(arguments)
    try:
        if given.command in _AT_ONCE:
            return _AT_ONCE[given.command](given)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            status: int = runner.run(_COMMANDS[given.command](given))
    except GatewayError as exc:
        _say(f"autoshift: {exc.message}")
        return WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read has heard enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return status


async def _serve(given: argparse.Namespace) -> int:
    logs.configure(given.log_level)
    signals = Signals()
    async with AsyncExitStack() as stack:
        read: Callable[[], Settings] = partial(load_settings, given.config)
        if given.sandbox:
            read = await stack.enter_async_context(_sandbox_settings(given.config))
        settings = read()
        listening, drain = await stack.enter_async_context(_gateway(settings, read))
        if signals.asked.is_set():
            return DONE
        _say(f"Autoshift listens on {listening.url}/v1 (policy {settings.policy})")
        _say(f"The dashboard is on {listening.url}/dashboard")
        if given.json:
            told = {"url": f"{listening.url}/v1", "policy": settings.policy}
            _print(orjson.dumps({**told, "simulated": settings.simulated}).decode())
        if settings.simulated:
            _say("The models are simulated: every reply says x-autoshift-simulated: yes")
        # What is here by now stays; to look through it for garbage would hold requests up.
        gc.freeze()
        # Requests leave next to no cycles, and looking for them every 700 objects costs a tenth.
        gc.set_threshold(10_000, 20, 20)
        await signals.until_told(listening, drain, pre_stop_s=settings.server.pre_stop_s)
    return 0


async def _demo(given: argparse.Namespace) -> int:
    logs.configure("WARNING")
    with tempfile.TemporaryDirectory(prefix="autoshift-demo-") as store:
        values = {"store": {"path": store}, "server": {"port": 0}, "seed": given.seed}
        async with _sandbox(None, values) as settings, _gateway(settings) as (listening, drain):
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
                _say(f"Look at it on {listening.url}/dashboard")
                _say(f"Still serving on {listening.url}/v1; stop with Ctrl-C")
                await Signals().until_told(listening, drain, pre_stop_s=0)
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
    on_stdout = given.json == replay.STANDARD
    console = Console(width=max(Console().width, replay_screen.WIDTH), stderr=on_stdout)
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


async def _explain(given: argparse.Namespace) -> int:
    logs.configure("WARNING")
    return await explain_command.run(given)


async def _check(given: argparse.Namespace) -> int:
    logs.configure("ERROR")
    return await check.run(given)


def _completion(given: argparse.Namespace) -> int:
    _print(completion(given.shell))
    return DONE


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], Coroutine[None, None, int]]] = {
    "serve": _serve,
    "demo": _demo,
    "warmup": _warmup,
    "replay": _replay,
    "records": _records,
    "report": _report,
    "explain": _explain,
    "check": _check,
}
_AT_ONCE: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "init": init.run,
    "completion": _completion,
}
"""Those that wait at the terminal, or for nothing: an event loop would only be in the way."""


@asynccontextmanager
async def _sandbox(
    config: Path | None, values: dict[str, object] | None = None
) -> AsyncGenerator[Settings, None]:
    """The sandbox's settings, with its provider up."""
    async with _sandbox_settings(config, values) as read:
        yield read()


@asynccontextmanager
async def _sandbox_settings(
    config: Path | None, values: dict[str, object] | None = None
) -> AsyncGenerator[Callable[[], Settings], None]:
    """How to read the sandbox's settings, again and again, with its provider up."""
    path = config or sandbox_config()
    async with serving(sandbox_app()) as provider:
        fixed = {"providers": {"sandbox": {"base_url": f"{provider.url}/v1"}}, **(values or {})}
        yield lambda: build_settings({**read_yaml(path), **fixed}, where=str(path))


@asynccontextmanager
async def _gateway(
    settings: Settings, read: Callable[[], Settings] | None = None
) -> AsyncGenerator[tuple[Listening, Drain], None]:
    """The gateway, up; beside it the admin port, where one is configured.

    `read` gives the settings as they are when SIGHUP asks to reload them.
    """
    app = create_app(settings)
    if read is not None:
        reload = partial(app.state.in_force.reload, read)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    server = settings.server
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        if server.admin is not None:
            await stack.enter_async_context(
                serving(app.state.admin, server.admin.host, server.admin.port)
            )
        drain: Drain = app.state.drain
        listening = await stack.enter_async_context(
            serving(
                app,
                server.host,
                server.port,
                drain_s=server.drain_s,
                at_end=drain.end,
                limits=HttpLimits(reader_s=server.reader_s),
            )
        )
        yield listening, drain


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
