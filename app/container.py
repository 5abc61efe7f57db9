"""How much memory the control groups that this process is in let it have: its container's limit."""

from pathlib import Path

UNLIMITED_BYTES = 2**60
"""Version 1 writes no limit as the largest number of pages there can be."""


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The least of all limits, own and of the groups around; None: there is none, or no Linux.

    Source: Linux, control groups version 1 (`memory.limit_in_bytes`) and 2 (`memory.max`).
    """
    limits = [
        limit
        for files in _groups(root / "proc/self/cgroup", root / "sys/fs/cgroup")
        if (limit := _limit(files)) is not None
    ]
    return min(limits, default=None)


def _groups(told: Path, mounted: Path) -> list[Path]:
    """The files with limits: of each group's path and of all above, whatever of it is mounted."""
    try:
        lines = told.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    files: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        own = Path(path.lstrip("/"))
        around = [own, *own.parents]
        if not controllers:
            files += [mounted / each / "memory.max" for each in around]
        elif "memory" in controllers.split(","):
            files += [mounted / "memory" / each / "memory.limit_in_bytes" for each in around]
    return files


def _limit(file: Path) -> int | None:
    try:
        limit = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(limit) if limit.isdecimal() and int(limit) < UNLIMITED_BYTES else None
