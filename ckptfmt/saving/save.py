"""``save``: a checkpoint of tensors that a program has, or that another checkpoint or a view of it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

from ckptfmt import integrity
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.checkpoint_writer import CheckpointWriter
from ckptfmt.checkpoint.small_tensors import SMALL
from ckptfmt.errors import AlreadyExistsError
from ckptfmt.filenames import INDEX_SUFFIX
from ckptfmt.saving.layout import Layout, arrange
from ckptfmt.saving.save_plan import SavedTensor, SavePlan
from ckptfmt.saving.sources import Savable, is_flat
from ckptfmt.saving.stretches import Made, Stretch, check_values
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of

AT_ONCE = 4096
"""Stretches that are handed over at once."""


def save(
    prefix: str | os.PathLike[str],
    tensors: Savable,
    *,
    overwrite: bool = False,
    num_shards: int | None = None,
    max_shard_bytes: int | None = None,
    objects: bool | None = None,
    progress: integrity.Progress | None = None,
    sync: bool = True,
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
    objects
        Whether to store an object graph, by which ``tf.train.Checkpoint`` and Keras find the tensors. By
        default, those of checkpoints are kept: changed to fit if tensors were left out or renamed, and merged
        if there are several. The counter of saves is kept with them, because every ``tf.train.Checkpoint``
        looks for it. True also stores nested dictionaries and lists as
        ``tf.train.Checkpoint(**tensors)`` does, ``save_counter`` as its counter. False stores none.
    progress
        Is called with the bytes written so far and the bytes to write in all.
    sync
        Whether the checkpoint outlasts a power cut as soon as it has its name. TensorFlow leaves that to the
        system.
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
    GraphError
        TensorFlow has no object for something in ``tensors``, or the objects of several checkpoints do not
        fit each other.
    AlreadyExistsError
        The checkpoint exists, and ``overwrite`` is not given.
    NotWritableError
        The system refuses.
    """
    has_choice = num_shards not in (None, 1) or max_shard_bytes is not None or progress is not None or objects
    if not has_choice and is_flat(tensors):
        # Making a layout takes longer than writing 100,000 small values.
        return _save_values(prefix, tensors, overwrite=overwrite, sync=sync, fs=fs)
    layout = arrange(tensors, num_shards=num_shards, max_shard_bytes=max_shard_bytes, objects=objects)
    with CheckpointWriter(
        prefix, num_shards=layout.num_shards, overwrite=overwrite, sync=sync, fs=fs
    ) as writer:
        # What should be whole has been found to be; parts of slots need not be.
        for name in {stretch.name for stretch in layout.stretches if stretch.part is not None}:
            writer.allow_gaps(name)
        advance = _Advance(sum(stretch.entry.nbytes for stretch in layout.stretches), progress)
        for shard, stretches in layout.by_shard():
            _write(writer, shard, stretches, advance)
            writer.close_shard(shard)
    return writer.prefix


def _save_values(
    prefix: str | os.PathLike[str],
    values: dict[str, Any],
    *,
    overwrite: bool,
    sync: bool,
    fs: Filesystem | None,
) -> str:
    check_values(values)
    with CheckpointWriter(prefix, overwrite=overwrite, sync=sync, fs=fs) as writer:
        writer.add_all(values)
    return writer.prefix


def plan_save(
    prefix: str | os.PathLike[str],
    tensors: Savable,
    *,
    overwrite: bool = False,
    num_shards: int | None = None,
    max_shard_bytes: int | None = None,
    objects: bool | None = None,
    fs: Filesystem | None = None,
) -> SavePlan:
    """Return what :func:`save` would write, without writing.

    Raises what :func:`save` raises before it writes anything. Bytes are not read, so damage in them is not
    found.
    """
    layout = arrange(tensors, num_shards=num_shards, max_shard_bytes=max_shard_bytes, objects=objects)
    index = os.fsdecode(prefix) + INDEX_SUFFIX
    if not overwrite and filesystem_of(fs=fs).path_type(index) is not None:
        raise AlreadyExistsError(index)
    return SavePlan(os.fsdecode(prefix), _saved(layout), _shard_bytes(layout))


def _shard_bytes(layout: Layout) -> list[int]:
    filled = [0] * layout.num_shards
    for stretch, shard in zip(layout.stretches, layout.shards, strict=True):
        filled[shard] += stretch.entry.nbytes
    return filled


def _saved(layout: Layout) -> list[SavedTensor]:
    """Return the tensors of a layout, in the order of the first stretch of each."""
    saved: dict[str, SavedTensor] = {}
    for (name, part, shape, entry, origin), shard in zip(layout.stretches, layout.shards, strict=True):
        is_copied = not isinstance(origin, Made)
        tensor = SavedTensor(name, entry.dtype, shape, entry.nbytes, (shard,), (), is_copied)
        known = saved.get(name, tensor)
        if part is not None:
            tensor = tensor._replace(
                nbytes=entry.nbytes + (0 if known is tensor else known.nbytes),
                shards=tuple(sorted({*known.shards, shard})),
                slices=(*known.slices, part),
            )
        saved[name] = tensor
    return list(saved.values())


class _Advance:
    """Counts the bytes that have been written, and tells the caller."""

    def __init__(self, total: int, progress: integrity.Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, nbytes: int) -> None:
        self._done += nbytes
        if self._progress is not None:
            self._progress(self._done, self._total)


def _write(writer: CheckpointWriter, shard: int, stretches: Iterator[Stretch], advance: _Advance) -> None:
    """Write one data file: neighbours that are copied together, small tensors together, others one by one."""
    for kind, several in groupby(stretches, key=_kind_of):
        if isinstance(kind, Bundle):
            for some in _batched(several, AT_ONCE):
                slices = {
                    row: (each.part, each.full_shape)
                    for row, each in enumerate(some)
                    if each.part is not None
                }
                names, entries = [each.name for each in some], [each.entry for each in some]
                writer.add_stored(kind, names, entries, slices, shard=shard, advance=advance)
        elif kind == _SMALL:
            for some in _batched(several, AT_ONCE):
                made = [(each.name, each.origin) for each in some if isinstance(each.origin, Made)]
                dtypes = {name: each.dtype for name, each in made if each.dtype is not None}
                values = ((name, each.load()) for name, each in made)
                writer.add_all(values, dtypes=dtypes, shard=shard)
                advance(sum(each.entry.nbytes for each in some))
        else:
            for each in several:
                _make(writer, shard, each)
                advance(each.entry.nbytes)


_SMALL, _LARGE = "small", "large"


def _kind_of(stretch: Stretch) -> Bundle | str:
    """Return what is written together: a bundle for what is copied from it, or a kind of values."""
    if not isinstance(stretch.origin, Made):
        return stretch.origin
    return _LARGE if stretch.part is not None or stretch.entry.nbytes > SMALL else _SMALL


def _make(writer: CheckpointWriter, shard: int, stretch: Stretch) -> None:
    """Write a value that is made now."""
    name, part, full_shape, _, made = stretch
    assert isinstance(made, Made)
    if part is None:
        writer.add(name, made.load(), dtype=made.dtype, shard=shard)
    else:
        writer.add_slice(name, full_shape, part, made.load(), dtype=made.dtype, shard=shard)
    if made.release is not None:
        made.release()


def _batched(stretches: Iterator[Stretch], count: int) -> Iterator[list[Stretch]]:
    while some := list(islice(stretches, count)):
        yield some
