"""Makes what was written to the outbox survive a power cut: a checkpoint a second, in a thread."""

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from anyio import to_thread

logger = logging.getLogger(__name__)

CHECKPOINT_S = 1.0
LARGE_LOG_BYTES = 32 * 1024 * 1024


class Checkpoints:
    """Of one SQLite file in WAL mode. `trouble` says why the last one failed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._dirty = False
        self._erased = False
        self.trouble: str | None = None

    def note_written(self, *, erased: bool = False) -> None:
        """There is something to sync; what was erased has to leave the log as well."""
        self._dirty = True
        self._erased = self._erased or erased

    async def run(self) -> None:
        """Once a second, where there is something to sync, until cancelled."""
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            if self._dirty:
                self._dirty = False
                await to_thread.run_sync(self.sync)

    def sync(self) -> None:
        """Make it survive a power cut now. Errors: none; `trouble` tells."""
        try:
            log_bytes = self._path.with_name(self._path.name + "-wal").stat().st_size
            # A passive one never makes a writer wait, but under steady writing never ends the log.
            ends_log = self._erased or log_bytes > LARGE_LOG_BYTES
            mode = "TRUNCATE" if ends_log else "PASSIVE"
            with closing(sqlite3.connect(self._path, timeout=1.0)) as database:
                database.execute("PRAGMA synchronous = NORMAL")
                database.execute(f"PRAGMA wal_checkpoint({mode})")
        except (sqlite3.Error, OSError) as exc:
            self._dirty = True
            if self.trouble is None:
                logger.warning("the outbox cannot be synced to disk", extra={"why": str(exc)})
            self.trouble = str(exc)
        else:
            self.trouble = None
            self._erased = False
