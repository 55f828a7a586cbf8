"""What every format of checkpoint can be asked: names and entries of tensors, and the bytes of each piece.

A store reads one piece at a time, a tensor stored whole or one slice of it. :mod:`ckptfmt.checkpoint.reading`
makes tensors of pieces, :mod:`ckptfmt.checkpoint.bulk` reads many at once; both see only this protocol.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np

from ckptfmt.arrays.array import Array, Box
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.checkpoint.stored import StoredBytes
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table.table import Table


class Store(Protocol):
    """The tensors in the files of one checkpoint."""

    files: CheckpointFiles
    """The files."""
    fs: Filesystem
    """The file system that the files are in."""

    @property
    def tables(self) -> Sequence[Table]:
        """The sorted tables: the index of a bundle; every file of a V1 checkpoint."""

    @property
    def num_shards(self) -> int:
        """Number of data files according to the index; in V1 the number of files that exist."""

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file by its number, whether or not it exists."""

    @property
    def has_views(self) -> bool:
        """Whether arrays can be views of the files, which take neither memory nor time."""

    @property
    def has_checked_values(self) -> bool:
        """Whether values lie in table blocks, whose checksums are always verified."""

    # --- names and entries -------------------------------------------------------------------------------

    def names(self) -> Iterator[str]:
        """Iterate over the names of the tensors, sorted by their bytes."""

    def __len__(self) -> int: ...

    def __contains__(self, name: object) -> bool: ...

    def names_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin with a prefix; if possible, only part of the index is read."""

    def names_near(self, name: str) -> Iterator[str]:
        """Iterate over names among which to look for one like ``name``."""

    def absent(self, names: Collection[str]) -> list[str]:
        """Return the names, of many, that no tensor has."""

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tensor, or None; CorruptError if it is damaged."""

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of all tensors, in the order of their names."""

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all entries as columns; see :meth:`ckptfmt.checkpoint.columns.Entries.to_columns`."""

    # --- bytes -------------------------------------------------------------------------------------------

    def locate(self, entry: Entry) -> StoredBytes | None:
        """Return where the bytes of a whole tensor lie; None if they are encoded in a table block.

        Raises CorruptError, CheckpointNotFoundError, NotReadableError, UnsupportedError if they cannot be
        read.
        """

    def read_piece(
        self,
        entry: Entry,
        part: TensorSlice | None,
        *,
        verify: bool,
        at: Box | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return a whole tensor (``part`` is None) or one slice of it, or the box ``at`` of that, read-only.

        ``verify`` verifies the checksum, which takes reading all of it.
        """

    def release(self, entry: Entry) -> None:
        """Let the operating system drop the bytes of a tensor from memory; they can be read again."""

    def close(self) -> None:
        """Close the files; arrays already returned stay valid."""
