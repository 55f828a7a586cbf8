"""File systems: what a path is, what a directory holds, and files to read and to write.

Every question about a path goes through a :class:`Filesystem`, so readers do not depend on where files are
stored. The one of this machine is :class:`ckptfmt.storage.local.LocalFilesystem`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Literal, NamedTuple, Protocol, TypeAlias

from ckptfmt.errors import CorruptError, NotReadableError
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.output import NewFile

PathType: TypeAlias = Literal["file", "directory", "other"]


class Listing(NamedTuple):
    """The content of a directory when it was listed."""

    files: list[str]
    """Names of the files, in natural order."""
    directories: list[str]
    """Names of the directories, in natural order."""


class FileStatus(NamedTuple):
    """The properties that distinguish a file that has grown from one that was replaced."""

    identity: tuple[int, ...]
    """The same for as long as the file exists, whatever is written to it; different for every other file."""
    size: int
    """Bytes in the file."""
    changed: int
    """When it was last written, in any unit: larger each time."""


class Filesystem(Protocol):
    """Where files are stored, and how they are reached.

    It is a value: threads may share it, and it can be pickled if openers are to work in other processes.
    It resolves relative paths itself: readers join names to a path with ``os.path.join`` and never change the
    part that the user gave.
    """

    def path_type(self, path: str) -> PathType | None:
        """Return what is at a path, following links; None if nothing is.

        Raises NotReadableError if that cannot be determined, PathNotFoundError if no path of this file system
        looks like that.
        """

    def status(self, path: str) -> FileStatus | None:
        """Return what distinguishes a file from its successors; None if it is missing or unreadable."""

    def link_target(self, path: str) -> str | None:
        """Return the absolute path at the end of a chain of links; None if the path is not a link."""

    def list_directory(self, directory: str) -> Listing:
        """Return what is in a directory; an empty listing if it does not exist.

        Raises NotReadableError if it cannot be listed.
        """

    def glob(self, pattern: str) -> list[str]:
        """Return the files that match a pattern, in natural order; ``**`` means directories at any depth."""

    def open(self, path: str, *, changing: bool = False) -> RandomAccessFile:
        """Open a file for reading; ``changing`` says that it may be replaced or truncated while it is open.

        Raises PathNotFoundError if it does not exist, NotReadableError if it cannot be read.
        """

    def create(
        self,
        path: str,
        *,
        overwrite: bool = False,
        tempstate: bool = False,
        sync: bool = True,
        like: str | None = None,
    ) -> NewFile:
        """Begin a new file, or a new version of one, which appears under its name when it is whole.

        Parameters
        ----------
        path
            The file.
        overwrite
            Whether an existing file may be replaced.
        tempstate
            Whether it is one of the files of a checkpoint. What is left of it after a kill may have the name
            that unfinished files of checkpoints have, and a link is replaced instead of written through.
        sync
            Whether the file outlasts a power cut as soon as it has its name.
        like
            A file whose permissions it gets, if that exists and the file system has permissions. By default
            they are those of the file that it replaces.

        Raises AlreadyExistsError if the file exists and ``overwrite`` is not given, NotWritableError if it
        cannot be written.
        """

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it, if they do not exist; NotWritableError if refused."""

    def remove(self, path: str) -> None:
        """Remove a file, if it exists; NotWritableError if refused."""

    def claim(self, path: str, *, wait: bool = True) -> Claim:
        """Take a path that one program at a time may have; NotWritableError if another one has it.

        ``wait`` says whether to wait for one that has it for a moment, to clean up.
        """


class Claim(Protocol):
    """A path that one program has at a time, with a note for whoever takes over if it is killed."""

    @property
    def noted(self) -> bytes:
        """What a program that was killed noted; empty if there was none."""

    def note(self, data: bytes, *, sync: bool = True) -> None:
        """Keep some bytes for whoever takes over, also after a power cut if ``sync``.

        Raises NotWritableError if refused, or if this process is a fork of the one that has the path.
        """

    def release(self) -> None:
        """Let others have the path, without a note."""

    def leave(self) -> None:
        """Let others have the path, and find the note."""


def natural_order(name: str) -> list[tuple[str, int]]:
    """Return a sort key that puts ``ckpt-9`` before ``ckpt-10``."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)]


def walk(fs: Filesystem, directory: str) -> Iterator[tuple[str, Listing]]:
    """Iterate over a directory and those below it, each with its listing, parents first.

    Links to directories are not followed, so that the walk ends. A directory below that the system refuses to
    list counts as empty. Raises NotReadableError if it refuses to list the directory itself.
    """
    waiting = [directory]  # a stack, the next directory last: no recursion, however deep they are nested
    while waiting:
        path = waiting.pop()
        listing = Listing([], [])
        try:
            listing = fs.list_directory(path)
        except NotReadableError:
            # What was asked for must not seem empty. The rest below it can still be found.
            if path == directory:
                raise
        yield path, listing
        below = (os.path.join(path, name) for name in reversed(listing.directories))
        waiting += [each for each in below if fs.link_target(each) is None]


def is_of_macos(name: str) -> bool:
    """Whether a file is one that macOS adds for another, ``._NAME``, in archives and on shared drives."""
    return name.startswith("._")


def read_small_file(fs: Filesystem, path: str, *, limit: int, what: str) -> bytes:
    """Return all bytes of a file that is small by nature.

    Raises CorruptError if it has more than ``limit`` bytes, too many for ``what`` it should be;
    PathNotFoundError and NotReadableError as :meth:`Filesystem.open` does.
    """
    with closing(fs.open(path)) as file:
        if file.size > limit:
            raise CorruptError(
                f"too large for {what}: got {file.size} bytes, want at most {limit}", file=path
            )
        return bytes(file.read(0, file.size))
