"""Any byte of the outbox flipped, or all after it cut off: it starts, and gives nothing wrong."""

import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from app.store import Operation, Outbox
from app.store.entries import row_of
from app.store.outbox import FILE
from app.store.salvage import Row
from tests.support.records import direction, evidence, insert, note, record

ENTRIES = {"file": 24, "log": 3}
LOG = f"{FILE}-wal"


def run(*, scale: float) -> dict[str, object]:
    """Every byte of the file and of its log at scale 1; at less, as many as that at random."""
    logging.disable(logging.ERROR)
    chance = random.Random(1)  # noqa: S311
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        for place in ("file", "log"):
            sound = Path(folder) / place
            written = _made(sound, place)
            damaged = sound / (FILE if place == "file" else LOG)
            for harm in ("flipped", "cut"):
                lost: Counter[int] = Counter()
                size_bytes = damaged.stat().st_size
                for at in sorted(chance.sample(range(size_bytes), max(1, int(size_bytes * scale)))):
                    left = _after(sound, damaged.name, harm, at)
                    wrong = [row for row in left if row not in written]
                    assert not wrong, f"{place}, byte {at} {harm}: an entry came back changed"
                    order = [written.index(row) for row in left]
                    assert order == sorted(order), f"{place}, byte {at} {harm}: out of order"
                    lost[len(written) - len(left)] += 1
                figures[f"{place}, {harm}"] = _told(lost, len(written), size_bytes)
    return figures


def _made(directory: Path, place: str) -> list[Row]:
    """An outbox as a killed process leaves it: in its file, or all of it still in the log."""
    code = f"from tests.long.outbox_bytes import fill; fill({str(directory)!r}, {place!r})"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603
    with tempfile.TemporaryDirectory() as copy:
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        written = list(_rows(Path(copy)))
    assert len(written) == ENTRIES[place]
    return written


def fill(directory: str, place: str) -> None:
    """Write entries of every kind, and end without closing."""
    outbox = Outbox(Path(directory), capacity_bytes=1 << 26)
    outbox.open()
    for number in range(0, ENTRIES[place], 3):
        kept, gone = record(), record()
        outbox.append(insert(kept, direction(number)))
        outbox.append(note(kept, "0a", evidence()))
        outbox.erase([gone.id], tenant="local")
    if place == "file":
        outbox.close()
    os._exit(0)


def _after(sound: Path, name: str, harm: str, at: int) -> list[Row]:
    """What a gateway finds after this harm was done."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as copy:  # noqa: S108
        shutil.copytree(sound, copy, dirs_exist_ok=True)
        path = Path(copy) / name
        content = bytearray(path.read_bytes())
        if harm == "flipped":
            content[at] ^= 0xFF
        else:
            del content[at:]
        path.write_bytes(content)
        return list(_rows(Path(copy)))


def _rows(directory: Path) -> Iterator[Row]:
    outbox = Outbox(directory, capacity_bytes=1 << 26)
    outbox.open()
    try:
        operations: list[Operation] = [entry.operation for entry in outbox.pending(1000)]
        yield from map(row_of, operations)
    finally:
        outbox.close()


def _told(lost: Counter[int], entries: int, size_bytes: int) -> str:
    tries = sum(lost.values())
    mean = sum(count * times for count, times in lost.items()) / tries
    return (
        f"{tries} of {size_bytes} bytes; of {entries} entries lost {mean:.2f} on average, "
        f"at most {max(lost)}; nothing lost {lost[0]} times"
    )
