"""What users give to be saved, made into groups of tensors by name.

::

    a checkpoint, a view          a group as it is: its bytes can be copied
    a mapping, nested or not      a group of functions that get each value when it is written
    a checkpoint in a mapping     a group of its own, its names below the key: {"encoder": ckpt}
    a list of these               their groups, one after the other
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial, reduce
from operator import attrgetter, getitem
from typing import Any, TypeAlias

import numpy as np

from ckptfmt.checkpoint.entry import new_keys
from ckptfmt.dtypes import BY_NAME
from ckptfmt.errors import NameConflictError
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.nesting import leaves_of
from ckptfmt.tensors.view import NameMapping

Savable: TypeAlias = "Mapping[str, Any] | Iterable[Mapping[str, Any]]"
"""Arrays by name, nested dictionaries of them, a checkpoint or a view; or several of these."""

Loader: TypeAlias = "Callable[[], Any]"
"""Returns a value. It is called when the value is needed, so that memory holds one at a time."""

Group: TypeAlias = "TensorMapping | dict[str, Loader]"
"""Tensors of a checkpoint, or values by name."""


def groups_of(tensors: Savable) -> list[Group]:
    """Return what is to be saved in groups.

    Raises
    ------
    NameConflictError
        Several mappings have tensors of one name.
    TypeError
        Something is not a mapping, such as a path.
    """
    several = [tensors] if _is_mapping(tensors) else _listed(tensors)
    groups = [group for each in several for group in _groups_of_one(each)]
    if len(groups) > 1:
        _check_distinct(groups)
    return groups


def plain_arrays(tensors: Savable) -> dict[str, np.ndarray] | None:
    """Return a dictionary of NumPy arrays of numbers that can be stored; None if it is anything else.

    Raises ValueError for a name that no tensor can have.
    """
    if type(tensors) is not dict or set(map(type, tensors.values())) - {np.ndarray}:
        return None
    if set(map(type, tensors)) - {str}:
        return None
    dtypes = set(map(attrgetter("dtype"), tensors.values()))
    if any(dtype.kind not in "biufc" or dtype.name not in BY_NAME for dtype in dtypes):
        return None
    new_keys(list(tensors))
    return tensors


def _listed(tensors: object) -> list[Any]:
    wanted = "want a mapping of names to arrays, a checkpoint or a view, or a list of these"
    if isinstance(tensors, (str, os.PathLike)):
        path = os.fspath(tensors)
        raise TypeError(f"tensors: got the path {path!r}, {wanted}: ckptfmt.open({path!r})")
    if not isinstance(tensors, Iterable) or isinstance(tensors, np.ndarray):
        raise TypeError(f"tensors: got {type(tensors).__name__}, {wanted}")
    several = list(tensors)
    for each in several:
        if not _is_mapping(each):
            if isinstance(each, (str, os.PathLike)):
                _listed(each)
            raise TypeError(f"tensors: got a list with {type(each).__name__}, {wanted}")
    return several


def _is_mapping(tensors: object) -> bool:
    """Return whether ``dict()`` would take something as a mapping, or it is an open safetensors file."""
    if isinstance(tensors, Mapping):
        return True
    has_keys = callable(getattr(tensors, "keys", None))
    return has_keys and (hasattr(tensors, "__getitem__") or hasattr(tensors, "get_tensor"))


def _groups_of_one(tensors: Any) -> Iterator[Group]:  # noqa: ANN401
    """Iterate over the groups that one mapping makes."""
    if isinstance(tensors, TensorMapping):
        yield tensors
        return
    loaders: dict[str, Loader] = {}
    for path, load in _loaders_of(tensors):
        name = "/".join(path)
        if not isinstance(load, TensorMapping):
            if name in loaders:
                raise NameConflictError("several values would get one name", names={name: [name, repr(path)]})
            loaders[name] = load
            continue
        if loaders:
            yield loaders
            loaders = {}
        yield NameMapping(load, {f"{name}/{each}": each for each in load})
    if loaders:
        yield loaders


def _loaders_of(tensors: Any) -> Iterator[tuple[tuple[str, ...], Loader | TensorMapping]]:  # noqa: ANN401
    """Iterate over the values in nested mappings: the keys that lead to each, and what loads it."""
    # A value may be read from a file each time it is asked for, so it is not kept.
    if not isinstance(tensors, Mapping) or isinstance(tensors, np.lib.npyio.NpzFile):
        get = getattr(tensors, "get_tensor", None) or tensors.__getitem__
        for key in tensors.keys():  # noqa: SIM118  (it need not be iterable)
            yield (key,), partial(get, key)
        return

    def is_value(value: object) -> bool:
        return not isinstance(value, Mapping) or isinstance(value, TensorMapping)

    scope: tuple[str, ...] = ()
    owner = tensors  # the mapping at the scope
    for path, value in leaves_of(tensors, is_value):
        if path[:-1] != scope:
            scope = path[:-1]
            owner = reduce(getitem, scope, tensors)
        yield path, value if isinstance(value, TensorMapping) else partial(owner.__getitem__, path[-1])


def _check_distinct(groups: list[Group]) -> None:
    owners: dict[str, int] = {}
    twice: dict[str, list[str]] = {}
    for number, group in enumerate(groups):
        for name in group:
            owner = owners.setdefault(name, number)
            if owner != number:
                twice.setdefault(name, [_label(groups[owner], owner)]).append(_label(group, number))
    if twice:
        raise NameConflictError("tensors of one name in several mappings", names=twice)


def _label(group: Group, number: int) -> str:
    return group.prefix if isinstance(group, TensorMapping) else f"mapping {number + 1}"
