"""The child process that re-indexes a copy of the embedded store, or writes it anew.

It is a process of its own because the engine holds the interpreter's lock meanwhile.
Run as `python optimize.py DIRECTORY PARENT_PID [SOURCE]`; DIRECTORY is empty if there is a SOURCE.
"""

import ctypes
import os
import signal
import sys

from qdrant_edge import EdgeShard, Point, ScrollRequest, UpdateOperation

NOTHING_TO_DO = 3
COPIED_AT_ONCE = 256
_PR_SET_PDEATHSIG = 1


def main(directory: str, parent_pid: int, source: str | None = None) -> int:
    """The exit status: 0, or NOTHING_TO_DO where the copy is as good as the original."""
    _end_with(parent_pid)
    os.nice(19)
    shard = EdgeShard.load(directory)
    if source is not None:
        _copy_points(EdgeShard.load(source), shard)
    changed = shard.optimize()
    shard.flush()
    shard.close()
    return 0 if changed or source is not None else NOTHING_TO_DO


def _copy_points(source: EdgeShard, target: EdgeShard) -> None:
    """Without the bytes of what was deleted, which stay in the engine's own files."""
    offset = None
    while True:
        request = ScrollRequest(
            offset=offset, limit=COPIED_AT_ONCE, with_payload=True, with_vector=True
        )
        points, offset = source.scroll(request)
        copies = [Point(p.id, p.vector or {}, p.payload or {}) for p in points]
        if copies:
            target.update(UpdateOperation.upsert_points(copies))
        if offset is None:
            return


def _end_with(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:4]))
