"""``CheckpointWriter``: a V2 checkpoint written tensor by tensor."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.convert import as_array, as_bytes
from ckptfmt.arrays.encode import encode_variant
from ckptfmt.arrays.raw import encode_raw
from ckptfmt.arrays.shape import Shape
from ckptfmt.checkpoint.bundle_writer import Piece, Shard, write_index
from ckptfmt.checkpoint.entry import key_of
from ckptfmt.checkpoint.partition import Partition
from ckptfmt.checkpoint.replacing import Replacement
from ckptfmt.checkpoint.slices import (
    FULL,
    Region,
    TensorSlice,
    encode_slice_key,
    region_shape,
    slice_key_start,
)
from ckptfmt.checkpoint.stored_bytes import StoredBytes
from ckptfmt.checkpoint.strings import encode_strings, encode_variants
from ckptfmt.dtypes import DType, Storage, as_dtype
from ckptfmt.errors import CorruptError, NameConflictError, UnsupportedError
from ckptfmt.filenames import MAX_SHARDS
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.proto import messages
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import writing_filesystem
from ckptfmt.storage.output import Data
from ckptfmt.table.compression import Compression
from ckptfmt.table.writer import BLOCK_SIZE
from ckptfmt.wire.crc32c import crc32c


class CheckpointWriter:
    """Writes a V2 checkpoint tensor by tensor; a context manager.

    The checkpoint appears when the ``with`` block ends, whole. If the block raises, or the program dies, what
    was at the prefix before stays. Memory holds one tensor, and about 100 bytes for each that was added.
    Several threads may add tensors; those of different shards are written at the same time.

    Parameters
    ----------
    prefix
        TensorFlow's name for the checkpoint: ``ckpt/model.ckpt-7``. Missing directories are made.
    num_shards
        How many data files to write. A tensor goes to the one with the fewest bytes, unless :meth:`add` is
        told which.
    max_shard_bytes
        Bytes after which another data file is begun; only a larger tensor gets more. Instead of
        ``num_shards``.
    overwrite
        Whether a checkpoint of that prefix may be replaced.
    block_size, compression, alignment
        Options for those who need them; the defaults are what TensorFlow writes. Blocks of the index end at
        ``block_size`` bytes and are compressed by None or ``"snappy"``. Each tensor begins at a multiple of
        ``alignment`` bytes.
    sync
        Whether the checkpoint outlasts a power cut as soon as it has its name. TensorFlow leaves that to the
        system.
    fs
        The file system to write to, by default this machine's.

    Raises
    ------
    AlreadyExistsError
        The checkpoint exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses, or another writer is at work on the prefix.
    """

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        *,
        num_shards: int | None = None,
        max_shard_bytes: int | None = None,
        overwrite: bool = False,
        block_size: int = BLOCK_SIZE,
        compression: Compression | None = None,
        alignment: int = 1,
        sync: bool = True,
        fs: Filesystem | None = None,
    ) -> None:
        if num_shards is not None and max_shard_bytes is not None:
            raise ValueError("num_shards and max_shard_bytes: got both, want one of them")
        if num_shards is not None and not 1 <= num_shards <= MAX_SHARDS:
            raise ValueError(f"num_shards: got {num_shards}, want 1 to {MAX_SHARDS}")
        if max_shard_bytes is not None and max_shard_bytes < 1:
            raise ValueError(f"max_shard_bytes: got {max_shard_bytes}, want at least 1")
        if alignment < 1:
            raise ValueError(f"alignment: got {alignment}, want at least 1")
        self.prefix = os.fspath(prefix)
        """TensorFlow's name for the checkpoint."""
        self._max_shard_bytes = max_shard_bytes
        self._num_shards = 1 if num_shards is None else num_shards
        self._block_size, self._compression = block_size, compression
        self._alignment = alignment
        self._fs = writing_filesystem(fs)
        self._pieces: dict[bytes, Piece] = {}
        self._sliced: dict[bytes, tuple[DType, Shape, int, list[TensorSlice]]] = {}
        self._shards: list[Shard] = []
        self._lock = threading.Lock()
        self._is_open = True
        directory = os.path.dirname(self.prefix)
        if directory:
            self._fs.make_directory(directory)
        self._replacement = Replacement(self._fs, self.prefix, overwrite=overwrite, sync=sync)
        try:
            # With max_shard_bytes, the number is known only at the end, and asked for again.
            self._count = self._replacement.free_count(self._num_shards) if max_shard_bytes is None else 0
        except BaseException:
            self._replacement.end()
            raise

    # --- tensors -----------------------------------------------------------------------------------------

    def add(self, name: str, values: Any, *, dtype: Any = None, shard: int | None = None) -> None:  # noqa: ANN401
        """Write a tensor.

        Parameters
        ----------
        name
            Its name, which no tensor has yet.
        values
            An array of any library that NumPy can view, a scalar or nested lists. Python's floats become
            float32, and its ints int32 if they fit, as in TensorFlow. An array of objects holds bytes or text
            for a string tensor, or :class:`~ckptfmt.Variant` objects.
        dtype
            The dtype, if not that of the values; quantised types have to be given.
        shard
            Number of the data file, if it matters.

        Raises
        ------
        NameConflictError
            A tensor of that name was added before.
        ValueError
            No tensor can have that name.
        TypeError
            TensorFlow has no such dtype, or the values are not of the one given.
        UnsupportedError
            Tensors of that dtype cannot be stored.
        NotWritableError
            The system refuses, for example because the disk is full.
        """
        known, array = _as_tensor(values, dtype)
        key = self._new_key(name)
        self._write(key, name, known, array, shard)

    def add_slice(
        self,
        name: str,
        full_shape: Sequence[int],
        slices: str | TensorSlice | Sequence[slice | tuple[int, int]],
        values: Any,  # noqa: ANN401
        *,
        dtype: Any = None,  # noqa: ANN401
        shard: int | None = None,
    ) -> None:
        """Write a slice of a tensor, whose slices all have to be added before the end.

        Parameters
        ----------
        name, values, dtype, shard
            As in :meth:`add`; ``values`` are those of the slice.
        full_shape
            The shape of the whole tensor.
        slices
            The part of it: a Python slice or a pair *(start, length)* for each dimension, or TensorFlow's
            text for these, such as ``"0,10:-"``.

        Raises
        ------
        ValueError
            The slice does not fit the shape, or the values do not fit the slice.
        """
        shape = tuple(map(int, full_shape))
        part, region = as_slice(slices, shape)
        known, array = _as_tensor(values, dtype)
        if array.shape != region_shape(region):
            raise ValueError(
                f"slice {part} of {name!r}: got values of shape {list(array.shape)}, "
                f"want {list(region_shape(region))}"
            )
        if part.covers_all() and shape:
            self._write(self._new_key(name), name, known, array, shard)
            return
        key = self._new_slice(name, known, shape, part)
        self._write(key, name, known, array, shard)

    def add_strings(self, name: str, values: Any, *, shard: int | None = None) -> None:  # noqa: ANN401
        """Write a string tensor of bytes or text, one or nested lists of them; see :meth:`add`."""
        self.add(name, values, dtype="string", shard=shard)

    def add_object_graph(self, graph: messages.TrackableObjectGraph | bytes) -> None:
        """Write the object graph, by which ``tf.train.Checkpoint`` finds the tensors of its objects."""
        data = graph if isinstance(graph, bytes) else graph.SerializeToString(deterministic=True)
        self.add(OBJECT_GRAPH_KEY, data, dtype="string")

    def add_stored(self, name: str, stored: StoredBytes) -> None:
        """Write a tensor that another bundle stores whole, by its bytes, which are verified.

        Raises ChecksumError and the other errors of reading.
        """
        entry = stored.entry
        stored.check()
        self._copy(self._new_key(name), stored, entry.shape)

    # --- the end -----------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Finish the checkpoint: sync its files and give them their names.

        Raises
        ------
        ValueError
            The slices of a tensor overlap or leave a gap.
        AlreadyExistsError
            A file of that name was created meanwhile.
        NotWritableError
            The system refuses. What was at the prefix before stays.
        """
        if not self._is_open:
            return
        try:
            self._check_slices()
            if not self._shards:
                self._shard(0)
            count = self._count or self._replacement.free_count(len(self._shards))
            self._fill_shards(self._num_shards)
            files = [shard.file for shard in self._shards]
            for file in files:
                file.finish()
            index = self._replacement.new_index()
            try:
                write_index(
                    index,
                    self._pieces,
                    self._sliced,
                    count,
                    block_size=self._block_size,
                    compression=self._compression,
                )
                index.finish()
                self._replacement.commit(files, count, index)
            except BaseException:
                index.discard()
                raise
        finally:
            self.discard()

    def discard(self) -> None:
        """Leave what was at the prefix before. Does nothing after :meth:`commit`."""
        if self._is_open:
            self._is_open = False
            for shard in self._shards:
                shard.file.discard()
            self._replacement.end()

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()

    # --- keys --------------------------------------------------------------------------------------------

    def _new_key(self, name: str) -> bytes:
        key = check_new_name(name)
        with self._lock:
            if key in self._pieces or key in self._sliced:
                raise NameConflictError("several tensors of one name", names={name: [name, name]})
            self._pieces[key] = _NOT_WRITTEN
        return key

    def _new_slice(self, name: str, dtype: DType, shape: Shape, part: TensorSlice) -> bytes:
        key = check_new_name(name)
        slice_key = encode_slice_key(key, part)
        with self._lock:
            known = self._sliced.get(key)
            if key in self._pieces or slice_key in self._pieces:
                raise NameConflictError("several tensors of one name", names={name: [name, f"{name} {part}"]})
            if known is not None and known[:2] != (dtype, shape):
                raise ValueError(
                    f"slice {part} of {name!r}: got {dtype.name}{list(shape)}, "
                    f"want {known[0].name}{list(known[1])} as for its other slices"
                )
            if known is None:
                known = self._sliced[key] = dtype, shape, 0, []
            known[3].append(part)
            self._pieces[slice_key] = _NOT_WRITTEN
        return slice_key

    def _check_slices(self) -> None:
        for key, (_, shape, _, slices) in self._sliced.items():
            name = key.decode("utf-8", "surrogateescape")
            try:
                is_complete = Partition(shape, slices).is_complete
            except CorruptError as error:
                raise ValueError(f"tensor {name!r}: {error.what}") from None
            if not is_complete:
                listed = ", ".join(map(str, slices[:10]))
                raise ValueError(f"tensor {name!r}: its slices leave a gap in {list(shape)}: {listed}")

    # --- bytes -------------------------------------------------------------------------------------------

    def _write(self, key: bytes, name: str, dtype: DType, array: Array, number: int | None) -> None:
        pieces: Sequence[Data]
        if dtype.storage is Storage.STRING:
            pieces, crc = encode_strings([as_bytes(value) for value in array.ravel()])
        elif dtype.storage is Storage.VARIANT:
            variants = [encode_variant(value).SerializeToString() for value in array.ravel()]
            pieces, crc = encode_variants(variants)
        else:
            pieces = [encode_raw(array, dtype)]
            crc = crc32c(pieces[0])
        shard = self._choose(sum(map(len, pieces)), number)
        with shard.lock:
            shard.pad(self._alignment)
            offset = shard.size
            size = shard.append(pieces)
        self._pieces[key] = Piece(dtype, array.shape, shard.number, offset, size, crc)

    def _copy(self, key: bytes, stored: StoredBytes, shape: Shape) -> None:
        entry = stored.entry
        shard = self._choose(stored.size, None)
        with shard.lock:
            shard.pad(self._alignment)
            offset = shard.size
            shard.file.copy_from(stored.file, stored.offset, stored.size)
            shard.size += stored.size
        self._pieces[key] = Piece(entry.dtype, shape, shard.number, offset, stored.size, entry.crc32c or 0)

    def _choose(self, size: int, number: int | None) -> Shard:
        """Return the shard for so many bytes."""
        with self._lock:
            if not self._is_open:
                raise ValueError(f"{self.prefix}: the writer is closed")
            if self._max_shard_bytes is not None:
                last = self._shards[-1] if self._shards else None
                is_full = last is not None and last.size and last.size + size > self._max_shard_bytes
                return self._shard(len(self._shards) if last is None or is_full else last.number)
            if number is not None:
                if not 0 <= number < self._num_shards:
                    raise ValueError(f"shard: got {number}, want 0 to {self._num_shards - 1}")
                return self._shard(number)
            self._fill_shards(self._num_shards)
            return min(self._shards, key=lambda shard: shard.size)

    def _shard(self, number: int) -> Shard:
        self._fill_shards(number + 1)
        return self._shards[number]

    def _fill_shards(self, count: int) -> None:
        while len(self._shards) < count:
            number = len(self._shards)
            self._shards.append(Shard(number, self._replacement.new_data(number, self._count)))


_NOT_WRITTEN = Piece(as_dtype("float32"), (), 0, 0, 0, 0)
"""Takes the place of a piece while it is being written."""


def check_new_name(name: str) -> bytes:
    """Return the key of the name of a new tensor; ValueError if no tensor can have it."""
    if not isinstance(name, str):
        raise TypeError(f"tensor name: got {name!r}, want a str")
    if not name:
        raise ValueError("tensor name: got '', which the index keeps for its header")
    try:
        key = key_of(name)
    except UnicodeEncodeError as error:
        raise ValueError(f"tensor name: got {name!r}, want text that UTF-8 can encode") from error
    if key.startswith(slice_key_start(b"")[:1]):
        raise ValueError(f"tensor name: got {name!r}, want one that does not begin with a zero byte")
    return key


def as_slice(
    slices: str | TensorSlice | Sequence[slice | tuple[int, int]], shape: Shape
) -> tuple[TensorSlice, Region]:
    """Return a slice of a tensor, and its region; ValueError if it does not fit the shape."""
    if isinstance(slices, TensorSlice):
        part = slices
    elif isinstance(slices, str):
        part = _parse_slice(slices)
    else:
        part = TensorSlice(tuple(map(_extent, slices, shape)) if len(slices) == len(shape) else ())
    # TensorFlow writes an extent that takes all of a dimension as the full one.
    full = tuple(
        (0, FULL) if extent == (0, size) else extent
        for extent, size in zip(part.extents, shape, strict=False)
    )
    try:
        region = part.region(shape)
    except CorruptError as error:
        raise ValueError(error.what) from None
    return TensorSlice(full), region


def _extent(each: slice | tuple[int, int], size: int) -> tuple[int, int]:
    if isinstance(each, slice):
        start, stop, step = each.indices(size)
        if step != 1:
            raise ValueError(f"slice: got step {step}, want 1")
        return start, max(0, stop - start)
    return each


def _parse_slice(text: str) -> TensorSlice:
    extents = []
    for each in text.split(":") if text else ():
        start, comma, length = each.partition(",")
        if each == "-":
            extents.append((0, FULL))
        elif comma and start.isdecimal() and length.isdecimal():
            extents.append((int(start), int(length)))
        else:
            raise ValueError(f"slice: got {text!r}, want 'start,length' or '-' for each dimension")
    return TensorSlice(tuple(extents))


def _as_tensor(values: Any, dtype: Any) -> tuple[DType, Array]:  # noqa: ANN401
    """Return the dtype and the array of what is to be stored."""
    wanted = None if dtype is None else as_dtype(dtype).base_dtype
    array = as_array(values, wanted)
    known = as_dtype(array.dtype) if wanted is None else wanted
    if known.storage is Storage.NONE:
        raise UnsupportedError(f"tensors of dtype {known.name} cannot be stored")
    if not array.dtype.hasobject and known.itemsize is not None:
        array = array.astype(known.numpy, copy=False)
    return known, array
