"""A command run as its users run it: a process of its own."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended, and what it said."""

    status: int
    out: str
    err: str


async def autoshift(*arguments: str | Path, columns: int = 140) -> Ran:
    """`autoshift` with these arguments, on a terminal so wide."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *map(str, arguments)),
        cwd=ROOT,
        env={"COLUMNS": f"{columns}", "PATH": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ran(process.returncode, out.decode(), err.decode())
