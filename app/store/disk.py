"""How much room the disk must have before the embedded engine is asked to write."""

import shutil
from collections.abc import Callable
from pathlib import Path

from app.errors import StoreDownError

# On a full disk the engine dies with SIGBUS; it is not asked to write on one that nearly is.
FLOOR_BYTES = 64 * 1024 * 1024


class Disk:
    """The disk that `path` is on; `free_bytes` gives what is free there."""

    def __init__(self, path: Path, free_bytes: Callable[[Path], int]) -> None:
        self._path = path
        self._free_bytes = free_bytes

    def require(self, more_bytes: int = 0) -> None:
        """Errors: StoreDownError where less than the floor and `more_bytes` are free."""
        free_bytes, wanted_bytes = self._free_bytes(self._path), FLOOR_BYTES + more_bytes
        if free_bytes < wanted_bytes:
            raise StoreDownError(
                f"the disk is nearly full: {free_bytes // 2**20} MiB are free in {self._path}, "
                f"{wanted_bytes // 2**20} are needed; make room, records wait in the outbox"
            )


def free_bytes_of(path: Path) -> int:
    return shutil.disk_usage(path).free
