"""The command line as it is written: help, examples, completion, version."""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from app.cli import main
from app.commands.usage import completion, parser


def commands(
    whole: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and its parser, those that hold others included."""
    yield name.strip(), whole
    for action in whole._actions:  # noqa: SLF001 - argparse has no other way to look at it
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner, its in action.choices.items():
                yield from commands(its, f"{name} {inner}")


def examples(its: argparse.ArgumentParser) -> list[str]:
    lines = (its.epilog or "").splitlines()
    return [line.strip() for line in lines if line.startswith("  autoshift ")]


COMMANDS = dict(commands(parser()))


def test_the_commands_are_those_that_are_promised() -> None:
    promised = {"serve", "demo", "warmup", "replay", "report", "check", "init", "completion"}
    promised |= {"records export", "records import", "records delete"}

    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_are_right_and_says_its_exit_status(name: str) -> None:
    its = COMMANDS[name]
    shown = its.format_help()

    assert "exit status:\n  0   " in shown
    assert examples(its)
    for example in examples(its):
        words = shlex.split(example.partition(" > ")[0])[1:]
        assert example.startswith(f"autoshift {name}".strip())
        if "COMMAND" in words:
            continue
        if not name:  # what it does is told beside it
            words = words[: next((i for i, w in enumerate(words) if w == "see"), len(words))]
            words = words[:3] if "--config" in words else words[:1]
        assert parser().parse_args(words).command == (name or words[0]).split()[0]


def test_every_command_that_finds_something_out_can_say_it_as_json() -> None:
    without = {"", "records", "completion"}
    speechless = [
        name for name, its in COMMANDS.items() if "--json" not in its.format_help().split()
    ]

    assert {
        name for name in speechless if "[--json" not in COMMANDS[name].format_usage()
    } <= without


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])

    assert capsys.readouterr().out == f"autoshift {version('autoshift')}\n"


def test_bash_completes_commands_and_options() -> None:
    ask = (
        "source <(cat); COMP_WORDS=(autoshift {}); COMP_CWORD={}; COMPREPLY=(); "
        '_shtab_autoshift; echo "${{COMPREPLY[@]}}"'
    )
    expected = {("ser", 1): "serve", ("completion z", 2): "zsh", ("check --stri", 2): "--strict"}
    for (typed, place), completed in expected.items():
        ran = subprocess.run(  # noqa: S603
            ["bash", "-c", ask.format(typed, place)],  # noqa: S607
            input=completion("bash"),
            capture_output=True,
            text=True,
            check=True,
        )
        assert completed in ran.stdout.split(), (typed, ran)


def test_zsh_gets_a_script_of_its_own() -> None:
    assert completion("zsh").startswith("#compdef autoshift")


def test_a_reader_that_has_heard_enough_is_no_error() -> None:
    command = f"{sys.executable} -m app.cli completion zsh | head -n 1; echo ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)  # noqa: S603, S607

    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["#compdef autoshift", "0"]
