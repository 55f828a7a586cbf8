"""``CheckpointWriter``: a V2 checkpoint written tensor by tensor."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ckptfmt.arrays.shape import check_new_shape
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.bundle_writer import BundleWriter, SliceOf
from ckptfmt.checkpoint.entry import Entry, new_key, new_keys
from ckptfmt.checkpoint.new_index import NewIndex
from ckptfmt.checkpoint.new_tensor import new_tensor
from ckptfmt.checkpoint.raw_copy import Advance
from ckptfmt.checkpoint.replacing import Replacement
from ckptfmt.checkpoint.shards import Shards
from ckptfmt.checkpoint.slice_specs import SliceLike, as_slice
from ckptfmt.checkpoint.slices import region_shape, whole
from ckptfmt.checkpoint.small_tensors import batches, small_heads, stretches
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.proto import messages
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import writing_filesystem
from ckptfmt.storage.output import NewFile
from ckptfmt.storage.output.transaction import Transaction
from ckptfmt.table.compression import Compression
from ckptfmt.table.writer import BLOCK_SIZE


class CheckpointWriter(Transaction):
    """Writes a V2 checkpoint tensor by tensor; a context manager.

    The checkpoint appears when the ``with`` block ends, whole. If the block raises, or the program dies, what
    was at the prefix before stays. Memory holds one tensor, and about 100 bytes for each that was added.
    Several threads may add tensors; those of different shards are written at the same time. A tensor that is
    refused for its name or its values leaves the rest as it was.

    Parameters
    ----------
    prefix
        TensorFlow's name for the checkpoint: ``ckpt/model.ckpt-7``. Missing directories are made.
    num_shards
        How many data files to write. A tensor goes to the one with the fewest bytes, unless :meth:`add` is
        told which.
    max_shard_bytes
        Bytes after which another data file is begun, instead of ``num_shards``. A larger tensor has a data
        file of its own; it is not cut into slices, as TensorFlow's ``MaxShardSizePolicy`` does.
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
        shards = Shards(self._create_shard, num_shards, max_shard_bytes, alignment)
        self._bundle = BundleWriter(shards, NewIndex(block_size, compression))
        self.prefix = os.fsdecode(prefix)
        """TensorFlow's name for the checkpoint."""
        self._fs = writing_filesystem(fs)
        self._is_open = True
        directory = os.path.dirname(self.prefix)
        if directory:
            self._fs.make_directory(directory)
        self._replacement = Replacement(self._fs, self.prefix, overwrite=overwrite, sync=sync)
        try:
            # With max_shard_bytes, the number is known only at the end, and asked for again.
            self._count = 0 if shards.wanted is None else self._replacement.free_count(shards.wanted)
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
            An array of any library, in this machine's memory, a scalar or nested lists. Python's floats
            become float32, and its ints int32 if they fit, as in TensorFlow. Bytes or text make a string
            tensor, :class:`~ckptfmt.Variant` objects a variant one.
        dtype
            The dtype, if not that of the values. Ints become floats, or ints of another size if they fit;
            floats never become ints. Quantised types have to be given.
        shard
            Number of the data file, if it matters.

        Raises
        ------
        NameConflictError
            A tensor of that name was added before.
        TypeError
            TensorFlow has no such dtype, or not for these values, or the array is on a GPU.
        ValueError
            No tensor can have that name, or a value exceeds the dtype.
        UnsupportedError
            Tensors of that dtype cannot be stored.
        NotWritableError
            The system refuses, for example because the disk is full. Nothing can be added any more.
        """
        self._check_open(shard)
        key = new_key(name)
        tensor = new_tensor(f"tensor {name!r}", values, dtype)
        self._bundle.add(key, tensor, shard)

    def add_all(
        self,
        tensors: Mapping[str, Any] | Iterable[tuple[str, Any]],
        *,
        dtypes: Mapping[str, Any] | None = None,
        shard: int | None = None,
    ) -> None:
        """Write many tensors, in order, as :meth:`add` would, but small ones ten times as fast.

        Parameters
        ----------
        tensors
            Values by name, or pairs of both, also from an iterator that makes each value when its turn comes.
        dtypes
            Dtypes by name, of tensors whose dtype is not that of their values.
        shard
            Number of the data file of all, if it matters.

        Raises what :meth:`add` raises; the tensors before the one at fault have been written.
        """
        self._check_open(shard)
        dtypes = {} if dtypes is None else dtypes
        is_aligned = self._bundle.shards.is_aligned
        for names, values in batches(tensors):
            heads = [b""] * len(names) if is_aligned else small_heads((names, values), dtypes)
            for is_small, start, stop in stretches(values, heads):
                if is_small:
                    keys = new_keys(names[start:stop])
                    self._bundle.add_small(keys, values[start:stop], heads[start:stop], shard)
                    continue
                for name, value in zip(names[start:stop], values[start:stop], strict=True):
                    self.add(name, value, dtype=dtypes.get(name), shard=shard)

    def add_slice(
        self,
        name: str,
        full_shape: Sequence[int],
        slices: SliceLike,
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
            The slice does not fit the shape, the values do not fit the slice, or another slice of the tensor
            has another dtype or full shape.

        And what :meth:`add` raises.
        """
        self._check_open(shard)
        key = new_key(name)
        label = f"tensor {name!r}"
        try:
            shape = check_new_shape(full_shape)
            part, region = as_slice(slices, shape)
        except ValueError as error:
            raise ValueError(f"{label}: {error}") from None
        except TypeError as error:
            raise TypeError(f"{label}: {error}") from None
        tensor = new_tensor(f"{label}, slice {part}", values, dtype)
        if tensor.shape != region_shape(region):
            raise ValueError(
                f"{label}, slice {part}: got values of shape {list(tensor.shape)}, "
                f"want {list(region_shape(region))}"
            )
        if region == whole(shape):
            self._bundle.add(key, tensor, shard)  # as in TensorFlow, a slice that is everything is no slice
        else:
            self._bundle.add_slice(key, tensor, shape, part, shard)

    def add_strings(self, name: str, values: Any, *, shard: int | None = None) -> None:  # noqa: ANN401
        """Write a string tensor of bytes or text, one or nested lists of them; see :meth:`add`."""
        self.add(name, values, dtype="string", shard=shard)

    def add_object_graph(self, graph: messages.TrackableObjectGraph | bytes) -> None:
        """Write the object graph, by which ``tf.train.Checkpoint`` finds the tensors of its objects."""
        data = graph if isinstance(graph, bytes) else graph.SerializeToString(deterministic=True)
        self.add(OBJECT_GRAPH_KEY, data, dtype="string")

    def add_stored(
        self,
        bundle: Bundle,
        names: Sequence[str],
        entries: Sequence[Entry],
        slices: Mapping[int, SliceOf],
        *,
        shard: int | None = None,
        advance: Advance,
    ) -> None:
        """Write what another bundle stores, by its bytes, which are verified.

        Parameters
        ----------
        bundle
            The other bundle, whose numbers are little-endian.
        names, entries
            The names of the tensors here, and the entries of their bytes there, whose places
            :func:`check_places` has passed.
        slices
            Which of these are slices: by number, the part of a tensor and the shape of all of it.
        shard
            Number of the data file, if it matters.
        advance
            Is called with the bytes that have been copied since the last call.

        Raises ChecksumError and the other errors of reading, and what :meth:`add` raises.
        """
        self._check_open(shard)
        keys = new_keys(names)
        if not self._bundle.shards.is_aligned:
            self._bundle.add_stored(bundle, keys, entries, slices, shard, advance)
            return
        for row, (key, entry) in enumerate(zip(keys, entries, strict=True)):  # padding comes between them
            only = {0: slices[row]} if row in slices else {}
            self._bundle.add_stored(bundle, [key], [entry], only, shard, advance)

    def allow_gaps(self, name: str) -> None:
        """Accept slices that do not make all of a tensor: TensorFlow 1 stores some slots in such parts."""
        self._bundle.index.allow_gaps(new_key(name))

    def close_shard(self, shard: int) -> None:
        """Finish a data file to which no tensor is added any more.

        A checkpoint of thousands of them needs this, because each that is being written is an open file. With
        ``max_shard_bytes`` it happens by itself.
        """
        self._check_open()
        self._bundle.shards.check(shard)
        self._bundle.shards.close(shard)

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
            The system refuses, now or when a tensor was added. What was at the prefix before stays.
        """
        if not self._is_open:
            return
        try:
            self._bundle.index.check()
            files = self._bundle.shards.finish()
            count = self._count or self._replacement.free_count(len(files))
            index = self._replacement.new_index()
            try:
                self._bundle.index.write(index, count)
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
            self._bundle.shards.discard()
            self._replacement.end()

    # --- files -------------------------------------------------------------------------------------------

    def _create_shard(self, number: int) -> NewFile:
        return self._replacement.new_data(number, self._count)

    def _check_open(self, shard: int | None = None) -> None:
        """Raise what :meth:`add` raises if nothing can be added, or not to the shard of that number."""
        if not self._is_open:
            raise ValueError(f"{self.prefix}: the writer is closed")
        self._bundle.shards.check(shard)
