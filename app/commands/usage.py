"""The command line as it is written: every command, its options, and its completion in a shell."""

import argparse
from importlib.metadata import version
from pathlib import Path

import shtab

from app.check import command as check
from app.commands import explain as explain_command
from app.commands import records as record_commands
from app.commands import report as report_command
from app.init import command as init
from app.manual import add_command, epilog
from app.replay import command as replay
from app.warmup import command as warmup

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


def parser() -> argparse.ArgumentParser:
    """What reads the arguments; `command` is the name of the command that was given."""
    whole = argparse.ArgumentParser(
        prog="autoshift",
        description="An automatic transmission for LLM tiers.",
        epilog=epilog(
            [
                "demo                                 see what it saves; no key, no network",
                "init                                 write a configuration of your own",
                "check --config autoshift.yaml        say what is wrong with it",
                "serve --config autoshift.yaml        then point your client at it",
                "COMMAND --help                       what a command takes, with examples",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"autoshift {version('autoshift')}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_running(commands)
    _add_setting_up(commands)
    _add_learning(commands)
    return whole


def completion(shell: str) -> str:
    """What this shell must read to complete our commands."""
    whole = parser()
    _complete_files(whole)
    return shtab.complete(whole, shell=shell)


def _add_running(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = add_command(
        commands,
        "serve",
        "serve the gateway",
        examples=[
            "serve --sandbox",
            "serve --config autoshift.yaml",
            "serve --config autoshift.yaml --json --log-level WARNING",
        ],
    )
    _add_config(serve)
    serve.add_argument(
        "--sandbox", action="store_true", help="with simulated models: no key, no network"
    )
    serve.add_argument("--log-level", default="INFO", choices=LEVELS, help="default: INFO")
    serve.add_argument("--json", action="store_true", help="where it listens, as JSON on stdout")

    demo = add_command(
        commands,
        "demo",
        "route simulated questions and show what it saved",
        examples=["demo", "demo --questions 100 --seed 3", "demo --json", "demo --serve"],
    )
    demo.add_argument("--questions", type=_count, default=300, metavar="N", help="default: 300")
    demo.add_argument("--seed", type=int, default=7, metavar="N", help="default: 7")
    demo.add_argument("--serve", action="store_true", help="keep serving afterwards")
    demo.add_argument("--json", action="store_true", help="the figures as JSON")


def _add_setting_up(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    init.add_options(add_command(commands, "init", init.SAYS, examples=init.EXAMPLES))
    checked = add_command(
        commands, "check", check.SAYS, examples=check.EXAMPLES, failed=check.FAILS
    )
    _add_config(checked)
    check.add_options(checked)
    completed = add_command(
        commands,
        "completion",
        "print what a shell needs to complete these commands",
        examples=[
            "completion bash > ~/.local/share/bash-completion/completions/autoshift",
            'completion zsh > "${fpath[1]}/_autoshift"',
        ],
    )
    completed.add_argument("shell", choices=("bash", "zsh"))


def _add_learning(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    warmed = add_command(
        commands,
        "warmup",
        "have all tiers answer some of your own prompts, to start from",
        examples=[
            "warmup prompts.jsonl --config autoshift.yaml",
            "warmup prompts.txt --config autoshift.yaml --questions 50 --yes --json",
            "warmup prompts.jsonl --sandbox",
        ],
        failed="declined, nothing was answered, or the highest estimate was reached",
    )
    _add_config(warmed)
    warmed.add_argument("--sandbox", action="store_true", help="with simulated models")
    warmup.add_options(warmed)

    replayed = add_command(
        commands,
        "replay",
        "run policies over recorded answers",
        examples=[
            "replay answers.jsonl.gz --policy llm_at --policy value --sweep --plot curve.png",
            "replay answers.jsonl --judge simulated:0.9,0.3,0.5 --json figures.json",
            "replay exported.jsonl --policy value",
        ],
    )
    replay.add_options(replayed)

    explained = add_command(
        commands,
        "explain",
        "say what would be done with a question, and why",
        examples=[
            'explain "What is 17 + 25?" --config autoshift.yaml',
            'explain "What is 17 + 25?" --url http://127.0.0.1:8080 --keep-quality 0.9',
            "explain --decision ID --config autoshift.yaml --json",
        ],
    )
    explain_command.add_options(explained)

    records = add_command(
        commands,
        "records",
        "export, import or erase records",
        examples=[
            "records export saved.jsonl --config autoshift.yaml",
            "records import saved.jsonl --config autoshift.yaml",
            "records delete --before 2026-01-01 --url http://127.0.0.1:8080",
        ],
    )
    record_commands.add_options(records)

    report = add_command(
        commands,
        "report",
        "say whether routing pays",
        examples=["report --url http://127.0.0.1:8080", "report --config autoshift.yaml --json"],
    )
    report_command.add_options(report)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the YAML file; default: $AUTOSHIFT_CONFIG"
    )


def _complete_files(parser: argparse.ArgumentParser) -> None:
    """Whatever is a path is completed as one."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to look at it
        if action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
        if isinstance(action.choices, dict):
            for inner in action.choices.values():
                _complete_files(inner)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is too few; it must be at least 1")
    return value
