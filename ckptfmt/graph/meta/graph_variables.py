"""Variables of a graph, described as a program would have described them in its collections.

A GraphDef has only nodes. What a VariableDef says besides is read from how they are connected::

    initializer, initial value     v/Assign, or the only node that assigns something that is not restored
    snapshot                       v/read of a reference, v/Read/ReadVariableOp of a resource
    trainable                      what an optimizer changes; without one, numbers that nothing changes
    partition                      v/part_0, v/part_1 … whose shapes differ along one axis at most

A slot of a part, ``v/part_0/Adam``, is a part itself. Source: TensorFlow ``python/ops/ref_variable.py``,
``resource_variable_ops.py``, ``partitioned_variables.py``, ``python/training/slot_creator.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from ckptfmt.arrays.shape import Shape
from ckptfmt.cached_property import cached_property
from ckptfmt.dtypes import DTYPES
from ckptfmt.errors import NameNotFoundError
from ckptfmt.graph.meta.collection import Partition, Variable
from ckptfmt.graph.meta.restore import ASSIGN_OPS
from ckptfmt.graph.meta.saved_variables import variable_shape
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import RESTORE_OPS, VARIABLE_OPS
from ckptfmt.graph.origins import Origins
from ckptfmt.proto import messages
from ckptfmt.text.closest import closest_names

_PART = re.compile(r"(.+)/part_(0|[1-9][0-9]{0,8})", re.DOTALL)

_SLOT = re.compile(r"(.+/part_(?:0|[1-9][0-9]{0,8}))/.+", re.DOTALL)

_MAX_NAME, _MAX_SCOPES = 1024, 32
"""Characters of the longest name of a slot, and scopes that are tried before the name of its primary."""

_EXPORT = "_lookup_table_export_values"
"""Follows the name of a table in that of the scope that exports it."""

_OPTIMIZER_OP = re.compile(r"(?:Resource)?(?:Sparse)?Apply[A-Z]")

_CHANGING_OP = re.compile(r"(?:Resource)?(?:Assign|Scatter|StridedSliceAssign|CountUpTo)")


class TableExport(NamedTuple):
    """A mutable lookup table that the graph exports, as TensorFlow does with those that are saved."""

    table: messages.NodeDef
    """The node of the table."""
    node: messages.NodeDef
    """The node that has its keys and values."""
    table_name: str
    """The name that the table was given, without scopes."""


class GraphVariables:
    """What the nodes of a graph say about its variables and tables."""

    def __init__(
        self, graph: messages.GraphDef, file: str, described: Mapping[str, Variable] | None = None
    ) -> None:
        """Take a GraphDef, and what collections say of variables by the names of nodes; that counts more."""
        self._file = file
        self._described = described or {}
        self._graph = Origins(graph.node, file)
        self.nodes = {node.name: node for node in graph.node if node.op in VARIABLE_OPS}
        """The variables by name, in the order of the graph."""
        self.exports: dict[str, TableExport] = {}
        """The tables to save, by the names of their nodes."""
        self._assigns: dict[str, list[messages.NodeDef]] = {}
        self._reads: dict[str, str] = {}
        self._trained: set[str] = set()
        self._changed: set[str] = set()
        for node in graph.node:
            if node.input and not node.input[0].startswith("^"):
                self._note(node, parse_output(node.input[0]).node)
        self._partitions = self._find_partitions()

    def _note(self, node: messages.NodeDef, name: str) -> None:
        """Note what a node does to the variable that is its first input, if it is one."""
        if name not in self.nodes:
            self._note_export(node, name)
        elif node.op in ASSIGN_OPS:
            self._assigns.setdefault(name, []).append(node)
        elif _OPTIMIZER_OP.match(node.op):
            self._trained.add(name)
        elif _CHANGING_OP.match(node.op):
            self._changed.add(name)
        elif node.op == ("ReadVariableOp" if self.is_resource(name) else "Identity"):
            usual = f"{name}/Read/ReadVariableOp" if self.is_resource(name) else f"{name}/read"
            # A resource has further reads, and each may run after something that changes it.
            is_other = not self.is_resource(name) and len(node.input) == 1 and name not in self._reads
            if node.name == usual or is_other:
                self._reads[name] = node.name

    def _note_export(self, node: messages.NodeDef, name: str) -> None:
        scope, _, rest = node.name.rpartition("/")
        table = self._graph.nodes.get(name)
        if (
            node.op == "LookupTableExportV2"
            and rest == node.op
            and scope.endswith(_EXPORT)
            and table is not None
        ):
            given = scope.removesuffix(_EXPORT).rpartition("/")[2]
            self.exports.setdefault(name, TableExport(table, node, given))

    def find(self, text: str) -> list[str]:
        """Return the variable or table that ``v`` or ``v:0`` names, or the parts of the variable ``v``.

        Raises NameNotFoundError if there is no such variable.
        """
        name, number, _ = parse_output(text)
        is_node = name in self.nodes or name in self.exports
        names = [name] if is_node else self._parts.get(name, [])
        if not names or number:
            close = closest_names(name, [*self.nodes, *self.exports])
            raise NameNotFoundError(text, file=self._file, noun="variable", close_matches=close)
        return names

    @cached_property
    def _parts(self) -> dict[str, list[str]]:
        """The parts of each partitioned variable."""
        parts: dict[str, list[str]] = {}
        # In the order of their tensors' names: w/part_10:0 precedes w/part_1:0.
        for name in sorted(self.nodes, key=lambda name: f"{name}:0"):
            place = self.describe(name).partition
            if place is not None:
                parts.setdefault(place.full_name, []).append(name)
        return parts

    def has_node(self, name: str) -> bool:
        """Whether the graph has a node of that name, variable or not."""
        return name in self._graph.nodes

    def is_resource(self, name: str) -> bool:
        """Whether a variable is a resource, not a reference."""
        return self.nodes[name].op == "VarHandleOp"

    def read(self, name: str) -> str | None:
        """Return the name of the node that reads a variable for whoever needs its value, or None."""
        return self._reads.get(name)

    def cached(self, name: str) -> messages.NodeDef | None:
        """Return the node that keeps a copy of a resource on its caching device, or None."""
        node = self._graph.nodes.get(f"{name}/Read/Identity") if self.is_resource(name) else None
        is_copy = node is not None and node.op == "Identity" and list(node.input) == [self.read(name)]
        return node if is_copy else None

    def initializer(self, name: str) -> messages.NodeDef | None:
        """Return the node that initialises a variable; None if the graph has none."""
        candidates = [node for node in self._assigns.get(name, ()) if not self._is_restore(node)]
        usual = [node for node in candidates if node.name == f"{name}/Assign"]
        if usual or len(candidates) == 1:
            return (usual or candidates)[0]
        return None

    def _is_restore(self, assign: messages.NodeDef) -> bool:
        return self._graph.input(assign, 1).node.op in RESTORE_OPS

    def is_trainable(self, name: str) -> bool:
        """Whether training changes a variable, as far as the graph shows it."""
        if self._trained:
            return name in self._trained
        code = self._dtype_code(name)
        if code not in DTYPES or not (DTYPES[code].is_floating or DTYPES[code].is_complex):
            return False
        initializer = self.initializer(name)
        others = (node for node in self._assigns.get(name, ()) if node is not initializer)
        return name not in self._changed and all(map(self._is_restore, others))

    def describe(self, name: str) -> Variable:
        """Return what a VariableDef says of a variable; names of nodes that the graph lacks are empty."""
        if name in self._described:
            return self._described[name]
        initializer = self.initializer(name)
        value = "" if initializer is None else _tensor_name(initializer.input[1])
        cached = self.cached(name)
        read = self.read(name) if cached is None else cached.name
        # A reference can be read by its own name too.
        snapshot = f"{read}:0" if read else "" if self.is_resource(name) else f"{name}:0"
        return Variable(
            f"{name}:0",
            "" if initializer is None else initializer.name,
            snapshot,
            value,
            self.is_trainable(name),
            self.is_resource(name),
            self._partitions.get(name),
            "auto",
            "none",
        )

    def _find_partitions(self) -> dict[str, Partition]:
        groups: dict[str, dict[int, str]] = {}
        for name in self.nodes:
            match = _PART.fullmatch(name)
            if match is not None:
                groups.setdefault(match[1], {})[int(match[2])] = name
        partitions: dict[str, Partition] = {}
        for whole, parts in groups.items():
            names = [parts.get(number, "") for number in range(len(parts))]
            if all(names) and len({(self.nodes[n].op, self._dtype_code(n)) for n in names}) == 1:
                found = self.partition(whole, names)
                partitions.update(zip(names, found, strict=True) if found else ())
        slots = {
            name: self._slot_partition(name, partitions) for name in self.nodes if name not in partitions
        }
        return partitions | {name: slot for name, slot in slots.items() if slot is not None}

    def _slot_partition(self, name: str, parts: Mapping[str, Partition]) -> Partition | None:
        """Return the place of a slot, such as ``scope/v/part_0/Adam``, whose primary is a part; else None."""
        match = _SLOT.fullmatch(name) if len(name) <= _MAX_NAME else None
        if match is None:
            return None
        primary = match[1]
        for _ in range(_MAX_SCOPES):
            if primary in parts:
                break
            primary = primary.partition("/")[2]
        part, shape = parts.get(primary), self.shape(name)
        if part is None or not shape or shape != part.shape[: len(shape)]:
            return None
        rank = len(shape)
        # TensorFlow drops as many letters as the name of the primary has, although a scope precedes it if
        # the slot was made in one: the slot ``s/v/part_0/Adam`` is stored as ``v/0/Adam``.
        rest = name[len(primary) + 1 :]
        return Partition(
            f"{part.full_name}/{rest}", part.full_shape[:rank], part.offset[:rank], part.shape[:rank]
        )

    def partition(self, whole: str, names: Sequence[str]) -> list[Partition] | None:
        """Return how variables, in this order, make up one of the name ``whole``; None if they do not.

        They follow one another along the only axis in which their shapes differ or, if none does, along that
        of the node that joins them, or the first.
        """
        shapes = [self.shape(name) for name in names]
        first = shapes[0]
        known = [shape for shape in shapes if shape is not None and first is not None]
        if first is None or len(known) < len(shapes) or any(len(shape) != len(first) for shape in known):
            return None
        axes = [i for i in range(len(first)) if any(shape[i] != first[i] for shape in known)]
        axis = axes[0] if axes else self._joined_axis(whole) or 0
        if len(axes) > 1 or axis >= len(first):
            return None
        stops = list(accumulate(shape[axis] for shape in known))
        full = (*first[:axis], stops[-1], *first[axis + 1 :])
        starts = [stop - shape[axis] for stop, shape in zip(stops, known, strict=True)]
        offsets = [tuple(start if i == axis else 0 for i in range(len(full))) for start in starts]
        return [Partition(whole, full, offset, shape) for offset, shape in zip(offsets, known, strict=True)]

    def _joined_axis(self, whole: str) -> int | None:
        """Return the axis along which the graph joins the parts of a variable, if it does."""
        axis = self._graph.nodes.get(f"{whole}/ConcatPartitions/concat/axis")
        values = [] if axis is None or "value" not in axis.attr else axis.attr["value"].tensor.int_val
        return values[0] if len(values) == 1 and values[0] >= 0 else None

    def _dtype_code(self, name: str) -> int:
        attributes = self.nodes[name].attr
        return attributes["dtype"].type if "dtype" in attributes else 0

    def shape(self, name: str) -> Shape | None:
        """Return the shape of a variable; None if it is not fully known."""
        shape = variable_shape(self.nodes[name])
        return None if shape is None or None in shape else tuple(size for size in shape if size is not None)


def _tensor_name(text: str) -> str:
    """Return an input of a node as ``node:k``."""
    return str(parse_output(text))
