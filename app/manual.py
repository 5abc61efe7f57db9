"""What a command's help says beside its options: examples, and what its exit status means."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - a type only

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
_EXITS = {
    DONE: "done",
    FAILED: "not done, or something was found wanting",
    WRONG_USE: "a mistake in the call or the configuration, or something it needs is down",
    INTERRUPTED: "interrupted",
}


def add_command(
    commands: "Commands", name: str, says: str, *, examples: Sequence[str], failed: str = ""
) -> argparse.ArgumentParser:
    """A command whose help has these examples; `failed` is what its exit status 1 means."""
    return commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=epilog(examples, failed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def epilog(examples: Sequence[str], failed: str = "") -> str:
    """The end of a help text."""
    exits = {**_EXITS, **({FAILED: failed} if failed else {})}
    lines = ["examples:", *(f"  autoshift {example}" for example in examples), ""]
    lines += ["exit status:", *(f"  {status:<4}{meaning}" for status, meaning in exits.items())]
    return "\n".join(lines)
