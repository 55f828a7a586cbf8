"""What a checkpoint of any format can be asked: names and entries of tensors, and the bytes of each piece.

A store reads one piece at a time: a tensor stored whole, or one slice of it. Tensors are made of pieces by
:mod:`ckptfmt.checkpoint.reading`, and many are read at once by :mod:`ckptfmt.checkpoint.bulk`; both see only
these protocols.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np

from ckptfmt.arrays.array import Array, Box
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.checkpoint.slot_parts import Slots
from ckptfmt.checkpoint.stored_bytes import SlicePlaces, StoredBytes
from ckptfmt.limits import Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table.table import Table


class Index(Protocol):
    """The names and entries of the tensors of a checkpoint."""

    def names(self) -> Iterator[str]:
        """Iterate over the names of the tensors, sorted by their bytes."""

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of all tensors, in the order of their names."""

    @property
    def slots(self) -> Slots:
        """The slots that are stored in parts. Each is listed as one tensor; its parts are only looked up."""

    def stored_entries(self) -> Iterator[Entry]:
        """Iterate over all entries as they are stored: those of the parts of a slot, not of the slot."""

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all entries as columns; see :meth:`ckptfmt.checkpoint.columns.Entries.to_columns`."""

    def __len__(self) -> int: ...

    def __contains__(self, name: object) -> bool: ...

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tensor, or None; CorruptError if it is damaged."""

    def absent(self, names: Collection[str]) -> list[str]:
        """Return those of many names that no tensor has."""

    def names_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin with a prefix, reading less than for all names if possible."""

    def names_near(self, name: str) -> Iterator[str]:
        """Iterate over the names to compare with one that does not exist."""


class Store(Protocol):
    """The files of one checkpoint, and the bytes of its tensors in them."""

    files: CheckpointFiles
    """The files."""
    fs: Filesystem
    """The file system that holds them."""
    limits: Limits
    """How much memory and work they may take."""

    @property
    def index(self) -> Index:
        """The names and entries of the tensors."""

    @property
    def tables(self) -> Sequence[Table]:
        """The sorted tables: the index of a bundle, or every file of a V1 checkpoint."""

    @property
    def num_shards(self) -> int:
        """Number of data files according to the index; of a V1 checkpoint, the number of files that exist."""

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file by its number, whether or not it exists."""

    @property
    def has_views(self) -> bool:
        """Whether arrays can be views of the files, which take no memory and no time."""

    @property
    def has_checked_values(self) -> bool:
        """Whether values are in table blocks, whose checksums are always verified."""

    def locate(self, entry: Entry) -> StoredBytes | None:
        """Return the place of the bytes of a tensor stored whole; None if they are encoded in a table block.

        Raises CorruptError, CheckpointNotFoundError, NotReadableError or UnsupportedError if they cannot be
        read.
        """

    def is_suspect(self, shard: int | None) -> bool:
        """Return whether each tensor of an open data file must be located: the file seems something else."""

    def locate_slices(self, entry: Entry, shapes: Sequence[Shape]) -> SlicePlaces | None:
        """Return the places of all slices of a tensor; None if they are to be read one by one."""

    def read_piece(
        self,
        entry: Entry,
        part: TensorSlice | None,
        *,
        verify: bool,
        at: Box | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return a tensor stored whole (``part`` None) or one slice, or the box ``at`` of it, read-only.

        With ``verify`` all of the piece is read and its checksum verified.
        """

    def release(self, entry: Entry) -> None:
        """Let the system forget the bytes of a tensor; touched again, they are read again."""

    def close(self) -> None:
        """Close the files; arrays already returned stay valid."""
