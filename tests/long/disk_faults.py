"""The n-th write or sync of the outbox fails, n from 1 to 40: no acknowledged record is lost."""

import tempfile
from collections import Counter
from pathlib import Path

from tests.support.outbox_writer import can_fail_writes, failing_writes

CALLS = 40
FAULTS = (("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EROFS"), ("fdatasync", "EIO"))


def run(*, scale: float) -> dict[str, object]:
    """One failing call at a time, and six in a row."""
    assert can_fail_writes(), "strace is missing: nothing can be made to fail"
    refused: Counter[str] = Counter()
    tries = 0
    for call, error in FAULTS:
        for first in range(1, CALLS + 1, max(1, round(1 / scale))):
            for in_a_row in (1, 6):
                with tempfile.TemporaryDirectory() as folder:
                    written = failing_writes(
                        Path(folder), call=call, error=error, first=first, last=first + in_a_row - 1
                    )
                started = bool(written.acknowledged or written.refused)
                wrong = written.shows_a_loss() if started else None
                assert wrong is None, f"{call} {first}, {in_a_row} in a row, {error}: {wrong}"
                refused["records refused" if started else "times it did not start"] += (
                    written.refused if started else 1
                )
                tries += 1
    return {"tries": tries, "lost": 0, **refused}
