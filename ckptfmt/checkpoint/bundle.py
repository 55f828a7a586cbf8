"""Tensor bundles: V2 checkpoints, an index table and data files ("shards").

::

    PREFIX.index                      table: "" -> BundleHeaderProto, name -> BundleEntryProto
    PREFIX.data-00000-of-00002 …      the bytes of the tensors, where the entries say

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Collection, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np

from ckptfmt.arrays.array import Array, Box
from ckptfmt.arrays.shape import expected_size
from ckptfmt.checkpoint.columns import Columns
from ckptfmt.checkpoint.entry import Entry, decode_entry, key_of, name_of
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.gather import gather, prefetch
from ckptfmt.checkpoint.slices import (
    TensorSlice,
    encode_slice_key,
    region_shape,
    slice_key_end,
    slice_key_start,
)
from ckptfmt.checkpoint.stored import ByteOrder, StoredBytes, label_of
from ckptfmt.checkpoint.version import check_version
from ckptfmt.dtypes import Storage
from ckptfmt.errors import (
    CheckpointNotFoundError,
    CorruptError,
    LimitError,
    PathNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import shard_path
from ckptfmt.storage.file import RandomAccessFile
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer, to_signed
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields

HEADER_KEY = b""

MAX_OPEN_SHARDS = 128
"""Data files kept open: where a mapping costs a file descriptor, a process soon has no more."""

LISTED_BYTES = 4 << 20
"""Indexes of at most so many bytes, of 100,000 tensors, are listed to find what a wrong name may mean."""

BYTES_AROUND = 512 << 10
"""Of larger ones so much is listed before and behind where it would be: 15,000 names each."""

LOOK_UP_BYTES = 1024
"""As many bytes of an index are listed in the time of one look-up."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the empty key of an index says of the whole bundle."""

    num_shards: int
    big_endian: bool


def decode_header(value: Buffer) -> Header:
    """Return the header of a serialized BundleHeaderProto; UnsupportedError where it excludes this reader."""
    num_shards = endianness = 0
    version = []
    for field in decode_fields(value):
        if (field.number, field.wire_type) == (1, VARINT):
            num_shards = to_signed(field.value)
        elif (field.number, field.wire_type) == (2, VARINT):
            endianness = field.value
        elif (field.number, field.wire_type) == (3, LENGTH_DELIMITED):
            version.append(field.content)
    if endianness > 1:
        raise CorruptError(f"endianness of the bundle: got {endianness}, want 0 or 1")
    check_version(b"".join(version))
    return Header(num_shards, bool(endianness))


class Bundle:
    """A V2 checkpoint: entries by name, and the values of each whole tensor or slice."""

    def __init__(self, files: CheckpointFiles, fs: Filesystem) -> None:
        self.files = files
        self.fs = fs
        self.table = Table(fs.open(files.tables[0]))
        self._index_name = files.tables[0]
        self._shards: dict[int, RandomAccessFile] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._listed: Columns | None = None
        value = self.table.get(HEADER_KEY)
        if value is None:
            raise CorruptError(
                "no bundle header: the index has no entry with the empty key", file=self._index_name
            )
        try:
            self.header = decode_header(value)
            self._order = ByteOrder(self.header.big_endian, self._index_name)
        except CorruptError as error:
            raise error.at(self._index_name, 0) from None
        except UnsupportedError as error:
            raise error.at(self._index_name) from None

    # --- names and entries -------------------------------------------------------------------------------

    @property
    def columns(self) -> Columns:
        """The entries of all tensors, in key order; read in one pass over the index when first asked for."""
        columns = self._listed
        if columns is None:
            columns = self._listed = self._columns(b"", None)
        return columns

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Row of each tensor by its name."""
        return dict(zip(self.columns.names, range(len(self.columns)), strict=True))

    def _columns(self, low: bytes, high: bytes | None) -> Columns:
        """The entries of the tensors whose keys begin with ``low`` or follow it, and come before ``high``."""
        with suppress(MemoryError):
            return self._read_columns(low, high)
        # Compressed, names may take many times what the file does. What was read of them has been let go.
        size = self.table.file.size
        raise LimitError(
            f"memory for the names in an index of {size} bytes",
            limit=memory_size(),
            asked=size,
            file=self._index_name,
        )

    def _read_columns(self, low: bytes, high: bytes | None) -> Columns:
        columns = Columns(self.table.rows(low, high), self.decode_entry)
        first = bisect_left(columns.names, low, key=key_of)
        last = len(columns) if high is None else bisect_left(columns.names, high, key=key_of)
        if not low and columns.names[:1] == [""]:
            first = 1  # behind the header
        columns.cut(first, last)
        slices = _rows_of_slices(columns)
        if slices:
            columns.drop(slices)
        return columns

    def names(self) -> Iterator[str]:
        """Iterate over the names of the tensors, sorted by their bytes."""
        return iter(self.columns.names)

    def __len__(self) -> int:
        return len(self.columns)

    def names_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin so; unless all are listed, only their blocks are read."""
        if self._listed is not None or prefix[:1] in ("", "\0"):
            names = self.columns.names
        else:
            try:
                key = key_of(prefix)
            except UnicodeEncodeError:
                return iter(())
            names = self._columns(key, _behind(key)).names
        return (name for name in names if name.startswith(prefix))

    def names_near(self, name: str) -> Iterator[str]:
        """Iterate over names among which one like ``name`` may be: all, or of a large index those around it.

        All, too, where they have been listed.
        """
        if self._listed is not None or self.table.file.size <= LISTED_BYTES:
            yield from self.names()
            return
        try:
            key = key_of(name)
        except UnicodeEncodeError:
            return
        low, high = self.table.range_around(key, BYTES_AROUND)
        # Not the keys of slices, whose tensors may lie elsewhere.
        yield from self._columns(max(low, b"\1"), high).names

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of all tensors, in the order of their names."""
        return iter(self.columns)

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all entries as columns; see :meth:`ckptfmt.checkpoint.columns.Entries.to_columns`."""
        return self.columns.to_columns()

    @property
    def tables(self) -> tuple[Table]:
        """The index."""
        return (self.table,)

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tensor, or None; without a listing so far, one block of the index is read."""
        if self._listed is not None or name[:1] == "\0":
            row = self._rows.get(name)
            return None if row is None else self.columns.entry(row)
        value = self._find_value(name)
        return None if value is None else self.decode_entry(name, value)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if self._listed is not None or name[:1] == "\0":
            return name in self._rows
        return self._find_value(name) is not None

    def absent(self, names: Collection[str]) -> list[str]:
        """Return those of many names that no tensor has."""
        known: Container[str] = self
        if len(names) * LOOK_UP_BYTES > self.table.file.size:
            with suppress(CorruptError):  # there may be whole blocks that have all of them
                known = self._rows
        return [name for name in names if name not in known]

    def _find_value(self, name: str) -> Buffer | None:
        """The serialized entry of a tensor, whether or not it can be decoded."""
        try:
            key = key_of(name)
        except UnicodeEncodeError:
            return None
        # Escaped bytes that are UTF-8 together are the key of another name.
        return self.table.get(key) if key != HEADER_KEY and name_of(key) == name else None

    def find_slice(self, entry: Entry, part: TensorSlice) -> Entry:
        """Return the entry of one slice of a tensor; CorruptError where it is missing or does not fit."""
        key = encode_slice_key(key_of(entry.name), part)
        value = self.table.get(key)
        if value is None:
            raise CorruptError(
                f"tensor {entry.name!r}: slice {part} is not in the index", file=self._index_name
            )
        found = self.decode_entry(name_of(key), value)
        try:
            shape = region_shape(part.region(entry.shape))
        except CorruptError as error:
            raise error.at(self._index_name, label=f"tensor {entry.name!r}") from None
        if found.dtype != entry.dtype or found.shape != shape or found.slices:
            raise CorruptError(
                f"tensor {entry.name!r}: slice {part}: got {found.dtype.name}{list(found.shape)}, "
                f"want {entry.dtype.name}{list(shape)}",
                file=self._index_name,
            )
        return found

    def decode_entry(self, name: str, value: Buffer) -> Entry:
        """Return the entry that the index has under ``name``; errors name the tensor and the index."""
        try:
            entry = decode_entry(name, value)
        except CorruptError as error:
            raise error.at(self._index_name, label=f"entry of tensor {name!r}") from None
        if not entry.slices:
            return entry
        nbytes = expected_size(entry.dtype, entry.shape) or self._sliced_nbytes(entry)
        if nbytes >= 1 << 63:
            raise CorruptError(f"entry of tensor {name!r}: it takes {nbytes} bytes", file=self._index_name)
        return entry._replace(nbytes=nbytes)

    def _sliced_nbytes(self, entry: Entry) -> int:
        """Stored bytes of a tensor in slices whose elements vary in size."""
        values = (self.table.get(encode_slice_key(key_of(entry.name), part)) for part in entry.slices)
        return sum(decode_entry("", value).nbytes for value in values if value is not None)

    # --- bytes -------------------------------------------------------------------------------------------

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
        stored = self.locate(entry if part is None else self.find_slice(entry, part))
        if at is not None and self._order.is_plain(stored.entry):
            dtype, shape = stored.entry.dtype, stored.entry.shape
            if not stored.file.has_views:
                return gather(stored.file, stored.offset, dtype, shape, at)
            prefetch(stored.file, stored.offset, dtype, shape, at)
        return stored.decode(stored.read(), verify=verify, at=at, threads=threads)

    has_checked_values = False

    @property
    def has_views(self) -> bool:
        """Whether arrays can be views of the files."""
        return self.table.file.has_views

    def release(self, entry: Entry) -> None:
        """Let the system forget the bytes of a tensor."""
        for stored in (self.find_slice(entry, part) for part in entry.slices) if entry.slices else (entry,):
            assert stored.shard is not None
            file = self._shards.get(stored.shard)
            if file is not None:
                file.release(stored.offset or 0, stored.nbytes)

    def locate(self, entry: Entry) -> StoredBytes:
        """Return where the bytes of an entry lie: of a tensor stored whole, or of a slice.

        Raises
        ------
        CorruptError
            The index gives them another size than dtype and shape do.
        TruncatedError
            The data file is too short.
        CheckpointNotFoundError
            It is missing; the message names the tensor too.
        UnsupportedError
            The dtype has no stored values.
        """
        dtype = entry.dtype
        if dtype.itemsize is None:
            self._check_storable(entry)
        elif entry.nbytes != dtype.itemsize * math.prod(entry.shape):
            raise CorruptError(
                f"tensor {label_of(entry)}: size in the index: got {entry.nbytes} bytes, "
                f"want {expected_size(dtype, entry.shape)} for {dtype.name}{list(entry.shape)}",
                file=self._index_name,
            )
        assert entry.shard is not None
        assert entry.offset is not None
        file = self._shards.get(entry.shard) or self.shard(entry.shard, entry)
        if entry.offset + entry.nbytes > file.size:
            raise TruncatedError(
                f"tensor {label_of(entry)}: file too short",
                wanted=entry.nbytes,
                available=max(0, file.size - entry.offset),
                file=file.name,
                offset=entry.offset,
            )
        return StoredBytes(entry, file, entry.offset, entry.nbytes, self._order)

    def _check_storable(self, entry: Entry) -> None:
        """Raise where the elements are neither of a fixed size nor strings or variants that can be read."""
        order = " in big-endian order" if self.header.big_endian else ""
        if entry.dtype.storage is Storage.NONE or (entry.dtype.storage is Storage.VARIANT and order):
            raise UnsupportedError(
                f"tensor {label_of(entry)}: values of dtype {entry.dtype.name} "
                f"(code {entry.dtype.code}){order} are not supported",
                file=self._index_name,
            )

    def shard(self, number: int, needed_by: Entry) -> RandomAccessFile:
        """Return an open data file; CheckpointNotFoundError, naming the tensor too, where it is missing."""
        path = self.shard_path(number)
        try:
            with self._lock:
                if self._closed:
                    raise ValueError(f"{self.files.prefix}: the checkpoint is closed")
                if number not in self._shards:
                    if len(self._shards) >= MAX_OPEN_SHARDS:
                        # Not closed: another thread may be about to read it. It goes with its last user.
                        del self._shards[next(iter(self._shards))]
                    self._shards[number] = self.fs.open(path)
                return self._shards[number]
        except PathNotFoundError as error:
            raise CheckpointNotFoundError(
                f"no such file: {self._index_name} is there, shard {number} of "
                f"{self.header.num_shards} is not, with tensor {label_of(needed_by)}",
                file=path,
            ) from error

    @property
    def num_shards(self) -> int:
        """Number of data files that the header claims."""
        return self.header.num_shards

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file, whether or not it is there."""
        return shard_path(self.files.prefix, shard, self.header.num_shards)

    def close(self) -> None:
        """Let go of all files; arrays already read stay valid."""
        with self._lock:
            self._closed = True
            self.table.file.close()
            for file in self._shards.values():
                file.close()


def _rows_of_slices(columns: Columns) -> set[int]:
    """The rows of slices; one whose name starts with a zero is that of a slice only if a tensor lists it."""
    # They come first, in the order of the tensors.
    keys = [key_of(name) for name in takewhile(lambda name: name[:1] == "\0", columns.names)]
    rows = set()
    ends: dict[tuple[TensorSlice, ...], frozenset[bytes]] = {}
    row, stop = 0, len(keys)
    for entry in columns.sliced() if keys else ():
        wanted = ends.get(entry.slices)
        if wanted is None:
            wanted = ends[entry.slices] = frozenset(map(slice_key_end, entry.slices))
        # Looked for among the keys there are, and not made: a long name times many slices is too much.
        start = slice_key_start(key_of(entry.name))
        while row < stop and keys[row] < start:
            row += 1
        while row < stop and keys[row].startswith(start):
            if keys[row][len(start) :] in wanted:
                rows.add(row)
            row += 1
    return rows


def _behind(prefix: bytes) -> bytes | None:
    """The least key that is greater than all that begin so; None where there is none."""
    short = prefix.rstrip(b"\xff")
    return short[:-1] + bytes([short[-1] + 1]) if short else None
