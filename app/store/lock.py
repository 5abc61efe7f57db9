"""A lock on a directory, so that two gateways never write the same files."""

import fcntl
import os
from pathlib import Path

from app.errors import StoreError, StoreLockedError


class DirectoryLock:
    """Held by one process at a time; the kernel lets go of it when that process ends."""

    def __init__(self, directory: Path, name: str = "lock") -> None:
        self._directory = directory
        self._name = name
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, making the directory if need be.

        Errors: StoreLockedError when another process has it; StoreError for an unusable directory.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._directory / self._name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StoreError(
                f"store.path {self._directory} cannot be used: {exc.strerror}"
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            raise locked(self._directory) from exc
        self._descriptor = descriptor

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def locked(directory: Path) -> StoreLockedError:
    """The refusal, with the way out."""
    return StoreLockedError(
        f"the records in {directory} are in use by another process: stop it, give this one its "
        "own store.path, or share a Qdrant server through store.url"
    )
