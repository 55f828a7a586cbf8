"""Tensor bundles: V2 checkpoints, which are an index table and data files ("shards").

::

    PREFIX.index                      table: "" -> BundleHeaderProto, name -> BundleEntryProto
    PREFIX.data-00000-of-00002 …      the bytes of the tensors, at the offsets in the entries

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``.

Opening a bundle reads the footer, the block index and one block of the table. After that, a look-up reads one
block; listing reads all of them once, into columns, and look-ups are answered from these from then on.
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
"""Data files kept open. A mapping may cost a file descriptor, and a process has few of them."""

LISTED_BYTES = 4 << 20
"""Size up to which a whole index, of some 100,000 tensors, is listed to suggest names for a wrong one."""

BYTES_AROUND = 512 << 10
"""Bytes of a larger index listed before and after the place of a wrong name: 15,000 names each."""

LOOK_UP_BYTES = 1024
"""Bytes of an index that are listed in the time of one look-up."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the entry of the empty key says about the whole bundle."""

    num_shards: int
    big_endian: bool


def decode_header(value: Buffer) -> Header:
    """Return the header in a serialized BundleHeaderProto; UnsupportedError if it excludes this reader."""
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
        """The entries of all tensors in key order; the first access reads the whole index in one pass."""
        columns = self._listed
        if columns is None:
            columns = self._listed = self._columns(b"", None)
        return columns

    @cached_property
    def _rows(self) -> dict[str, int]:
        """The row of each tensor by name."""
        return dict(zip(self.columns.names, range(len(self.columns)), strict=True))

    def _columns(self, low: bytes, high: bytes | None) -> Columns:
        """Return the entries of the tensors with keys from ``low`` on and before ``high``."""
        with suppress(MemoryError):
            return self._read_columns(low, high)
        # Names compress well, so they may need many times the size of the file. Those read are freed by now.
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
            first = 1  # after the header
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
        """Iterate over the names with a prefix; unless all are listed, only their blocks are read."""
        if self._listed is not None or prefix[:1] in ("", "\0"):
            names = self.columns.names
        else:
            try:
                key = key_of(prefix)
            except UnicodeEncodeError:
                return iter(())
            names = self._columns(key, _key_after(key)).names
        return (name for name in names if name.startswith(prefix))

    def names_near(self, name: str) -> Iterator[str]:
        """Iterate over names among which to look for one like ``name``.

        These are all names; for a large index that has not been listed, only those around the place of
        ``name``.
        """
        if self._listed is not None or self.table.file.size <= LISTED_BYTES:
            yield from self.names()
            return
        try:
            key = key_of(name)
        except UnicodeEncodeError:
            return
        low, high = self.table.range_around(key, BYTES_AROUND)
        # Keys of slices, which begin with a zero byte, are left out: their tensors may be elsewhere.
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
        """Return the entry of a tensor, or None; one block of the index is read unless all are listed."""
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
        """Return the names, of many, that no tensor has."""
        known: Container[str] = self
        if len(names) * LOOK_UP_BYTES > self.table.file.size:
            with suppress(CorruptError):  # the names may all be in blocks that are intact
                known = self._rows
        return [name for name in names if name not in known]

    def _find_value(self, name: str) -> Buffer | None:
        """Return the serialized entry of a tensor, whether or not it can be decoded."""
        try:
            key = key_of(name)
        except UnicodeEncodeError:
            return None
        # Escaped bytes that form valid UTF-8 encode to the key of another name.
        return self.table.get(key) if key != HEADER_KEY and name_of(key) == name else None

    def find_slice(self, entry: Entry, part: TensorSlice) -> Entry:
        """Return the entry of one slice of a tensor; CorruptError if it is missing or does not fit."""
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
        """Return the entry stored under ``name``; errors name the tensor and the index."""
        try:
            entry = decode_entry(name, value)
        except CorruptError as error:
            raise error.at(self._index_name, label=f"entry of tensor {name!r}") from None
        if not entry.slices:
            return entry
        nbytes = expected_size(entry.dtype, entry.shape) or self._sliced_nbytes(entry)
        if nbytes >= 1 << 63:
            raise CorruptError(
                f"entry of tensor {name!r}: got {nbytes} bytes, want less than 2**63", file=self._index_name
            )
        return entry._replace(nbytes=nbytes)

    def _sliced_nbytes(self, entry: Entry) -> int:
        """Return the stored bytes of a tensor in slices whose elements vary in size."""
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
        """Return a whole tensor or one slice of it, read-only; see :class:`Store`."""
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
        """Let the operating system drop the bytes of a tensor from memory."""
        for stored in (self.find_slice(entry, part) for part in entry.slices) if entry.slices else (entry,):
            assert stored.shard is not None
            file = self._shards.get(stored.shard)
            if file is not None:
                file.release(stored.offset or 0, stored.nbytes)

    def locate(self, entry: Entry) -> StoredBytes:
        """Return where the bytes of an entry lie, that of a whole tensor or of a slice.

        Raises
        ------
        CorruptError
            The size in the index is not that of the dtype and shape.
        TruncatedError
            The data file is too short.
        CheckpointNotFoundError
            The data file is missing; the message also names the tensor.
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
        """Raise UnsupportedError unless the elements, of no fixed size, are strings or readable variants."""
        order = " in big-endian order" if self.header.big_endian else ""
        if entry.dtype.storage is Storage.NONE or (entry.dtype.storage is Storage.VARIANT and order):
            raise UnsupportedError(
                f"tensor {label_of(entry)}: values of dtype {entry.dtype.name} "
                f"(code {entry.dtype.code}){order} are not supported",
                file=self._index_name,
            )

    def shard(self, number: int, needed_by: Entry) -> RandomAccessFile:
        """Return an open data file; CheckpointNotFoundError, naming the tensor too, if it is missing."""
        path = self.shard_path(number)
        try:
            with self._lock:
                if self._closed:
                    raise ValueError(f"{self.files.prefix}: the checkpoint is closed")
                if number not in self._shards:
                    if len(self._shards) >= MAX_OPEN_SHARDS:
                        # Dropped, not closed: another thread may be about to read it. Its last user frees it.
                        del self._shards[next(iter(self._shards))]
                    self._shards[number] = self.fs.open(path)
                return self._shards[number]
        except PathNotFoundError as error:
            raise CheckpointNotFoundError(
                f"no such file: shard {number} of {self.header.num_shards}, "
                f"with tensor {label_of(needed_by)}, "
                f"whose index {self._index_name} exists",
                file=path,
            ) from error

    @property
    def num_shards(self) -> int:
        """Number of data files according to the header."""
        return self.header.num_shards

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file, whether or not it exists."""
        return shard_path(self.files.prefix, shard, self.header.num_shards)

    def close(self) -> None:
        """Close all files; arrays already read stay valid."""
        with self._lock:
            self._closed = True
            self.table.file.close()
            for file in self._shards.values():
                file.close()


def _rows_of_slices(columns: Columns) -> set[int]:
    """Return the rows of slices, which are not tensors.

    The key of a slice begins with a zero byte, but so may the name of a tensor: a row is that of a slice only
    if a tensor lists that slice. Keys of slices come first in the index, in the order of their tensors, so
    one walk over them beside the tensors in slices finds the rows.
    """
    keys = [key_of(name) for name in takewhile(lambda name: name[:1] == "\0", columns.names)]
    rows = set()
    ends: dict[tuple[TensorSlice, ...], frozenset[bytes]] = {}
    row, stop = 0, len(keys)
    for entry in columns.sliced() if keys else ():
        wanted = ends.get(entry.slices)
        if wanted is None:
            wanted = ends[entry.slices] = frozenset(map(slice_key_end, entry.slices))
        # Existing keys are compared; making the keys would cost a long name times many slices.
        start = slice_key_start(key_of(entry.name))
        while row < stop and keys[row] < start:
            row += 1
        while row < stop and keys[row].startswith(start):
            if keys[row][len(start) :] in wanted:
                rows.add(row)
            row += 1
    return rows


def _key_after(prefix: bytes) -> bytes | None:
    """Return the smallest key that is greater than all keys with a prefix; None if there is none."""
    short = prefix.rstrip(b"\xff")
    return short[:-1] + bytes([short[-1] + 1]) if short else None
