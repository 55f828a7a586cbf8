"""The index of a tensor bundle: what the table ``PREFIX.index`` says about the tensors.

::

    ""          -> BundleHeaderProto { 1 num_shards, 2 endianness, 3 version }
    name        -> BundleEntryProto of a tensor                                  (entry.py)
    slice key   -> BundleEntryProto of one slice of a tensor                     (slices.py)

An index is used in one of two ways. A program that wants a few tensors looks each of them up, which reads
one block of the table. A program that lists names has the whole table decoded into columns once, and look-ups
are then answered from these. Slice keys begin with a zero byte, so they come first. A name may begin with one
too, and only the listing can tell the two apart.

Source: TensorFlow ``core/util/tensor_bundle/tensor_bundle.cc``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from ckptfmt.arrays.shape import Shape, expected_size
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.columns import FEW, Columns, decode_rows
from ckptfmt.checkpoint.entry import Entry, Head, decode_entry, ends_in_checksum, key_of, name_of
from ckptfmt.checkpoint.index_template import MAX_TEMPLATES, IndexTemplate
from ckptfmt.checkpoint.slices import (
    TensorSlice,
    encode_slice_key,
    region_shape,
    slice_key_end,
    slice_key_start,
)
from ckptfmt.checkpoint.slot_parts import Slots, find_slots, is_partial, may_be_part
from ckptfmt.checkpoint.version import check_version
from ckptfmt.errors import CorruptError, LimitError, UnsupportedError
from ckptfmt.limits import DEFAULT
from ckptfmt.table import Table
from ckptfmt.table.block import Block
from ckptfmt.wire.buffers import memory_size
from ckptfmt.wire.coding import Buffer, to_signed
from ckptfmt.wire.fields import LENGTH_DELIMITED, VARINT, decode_fields
from ckptfmt.wire.ordered_code import decode_string

HEADER_KEY = b""

LISTED_BYTES = 4 << 20
"""An index of up to this size, some 100,000 tensors, is listed whole to find what a wrong name may mean."""

BYTES_AROUND = 512 << 10
"""Bytes of a larger index that are listed on each side of where the name would be: 15,000 names each."""

MAX_SLICED = 64
"""Tensors in slices whose entries are kept."""

LOOK_UP_BYTES = 1024
"""Bytes of an index that can be listed in the time of one look-up."""

_templates: dict[int, IndexTemplate] = {}
"""Templates of small indexes, by the size of their block."""


class Header(NamedTuple):
    """What the empty key of an index says about the whole bundle."""

    num_shards: int
    big_endian: bool


@lru_cache(maxsize=64)
def decode_header(value: bytes) -> Header:
    """Return the header of a serialized BundleHeaderProto; UnsupportedError if it excludes this reader."""
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


class BundleIndex:
    """The entries of a bundle by name, those of tensors and those of slices."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._listed: Columns | None = None
        self._slots: Slots | None = None
        self._sliced: dict[str, Entry] = {}
        """The last tensors in slices that were looked up: decoding them takes time for each slice."""
        value = table.header
        if value is None:
            raise CorruptError("no bundle header: the index has no entry with the empty key", file=self._file)
        try:
            self.header = decode_header(bytes(value))
        except CorruptError as error:
            raise error.at(self._file, 0) from None
        except UnsupportedError as error:
            raise error.at(self._file) from None

    @property
    def _file(self) -> str:
        return self.table.file.name

    # --- all tensors -------------------------------------------------------------------------------------

    @cached_property
    def _few(self) -> dict[str, Entry] | None:
        """The entries of a small index by name, all of tensors stored whole; None for any other index.

        A training run has thousands of small checkpoints. For a few entries, columns take longer than a dict.
        """
        try:
            block = self.table.only_block()
            return None if block is None else self._known(block) or self._decoded(block)
        except (CorruptError, LimitError):
            return None  # asked one by one, the sound entries are found, and the others raise

    def _known(self, block: Block) -> dict[str, Entry] | None:
        """Return the entries of a block that differs from an earlier one only in checksums, or None."""
        template = _templates.get(len(block))
        # What a template was made of was within the default limits, and within its table's separators.
        if (
            template is None
            or self.table.limits is not DEFAULT
            or not self.table.may_end_with(template.last_key)
        ):
            return None
        return template.entries(bytes(block.data))

    def _decoded(self, block: Block) -> dict[str, Entry] | None:
        """Return the entries of the only block by name; None unless all are of tensors stored whole."""
        data = bytes(block.data)
        places = self.table.few(block)
        entries = {}
        ends = []
        is_usual = True
        for key, (begin, end) in places.items():
            if key != HEADER_KEY:
                name = name_of(key)
                value = data[begin:end]
                entry = entries[name] = decode_entry(name, value)
                if entry.slices or key[:1] == b"\0":
                    return None
                ends.append(end)
                is_usual = is_usual and ends_in_checksum(value)
        if is_usual and entries and self.table.limits is DEFAULT:
            while len(_templates) >= MAX_TEMPLATES:
                with suppress(KeyError, StopIteration, RuntimeError):  # another thread was faster
                    del _templates[next(iter(_templates))]
            _templates[len(data)] = IndexTemplate(data, list(entries.values()), ends, key)
        return entries or None

    @property
    def columns(self) -> Columns:
        """The entries of all tensors, in key order; read in one pass over the index when first asked for."""
        # Without a lock: two threads may both list the index, and either result will do.
        columns = self._listed
        if columns is None:
            columns = self._columns(b"", None)
            self._slots = _join_slots(columns)
            self._listed = columns
        return columns

    @property
    def slots(self) -> Slots:
        """The slots that are stored in parts; only the keys of slices are read to find them."""
        slots = self._slots
        if slots is None:
            slots = self._slots = self._find_slots()
        return slots

    def _find_slots(self) -> Slots:
        with suppress(CorruptError):  # listing the index reports it
            names = (name_of(name) for name in self._names_in_slices() if may_be_part(name_of(name)))
            values = {name: self._find_value(name) for name in names}
            entries = [self.decode_entry(name, value) for name, value in values.items() if value is not None]
            return find_slots(filter(is_partial, entries), lambda name: self._find_value(name) is not None)
        return Slots()

    def _names_in_slices(self) -> Iterator[bytes]:
        """Iterate over the names in the keys of slices, in the order of the keys."""
        start = b""
        for rows in self.table.rows(b"\0", b"\1"):
            for key in rows.keys:
                if key[:1] == b"\0" and not (start and key.startswith(start)):
                    # Other keys may begin with a zero byte too.
                    with suppress(CorruptError):
                        name, end = decode_string(key, 1)
                        start = key[:end]
                        yield name

    def stored_entries(self) -> Iterator[Entry]:
        """Iterate over all entries as they are stored: those of the parts of a slot, not of the slot."""
        columns, slots = self.columns, self.slots
        entries = [entry for entry in columns if entry.name not in slots.joined]
        return iter(sorted([*entries, *slots.parts.values()], key=lambda entry: key_of(entry.name)))

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Row of each tensor by its name."""
        return dict(zip(self.columns.names, range(len(self.columns)), strict=True))

    def _columns(self, low: bytes, high: bytes | None) -> Columns:
        """Return the entries of the tensors whose keys are not less than ``low`` and less than ``high``."""
        with suppress(MemoryError):
            return self._read_columns(low, high)
        # In a compressed index, names may take many times the bytes of the file. What was read of them has
        # been freed by now, so the error can be made.
        size = self.table.file.size
        raise LimitError(
            f"bytes of memory for the names in an index of {size} bytes",
            limit=memory_size(),
            asked=size,
            file=self._file,
        )

    def _read_columns(self, low: bytes, high: bytes | None) -> Columns:
        # The columns decode with the table, not with this index, which would make a cycle: their memory and
        # the mapping of the file would stay until the garbage collector runs.
        columns = Columns(self.table.rows(low, high), partial(_decode_entry, self.table))
        # The first and the last block may hold keys outside the range.
        first = bisect_left(columns.names, low, key=key_of)
        last = len(columns) if high is None else bisect_left(columns.names, high, key=key_of)
        if not low and columns.names[:1] == ("",):
            first = 1  # skip the header
        columns.cut(first, last)
        slices = _rows_of_slices(columns)
        if slices:
            columns.drop(slices)
        return columns

    def names(self) -> Iterator[str]:
        """Iterate over the names of the tensors, sorted by their bytes."""
        return iter(self.columns.names if self._few is None else self._few)

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of all tensors, in the order of their names."""
        return iter(self.columns if self._few is None else self._few.values())

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all entries as columns; see :meth:`ckptfmt.checkpoint.columns.Entries.to_columns`."""
        return self.columns.to_columns()

    def __len__(self) -> int:
        return len(self.columns if self._few is None else self._few)

    # --- some of them ------------------------------------------------------------------------------------

    def names_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names with a prefix; unless all are listed, only their blocks are read."""
        # The parts of a slot, from which its name follows, may be outside the range.
        if self._listed is not None or prefix[:1] in ("", "\0") or self.slots.joined:
            names = self.columns.names
        else:
            try:
                key = key_of(prefix)
            except UnicodeEncodeError:
                return iter(())  # no key decodes to such a name
            names = self._columns(key, _first_key_after(key)).names
        return (name for name in names if name.startswith(prefix))

    def names_near(self, name: str) -> Iterator[str]:
        """Iterate over the names to compare with one that does not exist: of a large index, those around it.

        All names, if they have been listed anyway.
        """
        if self._listed is not None or self.table.file.size <= LISTED_BYTES:
            yield from self.names()
            return
        try:
            key = key_of(name)
        except UnicodeEncodeError:
            return
        low, high = self.table.range_around(key, BYTES_AROUND)
        # Slice keys are left out: without their tensors, which may be in other blocks, they look like names.
        yield from self._columns(max(low, b"\1"), high).names

    def absent(self, names: Collection[str]) -> list[str]:
        """Return those of many names that no tensor has."""
        known: Container[str] = self
        if len(names) * LOOK_UP_BYTES > self.table.file.size:
            with suppress(CorruptError):  # the blocks that are intact may have all of them
                known = self._rows
        return [name for name in names if name not in known and name not in self.slots.parts]

    # --- one tensor --------------------------------------------------------------------------------------

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tensor, or None; unless all are listed, one block of the index is read."""
        if self._few is not None:
            return self._few.get(name)
        entry = self._sliced.get(name)
        if entry is None:
            entry = self._find(name)
            if entry is not None and entry.slices:
                while len(self._sliced) >= MAX_SLICED:
                    with suppress(KeyError, StopIteration, RuntimeError):  # another thread was faster
                        del self._sliced[next(iter(self._sliced))]
                self._sliced[name] = entry
        return entry

    def _find(self, name: str) -> Entry | None:
        if self._listed is None and name[:1] != "\0":
            value = self._find_value(name)
            entry = None if value is None else self.decode_entry(name, value)
            # A slot in parts has no entry of its own, or that of one of its parts.
            if entry is not None and not is_partial(entry):
                return entry
            slots = self.slots
            return slots.joined.get(name) or slots.parts.get(name) or entry
        row = self._rows.get(name)
        return self.slots.parts.get(name) if row is None else self.columns.entry(row)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if self._few is not None:
            return name in self._few
        if self._listed is None and name[:1] != "\0":
            return self._find_value(name) is not None or ("/" in name and name in self.slots.joined)
        return name in self._rows or name in self.slots.parts

    def _find_value(self, name: str) -> Buffer | None:
        """Return the serialized entry of a tensor, whether or not it can be decoded."""
        try:
            key = key_of(name)
        except UnicodeEncodeError:
            return None
        # Escaped bytes that together are valid UTF-8 make the key of another name.
        return self.table.get(key) if key != HEADER_KEY and name_of(key) == name else None

    def find_slice(self, entry: Entry, part: TensorSlice) -> Entry:
        """Return the entry of one slice of a tensor; CorruptError if it is missing or does not fit.

        A slice of a slot in parts is stored as a slice of one of its parts.
        """
        key = encode_slice_key(key_of(entry.name), part)
        value = self.table.get(key)
        if value is None:
            stored = self.slots.stored(entry, part)
            if stored.name != entry.name:
                return self.find_slice(stored, part)
            raise CorruptError(f"tensor {entry.name!r}: slice {part} is not in the index", file=self._file)
        stored = self.decode_entry(name_of(key), value)
        try:
            shape = region_shape(part.region(entry.shape))
        except CorruptError as error:
            raise error.at(self._file, label=f"tensor {entry.name!r}") from None
        # With slices of its own, the entry would have no place in a data file, which Bundle.locate() relies
        # on.
        if stored.dtype != entry.dtype or stored.shape != shape or stored.slices:
            raise CorruptError(
                f"tensor {entry.name!r}: slice {part}: got {stored.dtype.name}{list(stored.shape)}, "
                f"want {entry.dtype.name}{list(shape)}",
                file=self._file,
            )
        return stored

    def find_slices(self, entry: Entry, shapes: Sequence[Shape]) -> np.ndarray | None:
        """Return size, shard, offset and checksum of every slice of a tensor, a row for each of these.

        Their keys are neighbours, so their blocks are decoded at once. ``shapes`` are those of the slices.
        None if a slice is missing, does not fit or is not in the usual form; :meth:`find_slice` says which.
        """
        start = slice_key_start(key_of(entry.name))
        numbers: list[np.ndarray] = []
        places: dict[bytes, int] = {}
        heads: list[Head | None] = []
        known: dict[bytes, Head] = {}
        for rows in self.table.rows(start, _first_key_after(start)):
            low, high = bisect_left(rows.keys, start), bisect_left(rows.keys, start[:-1] + b"\2")
            if len(rows.keys) <= FEW:
                return None
            block_heads, block_numbers = decode_rows(rows, known)
            places.update(zip(rows.keys[low:high], range(len(heads), len(heads) + high - low), strict=True))
            heads += block_heads[low:high]
            numbers.append(block_numbers[:, low:high])
        wanted = [places.get(start + slice_key_end(part)) for part in entry.slices]
        for place, shape in zip(wanted, shapes, strict=True):
            head = None if place is None else heads[place]
            if head is None or head[0] != entry.dtype or head[1] != shape:
                return None
        return np.concatenate(numbers, axis=1)[:, np.array(wanted, np.int64)]

    def decode_entry(self, name: str, value: Buffer) -> Entry:
        """Return the entry that the index has under ``name``; errors name the tensor and the index."""
        return _decode_entry(self.table, name, value)


def _decode_entry(table: Table, name: str, value: Buffer) -> Entry:
    file = table.file.name
    try:
        entry = decode_entry(name, value)
    except CorruptError as error:
        raise error.at(file, label=f"entry of tensor {name!r}") from None
    if not entry.slices:
        return entry
    nbytes = expected_size(entry.dtype, entry.shape) or _sliced_nbytes(table, entry)
    # Columns hold sizes as int64. TensorFlow bounds the number of elements, not that of bytes.
    if nbytes >= 1 << 63:
        raise CorruptError(f"entry of tensor {name!r}: got {nbytes} bytes, want less than 2**63", file=file)
    return entry._replace(nbytes=nbytes)


def _sliced_nbytes(table: Table, entry: Entry) -> int:
    """Return the stored bytes of a tensor in slices whose elements vary in size."""
    values = (table.get(encode_slice_key(key_of(entry.name), part)) for part in entry.slices)
    return sum(decode_entry("", value).nbytes for value in values if value is not None)


def _join_slots(columns: Columns) -> Slots:
    """Put each slot in place of its parts, and return the slots."""
    partial = [entry for entry in columns.sliced() if is_partial(entry)]
    if not partial:
        return Slots()
    rows = dict(zip(columns.names, range(len(columns)), strict=True))
    slots = find_slots(partial, rows.__contains__)
    if slots.joined:
        columns.replace({rows[name] for name in slots.parts}, list(slots.joined.values()))
    return slots


def _rows_of_slices(columns: Columns) -> set[int]:
    """Return the rows of slices: a key that begins with zero is that of a slice only if a tensor lists it.

    Such keys come first, sorted as the tensors are, so one pass over both pairs them.
    """
    keys = [key_of(name) for name in takewhile(lambda name: name[:1] == "\0", columns.names)]
    rows = set()
    # Variables that are partitioned alike list the same slices, whose keys differ only in the name before.
    ends: dict[tuple[TensorSlice, ...], frozenset[bytes]] = {}
    row, stop = 0, len(keys)
    for entry in columns.sliced() if keys else ():
        wanted = ends.get(entry.slices)
        if wanted is None:
            wanted = ends[entry.slices] = frozenset(map(slice_key_end, entry.slices))
        start = slice_key_start(key_of(entry.name))
        # The keys that exist are compared; making those that the tensor lists would take the bytes of a long
        # name times many slices.
        while row < stop and keys[row] < start:
            row += 1
        while row < stop and keys[row].startswith(start):
            if keys[row][len(start) :] in wanted:
                rows.add(row)
            row += 1
    return rows


def _first_key_after(prefix: bytes) -> bytes | None:
    """Return the least key greater than all that begin with a prefix, or None if no key is."""
    short = prefix.rstrip(b"\xff")
    return short[:-1] + bytes([short[-1] + 1]) if short else None
