"""The gateway, which on SIGUSR1 writes down how much memory it has in use.

What a process holds is that and what its allocators keep of what was freed, which comes and goes.
`python -m tests.long._in_use FILE …`: what follows is the gateway's own command line.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from app.cli import main

BLOCK_BYTES = 72
"""What one of Python's own blocks takes, on average."""


class _Malloc(ctypes.Structure):
    """Source: glibc's `mallinfo2`, all arenas summed."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def in_use_bytes() -> int:
    """By the C library's count, and Python's."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Malloc
    told = library.mallinfo2()
    return int(told.uordblks) + int(told.hblkhd) + BLOCK_BYTES * sys.getallocatedblocks()


def _write_down(path: Path) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_text(str(in_use_bytes()), encoding="ascii")
    os.replace(unfinished, path)


if __name__ == "__main__":
    written = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR1, lambda *_: _write_down(written))
    sys.exit(main())
