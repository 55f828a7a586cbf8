"""Where and how a sink writes, and how it continues where an earlier conversion stopped.

A sink that writes a file from its beginning to its end resumes with three lines::

    with writing.create() as output:
        done = writing.noted(output)          # what was noted earlier: nothing, or one note for each tensor
        for tensor in tensors[len(done):]:
            ...                               # write it
            writing.note(output, [crc, size]) # whatever is needed to go on after it, as JSON

A note says that everything written so far is whole. Notes reach the disk from time to time, always after the
bytes that they are about; without ``--resume`` there are none, and :meth:`Writing.note` does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ckptfmt.errors import AlreadyExistsError
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import LocalFilesystem
from ckptfmt.storage.output import NewFile, PartialFile
from ckptfmt.storage.output.directory import OutputDirectory, create_directory
from ckptfmt.storage.output.partial import JOURNAL
from ckptfmt.storage.output.partial_directory import PartialDirectory
from ckptfmt.text.printing import size_text


@dataclass
class Writing:
    """Where a sink writes, and how."""

    fs: Filesystem
    path: str
    """The target, as the user gave it."""
    overwrite: bool = False
    max_shard_bytes: int | None = None
    """Bytes after which another file is begun, if the format has several files."""
    compression: str | None = None
    """The compression, one that the format has; None for its default."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What is known of the origin: ``source``, ``source_digest``, ``plan``. Formats that can keep it do."""
    advance: Callable[[int], None] = lambda nbytes: None
    """Is called with the bytes of tensors written since the last call."""
    key: str | None = None
    """What is being written, from what and how: an earlier conversion with the same key is continued. None if
    nothing is kept."""
    sync: bool = True
    """Whether files outlast a power cut as soon as they have their names."""
    remarks: list[str] = field(default_factory=list)
    """What the user should know, in whole sentences."""
    _kept: list[PartialFile | PartialDirectory] = field(default_factory=list)

    def create(self, path: str | None = None) -> NewFile:
        """Begin a file, by default the target; it appears under its name when it is committed.

        Bytes that an earlier conversion wrote, up to its last note, are in it already.
        """
        path = self.path if path is None else path
        if self.key is None or not isinstance(self.fs, LocalFilesystem):
            return self.fs.create(path, overwrite=self.overwrite, sync=self.sync)
        output = self.fs.create_partial(path, self.key, overwrite=self.overwrite)
        if isinstance(output, PartialFile):
            self._keep(path, output)
        return output

    def was_committed(self, path: str) -> bool:
        """Whether an earlier conversion has given a file its name, and left its notes; it is whole then."""
        if self.key is None or not isinstance(self.fs, LocalFilesystem):
            return False
        if self.fs.path_type(path + JOURNAL) is None or self.fs.path_type(path) is None:
            return False
        try:
            output = self.fs.create_partial(path, self.key)
        except AlreadyExistsError:
            return False
        if isinstance(output, PartialFile):
            self._kept.append(output)
            return output.is_whole
        return False

    def create_directory(self) -> OutputDirectory:
        """Begin the target as a directory, which appears under its name when it is whole.

        What an earlier conversion wrote is in it already; of files without a note, perhaps only a part.
        """
        if self.key is None or not isinstance(self.fs, LocalFilesystem):
            return create_directory(self.fs, self.path, overwrite=self.overwrite)
        output = PartialDirectory(self.fs, self.path, self.key, overwrite=self.overwrite)
        self._keep(self.path, output)
        return output

    def _keep(self, path: str, output: PartialFile | PartialDirectory) -> None:
        self._kept.append(output)
        if output.was_another:
            self.remarks.append(f"{path}: what is left is of another source, plan or target: started over")
        elif output.notes:
            left = f" after {size_text(output.start)}" if isinstance(output, PartialFile) else ""
            self.remarks.append(f"{path}: resumed{left}")

    def noted(self, output: NewFile | OutputDirectory) -> list[Any]:
        """Return what an earlier conversion noted about a file or a directory, in order."""
        return output.notes if isinstance(output, (PartialFile, PartialDirectory)) else []

    def note(self, output: NewFile | OutputDirectory, note: Any) -> None:  # noqa: ANN401  (what JSON holds)
        """Note that all that was written so far is whole; ``note`` is what is needed to go on."""
        if isinstance(output, (PartialFile, PartialDirectory)):
            output.note(note)

    def settle(self) -> None:
        """Forget the notes: everything has its name."""
        for output in self._kept:
            if isinstance(output, PartialFile):
                output.forget()

    def abandon(self) -> None:
        """Keep what was written, and the notes, for a later conversion."""
        for output in self._kept:
            output.discard()
