"""A checkpoint as users see it: a mapping of names to arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from ckptfmt import integrity, tensors
from ckptfmt import object_graph as objects
from ckptfmt.arrays.array import Array
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.bulk import LARGE, read_tensors
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.find import find_checkpoint, find_variables
from ckptfmt.checkpoint.reading import is_verified, read_selection, read_tensor
from ckptfmt.checkpoint.selection import Selection
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.checkpoint.store import Store
from ckptfmt.errors import TensorNotFoundError
from ckptfmt.limits import DEFAULT, Limits, check_limits
from ckptfmt.notebook.card import Card
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.table import Table
from ckptfmt.tensors.aliases import not_found
from ckptfmt.tensors.cards import tensors_card
from ckptfmt.tensors.mapping import check_name
from ckptfmt.tensors.model_variables import training_values
from ckptfmt.tensors.scope_variables import training_tensors
from ckptfmt.tensors.slice_reader import SliceReader
from ckptfmt.tensors.stored_entries import StoredEntries, open_store
from ckptfmt.tensors.stored_graph import StoredGraph
from ckptfmt.tensors.tensors import Tensors
from ckptfmt.wire.threads import default_threads

RELEASED_FROM = 1 << 20
"""Bytes from which a tensor is released when an iteration over all tensors has passed it."""


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    verify: bool = True,
    backend: Literal["mmap", "pread"] = "mmap",
    fs: Filesystem | None = None,
    limits: Limits = DEFAULT,
) -> Checkpoint:
    """Open a TensorFlow checkpoint, V2 or V1, from any path that leads to it.

    Parameters
    ----------
    path
        A prefix (``model.ckpt-1000``), one of its files (``.index``, ``.data-00000-of-00002``, ``.meta``),
        a V1 file, a pattern of V1 files (``ckpt-*``), a ``checkpoint`` state file, a directory with one
        checkpoint or with a state file (its latest is opened), a SavedModel directory or its ``variables``
        folder. ``~`` is not expanded, and URLs other than ``file:`` are not read.
    verify
        Whether the checksum of a tensor's bytes is verified when it is first read. The checksums of the index
        are always verified.
    backend
        How files are read. ``"mmap"`` maps them, so that arrays are views and nothing is copied; a file of
        less than 64 KiB is read instead, and one that cannot be mapped is read as with ``"pread"``.
        ``"pread"`` maps nothing and reads into memory of each array's own, for slow network file systems and
        files that may be truncated while they are open.
    fs
        The file system that the path leads into, if it is not this machine's.
    limits
        How much memory and work the file may take: see :class:`ckptfmt.Limits`.

    Raises
    ------
    ValueError
        There is no such backend.
    CheckpointNotFoundError
        The path leads to no checkpoint, or to several without a state file; ``.tried`` has the paths tried.
    CorruptError
        The file is not a checkpoint, or its index is damaged.
    UnsupportedError
        The checkpoint excludes readers of this version.
    """
    check_limits(limits)
    fs = filesystem_of(backend, fs)
    # Finding opens the index with the default limits, so that the store goes on with it only under these.
    opened: dict[str, Table] | None = {} if limits is DEFAULT or limits == DEFAULT else None
    return _open_files(find_checkpoint(path, fs, opened), verify, fs, limits, opened or {})


def open_variables(directory: str, fs: Filesystem, limits: Limits) -> Checkpoint:
    """Open the checkpoint of the SavedModel in a directory; errors are those of :func:`open_checkpoint`."""
    # Not the directory itself: a state file in it would lead to another checkpoint.
    return _open_files(find_variables(directory, fs), True, fs, limits)


def without_variables(prefix: str, fs: Filesystem, limits: Limits) -> Checkpoint:
    """Return the checkpoint of a model without variables: no tensors, in no file."""
    return _open_files(CheckpointFiles(prefix, "v1", ()), True, fs, limits)


def _open_files(
    files: CheckpointFiles,
    verify: bool,
    fs: Filesystem,
    limits: Limits,
    opened: Mapping[str, Table] = {},
) -> Checkpoint:
    return Checkpoint(open_store(files, fs, limits, opened), verify=verify)


class Checkpoint(Tensors):
    """An open checkpoint: ``Mapping`` of tensor names, sorted by their bytes, to NumPy arrays.

    A tensor is read on access. Arrays are read-only. A tensor stored whole is a view of the mapped
    file, which stays mapped while any array views it. With ``backend="pread"`` it has memory of its own, and
    is read and verified each time. Threads may share a checkpoint.
    """

    def __init__(self, store: Store, *, verify: bool = True) -> None:
        self._store = store
        self._index = store.index
        self._checks = Checks(enabled=verify, once=store.has_views)
        self._graph = StoredGraph(store, self._checks)
        self.entries: Entries = StoredEntries(store, self._graph)
        """What the index says about each tensor, by name."""

    @property
    def prefix(self) -> str:
        """The prefix, by which TensorFlow names the checkpoint, e.g. ``dir/model.ckpt-1000``."""
        return self._store.files.prefix

    @property
    def format(self) -> str:
        """``"v2"`` (index and data files) or ``"v1"``."""
        return self._store.files.format

    @property
    def num_shards(self) -> int:
        """Number of data files according to the index; of a V1 checkpoint, the number of files that exist."""
        return self._store.num_shards

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file by its number, whether or not it exists."""
        return self._store.shard_path(shard)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array.

        Numbers have the NumPy or ml_dtypes type of the dtype, quantised ones their integer type; strings make
        an object array of ``bytes``, variants one of :class:`~ckptfmt.types.Variant`. A scalar has shape ().

        Raises
        ------
        TensorNotFoundError
            No tensor has that name; ``.close_matches`` has likely ones.
        ChecksumError, CorruptError, TruncatedError
            The stored bytes are damaged.
        CheckpointNotFoundError
            The data file that holds it is missing.
        UnsupportedError
            Values of the dtype cannot be read.
        """
        check_name(name)
        # Not at once through the entries, which say what is wrong with a name.
        entry = self._index.find(name) or self.entries[name]
        if entry.nbytes >= LARGE and not self._store.has_views:
            # Several threads read its pieces. A view is not read, only verified, which is quick.
            return self._load([name], threads=default_threads(), copy=False, out={})[name]
        return read_tensor(self._store, entry, self._checks)

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor: ``ckpt.slice("w")[10:20, :]`` reads only that part."""
        entry = self.entries[name]
        return SliceReader(entry, StoredTensor(self, entry))

    def stored_name(self, name: str) -> str:
        """Return the name itself, which must exist; a view returns what the checkpoint calls its tensor."""
        self.entries[name]
        return name

    @property
    def object_graph(self) -> objects.ObjectGraph | None:
        """The objects that ``tf.train.Checkpoint`` saved, or None if something else wrote the checkpoint.

        Raises
        ------
        CorruptError
            The object graph in the checkpoint is damaged.
        """
        return self._graph.graph

    def verify(self, *, progress: integrity.Progress | None = None) -> integrity.Report:
        """Check every checksum, size and offset in all files of the checkpoint; see :class:`Report`.

        Files are streamed, so memory stays bounded however large they are. ``progress`` is called with the
        bytes checked so far and the bytes to check in all.
        """
        return integrity.verify_store(self._store, progress)

    def close(self) -> None:
        """Close the files. Arrays already returned stay valid, and so does the object graph."""
        try:
            self._graph.close()
        finally:
            self._store.close()

    def __iter__(self) -> Iterator[str]:
        return self._index.names()

    def _absent(self, names: Collection[str]) -> list[str]:
        return self._index.absent(names)

    def _not_found(self, absent: Sequence[str]) -> TensorNotFoundError:
        near, missing = self._names_near(absent[0]), self._store.files.missing
        return not_found(absent, near, self.prefix, self._suggesting_graph, missing=missing)

    def _names_below(self, prefix: str) -> Iterator[str]:
        return self._index.names_below(prefix)

    def _names_near(self, name: str) -> Iterator[str]:
        return self._index.names_near(name)

    def _suggesting_graph(self) -> objects.ObjectGraph | None:
        return self._graph.suggesting()

    def _stored(self) -> Mapping[str, str | None]:
        return {name: name for name in self}

    def _origin(self) -> Store:
        return self._store

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        entries: Iterable[Entry] = (
            self._index.entries() if wanted is None else (self.entries[name] for name in wanted)
        )
        return read_tensors(self._store, entries, self._checks, threads=threads, copy=copy, out=out)

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        if region is None:
            return self[name]
        tensor = StoredTensor(self, self.entries[name])
        selection = Selection.of(region)
        # A checksum covers a whole piece, so verifying a part of one takes reading the tensor.
        if verified and self._checks.enabled and not tensor.is_verified(selection):
            return self[name][within(region, whole(tensor.entry.shape))]
        return tensor.read(selection)

    def _regions(self, name: str) -> Callable[[Region], Array]:
        entry, store = self.entries[name], self._store
        if entry.dtype.itemsize is None or (store.has_checked_values and not entry.slices):
            array = self[name]  # it is decoded whole, for any part of it
            return lambda region: array[within(region, whole(entry.shape))]
        if isinstance(store, Bundle) and self._checks.is_due(name):
            # Not with each region: a checksum covers a whole piece, and of a file that is not mapped the
            # piece would be read each time.
            for piece in [store.index.find_slice(entry, each) for each in entry.slices] or [entry]:
                store.locate(piece).check()
            self._checks.done(name)
        tensor = StoredTensor(self, entry)
        return lambda region: tensor.read(Selection.of(region))

    def _release(self, name: str) -> None:
        entry = self.entries[name]
        if entry.nbytes >= RELEASED_FROM:
            self._store.release(entry)

    @cached_property
    def _training(self) -> dict[str, str]:
        """The tensors that are not the model's variables, and what each is."""
        graph = self.object_graph
        return training_tensors(self.entries) if graph is None else training_values(graph)

    @cached_property
    def _model_variables(self) -> frozenset[str]:
        return frozenset(name for name in self if name not in self._training)

    def _model_names(self) -> frozenset[str]:
        return self._model_variables

    @cached_property
    def _weights(self) -> tensors.WeightNames:
        return tensors.name_weights(self.entries, self.object_graph, self._training, self._saved_names)

    def _weight_rules(self) -> tensors.WeightNames:
        return self._weights

    def _saved_names(self) -> Mapping[str, str]:
        graph = self.object_graph
        return {} if graph is None else tensors.names_in_saved_model(self.prefix, self._store.fs, graph)

    def _card(self) -> Card:
        return tensors_card("Checkpoint", self, [("shards", self.num_shards)])

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes open the files again.
        # By the files that were found, not by the path: its state file may name a later checkpoint by now.
        return _open_files, (self._store.files, self._checks.enabled, self._store.fs, self._store.limits)


class StoredTensor(NamedTuple):
    """One tensor of a checkpoint, as a :class:`SliceSource`; pickled, it is found by its checkpoint again."""

    checkpoint: Checkpoint
    entry: Entry

    def read(self, selection: Selection) -> Array:
        """Return what a selection takes; only the pieces that it meets are read."""
        checkpoint = self.checkpoint
        return read_selection(checkpoint._store, self.entry, selection, checkpoint._checks)

    def is_verified(self, selection: Selection) -> bool:
        """Return whether :meth:`read` verifies the checksums of everything that it reads."""
        checkpoint = self.checkpoint
        return is_verified(checkpoint._store, self.entry, selection, checkpoint._checks)
