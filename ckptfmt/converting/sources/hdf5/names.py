"""Names of the datasets of HDF5 files: their paths, or the names that Keras gave its weights.

Keras 2 stores the layers of a model in a group that has an attribute ``layer_names``: the root in a file of
weights, ``model_weights`` in a file of a whole model. The group of a layer has an attribute ``weight_names``,
and each of its weights is at ``LAYER/WEIGHT``::

    model_weights/dense/dense/kernel:0            ->  dense/kernel
    optimizer_weights/Adam/m/dense/kernel:0       ->  optimizer_weights/Adam/m/dense/kernel

The name of a weight, without its output number, is that of the variable, as in a checkpoint of the model.
Weights of several layers that share a name have that of the layer before it. Only whether the attributes
exist is looked at: their texts are in a heap, and HDF5 loops forever over some damaged heaps.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ckptfmt.converting.sources.hdf5.datasets import Contents, Dataset
from ckptfmt.converting.sources.hdf5.escaping import ESCAPED, decode_name
from ckptfmt.converting.sources.hdf5.library import h5py
from ckptfmt.errors import CorruptError

_CONTAINERS = (b"", b"model_weights")
"""Groups that may hold layers."""

_OPTIMIZER = b"optimizer_weights/"
"""The path of the variables of the optimizer, which Keras 2 stores beside ``model_weights``."""

_OUTPUT = re.compile(rb":[0-9]+\Z")


def names_of(root: Any, contents: Contents) -> dict[str, Dataset]:  # noqa: ANN401  (h5py.h5g.GroupID)
    """Return the datasets by the names that users know them by.

    Weights of Keras 2 are in the order of their bytes in the file, in which Keras wrote them.
    Raises what h5py raises.
    """
    datasets = contents.datasets
    layers = _layers(root, contents)
    if not layers:
        is_escaped = h5py.h5a.exists(root, ESCAPED)
        named = {_text(path, is_escaped=is_escaped): each for path, each in datasets.items()}
        if len(named) < len(datasets):
            raise CorruptError("two datasets have the same name: escapes that no writer makes")
        return named
    choices = {path: _choices(path, layers) for path in datasets}
    chosen = _distinct(choices)
    weights = [path for path, options in choices.items() if len(options) == 3]
    weights.sort(key=lambda path: _position(datasets[path]))
    return {_text(chosen[path]): datasets[path] for path in {**dict.fromkeys(weights), **datasets}}


def _position(dataset: Dataset) -> int:
    return sys.maxsize if dataset.offset is None else dataset.offset


def _layers(root: Any, contents: Contents) -> dict[bytes, int]:  # noqa: ANN401
    """Return the groups of all layers, each with the length of the path that it is in."""
    layers: dict[bytes, int] = {}
    for container in _CONTAINERS:
        if container not in contents.groups or not _has(root, container, b"layer_names"):
            continue
        inside = container + b"/" if container else b""
        for group in contents.groups:
            if group.startswith(inside) and group not in _CONTAINERS and _has(root, group, b"weight_names"):
                layers[group] = len(inside)
    return layers


def _has(root: Any, group: bytes, attribute: bytes) -> bool:  # noqa: ANN401
    """Whether a group has an attribute, or the first of those into which Keras cuts a long one."""
    opened = h5py.h5o.open(root, group) if group else root
    return any(h5py.h5a.exists(opened, name) for name in (attribute, attribute + b"0"))


def _choices(path: bytes, layers: dict[bytes, int]) -> list[bytes]:
    """Return the names that a dataset may have, the best first; the last one is its path.

    A weight has three: its own, that with the layer before it, and its path.
    """
    plain = _OUTPUT.sub(b"", path)
    for group in _above(path):
        if group in layers:
            if path.startswith(_OPTIMIZER):
                break
            return [plain[len(group) + 1 :], plain[layers[group] :], path]
    return [plain, path] if path.startswith(_OPTIMIZER) else [path]


def _above(path: bytes) -> Iterator[bytes]:
    """Iterate over the paths of the groups that a dataset is in, the outermost first."""
    for found in re.finditer(rb"/", path):
        yield path[: found.start()]


def _distinct(choices: dict[bytes, list[bytes]]) -> dict[bytes, bytes]:
    """Return the first choice of each path that no other path makes."""
    level = dict.fromkeys(choices, 0)
    for _ in range(2):
        names = Counter(options[level[path]] for path, options in choices.items())
        for path, options in choices.items():
            if names[options[level[path]]] > 1:
                level[path] = min(level[path] + 1, len(options) - 1)
    chosen = {path: options[level[path]] for path, options in choices.items()}
    return chosen if len(set(chosen.values())) == len(chosen) else {path: path for path in choices}


def _text(path: bytes, *, is_escaped: bool = False) -> str:
    text = path.decode("utf-8", "surrogateescape")
    return decode_name(text) if is_escaped else text
