"""Scratch files: without a name, for libraries that write here and there, and gone with the process."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from ckptfmt.errors import NotWritableError
from ckptfmt.storage.file import STREAMED_AT_ONCE
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.local_file import resolve_path
from ckptfmt.storage.stream import SeekableStream
from ckptfmt.storage.target import not_writable


class Scratch(SeekableStream):
    """A file object to write, read and seek in, for libraries that cannot cope with a full disk.

    What the disk refuses is kept in memory, and the error is noted: HDF5 crashes if a write fails. Whoever
    writes calls :meth:`check` often, so that little is kept.
    """

    def __init__(self, file: io.FileIO, name: str) -> None:
        """Take an empty file, which is closed with this, and a name for errors."""
        super().__init__()
        self._file = file
        self._name = name
        self._refused: list[tuple[int, bytes]] = []
        self._error: NotWritableError | None = None

    def check(self) -> None:
        """Raise NotWritableError if the disk has refused anything."""
        if self._error is not None:
            raise self._error

    def writable(self) -> bool:
        """Return True."""
        return True

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Write bytes at the position; never fails."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            self.check()
            self._file.seek(self._position)
            while done < view.nbytes:
                done += self._file.write(view[done:])
        except NotWritableError:
            self._refused.append((self._position, bytes(view)))
        except OSError as error:
            self._error = not_writable(self._name, error)
            self._refused.append((self._position + done, bytes(view[done:])))
        self._position += view.nbytes
        self.size = max(self.size, self._position)
        return view.nbytes

    def readinto(self, out: Any) -> int:  # noqa: ANN401  (any buffer, as file objects take them)
        """Fill a buffer as far as the file goes."""
        view = memoryview(out).cast("B")
        start, size = self._position, max(0, min(view.nbytes, self.size - self._position))
        self._file.seek(start)
        done = 0
        while done < size and (count := self._file.readinto(view[done:size])):
            done += count
        view[done:size] = bytes(size - done)  # a part that was never written
        for offset, data in self._refused:
            first, last = max(offset, start), min(offset + len(data), start + size)
            if first < last:
                view[first - start : last - start] = data[first - offset : last - offset]
        self._position += size
        return size

    def pieces(self) -> Iterator[bytes]:
        """Iterate over all bytes; raises what :meth:`check` does."""
        self.check()
        self.seek(0)
        while data := self.read(STREAMED_AT_ONCE):
            yield data

    def close(self) -> None:
        """Close the file, which is gone then."""
        self._file.close()
        super().close()


def open_scratch(fs: Filesystem, path: str) -> Scratch:
    """Return an empty file, on the disk of a local target; NotWritableError if the system refuses."""
    directory = None
    if isinstance(fs, LocalFilesystem):
        directory = os.path.dirname(os.path.realpath(resolve_path(path, fs.directory)))
    try:
        return Scratch(tempfile.TemporaryFile(buffering=0, dir=directory), path)
    except (OSError, ValueError) as error:
        raise not_writable(path, error) from error
