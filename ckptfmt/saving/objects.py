"""Objects of TF2 in what is saved: the graph by which ``tf.train.Checkpoint`` finds the tensors.

The graph of a checkpoint is stored with any selection of its tensors, changed to fit, and those of several
checkpoints are merged: see :mod:`ckptfmt.object_graph.prune` and :mod:`ckptfmt.object_graph.merge`. A nested
mapping gets a graph if the caller asks for one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptfmt.object_graph.build import SAVE_COUNTER, build_graph
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY, VARIABLE_VALUE, split_key
from ckptfmt.object_graph.merge import merge_graphs
from ckptfmt.saving.sources import Group, Savable, groups_of, listed
from ckptfmt.tensors.derived import DerivedMapping
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.nesting import nest
from ckptfmt.tensors.view import NameMapping

COUNTER_KEY = SAVE_COUNTER + VARIABLE_VALUE
"""Key under which TF2 stores how often a run has saved."""


class Built(NamedTuple):
    """What is to be saved, and the object graphs that were made for it."""

    groups: list[Group]
    graphs: list[bytes]


def build_objects(tensors: Savable) -> Built:
    """Return what is to be saved under the keys that ``tf.train.Checkpoint(**tensors)`` would give it.

    A checkpoint with an object graph keeps its keys, below the path at which it is in a nested mapping. The
    names of another one are split at slashes.

    Raises
    ------
    GraphError
        Something is not an object for TensorFlow; the message says where.
    NameConflictError
        Several tensors get one name.
    """
    parts: list[Any] = []
    graphs = []
    for each in listed(tensors):
        if isinstance(each, TensorMapping) and each.object_graph is not None:
            parts.append(each)
            continue
        checkpoints = _Checkpoints()
        nested = checkpoints.stand_in("", each) if isinstance(each, TensorMapping) else each
        built = build_graph(nested, stand_in=checkpoints.stand_in)
        parts += checkpoints.apart
        parts += checkpoints.divide(built.values)
        graphs.append(built.message)
    return Built(groups_of(parts), graphs)


class _Checkpoints:
    """The checkpoints in a nested mapping. Nothing is read of them but a counter."""

    def __init__(self) -> None:
        self.apart: list[NameMapping] = []
        """Those with graphs of their own, under the keys that they get."""
        self._without_graph: list[tuple[TensorMapping, dict[str, Any]]] = []
        """The others, and readers of their tensors, which take their place."""

    def stand_in(self, path: str, mapping: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Return what takes the place of a mapping at a path; None for a checkpoint with a graph."""
        if not isinstance(mapping, TensorMapping):
            return mapping
        if mapping.object_graph is not None:
            self.apart.append(NameMapping(mapping, {f"{path}/{name}": name for name in mapping}))
            return None
        readers: dict[str, Any] = {name: mapping.slice(name) for name in mapping}
        self._without_graph.append((mapping, readers))
        return nest(readers.items(), file=mapping.prefix)

    def divide(self, values: Mapping[str, Any]) -> list[NameMapping | dict[str, Any]]:
        """Return values by key in groups: those of each checkpoint without a graph, and the others."""
        keys = {id(value): key for key, value in values.items()}
        groups: list[NameMapping | dict[str, Any]] = []
        taken: set[str] = set()
        for mapping, readers in self._without_graph:
            names = {keys[id(reader)]: name for name, reader in readers.items() if id(reader) in keys}
            groups.append(NameMapping(mapping, names))
            taken.update(names)
        groups.append({key: value for key, value in values.items() if key not in taken})
        return groups


def graph_to_store(groups: Sequence[Group], built: Sequence[bytes] = ()) -> bytes | None:
    """Return the object graph to store, serialized; empty to store none.

    None leaves things as they are: there is no graph, or it is copied with the tensors.

    Parameters
    ----------
    groups
        What is to be saved.
    built
        Graphs that were made for those groups that have none.

    Raises
    ------
    GraphError
        The objects of several checkpoints do not fit each other.
    """
    only = groups[0] if len(groups) == 1 else None
    if isinstance(only, TensorMapping) and not built and (only._keys_here() is None or _is_given(only)):
        return None
    graphs = list(built)
    beside: dict[str, str | None] = {}
    with_graphs = []
    for group in groups:
        if isinstance(group, TensorMapping) and group.object_graph is not None:
            with_graphs.append(group)
        elif not built:
            beside.update(dict.fromkeys(group))
    for group in with_graphs:
        assert group.object_graph is not None
        # What comes from elsewhere under the name of a key becomes an object of the first graph.
        names = {**beside, **_origins(group)}
        beside = {}
        graph = group.object_graph.encode(names)
        is_whole = names.get(OBJECT_GRAPH_KEY) == OBJECT_GRAPH_KEY and graph == group.object_graph.encode()
        if is_whole and group is only:
            return None
        graphs.append(graph)
    if not graphs:
        return None
    # If no name is a key, the graph would hide from TensorFlow that the tensors can be found by their names.
    has_keys = any(split_key(name) is not None for group in groups for name in group)
    return merge_graphs(graphs) if has_keys or not any(map(len, groups)) else b""


def counter_to_store(groups: Sequence[Group]) -> NameMapping | None:
    """Return the counter of saves of the first checkpoint that has one, if only parts of it are to be saved.

    Every ``tf.train.Checkpoint`` of a program has the counter, so restoring a checkpoint with a graph but
    without the counter reports an object that is not matched.
    """
    if any(COUNTER_KEY in group for group in groups):
        return None
    for group in groups:
        # A checkpoint at a key of a mapping has other paths: its counter is not that of the root.
        if not isinstance(group, TensorMapping) or type(group) is NameMapping or group.object_graph is None:
            continue
        checkpoint: TensorMapping = group
        while isinstance(checkpoint, DerivedMapping):
            checkpoint = checkpoint._parent
        if COUNTER_KEY in checkpoint:
            return NameMapping(checkpoint, {COUNTER_KEY: COUNTER_KEY})
    return None


def _is_given(group: TensorMapping) -> bool:
    """Return whether the caller has given a graph of their own."""
    unchanged = group._unchanged()
    return OBJECT_GRAPH_KEY in unchanged and unchanged[OBJECT_GRAPH_KEY] is None


def _origins(group: TensorMapping) -> dict[str, str | None]:
    """Return the stored name of each tensor, also of one that is made from a single stored one."""
    stored = dict(group._stored())
    made = [name for name, key in stored.items() if key is None]
    if made and isinstance(group, DerivedMapping):
        parents = group._parent._stored()
        for name in made:
            sources = list(group._sources(name))
            stored[name] = parents.get(sources[0]) if len(sources) == 1 else None
    return stored
