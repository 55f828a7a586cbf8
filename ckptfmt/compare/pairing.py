"""Pairing: which stored tensor each wanted one is restored from, as TensorFlow pairs them.

=============  =============  ============================================================================
checkpoint     wanted         pairs
=============  =============  ============================================================================
object graph   object graph   both graphs walked from their roots by local names, then slot variables
object graph   names          by key, else by full name, as ``tf.compat.v1.train.Saver`` restores, else by
                              key without what is appended to it
names          object graph   by full name, as ``tf.train.Checkpoint`` restores a Saver's checkpoint
names          names          by name
=============  =============  ============================================================================

Sources: ``python/checkpoint/restore.py``, ``python/checkpoint/checkpoint.py``,
``python/training/saver.py: object_graph_key_mapping``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ckptfmt.compare.inventory import Inventory
from ckptfmt.compare.object_pairs import pair_objects
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.object_graph.object_graph import ObjectGraph
from ckptfmt.tensors.restore import Spec

SAVE_COUNTER = f"save_counter{VARIABLE_VALUE}"
"""The number of saves of a ``tf.train.Checkpoint``; it does not expect a Saver to have written one."""


@dataclass
class Pairing:
    """Wanted names, and the stored names that they are restored from."""

    stored_for: dict[str, str]
    """The stored name of each wanted name that has one."""
    consumed: set[str]
    """Stored names that are wanted, even if another one is restored instead."""
    optional: frozenset[str] = frozenset()
    """Wanted names that may be missing."""


def pair(stored: Inventory, wanted: Inventory) -> Pairing:
    """Return how the tensors of a checkpoint are restored; shapes and dtypes do not count."""
    consumed: set[str] = set()
    optional: frozenset[str] = frozenset()
    pairs: Iterable[tuple[str, str]]
    if stored.graph is not None and wanted.graph is not None:
        by_object = pair_objects(stored.graph, wanted.graph)
        consumed = by_object.consumed
        # Keys that belong to no object are paired by name.
        free = set(stored.graph.unreached).intersection(wanted.graph.unreached)
        pairs = [*by_object.stored_for.items(), *((key, key) for key in free)]
    elif stored.graph is not None:
        pairs = _as_a_saver(stored.graph, stored.specs, wanted.specs)
    elif wanted.graph is not None:
        pairs = _from_a_saver(wanted.graph, stored.specs, wanted.specs)
        optional = frozenset([SAVE_COUNTER])
    else:
        pairs = ((name, name) for name in wanted.specs)
    # The rules may name tensors that one side does not have.
    stored_for = {name: source for name, source in pairs if name in wanted.specs and source in stored.specs}
    return Pairing(stored_for, consumed.union(stored_for.values()), optional)


def _as_a_saver(
    graph: ObjectGraph, stored: Mapping[str, Spec], wanted: Mapping[str, Spec]
) -> Iterator[tuple[str, str]]:
    """Wanted names and keys of objects, as a Saver restores an object-based checkpoint."""
    keys_by_full_name = graph.keys_by_full_name
    for name in wanted:
        keys = keys_by_full_name.get(name, ())
        if name in stored:
            yield name, name
        elif keys:
            yield name, keys[-1]  # if several variables have the name, TensorFlow restores the last one
        else:
            yield name, name + VARIABLE_VALUE


def _from_a_saver(
    graph: ObjectGraph, stored: Mapping[str, Spec], wanted: Mapping[str, Spec]
) -> Iterator[tuple[str, str]]:
    """Wanted keys and full names, as ``tf.train.Checkpoint`` restores what a Saver wrote."""
    for key in wanted:
        # A view may have the keys themselves.
        yield key, key if key in stored else graph.full_names.get(key, key)
