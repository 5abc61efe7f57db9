"""The child process that re-indexes a copy of the embedded store.

It is a process of its own because the engine holds the interpreter's lock meanwhile.
Run as `python optimize.py DIRECTORY PARENT_PID`.
"""

import ctypes
import os
import signal
import sys

from qdrant_edge import EdgeShard

NOTHING_TO_DO = 3
_PR_SET_PDEATHSIG = 1


def main(directory: str, parent_pid: int) -> int:
    """The exit status: 0, or NOTHING_TO_DO where the copy is as good as the original."""
    _end_with(parent_pid)
    os.nice(19)
    shard = EdgeShard.load(directory)
    changed = shard.optimize()
    shard.flush()
    shard.close()
    return 0 if changed else NOTHING_TO_DO


def _end_with(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
