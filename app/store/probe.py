"""What can be told of a store without opening it: its room, its lock, its server's version."""

import fcntl
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from app.errors import StoreDownError, StoreError
from app.store.disk import FLOOR_BYTES, free_bytes_of

OLDEST_SERVER = (1, 17)
"""Of a Qdrant server: inserts that never overwrite."""


@dataclass(frozen=True, slots=True)
class Place:
    """A store's directory; `in_use`: another process has its lock."""

    free_bytes: int
    in_use: bool

    @property
    def is_full(self) -> bool:
        return self.free_bytes < FLOOR_BYTES


def look_at(path: Path) -> Place:
    """The directory, or where it will be made. Errors: StoreError where nothing can be written."""
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as exc:
        raise StoreError(f"{existing} cannot be written to: {exc.strerror}") from exc
    in_use = any(_is_locked(path / name) for name in ("lock", "outbox.lock"))
    return Place(free_bytes_of(existing), in_use)


def _is_locked(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


async def server_version(url: str, api_key: SecretStr | None) -> str:
    """The Qdrant server's version. Errors: StoreDownError."""
    # The client library takes seconds to import, and most gateways never need it.
    from app.store.server import connect  # noqa: PLC0415

    client = connect(url, api_key)
    try:
        version: str = (await client.info()).version
    except Exception as exc:  # a client of several libraries: whatever it is, there is no Qdrant
        raise StoreDownError(f"no Qdrant server answers at {url}") from exc
    finally:
        await client.close()
    return version


def is_too_old(version: str) -> bool:
    """Whether this Qdrant version lacks something we need; unreadable ones pass."""
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError:
        return False
    return (major, minor) < OLDEST_SERVER
