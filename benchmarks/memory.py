"""Memory of this process, and pages of files in the page cache; None if the system does not report it."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

_INTERVAL = 0.005
"""Seconds between two samples of private memory."""


def _kibibytes(file: str, *fields: str) -> int | None:
    """The sum of some fields of a file in /proc/self, in bytes."""
    try:
        lines = Path("/proc/self", file).read_text().splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return 1024 * sum(int(sizes[name].split()[0]) for name in fields if name in sizes)


def dirty_bytes() -> int | None:
    """Return the private memory of this process without pages of mapped files."""
    return _kibibytes("smaps_rollup", "Private_Dirty")


def private_bytes() -> int | None:
    """Return the private memory of this process with pages of files that no other process maps."""
    return _kibibytes("smaps_rollup", "Private_Dirty", "Private_Clean")


def resident_bytes() -> int | None:
    """Return the resident memory of this process."""
    return _kibibytes("status", "VmRSS")


def peak_bytes() -> int | None:
    """Return the largest resident memory of this process, since :func:`forget_peak` if that works here."""
    peak = _kibibytes("status", "VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def forget_peak() -> None:
    """Reset the peak of resident memory, on Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def storage_bytes() -> int | None:
    """Return how many bytes were read from storage for this process, on Linux."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return int(dict(line.split(": ", 1) for line in lines)["read_bytes"])


class Sampler:
    """Samples private memory while a block runs: ``with Sampler() as sampler: ...``.

    Afterwards ``dirty`` and ``private`` are the largest growths seen since the block began. The kernel keeps
    no peak of private memory, so a thread looks at it every few milliseconds, and once more at the end.
    """

    dirty: int | None = None
    private: int | None = None

    def __enter__(self) -> Sampler:
        self._before = (dirty_bytes(), private_bytes())
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        if self._before[0] is not None:
            self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._end.wait(_INTERVAL):
            self._sample()

    def _sample(self) -> None:
        dirty, private = dirty_bytes(), private_bytes()
        if None not in (dirty, private, *self._before):
            assert dirty is not None
            assert private is not None
            assert self._before[0] is not None
            assert self._before[1] is not None
            self.dirty = max(self.dirty or 0, dirty - self._before[0])
            self.private = max(self.private or 0, private - self._before[1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._before[0] is not None:
            self._thread.join()
            self._sample()


def drop_pages(files: Iterable[Path]) -> bool:
    """Ask the system to drop files from the page cache; return whether it can be asked."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # dirty pages are not dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    return True


def load_pages(files: Iterable[Path]) -> None:
    """Bring files into the page cache the way a program does that reads each file once, in order.

    The way a file was read decides how large the stretches are in which the system caches it, and maps it
    later. Going over a mapped file takes up to twice as long if they are small.
    """
    files = list(files)
    drop_pages(files)
    buffer = bytearray(1 << 20)
    for path in files:
        with path.open("rb", buffering=0) as file:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
            while file.readinto(buffer):
                pass


def cached_share(files: Iterable[Path]) -> float | None:
    """Return the fraction of the pages of files that is in the page cache, on Linux."""
    if sys.platform != "linux":
        return None
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    pages = cached = 0
    for path in files:
        size = path.stat().st_size
        if not size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as mapped:
            start = ctypes.c_char.from_buffer(mapped)
            vector = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
            failed = mincore(ctypes.addressof(start), size, vector)
            del start
            if failed:
                return None
            held = bytes(vector)
            pages += len(held)
            cached += len(held) - held.count(0)
    return cached / pages if pages else 0.0
