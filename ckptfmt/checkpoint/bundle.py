"""Tensor bundles: V2 checkpoints, an index and data files ("shards").

::

    PREFIX.index                      table: "" -> BundleHeaderProto, name -> BundleEntryProto
    PREFIX.data-00000-of-00002 …      the bytes of the tensors, at the offsets that the entries give

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ckptfmt import checkpoint, filetype
from ckptfmt.arrays.array import Array, Box
from ckptfmt.arrays.shape import Shape, expected_size
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.bundle_index import BundleIndex
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles, open_table
from ckptfmt.checkpoint.gather import gather, prefetch
from ckptfmt.checkpoint.index_watch import REPLACED, IndexWatch
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.checkpoint.stored_bytes import (
    ByteOrder,
    Layout,
    SlicePlaces,
    StoredBytes,
    label_of,
    layout_of,
)
from ckptfmt.dtypes import Storage
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CorruptError,
    LimitError,
    NotReadableError,
    PathNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import shard_path
from ckptfmt.filetype.stand_in import suspected_stand_in
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.locks import new_lock
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.wire.crc32c import crc32c

MAX_OPEN_SHARDS = 128
"""Data files kept open. A mapping may take a file descriptor, and macOS allows a process 256 by default."""

SMALL = 64 << 10
"""Bytes below which finding a tensor takes longer than reading and verifying it."""

MAX_LAYOUTS = 4096
"""Pairs of dtype and shape that are remembered; an index may have one for each tensor."""


class Bundle:
    """A V2 checkpoint: its index, and the bytes of each whole tensor or slice."""

    has_checked_values = False

    def __init__(
        self,
        files: CheckpointFiles,
        fs: Filesystem,
        limits: Limits = DEFAULT,
        opened: Mapping[str, Table] = {},
    ) -> None:
        self.files = files
        self.fs = fs
        self.limits = limits
        path = files.tables[0]
        self.table = opened.get(path) or open_table(fs, path, limits)
        self.index = BundleIndex(self.table)
        self._watch = IndexWatch(fs, path, self.table.file)
        self._order = ByteOrder(self.index.header.big_endian, files.tables[0])
        # Opened when a tensor in them is read. As in TensorFlow, a missing file matters only to its own
        # tensors.
        self._shards: dict[int, RandomAccessFile] = {}
        self._layouts: dict[tuple[int, Shape], Layout] = {}
        self._suspects: dict[int, filetype.Kind] = {}
        """Data files that seem to be something else, by number."""
        self._lock = new_lock()
        self._closed = False

    @cached_property
    def strays(self) -> checkpoint.Strays:
        """The files that may be missing data files."""
        return checkpoint.Strays(self.fs, self.files.prefix, self.num_shards)

    @property
    def tables(self) -> tuple[Table]:
        """The table of the index."""
        return (self.table,)

    @property
    def has_views(self) -> bool:
        """Whether arrays can be views of the files."""
        return self.table.file.has_views

    @property
    def num_shards(self) -> int:
        """Number of data files that the header claims."""
        return self.index.header.num_shards

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file, whether or not it exists."""
        return shard_path(self.files.prefix, shard, self.num_shards)

    def shard(self, number: int, needed_by: Entry) -> RandomAccessFile:
        """Return an open data file; CheckpointNotFoundError, naming the tensor too, if it is missing."""
        path = self.shard_path(number)
        try:
            with self._lock:
                if self._closed:
                    raise ValueError(f"{self.files.prefix}: the checkpoint is closed")
                if number not in self._shards:
                    if len(self._shards) >= MAX_OPEN_SHARDS:
                        # Dropped but not closed: another thread may be reading it. Its last user closes it.
                        # The one opened first. To know which was used last, locate() would need the lock for
                        # every tensor.
                        del self._shards[next(iter(self._shards))]
                    file = self.fs.open(path)
                    if self._watch.is_replaced():
                        raise NotReadableError(path, REPLACED)
                    kind = suspected_stand_in(file)
                    if kind is not None:
                        self._suspects[number] = kind
                    self._shards[number] = file
                return self._shards[number]
        except PathNotFoundError as error:
            end = (needed_by.offset or 0) + needed_by.nbytes
            raise CheckpointNotFoundError(
                f"no such file: shard {number} of {self.num_shards} of {self.files.tables[0]}, "
                f"which holds tensor {label_of(needed_by)}"
                + (f"; {REPLACED}" if self._watch.is_replaced() else self.strays.hint(number, end)),
                file=path,
            ) from error

    def is_suspect(self, shard: int | None) -> bool:
        """Return whether an open data file seems to be something else; its tensors are located one by one."""
        return shard in self._suspects

    def locate(self, entry: Entry) -> StoredBytes:
        """Return the place of an entry's bytes: those of a tensor stored whole, or of a slice.

        Raises
        ------
        CorruptError
            The size in the index is not that of the dtype and shape.
        TruncatedError
            The data file is too short.
        CheckpointNotFoundError
            The data file is missing; the message names the tensor too.
        UnsupportedError
            Values of the dtype cannot be read, or the data file is something else, such as a Git LFS pointer.
        """
        dtype = entry.dtype
        if dtype.itemsize is None:
            self._check_storable(entry)
        # Compared before anything is allocated: a damaged index may claim any shape and any size.
        elif entry.nbytes != dtype.itemsize * math.prod(entry.shape):
            raise CorruptError(
                f"tensor {label_of(entry)}: size in the index: got {entry.nbytes} bytes, "
                f"want {expected_size(dtype, entry.shape)} for {dtype.name}{list(entry.shape)}",
                file=self.files.tables[0],
            )
        # The entry of a tensor in slices has no place of its own: callers pass the entries of its slices.
        assert entry.shard is not None
        assert entry.offset is not None
        # Looking up a key in a dict is one step and needs no lock; a file not yet open does.
        file = self._shards.get(entry.shard) or self.shard(entry.shard, entry)
        stored = StoredBytes(entry, file, entry.offset, entry.nbytes, self._order)
        if self._suspects and entry.shard in self._suspects:
            self._check_suspect(stored)
        if entry.offset + entry.nbytes > file.size:
            raise TruncatedError(
                f"tensor {label_of(entry)}: file too short",
                wanted=entry.nbytes,
                available=max(0, file.size - entry.offset),
                file=file.name,
                offset=entry.offset,
            )
        return stored

    def _check_suspect(self, stored: StoredBytes) -> None:
        """Raise UnsupportedError unless the bytes of a tensor are intact in a file that seems something else.

        A tensor may hold the text of a web page, so only its checksum decides, which is verified even if the
        caller wants no verification.
        """
        try:
            if stored.offset + stored.size <= stored.file.size:
                stored.check()
                return
        except CorruptError:
            pass
        kind = self._suspects[stored.entry.shard or 0]
        raise filetype.refusal_of(kind, stored.file.name, filetype.Holds.CHECKPOINT)

    def _check_storable(self, entry: Entry) -> None:
        """Raise unless elements that vary in size are strings, or variants that can be read."""
        order = " in big-endian order" if self._order.big_endian else ""
        if entry.dtype.storage is Storage.NONE or (entry.dtype.storage is Storage.VARIANT and order):
            raise UnsupportedError(
                f"tensor {label_of(entry)}: values of dtype {entry.dtype.name} "
                f"(code {entry.dtype.code}){order} are not supported",
                file=self.files.tables[0],
            )

    def read_piece(
        self,
        entry: Entry,
        part: TensorSlice | None,
        *,
        verify: bool,
        at: Box | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return a tensor stored whole or one slice of it, read-only; see :class:`Store`."""
        if part is None and at is None and entry.nbytes < SMALL:
            array = self._small_view(entry, verify=verify)
            if array is not None:
                return array
        stored = self.locate(entry if part is None else self.index.find_slice(entry, part))
        if at is not None and self._order.is_plain(stored.entry):
            # Only what ``at`` takes is read. A view reads it page by page as it is touched; the pages are
            # asked for in advance.
            dtype, shape = stored.entry.dtype, stored.entry.shape
            if not stored.file.has_views:
                try:
                    return gather(stored.file, stored.offset, dtype, shape, at)
                except (LimitError, UnsupportedError) as error:
                    label = f"tensor {label_of(stored.entry)}"
                    raise error.at(stored.file.name, stored.offset, label=label) from error.__cause__
            prefetch(stored.file, stored.offset, dtype, shape, at)
        return stored.decode(stored.read(), verify=verify, at=at, threads=threads)

    def _small_view(self, entry: Entry, *, verify: bool) -> Array | None:
        """Return a small tensor as a view of a file that is open; None if that takes more, or has to raise.

        It does what :meth:`read_piece` does otherwise, in half the time: programs read many small tensors.
        """
        key = entry.dtype.code, entry.shape
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= MAX_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = layout_of(entry, self._order)
        dtype, nbytes = layout
        file = self._shards.get(entry.shard or 0)
        offset = entry.offset
        if (
            file is None
            or dtype is None
            or offset is None
            or nbytes != entry.nbytes
            or offset + nbytes > file.size
            or self._suspects
        ):
            return None
        data = file.read(offset, nbytes)
        if verify and crc32c(data) != entry.crc32c:
            return None
        array: Array = np.ndarray(entry.shape, dtype, data)
        return array

    def locate_slices(self, entry: Entry, shapes: Sequence[Shape]) -> SlicePlaces | None:
        """Return the places of all slices of a tensor, whose bytes are those of arrays of these shapes.

        None if they have to be decoded, or if something is wrong with one; :meth:`read_piece` says what.
        """
        if not self._order.is_plain(entry._replace(slices=())):
            return None
        numbers = self.index.find_slices(entry, shapes)
        if numbers is None:
            return None
        sizes, shards, offsets, crcs = numbers
        wanted = [math.prod(shape) * (entry.dtype.itemsize or 0) for shape in shapes]
        if sizes.tolist() != wanted:
            return None
        files = {}
        for number in np.unique(shards).tolist():
            file = files[number] = self._shards.get(number) or self.shard(number, entry)
            # A sum of two numbers below 2**63 is compared without overflow.
            here = shards == number
            if self.is_suspect(number) or (sizes[here] > file.size - offsets[here]).any():
                return None
        return SlicePlaces(files, shards, offsets, sizes, crcs)

    def release(self, entry: Entry) -> None:
        """Let the system forget the bytes of a tensor."""
        pieces = [self.index.find_slice(entry, part) for part in entry.slices] or [entry]
        for piece in pieces:
            assert piece.shard is not None
            file = self._shards.get(piece.shard)
            if file is not None:
                file.release(piece.offset or 0, piece.nbytes)

    def close(self) -> None:
        """Close all files; arrays already read stay valid."""
        with self._lock:
            self._closed = True
            self.table.file.close()
            for file in self._shards.values():
                file.close()
