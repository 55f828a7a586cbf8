"""Writers that meet faults: killed at any call of the operating system, or refused by it.

The functions of ``os`` are replaced, and nothing of the package. A writer makes the same calls in the same
order each time, so a test goes through all of them: something happens at the n-th call, for every n.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

CHANGES = [
    *("open", "write", "pwrite", "copy_file_range", "sendfile", "ftruncate", "fsync", "chmod"),
    *("link", "replace", "rename", "unlink", "mkdir", "rmdir"),
]
"""Functions that change what is on the disk, or may."""

QUESTIONS = ["stat", "lstat", "fstat", "scandir", "listdir", "read", "lseek"]
"""Functions that only ask."""

Fault = Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]
"""What happens instead of a call: takes the name of the function, the function and its arguments."""


class _WrittenByCalls(io.FileIO):
    """A file whose bytes go through ``os.write``, which a test can replace."""

    def write(self, data: Any, /) -> int:
        return os.write(self.fileno(), data)


class Calls:
    """Counts the calls of a writer, and lets a fault happen at one of them."""

    def __init__(self, at: int, fault: Fault, *, after: bool = False) -> None:
        """Let the fault happen at the call of that number, and at all later ones if ``after``."""
        self.count = 0
        self.name = ""
        """The function at which it happened."""
        self._at, self._fault, self._after = at, fault, after

    def __call__(self, name: str, real: Callable[..., Any], args: tuple[Any, ...], keywords: Any) -> Any:
        self.count += 1
        if self.count == self._at or (self._after and self.count > self._at):
            self.name = self.name or name
            return self._fault(name, real, args)
        return real(*args, **keywords)

    @property
    def has_happened(self) -> bool:
        return self.count >= self._at

    @contextmanager
    def counted(self, functions: list[str]) -> Iterator[Calls]:
        """Replace functions of ``os`` for the length of a ``with`` block."""
        originals = {name: getattr(os, name) for name in functions if hasattr(os, name)}
        fdopen = os.fdopen

        def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **keywords: self(name, real, args, keywords)

        def open_descriptor(descriptor: int, mode: str = "r", *args: Any, **keywords: Any) -> BinaryIO:
            if mode != "wb":
                return fdopen(descriptor, mode, *args, **keywords)  # type: ignore[return-value]
            return io.BufferedWriter(_WrittenByCalls(descriptor, "wb"))  # type: ignore[return-value]

        try:
            os.fdopen = open_descriptor  # type: ignore[assignment]
            for name, real in originals.items():
                setattr(os, name, wrapped(name, real))
            yield self
        finally:
            os.fdopen = fdopen
            for name, real in originals.items():
                setattr(os, name, real)


def die(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Kill this process: half-way through a write, before anything else."""
    if name == "write":
        real(args[0], memoryview(args[1])[: len(args[1]) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(number: int) -> Fault:
    """Return a fault: the system refuses with an error."""

    def fault(name: str, real: Callable[..., Any], args: tuple[Any, ...]) -> None:
        raise OSError(number, os.strerror(number), *[each for each in args[:1] if isinstance(each, str)])

    return fault


REFUSALS = [errno.EIO, errno.ENOSPC, errno.EACCES]


def in_fork(function: Callable[[], object]) -> int:
    """Run a function in a process of its own; return its exit code, negative if a signal ended it."""
    return exit_codes([started(function)])[0]


def exit_codes(processes: list[int]) -> list[int]:
    """Wait for processes; return their exit codes, negative if a signal ended one."""
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


def started(function: Callable[[], object]) -> int:
    """Start a process that runs a function; return its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Other threads of the test runner do nothing that the new process needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if not process:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return process


def killed_at(number: int, write: Callable[[], object]) -> bool:
    """Run a writer that is killed at its n-th change; return False if it ended before that."""

    def run() -> None:
        with Calls(number, die).counted(CHANGES):
            write()

    code = in_fork(run)
    assert code in (0, -signal.SIGKILL), code
    return code != 0
