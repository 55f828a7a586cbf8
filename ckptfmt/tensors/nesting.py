"""Nested dictionaries of arrays, as in JAX, from names with separators, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ckptfmt.arrays.array import Array
from ckptfmt.errors import NameConflictError

SCOPE_PROBLEM = "no name that is also a scope of others"
"""Why a format that is a tree cannot hold the tensors that :func:`scope_names` returns."""


def nest(items: Iterable[tuple[str, Array]], separator: str = "/", file: str | None = None) -> dict[str, Any]:
    """Return nested dictionaries of arrays, splitting names at ``separator``; :func:`flatten` is the inverse.

    ``file`` is the checkpoint that errors name.

    Raises
    ------
    NameConflictError
        A name is that of an array and a scope of others.
    """
    if not separator:
        raise ValueError("separator: got '', want at least one character")
    tree: dict[str, Any] = {}
    clashes: dict[str, list[str]] = {}
    for name, array in items:
        *scopes, last = name.split(separator)
        branch = tree
        for depth, scope in enumerate(scopes, 1):
            below = branch.setdefault(scope, {})
            if not isinstance(below, dict):
                above = separator.join(scopes[:depth])
                clashes.setdefault(above, [above]).append(name)
                break
            branch = below
        else:
            if last in branch:
                clashes.setdefault(name, [name]).append(f"{name}{separator}…")
            branch[last] = array
    if clashes:
        raise NameConflictError("names of both a tensor and a scope", names=clashes, file=file)
    return tree


def scope_names(names: Iterable[str], separator: str = "/") -> list[str]:
    """Return the names that are also scopes of others: ``w`` beside ``w/Adam``."""
    listed = list(names)
    scopes: set[str] = set()
    for name in listed:
        end = name.rfind(separator)
        # Scopes above one that is known are known too.
        while end >= 0 and name[:end] not in scopes:
            scopes.add(name[:end])
            end = name.rfind(separator, 0, end)
    return [name for name in listed if name in scopes]


def flatten(tree: Mapping[str, Any], separator: str = "/") -> dict[str, Any]:
    """Return nested mappings as one dictionary: ``{"a": {"b": x}}`` becomes ``{"a/b": x}``.

    Everything that is not a mapping is a value. This is the inverse of ``ckpt.to_nested()``; empty mappings
    vanish.

    Raises
    ------
    NameConflictError
        Two values get the same name.
    TypeError
        A key is not a string.
    ValueError
        A mapping contains itself.
    """
    flat: dict[str, Any] = {}
    for path, value in leaves_of(tree):
        name = separator.join(path)
        if name in flat:
            raise NameConflictError("several values would get one name", names={name: [name, repr(path)]})
        flat[name] = value
    return flat


def leaves_of(
    tree: Mapping[str, Any], is_value: Callable[[object], bool] = lambda value: not isinstance(value, Mapping)
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Iterate over the values in nested mappings, with the keys that lead to them; see :func:`flatten`."""
    # Depth first, with a list of open mappings, because a tree may be deeper than Python recurses. ``path``
    # has the key of each but the first.
    path: list[str] = []
    within = {id(tree)}
    open_mappings = [(tree, iter(tree.items()))]
    while open_mappings:
        mapping, items = open_mappings[-1]
        for key, value in items:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} below {'/'.join(path)!r}: want a str")
            if is_value(value):
                yield (*path, key), value
                continue
            # By identity: only a mapping inside itself never ends, and one that occurs twice is no error.
            if id(value) in within:
                raise ValueError(f"the mapping at {'/'.join([*path, key])!r} contains itself")
            within.add(id(value))
            open_mappings.append((value, iter(value.items())))
            path.append(key)
            break
        else:
            open_mappings.pop()
            within.remove(id(mapping))
            if path:
                path.pop()
