"""Work in pieces: large stretches of bytes are cut, and threads take one piece after the other.

The unit of work is a piece and not a tensor, so that one tensor of 20 GB keeps every core busy, and a
thousand small ones share them evenly. Threads help where the work lets go of the interpreter: reading,
copying and checksums of pieces of this size do.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

PIECE = 4 << 20
"""Bytes of a piece: checksumming one takes 0.4 ms, starting a thread less than 0.1 ms."""

MAX_THREADS = 8
"""Threads used unless the caller says how many; checksums soon need all the memory bandwidth there is."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def cut(offset: int, size: int) -> Iterator[tuple[int, int]]:
    """Iterate over the pieces of a stretch of bytes: offset and size of each.

    All but the first are of :data:`PIECE` bytes, so that every CRC is moved on by one and the same number,
    for which :func:`ckptfmt.wire.crc32c.combine` has the factor at hand.
    """
    stop = offset + size
    while offset < stop:
        border = stop - (stop - offset - 1) // PIECE * PIECE
        yield offset, border - offset
        offset = border


def default_threads() -> int:
    """Return how many threads work where nobody says how many: one for each processor this may use."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(MAX_THREADS, len(usable))


class _Helper(threading.Thread):
    """A thread that can be waited for whatever interrupts the waiting.

    Before Python 3.13, a thread whose ``join`` was interrupted counts as ended while it still runs
    (CPython issue 90882), hence the event.
    """

    def __init__(self, run: Callable[[], None]) -> None:
        super().__init__()
        self._work = run
        self._done = threading.Event()

    def run(self) -> None:
        try:
            self._work()
        finally:
            self._done.set()

    def wait(self) -> BaseException | None:
        """Wait until the thread has ended; return the last interruption meanwhile, if there was one."""
        interruption: BaseException | None = None
        while not self._done.is_set():
            try:
                self._done.wait()
            except BaseException as error:
                interruption = error
        self.join()
        return interruption


def in_threads(work: Callable[[_T], _R], items: Iterable[_T], threads: int) -> list[_R]:
    """Return ``work(item)`` of each item, in order, done by up to ``threads`` threads, this one among them.

    After an error nothing new is begun. Of several errors that of the first item is raised: all items
    before it were begun before it, and are done.
    """
    waiting = deque(enumerate(items))
    results: dict[int, _R] = {}
    errors: dict[int, BaseException] = {}

    def run() -> None:
        while True:
            try:
                number, item = waiting.popleft()
            except IndexError:
                return
            try:
                results[number] = work(item)
            except BaseException as error:
                errors[number] = error
                waiting.clear()

    count = len(waiting)
    helpers: list[_Helper] = []
    try:
        while len(helpers) < min(threads, count) - 1:
            helper = _Helper(run)
            try:
                helper.start()
            except RuntimeError:
                break  # the system has no thread left; fewer do it too
            helpers.append(helper)
        run()
    finally:
        # Interrupted or not, threads do not outlive the call.
        waiting.clear()
        interruptions = [helper.wait() for helper in helpers]
        for interruption in filter(None, interruptions):
            raise interruption
    try:
        if errors:
            raise errors[min(errors)]
    finally:
        # Kept, it would keep this frame, and that the error: with all that work has in memory.
        errors.clear()
    return [results[number] for number in range(count)]
