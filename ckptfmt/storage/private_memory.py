"""Private memory: arrays that view a mapped file, once more in memory that is the caller's to change.

The system maps the file a second time, copy-on-write: pages are those of the file until something is written
to one, and only then is this page copied. So nothing is copied that is only read, and a write changes neither
the file nor the arrays of others. Writing to the first mapping would kill the process.
"""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import suppress
from typing import Any

import numpy as np

from ckptfmt.storage.local_file import is_mapped_here, reopen

_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
"""With this flag the system maps a file larger than memory: most of its pages are never written."""


class PrivateMemory:
    """Private mappings of files, one for each file, which live as long as an array in them."""

    def __init__(self) -> None:
        # By the mapping, which is kept, so that its identity is not that of another.
        self._mappings: dict[int, tuple[mmap.mmap, int, mmap.mmap | None]] = {}

    def view(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
        """Return the array at the same place in a private mapping, writable.

        Returns None if it is not a view of a mapped file, or if that file has gone.
        """
        shared = mapping_of(array)
        if shared is None:
            return None
        if id(shared) not in self._mappings:
            start = np.frombuffer(shared, np.uint8).__array_interface__["data"][0]
            self._mappings[id(shared)] = shared, start, _map_privately(shared)
        _, start, private = self._mappings[id(shared)]
        if private is None:
            return None
        offset = array.__array_interface__["data"][0] - start
        viewed: np.ndarray[Any, Any] = np.ndarray(array.shape, array.dtype, private, offset, array.strides)
        return viewed


def mapping_of(array: np.ndarray[Any, Any]) -> mmap.mmap | None:
    """Return the mapping of a file that an array views; None if it has memory that others may change."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    shared: object = base.obj if isinstance(base, memoryview) else base
    return shared if isinstance(shared, mmap.mmap) and is_mapped_here(shared) else None


def _map_privately(shared: mmap.mmap) -> mmap.mmap | None:
    """Map the file of a mapping copy-on-write; None if it has gone, or the system refuses."""
    descriptor = reopen(shared)
    if descriptor is None:
        return None
    with suppress(OSError, ValueError):  # ValueError: the file has been cut short
        try:
            if sys.platform == "win32":
                return mmap.mmap(descriptor, len(shared), access=mmap.ACCESS_COPY)
            flags, access = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            return mmap.mmap(descriptor, len(shared), flags=flags, prot=access)
        finally:
            os.close(descriptor)
    return None
