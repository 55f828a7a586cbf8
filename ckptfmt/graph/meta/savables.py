"""Savables: which variables a Saver stores, each with its name in the checkpoint.

A Saver is given a list of variables, which have their own names in the checkpoint, or a mapping of names to
variables. A partitioned variable is stored as slices of one tensor.

Source: TensorFlow ``python/training/saving/saveable_object_util.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ckptfmt.dtypes import DType
from ckptfmt.errors import GraphError, NameConflictError
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.meta.collection import Partition, Variable
from ckptfmt.graph.meta.graph_variables import GraphVariables
from ckptfmt.graph.meta.restore import base_dtype
from ckptfmt.graph.meta.saved_variables import variable_shape
from ckptfmt.graph.node import parse_output
from ckptfmt.proto import messages
from ckptfmt.text.quoting import listed

Choice: TypeAlias = "Mapping[str, str | Sequence[str]] | Iterable[str]"
"""Variables, ``v`` or ``v:0``; or names in the checkpoint, each with its variable or with the parts of a
partitioned one in order."""


class Savable(NamedTuple):
    """A variable that a Saver stores, or a part of one."""

    name: str
    """Name in the checkpoint."""
    slice_spec: str
    """Its place in the tensor, as restore ops write it; empty if it is all of it."""
    variable: messages.NodeDef
    """The node of the variable."""
    value: str | None
    """The tensor to store; None if a resource has to be read first."""
    dtype: DType
    """Its dtype."""
    shape: PartialShape
    """The shape of the variable."""

    @property
    def is_resource(self) -> bool:
        """Whether the variable is a resource, not a reference."""
        return self.variable.op == "VarHandleOp"


def find_savables(
    known: GraphVariables, described: Mapping[str, Variable], chosen: Choice, file: str
) -> list[Savable]:
    """Return what a Saver stores, in its order.

    Parameters
    ----------
    known
        The variables of the graph.
    described
        What the collections of its meta graph say of them, by the names of nodes.
    chosen
        The variables to store.
    file
        What errors call the graph.

    Raises
    ------
    NameNotFoundError
        No variable has a name.
    NameConflictError
        A variable would be stored twice, or two under one name.
    GraphError
        Variables are not the parts of a partitioned one.
    """
    names = [chosen] if isinstance(chosen, str) else chosen

    def describe(text: str) -> Variable:
        node = known.find(text)
        return described.get(node) or known.describe(node)

    if isinstance(names, Mapping):
        parts = [
            part
            for name, of in sorted(names.items())
            for part in (
                [_Part(name, describe(of), None)]
                if isinstance(of, str)
                else _slices(name, list(map(describe, of)), known, file)
            )
        ]
    else:
        # By the names of the tensors: w/part_10:0 precedes w/part_1:0.
        variables = sorted(map(describe, names), key=lambda variable: variable.name)
        own = [_Part(_own_name(variable), variable, variable.partition) for variable in variables]
        parts = sorted(own, key=lambda part: part.name)  # keeps the order of the parts of one tensor
    _check_unique(parts, file)
    return [_savable(part, known) for part in parts]


class _Part(NamedTuple):
    """A variable under its name in the checkpoint, and its place there."""

    name: str
    variable: Variable
    place: Partition | None


def _slices(name: str, variables: Sequence[Variable], known: GraphVariables, file: str) -> Iterator[_Part]:
    """Iterate over the parts of a partitioned variable; GraphError if they do not make up one."""
    places: Sequence[Partition | None] = [variable.partition for variable in variables]
    if not variables or None in places:
        nodes = [parse_output(variable.name).node for variable in variables]
        found = known.partition(name, nodes) if nodes else None
        if found is None:
            raise GraphError(f"tensor {name!r}: not the parts of one variable: {listed(nodes)}", file=file)
        places = found
    for variable, place in zip(variables, places, strict=True):
        yield _Part(name, variable, place)


def _own_name(variable: Variable) -> str:
    return variable.partition.full_name if variable.partition else parse_output(variable.name).node


def _check_unique(parts: Sequence[_Part], file: str) -> None:
    """Refuse variables that would be stored twice, and names that would stand for two tensors."""
    by_node: dict[str, list[str]] = {}
    by_name: dict[str, list[_Part]] = {}
    for part in parts:
        by_node.setdefault(part.variable.name, []).append(part.name)
        by_name.setdefault(part.name, []).append(part)
    twice = {node: names for node, names in by_node.items() if len(names) > 1}
    if twice:
        raise NameConflictError("variables would be saved twice", names=twice, file=file)
    mixed = {
        name: [part.variable.name for part in group]
        for name, group in by_name.items()
        if len(group) > 1 and len({part.place and part.place.full_shape for part in group} | {None}) != 2
    }
    if mixed:
        raise NameConflictError("variables would be saved under one name", names=mixed, file=file)


def _savable(part: _Part, known: GraphVariables) -> Savable:
    node = known.nodes[parse_output(part.variable.name).node]
    dtype = base_dtype(node.attr["dtype"].type if "dtype" in node.attr else 0)
    value: str | None = part.variable.snapshot.removesuffix(":0")
    if node.op != "VarHandleOp":
        # A reference is saved itself, unless it is a part.
        value = node.name if part.place is None else value or node.name
    elif part.place is not None or known.read(node.name) is None:
        # TensorFlow reads parts with nodes of the Saver's own.
        value = None
    spec = "" if part.place is None else format_slice(part.place)
    return Savable(part.name, spec, node, value, dtype, variable_shape(node))


def format_slice(place: Partition) -> str:
    """Return the place of a part as restore ops write it: ``4 1 0,2:0,1``."""
    sizes = " ".join(map(str, place.full_shape))
    extents = (f"{start},{size}" for start, size in zip(place.offset, place.shape, strict=True))
    return f"{sizes} {':'.join(extents)}"
