"""The object graph of a checkpoint, read from the tensor that holds it when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator

from ckptfmt import object_graph as objects
from ckptfmt.cached_property import cached_property
from ckptfmt.checkpoint.checks import Checks
from ckptfmt.checkpoint.reading import read_tensor
from ckptfmt.checkpoint.store import Index, Store
from ckptfmt.errors import CorruptError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY

MAX_SUGGESTING = 8 << 20
"""Bytes of the largest graph that is read only to say what a wrong name may mean: one of 80,000 variables."""


class StoredGraph:
    """The object graph in a store. A checkpoint and its entries share it."""

    def __init__(self, store: Store, checks: Checks) -> None:
        self._store = store
        self.checks = checks
        """Which checksums are still to be verified."""

    @cached_property
    def graph(self) -> objects.ObjectGraph | None:
        """The graph, or None if the checkpoint has no objects; CorruptError if it is damaged."""
        entry = self._store.index.find(OBJECT_GRAPH_KEY)
        if entry is None:
            return None
        array = read_tensor(self._store, entry, self.checks)
        if array.shape or array.dtype != object or not isinstance(data := array.item(), bytes):
            raise CorruptError(
                f"tensor {OBJECT_GRAPH_KEY!r}: got {entry.dtype.name}{list(array.shape)}, want string[]",
                file=self._store.files.tables[0],
            )
        # The index itself stands for its keys: they are listed only if somebody asks about keys.
        files = self._store.files
        return objects.ObjectGraph(data, _Keys(self._store.index), files.prefix, limits=self._store.limits)

    def suggesting(self) -> objects.ObjectGraph | None:
        """Return the graph for an error to look names up in; None if it is too large to be read for that."""
        entry = self._store.index.find(OBJECT_GRAPH_KEY)
        if entry is None or ("graph" not in self.__dict__ and entry.nbytes > MAX_SUGGESTING):
            return None
        return self.graph

    def close(self) -> None:
        """Prepare for the store to be closed: a graph that has been read stays valid."""
        # Not through the property, which would read the graph now.
        graph = self.__dict__.get("graph")
        if graph is not None:
            graph.list_keys()  # they are read from the index


class _Keys:
    """The names in an index, listed when they are iterated over."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __iter__(self) -> Iterator[str]:
        return self._index.names()
