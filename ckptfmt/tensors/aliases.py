"""Aliases: other names for the tensors of an object-based checkpoint, under which its views have them.

A key follows the shortest path to a variable, which says little about the model. Users know a tensor by the
name that its variable had in the program, or by a path as ``ckptfmt tree`` prints it. A look-up takes only
the names of the mapping at hand, but its error knows these names too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from ckptfmt import object_graph as objects
from ckptfmt.errors import CkptfmtError, TensorNotFoundError
from ckptfmt.object_graph.keys import VARIABLE_VALUE
from ckptfmt.tensors.renaming import OUTPUT
from ckptfmt.text.closest import closest_names
from ckptfmt.text.patterns import Pattern, is_glob
from ckptfmt.text.quoting import listed

FULL_NAME = "by_full_name()"
OBJECT_PATH = "by_object_path()"
OBJECT_GRAPH = "object_graph"

_LISTED = 3
"""Keys, or names, that a message lists."""

_MAX_NAMES = 20
"""Names of tensors that were asked for in one message."""


class Alias(NamedTuple):
    """Another name for tensors."""

    name: str
    where: str
    """The view that has it, as called in Python; for the path of an object, the object graph."""
    keys: tuple[str, ...]
    """The tensors: several if full names are not unique, or an object stores several."""

    def __str__(self) -> str:
        if self.where == OBJECT_GRAPH:
            return f"{OBJECT_GRAPH}[{self.name!r}] is"
        return f"{self.where} has {self.name!r},"


def find_aliases(graph: objects.ObjectGraph, name: str) -> list[Alias]:
    """Return what a name stands for in each view, and as a path of the object graph: paths come first."""
    aliases = []
    if keys := graph.keys_by_short_name.get(name):
        aliases.append(Alias(name, OBJECT_PATH, keys))
    elif name in graph and (keys := graph[name].keys):
        aliases.append(Alias(name, OBJECT_GRAPH, keys))
    full_names = graph.keys_by_full_name
    names = dict.fromkeys((name, name.removesuffix(OUTPUT)))
    return aliases + [Alias(each, FULL_NAME, full_names[each]) for each in names if each in full_names]


def not_found(
    absent: Sequence[str],
    known: Iterable[str],
    prefix: str,
    graph: Callable[[], objects.ObjectGraph | None] = lambda: None,
    keys: Collection[str] | None = None,
    missing: Sequence[str] = (),
) -> TensorNotFoundError:
    """Return the error for names that do not exist; for a single name, with what it may mean.

    Parameters
    ----------
    absent
        The names.
    known
        Existing names to compare a single one with.
    prefix
        The checkpoint.
    graph
        Returns its object graph, among whose names a single name is looked for too.
    keys
        The stored names of the tensors in this mapping; by default those of the whole checkpoint.
    missing
        Files of the checkpoint that do not exist. They may hold the tensors.
    """
    if missing:
        nouns = f"tensor{'s' if len(absent) > 1 else ''} named {listed(absent, _MAX_NAMES)}"
        files = f"{listed(missing, quote=str)} {'is' if len(missing) == 1 else 'are'} missing"
        what = f"no {nouns} in the files that exist, but {files}"
        return TensorNotFoundError(absent[0], file=prefix, names=absent, what=what)
    if len(absent) > 1:
        return TensorNotFoundError(absent[0], file=prefix, names=absent)
    try:
        object_graph = graph()
    except (CkptfmtError, ValueError):
        object_graph = None  # a damaged graph gives no hint, and is not what was asked about
    try:
        close, hint = _meant(absent[0], known, object_graph, keys)
    except (CkptfmtError, ValueError):
        close, hint = (), None  # nor is a damaged listing
    return TensorNotFoundError(absent[0], file=prefix, close_matches=close, hint=hint)


def no_match(
    patterns: Sequence[Pattern], known: Callable[[], Iterable[str]], prefix: str
) -> TensorNotFoundError:
    """Return the error for patterns that match no name, with what may have been meant instead."""
    texts = [pattern if isinstance(pattern, str) else pattern.pattern for pattern in patterns]
    first = texts[0]
    try:
        names = list(known())
    except CkptfmtError:
        names = []  # no suggestions then: this error would hide the one that the user needs
    close = closest_names(first, names, ending=VARIABLE_VALUE) if len(texts) == 1 else []
    what = f"no tensor matches {' or '.join(map(repr, texts))}"
    is_plain = not any(isinstance(pattern, re.Pattern) or is_glob(pattern) for pattern in patterns)
    # A part of a name was probably meant to find all names that contain it.
    if is_plain and (not close or any(first in name for name in names)):
        what += f"; patterns are globs: try {f'*{first}*'!r}"
    return TensorNotFoundError(" ".join(texts), file=prefix, close_matches=close, names=texts, what=what)


def _meant(
    name: str, known: Iterable[str], graph: objects.ObjectGraph | None, keys: Collection[str] | None
) -> tuple[Sequence[str], str | None]:
    """Return what a name may mean, and what to say about it if that is more than a list of names."""
    others: dict[str, str] = {}
    if graph is not None:
        exact = _exact(graph, name, keys)
        if exact is not None:
            return exact.keys, f"; {exact} stored as {listed(exact.keys, _LISTED)}"
        others = _other_names(graph, keys)
    # A name of this mapping is preferred to the same one of another view.
    own = dict.fromkeys(known)
    names = [*(each for each in others if each not in own), *own]
    close = closest_names(name, names, ending=VARIABLE_VALUE)
    if graph is not None and (not close or name.rpartition("/")[0] in graph):
        # Of the many paths that lead to an object, the names above are those of the shortest alone.
        paths = [each for each in graph.closest_paths(name) if each not in others]
        others |= dict.fromkeys(paths, OBJECT_GRAPH)
        close = [*paths, *close][:_LISTED]
    # Two names of one tensor are not two suggestions.
    close = [each for each in close if each in own or not _is_named(graph, each, close)]
    if all(each in own for each in close):
        return close, None
    # Each name once, and each view once: "'a' or 'b' of by_full_name()".
    by_place: dict[str, list[str]] = {}
    for each in close:
        by_place.setdefault("" if each in own else f" of {others[each]}", []).append(repr(each))
    meant = (f"{' or '.join(names)}{place}" for place, names in by_place.items())
    return close, f"; did you mean {' or '.join(meant)}?"


def _is_named(graph: objects.ObjectGraph | None, name: str, names: Collection[str]) -> bool:
    """Whether the keys of a tensor's alias are among names too."""
    return graph is not None and any(set(each.keys).issubset(names) for each in find_aliases(graph, name))


def _exact(graph: objects.ObjectGraph, name: str, keys: Collection[str] | None) -> Alias | None:
    for alias in find_aliases(graph, name):
        here = tuple(key for key in alias.keys if keys is None or key in keys)
        if here:
            return alias._replace(keys=here)
    return None


def _other_names(graph: objects.ObjectGraph, keys: Collection[str] | None) -> dict[str, str]:
    """Return the views that have other names, by name."""
    found: dict[str, str] = {}
    for names, where in ((graph.keys_by_short_name, OBJECT_PATH), (graph.keys_by_full_name, FULL_NAME)):
        for name, stored in names.items():
            if keys is None or any(key in keys for key in stored):
                found[name] = where
    return found
