"""Prune: the object graph of a selection of a checkpoint's tensors, under old or new names.

A program restores objects by following edges: it looks for the names of its own attributes in the graph, and
reads each value under the key that it finds there. So a new name becomes a ``checkpoint_key``; and if it is
the key of another path, the edges change too, so that a program with objects at that path finds it.
TensorFlow only accepts names of the form ``…/.ATTRIBUTES/VARIABLE_VALUE``, and raises ValueError for any
other: a tensor under such a name is left to those who look for names. In this order:

1. Each stored attribute gets its new key, or is removed if it has none.
2. Objects move to the paths that their new keys have, then slot variables to their variables and optimizers
   (:mod:`ckptfmt.object_graph.moves`, :mod:`ckptfmt.object_graph.placing`).
3. Tensors that the graph does not know, and second names of one tensor, become new objects if their names are
   keys.
4. What has lost all its values goes (:mod:`ckptfmt.object_graph.survivors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ckptfmt.object_graph.claims import Claims
from ckptfmt.object_graph.draft import Draft
from ckptfmt.object_graph.edges import Edges
from ckptfmt.object_graph.keys import split_key
from ckptfmt.object_graph.paths import Paths
from ckptfmt.object_graph.placing import Placement, Value
from ckptfmt.object_graph.survivors import encode_survivors, find_idle


def prune_graph(edges: Edges, paths: Paths, claims: Claims, names: Mapping[str, str | None]) -> bytes:
    """Return the message of an object graph for a selection of the tensors of its checkpoint.

    Parameters
    ----------
    edges, paths, claims
        The graph.
    names
        The key in the checkpoint of each tensor by its new name; None for a tensor that comes from elsewhere.
    """
    selected: dict[str, list[str]] = {}
    added = []
    for name, key in names.items():
        stored = name if key is None else key
        if stored in claims.owners:
            selected.setdefault(stored, []).append(name)
        elif (key is None or name != key) and split_key(name) is not None:
            added.append(name)
    if (
        not added
        and selected.keys() == claims.owners.keys()
        and all(new == [old] for old, new in selected.items())
    ):
        return edges.message.SerializeToString(deterministic=True)
    return _Pruning(edges, paths, claims, selected).run(added)


class _Pruning:
    """A graph that is being pruned."""

    def __init__(
        self, edges: Edges, paths: Paths, claims: Claims, selected: Mapping[str, Sequence[str]]
    ) -> None:
        self._edges = edges
        self._claims = claims
        self._selected = selected
        self._draft = Draft(edges.message)
        self._valued: set[int] = set()
        """The nodes that have values now."""
        self._placement = Placement(edges, paths, self._draft, self._valued)

    def run(self, added: Iterable[str]) -> bytes:
        """Return the message, with the tensors that are added."""
        values = self._set_keys()
        if any(value.new != value.old for value in values):
            self._placement.move(values)
        for value in values:
            stored = self._draft.nodes[value.number].attributes[value.position]
            for name in value.others:
                self._placement.add(name, stored.name, stored.full_name, value.number)
        for name in added:
            self._placement.add(name)
        had_values = self._claims.owners.values()
        return encode_survivors(self._draft, self._valued, find_idle(self._edges, had_values))

    # --- keys --------------------------------------------------------------------------------------------

    def _set_keys(self) -> list[Value]:
        """Give each attribute its new key, or remove it; return those that stay."""
        values = []
        new_keys: dict[str, str] = {}
        for number, node in enumerate(self._draft.nodes):
            for position, stored in enumerate(node.attributes):
                old = stored.checkpoint_key
                special = self._claims.special.get((number, position))
                if special == () and old not in self._claims.owners:
                    continue  # nothing was ever stored there
                names = self._keys_among(self._names_of(old, special), old)
                if not names:
                    self._draft.removed(number).attributes.add(position)
                    continue
                self._valued.add(number)
                if old not in new_keys:
                    new_keys[old] = new = self._main_name(names, old, number)
                    values.append(Value(number, position, old, new, [name for name in names if name != new]))
                if new_keys[old] != old:
                    stored.checkpoint_key = new_keys[old]
        return values

    def _names_of(self, key: str, keys: Sequence[str] | None) -> Sequence[str]:
        """Return the names that an attribute may have as its key.

        An attribute that stores several tensors has the key with which all of theirs begin: there are none
        unless all are selected, and end as before.
        """
        if not keys:
            return self._selected.get(key, ())
        names: dict[str, None] | None = None
        for each in keys:
            end = each[len(key) :]
            beginnings = [name[: -len(end)] for name in self._selected.get(each, ()) if name.endswith(end)]
            names = dict.fromkeys(name for name in beginnings if names is None or name in names)
        return list(names or ())

    def _keys_among(self, names: Sequence[str], old: str) -> Sequence[str]:
        """Return the names that are keys of the attribute that a key is of."""
        if old in names and len(names) == 1:
            return names
        was = split_key(old)
        keys = [(name, split_key(name)) for name in names]
        return [
            name
            for name, key in keys
            if name == old or (key is not None and (was is None or key.attribute == was.attribute))
        ]

    def _main_name(self, names: Sequence[str], old: str, number: int) -> str:
        """Return the key that the object keeps: its old one, or that of another path to it, or any."""
        if len(names) == 1 or old in names:
            return old if old in names else names[0]
        return next((name for name in names if self._placement.leads_to(split_key(name), number)), names[0])
