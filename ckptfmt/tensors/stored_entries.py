"""The entries of a checkpoint as users see them: a mapping of names to dtypes, shapes and places."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView

import numpy as np

from ckptfmt import checkpoint
from ckptfmt.checkpoint.bundle import Bundle
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.columns import Entries
from ckptfmt.checkpoint.entry import Entry
from ckptfmt.checkpoint.files import CheckpointFiles
from ckptfmt.checkpoint.store import Store
from ckptfmt.limits import DEFAULT, Limits
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.table import Table
from ckptfmt.tensors.aliases import not_found
from ckptfmt.tensors.mapping import check_name
from ckptfmt.tensors.stored_graph import StoredGraph


def open_store(
    files: CheckpointFiles, fs: Filesystem, limits: Limits = DEFAULT, opened: Mapping[str, Table] = {}
) -> Store:
    """Open the files of a checkpoint, except the tables that are open already, given by path."""
    store = Bundle if files.format == "v2" else checkpoint.V1Store
    return store(files, fs, limits, opened)


class StoredEntries(Entries):
    """The entries of a checkpoint by name: dtypes, shapes and places, without values."""

    def __init__(self, store: Store, graph: StoredGraph) -> None:
        self._store = store
        self._index = store.index
        self._graph = graph

    def __getitem__(self, name: str) -> Entry:
        check_name(name)
        entry = self._index.find(name)
        if entry is None:
            files = self._store.files
            near = self._index.names_near(name)
            raise not_found([name], near, files.prefix, self._graph.suggesting, missing=files.missing)
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
        return f"<Entries of {self._store.files.prefix!r}>"

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes open the files again, as for a checkpoint; the entries of a large index need not be
        # decoded to be sent.
        store = self._store
        return _open_entries, (store.files, self._graph.checks.enabled, store.fs, store.limits)


def _open_entries(files: CheckpointFiles, verify: bool, fs: Filesystem, limits: Limits) -> StoredEntries:
    store = open_store(files, fs, limits)
    return StoredEntries(store, StoredGraph(store, Checks(enabled=verify, once=store.has_views)))


class _EntryValues(ValuesView[Entry]):
    _mapping: StoredEntries

    def __iter__(self) -> Iterator[Entry]:
        return self._mapping._index.entries()


class _EntryItems(ItemsView[str, Entry]):
    _mapping: StoredEntries

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        index = self._mapping._index
        return zip(index.names(), index.entries(), strict=True)
