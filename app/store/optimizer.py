"""Runs `optimize.py` on a copy of the store, in a child process that can be stopped."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from app.errors import StoreError
from app.store import optimize

# By file, not by module: importing the package would take the child most of a second.
COMMAND = (sys.executable, "-P", optimize.__file__)


class Optimizer:
    """At most one child at a time; it ends with its parent, or by `stop`."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._guard = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, directory: Path, source: Path | None = None) -> bool:
        """Re-index this directory, waiting for the child; whether anything changed.

        With a source, the directory is an empty store that first gets what is alive there.

        Errors: StoreError when the child fails.
        """
        sources = [] if source is None else [source]
        with self._guard:
            if self._stopped:
                raise StoreError("the store is closing")
            child = self._child = subprocess.Popen(  # noqa: S603 - our own file, no shell
                [*self._command, str(directory), str(os.getpid()), *map(str, sources)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        _, stderr = child.communicate()
        if child.returncode not in {0, optimize.NOTHING_TO_DO}:
            reason = stderr.decode(errors="replace").strip()[-500:]
            raise StoreError(f"the optimizer ended with status {child.returncode}: {reason}")
        return child.returncode == 0

    def stop(self) -> None:
        """End the child, now and for good."""
        with self._guard:
            self._stopped = True
            if self._child is not None:
                self._child.kill()
