"""A control group whose processes may take only so much memory, as a container's may."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

MOUNTED = Path("/sys/fs/cgroup")


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path | None]:
    """Its folder; None where this process may make none (that takes root, mostly)."""
    for parent, limit in (
        (MOUNTED / "memory", "memory.limit_in_bytes"),  # version 1
        (MOUNTED, "memory.max"),
    ):
        folder = parent / f"autoshift-{uuid4().hex}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if not (folder / limit).exists():
                continue
            (folder / limit).write_text(str(limit_bytes), encoding="ascii")
            yield folder
            return
        finally:
            folder.rmdir()
    yield None


def within(folder: Path) -> tuple[str, ...]:
    """What to put before a command so that it runs in there."""
    return ("/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', os.fspath(folder / "cgroup.procs"))


def kills(folder: Path) -> int:
    """How many of its processes were killed because they took too much."""
    for name in ("memory.oom_control", "memory.events"):
        told = folder / name
        if told.exists():
            counts = dict(line.split() for line in told.read_text(encoding="ascii").splitlines())
            if "oom_kill" in counts:
                return int(counts["oom_kill"])
    raise AssertionError(f"{folder} does not tell its kills")
