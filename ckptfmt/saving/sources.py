"""What users give to be saved, made into groups of tensors by name.

::

    a checkpoint, a view          a group as it is: its bytes can be copied
    a mapping, nested or not      a group of values, each asked for when it is written
    a checkpoint in a mapping     a group of its own, its names below the key: {"encoder": ckpt}
    a list of these               their groups, one after the other
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import getitem
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from ckptfmt.errors import NameConflictError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.nesting import leaves_of
from ckptfmt.tensors.view import NameMapping

Savable: TypeAlias = "Mapping[str, Any] | Iterable[Mapping[str, Any]]"
"""Arrays by name, nested dictionaries of them, a checkpoint or a view; or several of these."""

Place: TypeAlias = "tuple[Callable[[str], Any], str]"
"""Where a value is: a function that returns it, and what to call that with."""


class Values(Mapping[str, Any]):
    """Values by name. Each may be read from a file when it is asked for, so that it is not kept."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        """Return a value, which takes as long as the mapping takes that has it."""
        get, key = self._places[name]
        return get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


Group: TypeAlias = "TensorMapping | dict[str, Any] | Values"
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
    groups = [group for each in listed(tensors) for group in _groups_of_one(each)]
    if len(groups) > 1:
        _check_distinct(groups)
    return groups


def listed(tensors: object) -> list[Any]:
    """Return the mappings that are to be saved; TypeError if something is not one."""
    if _is_mapping(tensors):
        return [tensors]
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
                listed(each)
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
    if isinstance(tensors, TensorMapping) or is_flat(tensors):
        yield tensors
        return
    places: dict[str, Place] = {}
    for path, owner in _places_in(tensors):
        name = "/".join(path)
        if not isinstance(owner, TensorMapping):
            if name in places:
                raise NameConflictError("several values would get one name", names={name: [name, repr(path)]})
            places[name] = owner
            continue
        if places:
            yield Values(places)
            places = {}
        yield NameMapping(owner, {f"{name}/{each}": each for each in owner})
    if places:
        yield Values(places)


def is_flat(tensors: object) -> TypeGuard[dict[str, Any]]:
    """Return whether something is a dictionary of values, which may have 100,000 names."""
    return type(tensors) is dict and not any(
        issubclass(each, Mapping) for each in set(map(type, tensors.values()))
    )


def _places_in(tensors: Any) -> Iterator[tuple[tuple[str, ...], Place | TensorMapping]]:  # noqa: ANN401
    """Iterate over the values in nested mappings: the keys that lead to each, and its place."""
    if not isinstance(tensors, Mapping) or isinstance(tensors, np.lib.npyio.NpzFile):
        get = getattr(tensors, "get_tensor", None) or tensors.__getitem__
        for key in tensors.keys():  # noqa: SIM118  (it need not be iterable)
            yield (key,), (get, key)
        return

    def is_value(value: object) -> bool:
        return not isinstance(value, Mapping) or isinstance(value, TensorMapping)

    scope: tuple[str, ...] = ()
    owner = tensors  # the mapping at the scope
    for path, value in leaves_of(tensors, is_value):
        if path[:-1] != scope:
            scope = path[:-1]
            owner = reduce(getitem, scope, tensors)
        yield path, value if isinstance(value, TensorMapping) else (owner.__getitem__, path[-1])


def _check_distinct(groups: list[Group]) -> None:
    owners: dict[str, int] = {}
    twice: dict[str, list[str]] = {}
    for number, group in enumerate(groups):
        for name in group:
            if name == OBJECT_GRAPH_KEY and isinstance(group, TensorMapping):
                continue  # the graphs of several checkpoints are merged
            owner = owners.setdefault(name, number)
            if owner != number:
                twice.setdefault(name, [_label(groups[owner], owner)]).append(_label(group, number))
    if twice:
        raise NameConflictError("tensors of one name in several mappings", names=twice)


def _label(group: Group, number: int) -> str:
    return group.prefix if isinstance(group, TensorMapping) else f"mapping {number + 1}"
