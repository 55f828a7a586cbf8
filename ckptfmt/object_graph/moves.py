"""Moves: which objects have to change places so that all keys lead to their values again.

When the keys of ``dense/kernel`` and ``dense/bias`` become those of ``encoder/kernel`` and ``encoder/bias``,
the object at ``dense`` moves as a whole, with all that is below it. When only the first one is renamed, or
when ``encoder`` keeps values of its own, the variable moves alone. A move is made as near to the root as all
keys agree on it: the values below the old path are then those below the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Names = tuple[str, ...]
"""Names of the edges from the root to an object."""

_CLASH = -1
"""The vote for a path whose values do not agree."""


class Move(NamedTuple):
    """An object that changes places."""

    old: Names
    new: Names


class Moves(NamedTuple):
    """What has to be done."""

    whole: list[Move]
    """Objects to move with all that is below them."""
    single: list[int]
    """Positions of the pairs whose values have to leave their object and go to another."""


def find_moves(pairs: Sequence[Move]) -> Moves:
    """Return the moves that bring each value from its old path to its new one.

    ``pairs`` has the paths of all values, also of those that stay in their places. Takes time linear in the
    lengths of the paths.
    """
    paths = _Trie()
    ends = [(paths.add(pair.old), paths.add(pair.new)) for pair in pairs]
    # The path to which all values below a path agree to move it, and the path from which all of them come.
    targets: dict[int, int] = {}
    sources: dict[int, int] = {}
    for old, new in ends:
        _vote(paths, targets, sources, old, new)
    whole = []
    entered = set()
    todo = [0]
    while todo:
        old = todo.pop()
        target = targets.get(old, _CLASH)
        # The root cannot move, and nothing can take its place.
        if old and target > 0 and sources[target] == old:
            if target != old:
                whole.append(Move(paths.names(old), paths.names(target)))
        elif old in targets:
            entered.add(old)
            todo += paths.children[old].values()
    single = [at for at, (old, new) in enumerate(ends) if old != new and old in entered]
    return Moves(whole, single)


def _vote(paths: _Trie, targets: dict[int, int], sources: dict[int, int], old: int, new: int) -> None:
    """Say for a value, and for each path above it, where the path goes if the value is to go there."""
    while True:
        if targets.setdefault(old, new) != new:
            targets[old] = _CLASH
        if sources.setdefault(new, old) != old:
            sources[new] = _CLASH
        if not old or not new or paths.last_names[old] != paths.last_names[new]:
            break
        old, new = paths.parents[old], paths.parents[new]
    # Above, the paths no longer end in the same names. If one is marked, so are all above it.
    for votes, start in ((targets, old), (sources, new)):
        path = start
        while path:
            path = paths.parents[path]
            if votes.get(path) == _CLASH:
                break
            votes[path] = _CLASH


class _Trie:
    """Paths as numbers; 0 is the empty path."""

    def __init__(self) -> None:
        self.parents = [0]
        self.last_names = [""]
        self.children: list[dict[str, int]] = [{}]

    def add(self, names: Names) -> int:
        """Return the number of a path."""
        path = 0
        for name in names:
            child = self.children[path].get(name)
            if child is None:
                child = self.children[path][name] = len(self.parents)
                self.parents.append(path)
                self.last_names.append(name)
                self.children.append({})
            path = child
        return path

    def names(self, path: int) -> Names:
        """Return the names of a path."""
        names = []
        while path:
            names.append(self.last_names[path])
            path = self.parents[path]
        return tuple(reversed(names))
