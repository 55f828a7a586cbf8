"""A checkpoint as users see it: a mapping of names to arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.checkpoint.bulk import LARGE, read_tensors
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.find import find_checkpoint
from ckptfmt.checkpoint.reading import is_verified, read_selection, read_tensor
from ckptfmt.checkpoint.selection import Selection
from ckptfmt.checkpoint.slices import Region, whole, within
from ckptfmt.checkpoint.store import Index, Store
from ckptfmt.checkpoint.v1 import V1Store
from ckptfmt.errors import CorruptError
from ckptfmt.integrity.report import Progress, Report
from ckptfmt.integrity.verify import verify_store
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.storage.local import filesystem_of
from ckptfmt.tensors.mapping import check_name, not_found
from ckptfmt.tensors.model_variables import object_variables, scope_variables
from ckptfmt.tensors.slice_reader import SliceReader
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
) -> Checkpoint:
    """Open a TensorFlow checkpoint, V2 or V1, from any path that leads to it.

    Parameters
    ----------
    path
        A prefix (``model.ckpt-1000``), one of its files (``.index``, ``.data-00000-of-00002``, ``.meta``),
        a V1 file, a ``checkpoint`` state file, a directory with one checkpoint or with a state file (its
        latest is opened), a SavedModel directory or its ``variables`` folder.
    verify
        Whether the checksum of a tensor's bytes is verified when it is first read. The checksums of the index
        are always verified.
    backend
        How files are read. ``"mmap"`` maps them, so that arrays are views and nothing is copied; a file that
        cannot be mapped is read as with ``"pread"``. ``"pread"`` maps nothing and reads into memory of each
        array's own, for slow network file systems and files that may be truncated while they are open.
    fs
        The file system that the path leads into, if it is not this machine's.

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
    fs = filesystem_of(backend, fs)
    return _open_files(find_checkpoint(path, fs), verify, fs)


_STORES: Mapping[str, Callable[[CheckpointFiles, Filesystem], Store]] = {"v2": Bundle, "v1": V1Store}
"""The class that reads the files of each format."""


def _open_files(files: CheckpointFiles, verify: bool, fs: Filesystem) -> Checkpoint:
    return Checkpoint(_STORES[files.format](files, fs), verify=verify)


class StoredEntries(Entries):
    """The entries of a checkpoint by name: dtypes, shapes and places, without values."""

    def __init__(self, index: Index, prefix: str) -> None:
        self._index = index
        self._prefix = prefix

    def __getitem__(self, name: str) -> Entry:
        check_name(name)
        entry = self._index.find(name)
        if entry is None:
            raise not_found([name], self._index.names_near(name), self._prefix)
        return entry

    def __contains__(self, name: object) -> bool:
        # A tensor whose entry is damaged exists, and reading it says what is wrong.
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return self._index.names()

    def __len__(self) -> int:
        return len(self._index)

    def values(self) -> ValuesView[Entry]:
        """Return a view of the entries; iterating over it is faster than asking for each by name."""
        return _EntryValues(self)

    def items(self) -> ItemsView[str, Entry]:
        """Return a view of names and entries, to iterate over as fast as over :meth:`values`."""
        return _EntryItems(self)

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return all entries as columns; see :meth:`Entries.to_columns`."""
        return self._index.to_columns()

    def __repr__(self) -> str:
        return f"<Entries of {self._prefix!r}>"


class _EntryValues(ValuesView[Entry]):
    _mapping: StoredEntries

    def __iter__(self) -> Iterator[Entry]:
        return self._mapping._index.entries()


class _EntryItems(ItemsView[str, Entry]):
    _mapping: StoredEntries

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return ((entry.name, entry) for entry in self._mapping._index.entries())


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
        self.entries: Entries = StoredEntries(store.index, store.files.prefix)
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
        entry = self.entries[name]
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

    @cached_property
    def object_graph(self) -> ObjectGraph | None:
        """The objects that ``tf.train.Checkpoint`` saved, or None if something else wrote the checkpoint.

        Raises
        ------
        CorruptError
            The object graph in the checkpoint is damaged.
        """
        if OBJECT_GRAPH_KEY not in self:
            return None
        array = self[OBJECT_GRAPH_KEY]
        if array.shape or array.dtype != object or not isinstance(data := array.item(), bytes):
            raise CorruptError(
                f"tensor {OBJECT_GRAPH_KEY!r}: got {self.entries[OBJECT_GRAPH_KEY].dtype.name}"
                f"{list(array.shape)}, want string[]",
                file=self._store.files.tables[0],
            )
        # The checkpoint itself stands for its keys: they are listed only if somebody asks about keys.
        return ObjectGraph(data, self, self.prefix)

    def verify(self, *, progress: Progress | None = None) -> Report:
        """Check every checksum, size and offset in all files of the checkpoint; see :class:`Report`.

        Files are streamed, so memory stays bounded however large they are. ``progress`` is called with the
        bytes checked so far and the bytes to check in all.
        """
        return verify_store(self._store, progress)

    def close(self) -> None:
        """Close the files. Arrays already returned stay valid, and so does the object graph."""
        # Not through the property, which would read the graph now.
        graph = self.__dict__.get("object_graph")
        try:
            if graph is not None:
                graph.list_keys()  # they are read from the index, which is about to be closed
        finally:
            self._store.close()

    def __iter__(self) -> Iterator[str]:
        return self._index.names()

    def _absent(self, names: Collection[str]) -> list[str]:
        return self._index.absent(names)

    def _names_below(self, prefix: str) -> Iterator[str]:
        return self._index.names_below(prefix)

    def _names_near(self, name: str) -> Iterator[str]:
        return self._index.names_near(name)

    def _stored(self) -> Mapping[str, str | None]:
        return {name: name for name in self}

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

    def _release(self, name: str) -> None:
        entry = self.entries[name]
        if entry.nbytes >= RELEASED_FROM:
            self._store.release(entry)

    @cached_property
    def _model_variables(self) -> frozenset[str]:
        graph = self.object_graph
        return scope_variables(self.entries) if graph is None else object_variables(graph)

    def _model_names(self) -> frozenset[str]:
        return self._model_variables

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes open the files again.
        # By the files that were found, not by the path: its state file may name a later checkpoint by now.
        return _open_files, (self._store.files, self._checks.enabled, self._store.fs)


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
