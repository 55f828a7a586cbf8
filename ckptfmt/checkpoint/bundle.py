"""Tensor bundles: V2 checkpoints, an index table and data files ("shards").

::

    PREFIX.index                      table: "" -> BundleHeaderProto, name -> BundleEntryProto
    PREFIX.data-00000-of-00002 …      the bytes of the tensors, where the entries say

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``.
"""

from __future__ import annotations

import math
import sys
import threading
from bisect import bisect_left
from collections.abc import Collection, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import NamedTuple

from ckptfmt.arrays.array import Array, Box, check_shape, decode_raw, expected_size
from ckptfmt.checkpoint.columns import Columns
from ckptfmt.checkpoint.entry import Entry, decode_entry, key_of, name_of
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.gather import gather, prefetch
from ckptfmt.checkpoint.slices import (
    TensorSlice,
    decode_slice_key,
    encode_slice_key,
    region_shape,
    slice_key_end,
    slice_key_start,
)
from ckptfmt.checkpoint.strings import check_strings, check_variants, decode_strings, decode_variants
from ckptfmt.checkpoint.version import check_version
from ckptfmt.dtypes import Storage
from ckptfmt.errors import (
    CheckpointNotFoundError,
    ChecksumError,
    CorruptError,
    LimitError,
    PathNotFoundError,
    TruncatedError,
    UnsupportedError,
)
from ckptfmt.filenames import shard_path
from ckptfmt.storage.file import RandomAccessFile, stream_crc
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer, to_signed
from ckptfmt.wire.crc32c import combine_all, crc32c_in_threads
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields
from ckptfmt.wire.threads import cut, default_threads, in_threads

HEADER_KEY = b""

MAX_OPEN_SHARDS = 128
"""Data files kept open: where a mapping costs a file descriptor, a process soon has no more."""

LISTED_BYTES = 4 << 20
"""Indexes of at most so many bytes, of 100,000 tensors, are listed to find what a wrong name may mean."""

BYTES_AROUND = 512 << 10
"""Of larger ones so much is listed before and behind where it would be: 15,000 names each."""

LOOK_UP_BYTES = 1024
"""As many bytes of an index are listed in the time of one look-up."""


class Place(NamedTuple):
    """Where stored bytes lie."""

    file: RandomAccessFile
    offset: int
    size: int

    def read(self) -> memoryview:
        """Return the bytes."""
        return self.file.read(self.offset, self.size)


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
        value = self.table.get(HEADER_KEY)
        if value is None:
            raise CorruptError(
                "no bundle header: the index has no entry with the empty key", file=self._index_name
            )
        try:
            self.header = decode_header(value)
        except CorruptError as error:
            raise error.at(self._index_name, 0) from None
        except UnsupportedError as error:
            raise error.at(self._index_name) from None

    # --- names and entries -------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> Columns:
        """The entries of all tensors, in key order; read in one pass over the index."""
        return self._columns(b"", None)

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
        if "columns" in self.__dict__ or prefix[:1] in ("", "\0"):
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
        if "columns" in self.__dict__ or self.table.file.size <= LISTED_BYTES:
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

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tensor, or None; without a listing so far, one block of the index is read."""
        if "columns" in self.__dict__ or name[:1] == "\0":
            row = self._rows.get(name)
            return None if row is None else self.columns.entry(row)
        value = self._find_value(name)
        return None if value is None else self.decode_entry(name, value)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if "columns" in self.__dict__ or name[:1] == "\0":
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

    # --- values ------------------------------------------------------------------------------------------

    def read_whole(
        self, entry: Entry, *, verify: bool, at: Box | None = None, threads: int | None = None
    ) -> Array:
        """Return the values stored under one entry, or part of them: a read-only view if the dtype allows."""
        place = self.place(entry)
        if at is not None and self.is_plain(entry):
            if not place.file.has_views:
                return gather(place.file, place.offset, entry.dtype, entry.shape, at)
            prefetch(place.file, place.offset, entry.dtype, entry.shape, at)
        return self.decode(entry, place, place.read(), verify=verify, at=at, threads=threads)

    def decode(
        self,
        entry: Entry,
        place: Place,
        data: memoryview,
        *,
        verify: bool = False,
        at: Box | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return the values, or part of them, in the bytes stored at a place."""
        dtype, shape = entry.dtype, entry.shape
        try:
            if dtype.itemsize is not None:
                # Before decoding: what that would find wrong in damaged bytes is not the cause.
                if verify and (crc := crc32c_in_threads(data, threads)) != entry.crc32c:
                    raise _mismatch(entry, crc)
                return decode_raw(data, dtype, shape, big_endian=self.header.big_endian, at=at)
            if dtype.storage is Storage.STRING:
                array, crc = decode_strings(data, shape, big_endian=self.header.big_endian)
            else:
                array, crc = decode_variants(data, shape)
            if verify and crc != entry.crc32c:
                raise _mismatch(entry, crc)
            return array if at is None else array[at]
        except UnsupportedError as error:
            raise error.at(self._index_name, label=f"tensor {_label(entry)}") from None
        except CorruptError as error:
            raise error.at(place.file.name, place.offset) from None

    def compare(self, entry: Entry, place: Place, crc: int) -> None:
        """Raise ChecksumError where a checksum is not that of the entry."""
        if crc != entry.crc32c:
            raise _mismatch(entry, crc).at(place.file.name, place.offset)

    def read_slice(
        self,
        entry: Entry,
        part: TensorSlice,
        *,
        verify: bool,
        at: Box | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return one stored slice of a tensor, or part of it."""
        return self.read_whole(self.find_slice(entry, part), verify=verify, at=at, threads=threads)

    def check(self, entry: Entry) -> None:
        """Verify the checksum of an entry's bytes, without keeping them in memory."""
        place = self.place(entry)
        try:
            if entry.dtype.itemsize is None:
                crc = self._check_decoded(entry, place)
            else:
                pieces = list(cut(place.offset, place.size))
                crcs = in_threads(lambda piece: stream_crc(place.file, *piece), pieces, default_threads())
                crc = combine_all(zip(crcs, (size for _, size in pieces), strict=True))
            self.compare(entry, place, crc)
            check_shape(entry.shape, entry.dtype)
        except CorruptError as error:
            raise error.at(place.file.name, place.offset) from None

    def _check_decoded(self, entry: Entry, place: Place) -> int:
        """The checksum of what has lengths and checksums of its own, which are verified."""
        data = place.read()
        if entry.dtype.storage is Storage.VARIANT:
            return check_variants(data, entry.shape)
        start, crc = check_strings(data, entry.shape, big_endian=self.header.big_endian)
        return stream_crc(place.file, place.offset + start, place.size - start, crc)

    def is_plain(self, entry: Entry) -> bool:
        """Whether the stored bytes of a tensor are those of its array."""
        dtype = entry.dtype
        is_native = self.header.big_endian is (sys.byteorder == "big") or dtype.itemsize == 1
        return not entry.slices and dtype.storage is Storage.FIXED and dtype.name != "bool" and is_native

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

    def place(self, entry: Entry) -> Place:
        """Return where the values of an entry without slices lie, of the size that dtype and shape want."""
        dtype = entry.dtype
        if dtype.itemsize is None:
            self._check_storable(entry)
        elif entry.nbytes != dtype.itemsize * math.prod(entry.shape):
            raise CorruptError(
                f"tensor {_label(entry)}: size in the index: got {entry.nbytes} bytes, "
                f"want {expected_size(dtype, entry.shape)} for {dtype.name}{list(entry.shape)}",
                file=self._index_name,
            )
        assert entry.shard is not None
        assert entry.offset is not None
        file = self._shards.get(entry.shard) or self.shard(entry.shard, entry)
        if entry.offset + entry.nbytes > file.size:
            raise TruncatedError(
                f"tensor {_label(entry)}: file too short",
                wanted=entry.nbytes,
                available=max(0, file.size - entry.offset),
                file=file.name,
                offset=entry.offset,
            )
        return Place(file, entry.offset, entry.nbytes)

    def _check_storable(self, entry: Entry) -> None:
        """Raise where the elements are neither of a fixed size nor strings or variants that can be read."""
        order = " in big-endian order" if self.header.big_endian else ""
        if entry.dtype.storage is Storage.NONE or (entry.dtype.storage is Storage.VARIANT and order):
            raise UnsupportedError(
                f"tensor {_label(entry)}: values of dtype {entry.dtype.name} "
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
                f"{self.header.num_shards} is not, with tensor {_label(needed_by)}",
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


def _label(entry: Entry) -> str:
    """What errors call a tensor: its name, and the slice where the entry is that of one."""
    try:
        name, part = decode_slice_key(key_of(entry.name))
    except CorruptError:
        return repr(entry.name)
    return f"{name_of(name)!r}, slice {part}"


def _mismatch(entry: Entry, computed: int) -> ChecksumError:
    return ChecksumError(
        f"tensor {_label(entry)}: checksum mismatch", stored=entry.crc32c or 0, computed=computed
    )
