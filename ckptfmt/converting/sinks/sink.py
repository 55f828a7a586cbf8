"""What writes a format: it refuses what the format cannot hold, then writes all tensors in one go.

A module of this room serves one format and has one class that is a :class:`Sink`. Everything that might be
wrong is found before the first byte is written: names, dtypes and shapes are known by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ckptfmt.converting.sinks.outgoing import Outgoing
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.output import NewFile
from ckptfmt.storage.output.directory import OutputDirectory, create_directory


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
    """The compression, by the name that the format has for it; None for the format's usual way."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What is known of the origin: ``source``, ``source_digest``, ``plan``. Formats that can keep it do."""
    advance: Callable[[int], None] = lambda nbytes: None
    """Is called with the bytes of tensors written since the last call."""

    def create(self, path: str | None = None) -> NewFile:
        """Begin a file, by default the target; it appears under its name when it is committed."""
        return self.fs.create(self.path if path is None else path, overwrite=self.overwrite)

    def create_directory(self) -> OutputDirectory:
        """Begin the target as a directory, which appears under its name when it is whole."""
        return create_directory(self.fs, self.path, overwrite=self.overwrite)


class Sink(Protocol):
    """A format being written."""

    @property
    def format(self) -> str:
        """Its name: what ``--to`` takes."""

    def problem(self, tensor: Outgoing) -> str | None:
        """Return why the format cannot hold a tensor, in a few words: "no bfloat16"; None if it can."""

    def write(self, tensors: Sequence[Outgoing], writing: Writing) -> list[str]:
        """Write all tensors, and return the paths of the files, that to be opened first.

        Either everything appears or nothing does. Raises ValueError for names that the format cannot have,
        MissingDependencyError, AlreadyExistsError, NotWritableError, and what reading the tensors raises.
        """
