"""What it means to write a file: outputs, and a file object over one."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

from ckptfmt.storage.file import STREAMED_AT_ONCE, RandomAccessFile
from ckptfmt.storage.output.transaction import Transaction

Data: TypeAlias = "bytes | bytearray | memoryview"


class Output(Transaction, Protocol):
    """A file being written; a context manager that commits it, or discards it after an exception."""

    @property
    def name(self) -> str:
        """Path of the file, as errors name it."""

    @abstractmethod
    def write(self, data: Data) -> None:
        """Write bytes; NotWritableError if that fails, or if an earlier call failed."""

    @abstractmethod
    def flush(self) -> None:
        """Flush the buffer to the operating system; raises the same errors as :meth:`write`."""

    @abstractmethod
    def commit(self) -> None:
        """Finish the file: sync it and give it its name.

        Raises AlreadyExistsError if a file of that name was created meanwhile, NotWritableError if the file
        cannot be written; an existing file then stays unchanged.
        """

    @abstractmethod
    def discard(self) -> None:
        """Discard the file, and leave an existing one unchanged. Does nothing after :meth:`commit`."""

    def write_all(self, pieces: Iterable[Data]) -> None:
        """Write one piece after the other; raises what :meth:`write` and the iterable raise."""
        for piece in pieces:
            self.write(piece)

    def copy_from(self, file: RandomAccessFile, offset: int, size: int) -> None:
        """Write ``size`` bytes of another file; raises what :meth:`write` and reading that file raise."""
        stop = offset + size
        while offset < stop:
            length = min(STREAMED_AT_ONCE, stop - offset)
            self.write(file.read(offset, length))
            file.release(offset, length)
            offset += length


class NewFile(Output, Protocol):
    """A file that appears under its name when it is committed."""

    @abstractmethod
    def finish(self) -> None:
        """Sync what was written, so that :meth:`commit` has only to give the file its name.

        A program that writes several files finishes all before it commits the first. Raises NotWritableError.
        """

    @abstractmethod
    def retarget(self, path: str) -> None:
        """Have the file committed under another name in the same directory.

        That name has to be free by then, even if the file was begun with ``overwrite``. For writers that
        learn only at the end how many files there are, which the name of each tells.
        """


class OutputStream(io.RawIOBase):
    """A file object over an :class:`Output`, for libraries that write to nothing else."""

    def __init__(self, output: Output) -> None:
        """Take an output; whoever began it also commits it."""
        self._output = output
        self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Write bytes; raises the same errors as :meth:`Output.write`."""
        view = memoryview(data).cast("B")
        self._output.write(view)
        self._position += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self._position
