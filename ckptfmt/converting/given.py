"""What users give to be converted: paths, open files, views, arrays by name, or a list of these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from ckptfmt.converting.sinks.sink import Sink
from ckptfmt.converting.sources.open_tensors import open_tensors
from ckptfmt.converting.sources.tensor_file import TensorFile
from ckptfmt.converting.values_source import ValuesSource
from ckptfmt.limits import Limits
from ckptfmt.saving.sources import Values, groups_of
from ckptfmt.storage.filesystem import Filesystem
from ckptfmt.tensors.mapping import TensorMapping
from ckptfmt.tensors.tensors import Tensors, View

Convertible: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Iterable[Any]"
"""A path, a checkpoint or a view, arrays by name, nested dictionaries of these, or several of these."""


class Given(NamedTuple):
    """What is to be converted."""

    sources: Sequence[Tensors]
    sink: Sink | None = None
    """What writes it, if it is more than tensors; None for the sink of the format."""
    remarks: Sequence[str] = ()
    """What the user should know, in whole sentences."""
    layers: Mapping[str, str] | None = None
    """Names of the layers by their paths, if the target is a model that needs all variables."""


def given_tensors(source: Convertible, fs: Filesystem | None, limits: Limits) -> list[Tensors]:
    """Return what is to be converted, each as tensors by name.

    Raises what :func:`ckptfmt.open_tensors` raises, TypeError for anything else than a path or a mapping,
    NameConflictError if nested dictionaries give two values one name.
    """
    if isinstance(source, (str, os.PathLike)):
        return [open_tensors(source, fs=fs, limits=limits)]
    if isinstance(source, Tensors):
        return [source]
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        return [_as_tensors(group) for group in groups_of(source)]
    return [tensors for each in source for tensors in given_tensors(each, fs, limits)]


def _as_tensors(group: TensorMapping | dict[str, Any] | Values) -> Tensors:
    if isinstance(group, Tensors):
        return group
    if isinstance(group, TensorMapping):  # a checkpoint in a dictionary: its names are below the key
        return View(group, {name: name for name in group})
    return _of_values(group)


def _of_values(values: Mapping[str, Any]) -> TensorFile:
    def reopen() -> TensorFile:
        return _of_values(dict(values))

    return TensorFile(ValuesSource(values), reopen)
