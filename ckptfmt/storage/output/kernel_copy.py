"""Bytes copied from file to file by the kernel, without a way through the memory of the program."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.local_file import borrowed_descriptor

COPIED_BY_KERNEL_FROM = 256 << 10
"""Bytes from which the kernel copies; for fewer, opening the file again takes as long as the copy."""

_AT_ONCE = 64 << 20
"""Bytes for the kernel to copy in one call, which cannot be interrupted."""


def copy_in_kernel(file: RandomAccessFile, target: int, offset: int, size: int) -> int:
    """Copy bytes of a file to the position of a descriptor; return how many the system copied.

    It may copy none, or stop for any reason: files in memory, file systems that cannot do it, a full disk.
    The caller reads and writes the rest, which either works or says whose fault it is.
    """
    done = 0
    with borrowed_descriptor(file) as source:
        if source is None:
            return 0
        for copy in _copies():
            with suppress(OSError):
                while done < size:
                    count = copy(source, target, offset + done, min(_AT_ONCE, size - done))
                    if not count:
                        break  # the end of the file, or a file system that copies nothing
                    done += count
    return done


def _copies() -> list[Callable[[int, int, int, int], int]]:
    """Return the calls of this system that copy from a file to a descriptor, the best first."""
    copies: list[Callable[[int, int, int, int], int]] = []
    if hasattr(os, "copy_file_range"):  # Linux; some file systems then share the blocks
        copies.append(lambda source, target, offset, size: os.copy_file_range(source, target, size, offset))
    if hasattr(os, "sendfile"):  # between any two files on Linux, only to sockets elsewhere
        copies.append(lambda source, target, offset, size: os.sendfile(target, source, offset, size))
    return copies
