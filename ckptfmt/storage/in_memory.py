"""Bytes in memory as a file."""

from __future__ import annotations

from ckptfmt.storage.file import check_bounds


class MemoryFile:
    """Bytes in memory, read like a file."""

    has_views: bool = True

    def __init__(self, data: bytes | bytearray | memoryview, name: str = "<bytes>") -> None:
        """Take bytes, which nobody may change while they are read, and a name for errors."""
        self.name = name
        view = memoryview(data)
        # Neither memory with gaps nor arrays without elements can be cast to bytes.
        if not view.c_contiguous or not view.nbytes:
            view = memoryview(view.tobytes())
        self._view = view.cast("B").toreadonly()
        self.size = view.nbytes

    def read(self, offset: int, size: int) -> memoryview:
        """Return a read-only view of ``size`` bytes at ``offset``; no copy is made."""
        check_bounds(self, offset, size)
        return self._view[offset : offset + size]

    def read_into(self, offset: int, out: memoryview) -> None:
        """Copy ``out.nbytes`` bytes at ``offset`` into ``out``."""
        out.cast("B")[:] = self.read(offset, out.nbytes)

    def prefetch(self, offset: int, size: int) -> None:
        """Do nothing: the bytes are in memory."""

    def release(self, offset: int, size: int) -> None:
        """Do nothing: the bytes are the caller's."""

    def close(self) -> None:
        """Do nothing."""
