"""A process that writes to an outbox, syncing as it goes, and prints what became of each record.

Run as `python -m tests.support.outbox_writer DIRECTORY RECORDS`; `failing_writes` runs it where
some system calls fail.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from app.errors import OutboxError
from app.store import Outbox
from app.store.checkpoints import Checkpoints
from tests.support.records import direction, insert, record

RECORDS = 64
"""More than 40 calls and six that fail take: the last is written when the disk is well again."""
SYNC_EVERY = 4


@dataclass(frozen=True, slots=True)
class Written:
    """Ids that were acknowledged, and how many were refused, by a process that ended with `status`.

    `waiting` are the ids that the next process finds.
    """

    status: int
    acknowledged: list[str]
    refused: int
    last_was_taken: bool
    waiting: list[str]

    def shows_a_loss(self) -> str | None:
        """What is wrong, in words."""
        if self.status != 0:
            return f"it ended with {self.status}"
        if lost := set(self.acknowledged) - set(self.waiting):
            return f"{len(lost)} of {len(self.acknowledged)} acknowledged records are lost"
        if len(self.waiting) != len(set(self.waiting)):
            return "a record is there twice"
        return None if self.last_was_taken else "it takes no records though the disk is well again"


def can_fail_writes() -> bool:
    """Whether system calls can be made to fail here."""
    return shutil.which("strace") is not None


def failing_writes(directory: Path, *, call: str, error: str, first: int, last: int) -> Written:
    """Have the calls of this kind from the first to the last one counted fail with this error."""
    inject = f"inject={call}:error={error}:when={first}..{last}"
    traced = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
    command = [sys.executable, "-m", "tests.support.outbox_writer", str(directory), str(RECORDS)]
    process = subprocess.run([*traced, *command], capture_output=True, check=False)  # noqa: S603
    lines = [line.split() for line in process.stdout.decode().splitlines()]
    outbox = Outbox(directory, capacity_bytes=1 << 26)
    outbox.open()
    try:
        waiting = [entry.operation.id for entry in outbox.pending(1000)]
    finally:
        outbox.close()
    return Written(
        status=process.returncode,
        acknowledged=[record_id for word, record_id in lines if word == "acknowledged"],
        refused=sum(word == "refused" for word, _ in lines),
        last_was_taken=bool(lines) and lines[-1][0] == "acknowledged",
        waiting=waiting,
    )


def main(directory: Path, records: int) -> None:
    outbox = Outbox(directory, capacity_bytes=1 << 26)
    outbox.open()
    checkpoints = Checkpoints(directory / "outbox.sqlite3")
    for number in range(records):
        kept = record()
        try:
            outbox.append(insert(kept, direction(number)))
        except OutboxError:
            sys.stdout.write(f"refused {kept.id}\n")
        else:
            sys.stdout.write(f"acknowledged {kept.id}\n")
        if number % SYNC_EVERY == 0:
            checkpoints.sync()
    sys.stdout.flush()
    os._exit(0)  # as a kill does: nothing is closed


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
