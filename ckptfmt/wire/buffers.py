"""Memory for data whose size a file states: if it does not exist, an error of this package says so."""

from __future__ import annotations

import os

import numpy as np

from ckptfmt.errors import LimitError


def new_buffer(size: int, what: str, file: str | None = None) -> memoryview:
    """Return ``size`` writable bytes, uninitialised; LimitError, which says ``what`` for, if memory is short.

    They come from NumPy, which asks the system for huge pages for large arrays, unlike ``bytearray``.
    """
    try:
        return np.empty(size, np.uint8).data
    except (MemoryError, ValueError, OverflowError) as error:
        # ValueError, OverflowError: more than the address space.
        raise LimitError(what, limit=memory_size(), asked=size, file=file) from error


def memory_size() -> int:
    """Return the bytes of physical memory, or 0 if the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
