"""V1 checkpoints: one table that holds both metadata and values, or several ("shards").

::

    ""          -> SavedTensorSlices { 1 meta: SavedTensorSliceMeta { 1 tensor …, 2 versions } }
    slice key   -> SavedTensorSlices { 2 data: SavedSlice { 1 name, 2 slice, 3 data: TensorProto } }
    SavedSliceMeta (a tensor):         1 name   2 shape   3 type   4 slice …

The TensorProto has neither dtype nor shape; both come from the metadata. A tensor stored whole is one slice
that takes every dimension in full. Each table lists the slices that it holds, so a tensor may be listed in
several. Source: TensorFlow ``core/util/tensor_slice_writer.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np

from ckptfmt.arrays.array import Array, Box, shaped
from ckptfmt.arrays.decode import decode_values
from ckptfmt.arrays.shape import Shape, decode_shape, expected_size
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.columns import columns_of
from ckptfmt.checkpoint.entry import Entry, key_of, name_of
from ckptfmt.checkpoint.files import CheckpointFiles, open_table
from ckptfmt.checkpoint.partition import Slices, plan
from ckptfmt.checkpoint.slices import FULL, TensorSlice, decode_slice, encode_slice_key, region_shape
from ckptfmt.checkpoint.slot_parts import Slots, find_slots, is_partial, may_be_part
from ckptfmt.checkpoint.version import check_version
from ckptfmt.dtypes import Storage, find_dtype
from ckptfmt.errors import CorruptError, UnsupportedError
from ckptfmt.filenames import V1_PATTERN_SUFFIX
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.text.quoting import listed
from ckptfmt.wire.coding import Buffer
from ckptfmt.wire.fields import LENGTH_DELIMITED, Field, decode_fields

META_KEY = b""


class V1Store:
    """A V1 checkpoint: its entries, and the values of each slice. Its files are numbered like shards.

    Its tables are index and data at once, so it is its own index.
    """

    has_views = True
    """Values are taken from table blocks, which by then are in memory and verified."""

    has_checked_values = True

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
        self.tables = [opened.get(path) or open_table(fs, path, limits) for path in files.tables]
        self._entries: dict[str, Entry] = {}
        # Files that only a pattern put together may well be different checkpoints. Refuse these at once.
        if len(self.tables) > 1 and V1_PATTERN_SUFFIX.search(files.prefix) is None:
            self._check_disjoint()

    @property
    def index(self) -> V1Store:
        """The store itself."""
        return self

    @property
    def num_shards(self) -> int:
        """Number of files that exist."""
        return len(self.tables)

    def shard_path(self, shard: int) -> str:
        """Return the path of a file by its number among those that exist."""
        return self.files.tables[shard]

    # --- names and entries -------------------------------------------------------------------------------

    @cached_property
    def directory(self) -> dict[str, list[tuple[int, Buffer]]]:
        """For each tensor's name, in key order, its metadata in each file that holds slices of it.

        Only the names are decoded here, so that listing them costs little; an entry is decoded when it is
        asked for.
        """
        metas: dict[bytes, list[tuple[int, Buffer]]] = {}
        for number, table in enumerate(self.tables):
            try:
                for name, meta in _decode_meta(table.get(META_KEY)):
                    metas.setdefault(name, []).append((number, meta))
            except CorruptError as error:
                raise error.at(table.file.name, 0) from None
            except UnsupportedError as error:
                raise error.at(table.file.name) from None
        return {name_of(key): metas[key] for key in sorted(metas)}

    @cached_property
    def slots(self) -> Slots:
        """The slots that are stored in parts."""
        # Decoding an entry takes its metadata in every file, so only those of names that fit are decoded.
        partial = []
        for name in filter(may_be_part, self.directory):
            with suppress(CorruptError):  # reading the tensor reports it
                entry = self._merged(name)
                if is_partial(entry):
                    partial.append(self._entry(name))
        return find_slots(partial, self.directory.__contains__)

    @cached_property
    def _listed(self) -> list[str]:
        """The names of the tensors, sorted by their bytes."""
        slots = self.slots
        if not slots.joined:
            return list(self.directory)
        return sorted((self.directory.keys() - slots.parts.keys()) | slots.joined.keys(), key=key_of)

    def names(self) -> Iterator[str]:
        """Iterate over the names of the tensors, sorted by their bytes."""
        return iter(self._listed)

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of all tensors, in the order of their names."""
        joined = self.slots.joined
        return (joined.get(name) or self._entry(name) for name in self._listed)

    def stored_entries(self) -> Iterator[Entry]:
        """Iterate over all entries as they are stored: those of the parts of a slot, not of the slot."""
        return map(self._entry, self.directory)

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all entries as columns; see :meth:`ckptfmt.checkpoint.columns.Entries.to_columns`."""
        return columns_of(list(self.entries()))

    def __len__(self) -> int:
        return len(self._listed)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.directory or name in self.slots.joined)

    def find(self, name: str) -> Entry | None:
        """Return the entry of a tensor, or None."""
        joined = self.slots.joined.get(name)
        return self._entry(name) if joined is None and name in self.directory else joined

    def absent(self, names: Collection[str]) -> list[str]:
        """Return those of many names that no tensor has."""
        return [name for name in names if name not in self]

    def names_below(self, prefix: str) -> Iterator[str]:
        """Iterate over the names that begin with a prefix."""
        return (name for name in self._listed if name.startswith(prefix))

    def names_near(self, name: str) -> Iterator[str]:
        """Iterate over the names to compare with one that does not exist: all, which are in memory."""
        return self.names()

    def keys(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Iterate over the places of a tensor's values: the number of a file, and a key in its table."""
        for stored in dict.fromkeys(self.slots.owners.get(name, {}).values()):
            if stored != name:
                yield from self.keys(stored)
        for number, meta in self.directory.get(name, ()):
            for part in _decode_slice_meta(name, number, meta).slices:
                yield number, encode_slice_key(key_of(name), part)

    def _entry(self, name: str) -> Entry:
        # Kept, because the size of strings is known only after all of them have been read.
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = self._decode_entry(name)
        return entry

    def _merged(self, name: str) -> Entry:
        """Decode the entry of a tensor, merged from all files that hold slices of it, without its size."""
        # Every file lists its own slices of a tensor, and repeats dtype and shape.
        merged: Entry | None = None
        for number, meta in self.directory[name]:
            file = self.tables[number].file.name
            try:
                listed = _decode_slice_meta(name, number, meta)
            except CorruptError as error:
                raise error.at(file, label=f"tensor {name!r}") from None
            if merged is None:
                merged = listed
                continue
            if (listed.dtype, listed.shape) != (merged.dtype, merged.shape):
                raise CorruptError(
                    f"tensor {name!r}: got {listed.dtype.name}{list(listed.shape)} in this file, "
                    f"want {merged.dtype.name}{list(merged.shape)} as in "
                    f"{self.tables[self.directory[name][0][0]].file.name}",
                    file=file,
                )
            merged = merged._replace(shard=None, slices=Slices(merged.slices + listed.slices))
        assert merged is not None
        # A tensor stored whole is written as one slice that takes every dimension in full.
        # A slice that covers the tensor with explicit lengths stays one: its key differs from that of a slice
        # in full, which is the key that read_piece() makes for a tensor stored whole.
        if merged.slices and merged.slices[0].covers_all() and len(merged.slices) == 1:
            merged = merged._replace(slices=())
        return merged

    def _decode_entry(self, name: str) -> Entry:
        """Decode the entry of a tensor."""
        merged = self._merged(name)
        nbytes = expected_size(merged.dtype, merged.shape)
        if merged.dtype.storage is Storage.STRING:
            nbytes = self._strings_nbytes(merged)
        return merged._replace(nbytes=nbytes or 0)

    def _strings_nbytes(self, entry: Entry) -> int:
        """Return the bytes of the strings of a tensor, which takes reading them; 0 if they are damaged."""
        parts: tuple[TensorSlice | None, ...] = entry.slices or (None,)
        try:
            return sum(len(value) for part in parts for value in self.read_piece(entry, part).flat)
        except CorruptError:
            # Reading the tensor raises it again; dtype and shape can be listed nevertheless.
            return 0

    def _check_disjoint(self) -> None:
        """Raise CorruptError if two files hold the same elements of a tensor, as TensorFlow does."""
        for name, metas in self.directory.items():
            if len(metas) < 2:
                continue
            entry = self._entry(name)
            try:
                plan(entry.shape, entry.slices, ((0, 0),) * len(entry.shape))
            except CorruptError as error:
                paths = listed([self.tables[number].file.name for number, _ in metas], quote=str)
                what = f"tensor {name!r}: {paths} hold the same part of it ({error.what}); name one of them"
                raise CorruptError(what, file=self.files.prefix) from None

    # --- values ------------------------------------------------------------------------------------------

    def locate(self, entry: Entry) -> None:
        """Return None: values are encoded in table blocks."""
        return

    def is_suspect(self, shard: int | None) -> bool:
        """Return False: the files have been found to be tables."""
        return False

    def locate_slices(self, entry: Entry, shapes: Sequence[Shape]) -> None:
        """Return None: values are encoded in table blocks."""
        return

    def read_piece(
        self,
        entry: Entry,
        part: TensorSlice | None,
        *,
        verify: bool = True,
        at: Box | None = None,
        threads: int | None = None,
    ) -> Array:
        """Return a tensor stored whole or one slice of it, read-only: a view of the file if possible.

        The checksum of its table block is always verified.
        """
        if part is None:
            part = TensorSlice(((0, FULL),) * len(entry.shape))
        label = f"tensor {entry.name!r}: slice {part}"
        if entry.dtype.storage is Storage.NONE:
            raise UnsupportedError(
                f"{label}: values of dtype {entry.dtype.name} (code {entry.dtype.code}) are not supported",
                file=self.files.tables[0],
            )
        try:
            shape = region_shape(part.region(entry.shape))
        except CorruptError as error:
            raise error.at(self.files.tables[0], label=f"tensor {entry.name!r}") from None
        stored = self.slots.stored(entry, part) if entry.name in self.slots.owners else entry
        key = encode_slice_key(key_of(stored.name), part)
        # Each slice is in one of the files that list the tensor; looking it up tells in which.
        for number, _ in self.directory[stored.name]:
            file = self.tables[number].file.name
            value = self.tables[number].get(key)
            if value is None:
                continue
            try:
                array = _decode_slice_data(value, stored, part, shape)
            except (CorruptError, UnsupportedError) as error:
                raise error.at(file, label=label) from None
            return array if at is None else array[at]
        raise CorruptError(
            f"tensor {entry.name!r}: the values of slice {part} are not in the file",
            file=self.tables[self.directory[stored.name][0][0]].file.name,
        )

    def release(self, entry: Entry) -> None:
        """Do nothing: the files are small."""

    def close(self) -> None:
        """Close all files; arrays already read stay valid."""
        for table in self.tables:
            table.file.close()


def _decode_meta(value: Buffer | None) -> Iterator[tuple[bytes, Buffer]]:
    """Iterate over names and serialized SavedSliceMeta of the tensors that a meta entry lists."""
    if value is None:
        raise CorruptError("no metadata: the table has no entry with the empty key")
    for field in decode_fields(value):
        if (field.number, field.wire_type) != (1, LENGTH_DELIMITED):
            continue
        for part in decode_fields(field.content):
            if part.wire_type != LENGTH_DELIMITED:
                continue
            if part.number == 1:
                # As in protobuf, the last occurrence of a field counts, and a missing one is empty.
                names = [bytes(f.content) for f in decode_fields(part.content) if f.number == 1]
                yield names[-1] if names else b"", part.content
            elif part.number == 2:
                check_version(part.content)


def _decode_slice_meta(name: str, number: int, meta: Buffer) -> Entry:
    """Return the entry that one file gives for a tensor, with its slices in that file."""
    # As in protobuf, a message that occurs twice is the sum of its pieces, and the last of several numbers
    # counts.
    dtype, shape, slices = 0, b"", []
    for field in decode_fields(meta):
        if field.number == 2:
            shape += bytes(field.content)
        elif field.number == 3:
            dtype = field.value
        elif field.number == 4:
            slices.append(decode_slice(field.content))
    return Entry(name, find_dtype(dtype), decode_shape(shape), 0, number, None, None, Slices(slices))


def _decode_slice_data(value: Buffer, entry: Entry, part: TensorSlice, shape: tuple[int, ...]) -> Array:
    """Return the values in a serialized SavedTensorSlices, which must be those of this slice."""
    name = b""
    stored: TensorSlice | None = None
    values: list[Field] = []
    for field in decode_fields(value):
        if (field.number, field.wire_type) != (2, LENGTH_DELIMITED):
            continue
        for member in decode_fields(field.content):
            if member.number == 1:
                name = bytes(member.content)
            elif member.number == 2:
                stored = decode_slice(member.content)
            elif member.number == 3:
                values += decode_fields(member.content)
    # The value repeats what its key says, so a value under a wrong key is noticed.
    if name != key_of(entry.name) or stored != part:
        raise CorruptError(f"holds the values of {name_of(name)!r}, slice {stored}")
    array = decode_values(values, entry.dtype)
    # A V1 slice lists every element: unlike in other TensorProtos, the last value is not repeated.
    wanted = math.prod(shape)
    if len(array) != wanted:
        raise CorruptError(f"got {len(array)} values, want {wanted} for {entry.dtype.name}{list(shape)}")
    return shaped(array, shape)
