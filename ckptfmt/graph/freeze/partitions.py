"""Partitions: the parts of one tensor that a graph has as variables of their own.

A Saver stores ``w/part_0``, ``w/part_1`` … as one tensor ``w``. The graph says which part is which as long as
it has the nodes of the Saver. One written before the Saver was made does not, but the shapes of the parts do:
they follow each other along one axis. Source: TensorFlow ``python/ops/partitioned_variables.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.shape import Shape
from ckptfmt.graph.meta.variables import Source
from ckptfmt.graph.ops import VARIABLE_OPS
from ckptfmt.proto import messages

_PART = re.compile(r"(.+)/part_(0|[1-9][0-9]{0,8})", re.DOTALL)


class Partitions:
    """The partitioned variables of a graph."""

    def __init__(self, nodes: Iterable[messages.NodeDef]) -> None:
        """Take all nodes of a graph, not only those that are needed: every part counts."""
        self._parts: dict[str, dict[int, messages.NodeDef]] = {}
        for node in nodes:
            match = _PART.fullmatch(node.name) if node.op in VARIABLE_OPS else None
            if match is not None:
                self._parts.setdefault(match[1], {})[int(match[2])] = node
        self._sources: dict[str, list[Source]] = {}

    def source(self, name: str, variables: Mapping[str, Array], suffix: str = "") -> Source | None:
        """Return the part of a tensor that a variable is; None if it is no part of one in the mapping.

        ``suffix`` follows the names in the mapping.
        """
        match = _PART.fullmatch(name)
        if match is None:
            return None
        whole = match[1] + suffix
        if whole not in self._sources:
            self._sources[whole] = self._split(match[1], whole, variables) if whole in variables else []
        parts, number = self._sources[whole], int(match[2])
        return parts[number] if number < len(parts) else None

    def _split(self, base: str, whole: str, variables: Mapping[str, Array]) -> list[Source]:
        """Return the parts of a tensor; none if the variables of the graph do not fill it."""
        parts = self._parts.get(base, {})
        shape = _shape_of(whole, variables)
        if set(parts) != set(range(len(parts))):
            return []
        sizes = [_declared_shape(parts[number]) for number in range(len(parts))]
        for axis in range(len(shape)):
            if all(_with_size(each, axis, shape[axis]) == shape for each in sizes):
                stops = list(accumulate(each[axis] for each in sizes))
                if stops and stops[-1] == shape[axis] and min(each[axis] for each in sizes) >= 0:
                    return [
                        Source(
                            whole,
                            tuple((start, stop) if i == axis else (0, size) for i, size in enumerate(shape)),
                        )
                        for start, stop in zip([0, *stops], stops, strict=False)
                    ]
        return []


def _shape_of(name: str, variables: Mapping[str, Array]) -> Shape:
    """Return the shape of a tensor, without reading it if a checkpoint can tell."""
    reader = getattr(variables, "slice", None)
    return tuple(np.shape(variables[name]) if reader is None else reader(name).shape)


def _declared_shape(node: messages.NodeDef) -> Shape:
    shape = node.attr["shape"].shape if "shape" in node.attr else messages.TensorShapeProto()
    return tuple(dim.size for dim in shape.dim)


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])
