"""Claims: which key of the index belongs to which object.

Every attribute of a node names a checkpoint key. Nearly always this is a key of the index that no other
attribute names: :func:`exact_claims`, the fast path. In other graphs

- several nodes name one key: the first gets it (:func:`shared_claims`);
- a table, an iterator or another object stores several tensors, under keys that begin with the one that it
  names: each stored key goes to the longest named key that it begins with (:func:`prefix_claims`);
- an object stores nothing, and the index lacks the key that it names.

All three keep one invariant: a key of the index belongs to at most one attribute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ckptfmt.object_graph.keys import ATTRIBUTES
from ckptfmt.proto import messages

Objects: TypeAlias = "Sequence[messages.TrackableObjectGraph.TrackableObject]"
"""The nodes of a graph, in the order of their numbers."""


class Claim(NamedTuple):
    """A key that an attribute of a node names."""

    key: str
    number: int
    """The node."""
    attribute: int
    """Number of the attribute in the node."""


@dataclass
class Claims:
    """The keys of an index that belong to each node of a graph."""

    owners: dict[str, int] = field(default_factory=dict)
    """Number of the node that owns each key."""
    full_names: dict[str, str] = field(default_factory=dict)
    """Full name of the variable under each key that has one."""
    special: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    """Keys of an attribute, by node and attribute, if they are not just the one that it names."""
    absent: list[str] = field(default_factory=list)
    """Keys that attributes name but under which nothing is stored."""


def find_claims(nodes: Objects, index: Iterable[str]) -> Claims:
    """Return which of the keys in an index belong to which nodes.

    Takes linear time, apart from sorting the keys that no attribute names exactly.
    """
    unowned = dict.fromkeys(index)
    claims = exact_claims(nodes, unowned)
    return claims if claims is not None else shared_claims(nodes, unowned)


def exact_claims(nodes: Objects, index: dict[str, None]) -> Claims | None:
    """Return the claims if each attribute names an existing key that no other names, else None."""
    # Comprehensions, without a branch for each attribute, because this is all that nearly every graph needs,
    # even one of 100,000 variables.
    named = [
        (attribute.checkpoint_key, number, attribute.full_name)
        for number, node in enumerate(nodes)
        for attribute in node.attributes
    ]
    owners = {key: number for key, number, _ in named}
    # A key named twice, or one that the index lacks.
    if len(owners) < len(named) or not owners.keys() <= index.keys():
        return None
    return Claims(owners, {key: name for key, _, name in named if name})


def shared_claims(nodes: Objects, unowned: dict[str, None]) -> Claims:
    """Return the claims of any graph; ``unowned`` loses the keys that are named exactly.

    The first of several attributes that name a key gets it; the others get none.
    """
    claims = Claims()
    inexact: list[Claim] = []
    for number, node in enumerate(nodes):
        for position, attribute in enumerate(node.attributes):
            key = attribute.checkpoint_key
            if key in unowned:
                del unowned[key]
                claims.owners[key] = number
                if attribute.full_name:
                    claims.full_names[key] = attribute.full_name
            elif key in claims.owners:
                claims.special[number, position] = ()
            else:
                inexact.append(Claim(key, number, position))
    if not inexact:
        return claims
    # A second pass: only after all exact claims is it known which keys are left for attributes that name no
    # stored key.
    taken = prefix_claims({claim.key for claim in inexact}, unowned)
    claims.absent = [key for key in dict.fromkeys(claim.key for claim in inexact) if not taken[key]]
    for claim in inexact:
        keys = taken[claim.key]
        claims.special[claim.number, claim.attribute] = tuple(keys)
        claims.owners.update(dict.fromkeys(keys, claim.number))
        taken[claim.key] = []  # the first of several nodes that name a key gets it
    return claims


def prefix_claims(named: Iterable[str], unowned: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each key that is named but not stored, the stored keys that begin with it.

    A stored key goes to the longest named key that it begins with: "table_2-keys" belongs to "table_2", not
    to "table".
    """
    taken: dict[str, list[str]] = {key: [] for key in named}
    # Only keys of the form that objects' keys have, …/.ATTRIBUTES/name, take part. Without that rule a named
    # key that is empty, as in a damaged graph, would take every key that is left.
    free = [key for key in unowned if f"{key.rpartition('/')[0]}/".endswith(ATTRIBUTES)]
    candidates = (key for key in taken if ATTRIBUTES in key)
    # In sorted order, all keys that begin with a named key follow it without a gap. So the stack holds the
    # named keys that the current key begins with, each of them beginning with the one below it, and the
    # longest is on top. A named key is pushed and popped once: linear time after the sort.
    stack: list[str] = []
    for key in sorted([*free, *candidates]):
        while stack and not key.startswith(stack[-1]):
            stack.pop()
        if key in taken:
            stack.append(key)
        elif stack:
            taken[stack[-1]].append(key)
    return taken
