"""Runs the long tests, `python -m tests.long`: each part in a process, two at once, then a table.

A part is a module in this folder. Its docstring says in one sentence what it shows; its
`run(*, scale)` gives figures, or raises AssertionError where a promise was broken. Scale 1 is the
full size.
"""

import argparse
import ast
import importlib
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
BROKEN = 1
SIGN_OF_LIFE_S = 60.0
AT_ONCE = 2
LONGEST = "soak"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one part; `broken` says which promise was, None: all held."""

    part: str
    scale: float
    took_s: float
    figures: dict[str, object] = field(default_factory=dict)
    broken: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """0: every promise held; 1: one was broken; 2: wrong use."""
    given = _parser().parse_args(arguments)
    if given.write is not None:
        return _run_here(given.parts[0], given.scale, given.write)
    console = Console()
    if given.list:
        console.print(_list(parts_found()))
        return 0
    # The longest first, and beside it the others one after the other.
    parts = sorted(given.parts or parts_found(), key=lambda part: part != LONGEST)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda part: _run(part, given.scale, console), parts))
    console.print(_table(outcomes))
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    return BROKEN if any(outcome.broken for outcome in outcomes) else 0


def parts_found() -> dict[str, str]:
    """The parts and what each shows, in order of their names; none is imported."""
    modules = sorted(path for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    found = {path.stem: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in modules}
    return {name: " ".join((shows or "").split()) for name, shows in found.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.long", description="The long tests.")
    parser.add_argument("parts", nargs="*", type=_part, metavar="PART", help="default: all of them")
    parser.add_argument("--scale", type=_scale, default=1.0, metavar="X", help="default: 1")
    parser.add_argument("--list", action="store_true", help="say what there is, run nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    return parser


def _part(text: str) -> str:
    if text not in parts_found():
        known = ", ".join(parts_found())
        raise argparse.ArgumentTypeError(f"there is no part {text!r}; there are {known}")
    return text


def _scale(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError(f"{value} must be more than 0, and at most 100")
    return value


def _run(part: str, scale: float, console: Console) -> Outcome:
    """Run one part in a process of its own, with a sign of life now and then."""
    console.print(f"[bold]{part}[/] (scale {scale:g}) …", highlight=False)
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"autoshift-{part}-") as folder:
        written = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", "tests.long", part, f"--scale={scale}"]
        child = subprocess.Popen([*command, f"--write={written}"])  # noqa: S603 - our own module
        try:
            while _still_runs(child):
                console.print(f"  {part}: {time.monotonic() - started_s:.0f} s", highlight=False)
        except BaseException:
            child.terminate()
            child.wait()
            raise
        told = json.loads(written.read_text("utf-8")) if written.exists() else {}
    took_s = round(time.monotonic() - started_s, 1)
    broken = told.get("broken")
    if not told:
        broken = f"the process ended with status {child.returncode}, and said nothing"
    console.print(f"  {part}: {broken or 'held'}, {took_s:.0f} s", highlight=False, markup=False)
    return Outcome(part, scale, took_s, told.get("figures", {}), broken)


def _still_runs(child: "subprocess.Popen[bytes]") -> bool:
    """Wait for a while; whether it goes on."""
    try:
        child.wait(SIGN_OF_LIFE_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _run_here(part: str, scale: float, written: Path) -> int:
    """Run one part in this process, and write what came of it."""
    figures: dict[str, object] = {}
    broken = None
    try:
        figures = importlib.import_module(f"tests.long.{part}").run(scale=scale)
    except AssertionError as exc:
        broken = str(exc) or "an assertion without a message failed"
        traceback.print_exc()
    except Exception as exc:  # noqa: BLE001 - a part that cannot be run has shown nothing
        broken = f"it could not be run: {type(exc).__name__}: {exc}"
        traceback.print_exc()
    written.write_text(json.dumps({"figures": figures, "broken": broken}, default=str))
    return BROKEN if broken else 0


def _list(parts: dict[str, str]) -> Table:
    table = Table("part", "what it shows")
    for name, shows in parts.items():
        table.add_row(name, shows)
    return table


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table("part", "scale", "took", "promises", "figures", title="The long tests")
    for outcome in outcomes:
        figures = "\n".join(f"{name}: {value}" for name, value in outcome.figures.items())
        held = "held" if outcome.broken is None else f"BROKEN: {outcome.broken}"
        table.add_row(outcome.part, f"{outcome.scale:g}", f"{outcome.took_s:.0f} s", held, figures)
    return table


if __name__ == "__main__":
    sys.exit(main())
