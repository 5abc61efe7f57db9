"""The C library's allocator, which holds on to what the engine freed unless it is told not to."""

import ctypes


def give_back_freed() -> None:
    """Return freed memory to the system, where the C library can (glibc's `malloc_trim`).

    The engine's threads allocate while a copy is caught up with; what they free lies between what
    is still in use, and would stay the process's own.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
