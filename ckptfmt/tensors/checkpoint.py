"""``open_checkpoint`` and ``Checkpoint``: a checkpoint as a mapping of names to arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from functools import cached_property
from typing import Literal

import numpy as np

from ckptfmt.arrays.array import Array, read_only
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
from ckptfmt.checkpoint.store import Store
from ckptfmt.checkpoint.v1 import V1Store
from ckptfmt.errors import CorruptError
from ckptfmt.integrity.verify import Progress, Report, verify_store
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
"""Bytes of a tensor from which on it is dropped from memory after an iteration has passed it."""


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
        A prefix (``model.ckpt-1000``), one of its files (``.index``, ``.data-00000-of-00002``, ``.meta``), a
        V1 file, a ``checkpoint`` state file, a directory with a state file (its latest checkpoint is opened)
        or with a single checkpoint, a SavedModel directory or its ``variables`` folder.
    verify
        Whether the checksum of a tensor is verified when it is first read. Those of the index always are.
    backend
        ``"mmap"`` maps files, so that arrays are views and nothing is copied. ``"pread"`` reads them into
        memory that the arrays own; use it for network file systems, for address spaces too small for the
        files, and for files that may be cut short while they are read.
    fs
        The file system that the path leads into, if it is not this machine's.

    Raises
    ------
    ValueError
        The backend is unknown.
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
"""The store of each format."""


def _open_files(files: CheckpointFiles, verify: bool, fs: Filesystem) -> Checkpoint:
    return Checkpoint(_STORES[files.format](files, fs), verify=verify)


class StoredEntries(Entries):
    """The entries of a checkpoint by name."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, name: str) -> Entry:
        check_name(name)
        entry = self._store.find(name)
        if entry is None:
            raise not_found([name], self._store.names_near(name), self._store.files.prefix)
        return entry

    def __contains__(self, name: object) -> bool:
        # A tensor whose entry is damaged exists, and reading it says what is wrong.
        return name in self._store

    def __iter__(self) -> Iterator[str]:
        return self._store.names()

    def __len__(self) -> int:
        return len(self._store)

    def values(self) -> ValuesView[Entry]:
        """Return a view of the entries; iterating over it is faster than looking each up by name."""
        return _EntryValues(self)

    def items(self) -> ItemsView[str, Entry]:
        """Return a view of names and entries; iterating over it is as fast as over :meth:`values`."""
        return _EntryItems(self)

    def to_columns(self) -> dict[str, np.ndarray]:
        """Return everything as columns; see :meth:`Entries.to_columns`."""
        return self._store.to_columns()

    def __repr__(self) -> str:
        return f"<Entries of {self._store.files.prefix!r}>"


class _EntryValues(ValuesView[Entry]):
    _mapping: StoredEntries

    def __iter__(self) -> Iterator[Entry]:
        return self._mapping._store.entries()


class _EntryItems(ItemsView[str, Entry]):
    _mapping: StoredEntries

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return ((entry.name, entry) for entry in self._mapping._store.entries())


class Checkpoint(Tensors):
    """An open checkpoint: a ``Mapping`` of tensor names, sorted by their bytes, to NumPy arrays.

    Nothing is read until it is asked for. Arrays are read-only. A tensor stored whole is a view of the mapped
    file, which stays mapped as long as an array views it; with ``backend="pread"`` it is read into memory and
    verified each time. A checkpoint may be used from many threads.
    """

    def __init__(self, store: Store, *, verify: bool = True) -> None:
        self._store = store
        self._checks = Checks(enabled=verify, once=store.has_views)
        self.entries = StoredEntries(store)
        """What the index says about each tensor, by name."""

    @property
    def prefix(self) -> str:
        """The name of the checkpoint in TensorFlow, such as ``dir/model.ckpt-1000``."""
        return self._store.files.prefix

    @property
    def format(self) -> str:
        """``"v2"`` (index and data files) or ``"v1"``."""
        return self._store.files.format

    @property
    def num_shards(self) -> int:
        """Number of data files according to the index; in V1 the number of files that exist."""
        return self._store.num_shards

    def shard_path(self, shard: int) -> str:
        """Return the path of a data file by its number, whether or not it exists."""
        return self._store.shard_path(shard)

    def __getitem__(self, name: str) -> Array:
        """Return a tensor as a read-only array.

        Numbers have the NumPy or ml_dtypes type of the dtype, quantised ones their integer type. Strings are
        an object array of ``bytes``, variants one of :class:`~ckptfmt.types.Variant`. A scalar has shape ().

        Raises
        ------
        TensorNotFoundError
            No tensor has that name; ``.close_matches`` suggests others.
        ChecksumError, CorruptError, TruncatedError
            The stored bytes are damaged.
        CheckpointNotFoundError
            The data file with the tensor is missing.
        UnsupportedError
            The dtype has no stored values.
        """
        entry = self.entries[name]
        if entry.nbytes >= LARGE and not self._store.has_views:
            # Several threads read it in pieces. For a view, only the checksum is computed, which is quick.
            return self._load([name], threads=default_threads(), copy=False, out={})[name]
        return read_tensor(self._store, entry, self._checks)

    def stored_name(self, name: str) -> str:
        """Return the name itself; a view returns the name of its tensor in the checkpoint."""
        self.entries[name]
        return name

    def _absent(self, names: Collection[str]) -> list[str]:
        return self._store.absent(names)

    def _stored(self) -> Mapping[str, str | None]:
        return {name: name for name in self}

    def __iter__(self) -> Iterator[str]:
        return self._store.names()

    def _names_below(self, prefix: str) -> Iterator[str]:
        return self._store.names_below(prefix)

    def _names_near(self, name: str) -> Iterator[str]:
        return self._store.names_near(name)

    def _load(
        self, wanted: Sequence[str] | None, *, threads: int, copy: bool, out: Mapping[str, Array]
    ) -> dict[str, Array]:
        entries: Iterable[Entry] = (
            self._store.entries() if wanted is None else (self.entries[name] for name in wanted)
        )

        return read_tensors(self._store, entries, self._checks, threads=threads, copy=copy, out=out)

    def slice(self, name: str) -> SliceReader:
        """Return a reader of parts of one tensor: ``ckpt.slice("w")[10:20, :]`` reads only that."""
        return SliceReader(self.entries[name], self, name)

    def verify(self, *, progress: Progress | None = None) -> Report:
        """Check every checksum, size and place in all files of the checkpoint; see :class:`Report`.

        Files are streamed, so memory stays bounded however large they are. ``progress`` is called with the
        number of bytes checked so far, and of those to check in all.
        """
        return verify_store(self._store, progress)

    def close(self) -> None:
        """Close the files. Arrays already returned stay valid, and so does the object graph."""
        graph = self.__dict__.get("object_graph")
        if graph is not None:
            graph.list_keys()
        self._store.close()

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes open the files again.
        return _open_files, (self._store.files, self._checks.enabled, self._store.fs)

    @cached_property
    def object_graph(self) -> ObjectGraph | None:
        """The objects that ``tf.train.Checkpoint`` saved; None if something else wrote the names.

        Raises
        ------
        CorruptError
            The stored object graph is damaged.
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
        return ObjectGraph(data, self, self.prefix)

    @cached_property
    def _model_keys(self) -> frozenset[str]:
        graph = self.object_graph
        return scope_variables(self.entries) if graph is None else object_variables(graph)

    def _release(self, name: str) -> None:
        entry = self.entries[name]
        if entry.nbytes >= RELEASED_FROM:
            self._store.release(entry)

    def _model_names(self) -> frozenset[str]:
        return self._model_keys

    def _region(self, name: str, region: Region | None, *, verified: bool) -> Array:
        if region is None:
            return self[name]
        selection = Selection.of(region)
        if verified and self._checks.enabled and not self._is_verified(name, selection):
            return self[name][within(region, whole(self.entries[name].shape))]
        return read_only(self._selection(name, selection))

    def _selection(self, name: str, selection: Selection) -> Array:
        return read_selection(self._store, self.entries[name], selection, self._checks)

    def _is_verified(self, name: str, selection: Selection) -> bool:
        return is_verified(self._store, self.entries[name], selection, self._checks)
