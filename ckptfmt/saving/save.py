"""``save``: a checkpoint of tensors that a program has, or that another checkpoint or a view of it holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import groupby, islice

from ckptfmt import integrity
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.checkpoint_writer import CheckpointWriter
from ckptfmt.errors import AlreadyExistsError
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.saving.layout import arrange
from ckptfmt.saving.save_plan import SavedTensor, SavePlan
from ckptfmt.saving.sources import Savable, plain_arrays
from ckptfmt.saving.stretches import Copied, Made, Stretch, Tensor
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of

AT_ONCE = 4096
"""Pieces that are handed over to be copied at once."""


def save(
    prefix: str | os.PathLike[str],
    tensors: Savable,
    *,
    overwrite: bool = False,
    num_shards: int | None = None,
    max_shard_bytes: int | None = None,
    progress: integrity.Progress | None = None,
    fs: Filesystem | None = None,
) -> str:
    """Write a V2 checkpoint, and return its prefix.

    Bytes of a checkpoint that do not change are copied as they are stored, in the order and in the slices in
    which they are stored there. Their checksums are verified on the way, even if the checkpoint was opened
    with ``verify=False``: what is written is intact.

    Parameters
    ----------
    prefix
        TensorFlow's name for the checkpoint: ``ckpt/model.ckpt-7``. Missing directories are made.
    tensors
        Arrays by name: of NumPy, or of any library whose arrays NumPy can view, such as JAX and PyTorch.
        Nested dictionaries get names with slashes. Any other mapping, such as ``numpy.load("x.npz")`` or a
        file of h5py or safetensors, from which one array at a time is read. A checkpoint, or a view of one. A
        checkpoint in a dictionary gets names below its key. A list of these is merged.
    overwrite
        Whether a checkpoint of that prefix may be replaced, even the one that is being copied.
    num_shards, max_shard_bytes
        How many data files to write, or the bytes after which another one is begun. By default each tensor
        stays in the data file that it has in its checkpoint.
    progress
        Is called with the bytes written so far and the bytes to write in all.
    fs
        The file system to write to, by default this machine's.

    Raises
    ------
    NameConflictError
        Two of several mappings have tensors of one name.
    TypeError
        Something is not a mapping of names to arrays, such as a path.
    ChecksumError, CorruptError
        A tensor to be copied is damaged; no checkpoint is written.
    AlreadyExistsError
        The checkpoint exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses.
    """
    arrays = plain_arrays(tensors) if progress is None and max_shard_bytes is None else None
    if arrays is not None and num_shards in (None, 1):
        # There is nothing to copy or to place, so that many small arrays need not be looked at one by one.
        with CheckpointWriter(prefix, overwrite=overwrite, fs=fs) as writer:
            writer.add_all(arrays)
        return writer.prefix
    layout = arrange(tensors, num_shards=num_shards, max_shard_bytes=max_shard_bytes)
    with CheckpointWriter(prefix, num_shards=layout.num_shards, overwrite=overwrite, fs=fs) as writer:
        for tensor in layout.tensors:
            if tensor.slices:
                writer.announce(tensor.name, tensor.dtype, tensor.shape, tensor.slices)
        advance = _Advance(sum(stretch.nbytes for stretch in layout.stretches), progress)
        for shard, stretches in layout.by_shard():
            _write(writer, shard, stretches, advance)
    return writer.prefix


def plan_save(
    prefix: str | os.PathLike[str],
    tensors: Savable,
    *,
    overwrite: bool = False,
    num_shards: int | None = None,
    max_shard_bytes: int | None = None,
    fs: Filesystem | None = None,
) -> SavePlan:
    """Return what :func:`save` would write, without writing.

    Raises what :func:`save` raises before it writes anything. Bytes are not read, so damage in them is not
    found.
    """
    layout = arrange(tensors, num_shards=num_shards, max_shard_bytes=max_shard_bytes)
    index = os.fspath(prefix) + INDEX_SUFFIX
    if not overwrite and filesystem_of(fs=fs).path_type(index) is not None:
        raise AlreadyExistsError(index)
    shard_bytes = [0] * layout.num_shards
    shards: dict[str, set[int]] = {}
    for stretch, shard in zip(layout.stretches, layout.shards, strict=True):
        shard_bytes[shard] += stretch.nbytes
        shards.setdefault(stretch.name, set()).add(shard)
    saved = [_saved(tensor, shards.get(tensor.name, set())) for tensor in layout.tensors]
    return SavePlan(os.fspath(prefix), saved, shard_bytes)


def _saved(tensor: Tensor, shards: Iterable[int]) -> SavedTensor:
    return SavedTensor(
        tensor.name,
        tensor.dtype,
        tensor.shape,
        sum(stretch.nbytes for stretch in tensor.stretches),
        tuple(sorted(shards)),
        tensor.slices,
        all(isinstance(stretch.content, Copied) for stretch in tensor.stretches),
    )


class _Advance:
    """Counts the bytes that have been written, and tells the caller."""

    def __init__(self, total: int, progress: integrity.Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, nbytes: int) -> None:
        self._done += nbytes
        if self._progress is not None:
            self._progress(self._done, self._total)


def _write(writer: CheckpointWriter, shard: int, stretches: Iterator[Stretch], advance: _Advance) -> None:
    """Write one data file: neighbours that are copied together, others one by one."""
    for bundle, several in groupby(stretches, key=_bundle_of):
        if bundle is not None:
            for some in _batched(several, AT_ONCE):
                copied = [(each, each.content) for each in some if isinstance(each.content, Copied)]
                pieces = [(each.name, each.part, content.entry) for each, content in copied]
                writer.add_stored(bundle, pieces, shard=shard, advance=advance)
            continue
        for each in several:
            if isinstance(each.content, Made):
                writer.add_piece(
                    each.name, each.part, each.content.load(), dtype=each.content.dtype, shard=shard
                )
                if each.content.release is not None:
                    each.content.release()
                advance(each.nbytes)


def _bundle_of(stretch: Stretch) -> Bundle | None:
    return stretch.content.bundle if isinstance(stretch.content, Copied) else None


def _batched(stretches: Iterator[Stretch], count: int) -> Iterator[list[Stretch]]:
    while some := list(islice(stretches, count)):
        yield some
