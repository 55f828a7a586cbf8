"""Savables: which variables and tables a Saver stores, each with its name in the checkpoint.

A Saver is given a list of variables, which have their own names in the checkpoint, or a mapping of names to
variables. A partitioned variable is stored as slices of one tensor, and a mutable lookup table as two
tensors, its keys and its values.

Source: TensorFlow ``python/training/saving/saveable_object_util.py``, ``python/ops/lookup_ops.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from ckptfmt.checkpoint.entry import new_key
from ckptfmt.checkpoint.slices import TensorSlice
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import CorruptError, GraphError, NameConflictError
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.meta.collection import Partition
from ckptfmt.graph.meta.graph_variables import GraphVariables, TableExport
from ckptfmt.graph.meta.restore import base_dtype
from ckptfmt.graph.meta.saved_variables import variable_shape
from ckptfmt.graph.node import parse_output
from ckptfmt.graph.ops import REFERENCE_OPS
from ckptfmt.proto import messages
from ckptfmt.text.quoting import listed

Choice: TypeAlias = "Mapping[str, str | Sequence[str]] | Iterable[str]"
"""Variables, ``v`` or ``v:0``; or names in the checkpoint, each with its variable or with the parts of a
partitioned one in order. A partitioned variable may be named as a whole: ``v`` for ``v/part_0`` and so on."""


class SaveSpec(NamedTuple):
    """One tensor that a Saver stores, or a part of one."""

    name: str
    """Name in the checkpoint."""
    slice_spec: str
    """Its place in the tensor, as restore ops write it; empty if it is all of it."""
    value: str | None
    """The tensor of the graph to store; None if a resource has to be read first."""
    dtype: DType
    """Its dtype."""


class Savable(NamedTuple):
    """A variable, a part of one, or a table that a Saver stores."""

    name: str
    """Name in the checkpoint; that of a table is completed by what is stored of it."""
    node: messages.NodeDef
    """The node of the variable or table."""
    specs: tuple[SaveSpec, ...]
    """What is stored of it."""
    shape: PartialShape = None
    """The shape of the variable."""
    caching_device: str | None = None
    """The device that a resource is read on if it is not its own."""

    @property
    def is_reference(self) -> bool:
        """Whether it is a variable that is a reference, not a resource."""
        return self.node.op in REFERENCE_OPS


def find_savables(known: GraphVariables, chosen: Choice, file: str) -> list[Savable]:
    """Return what a Saver stores, in its order.

    Parameters
    ----------
    known
        The variables of the graph.
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
        Variables are not the parts of a partitioned one, or cannot be stored.
    CorruptError
        A collection says that a part is where none can be.
    """
    parts = list(_named_parts(chosen, known, file))
    _check_unique(parts, file)
    return [_savable(part, known, file) for part in parts]


class _Part(NamedTuple):
    """A variable or table under its name in the checkpoint, and its place there."""

    name: str
    node: str
    place: Partition | None = None
    snapshot: str = ""
    """The tensor that has the value of a variable."""


def _named_parts(chosen: Choice, known: GraphVariables, file: str) -> Iterator[_Part]:
    """Iterate over what is chosen, sorted by name in the checkpoint."""

    def parts(text: str) -> list[_Part]:
        return list(map(part, known.find(text)))

    def part(node: str) -> _Part:
        if node in known.exports:
            # A table is stored under the name that it was given, without its scopes.
            return _Part(known.exports[node].table_name, node)
        variable = known.describe(node)
        place = variable.partition
        return _Part(place.full_name if place else node, node, place, variable.snapshot)

    if isinstance(chosen, Mapping):
        for name, of in sorted(chosen.items()):
            found = parts(of) if isinstance(of, str) else [part for text in of for part in parts(text)]
            if isinstance(of, str) and len(found) == 1 and found[0].node == parse_output(of).node:
                yield found[0]._replace(name=name, place=None)
            else:
                yield from _slices(name, found, known, file)
    else:
        names = [chosen] if isinstance(chosen, str) else chosen
        # The parts of a tensor are in the order of their tensors' names: w/part_10:0 precedes w/part_1:0.
        chosen_parts = (part for text in names for part in parts(text))
        yield from sorted(chosen_parts, key=lambda each: (each.name, f"{each.node}:0"))


def _slices(name: str, parts: Sequence[_Part], known: GraphVariables, file: str) -> Iterator[_Part]:
    """Iterate over the parts of a partitioned variable; GraphError if they do not make up one."""
    nodes = [part.node for part in parts]
    places: Sequence[Partition | None] = [part.place for part in parts]
    if not parts or None in places:
        are_variables = bool(parts) and all(node in known.nodes for node in nodes)
        found = known.partition(name, nodes) if are_variables else None
        if found is None:
            raise GraphError(f"tensor {name!r}: not the parts of one variable: {listed(nodes)}", file=file)
        places = found
    for part, place in zip(parts, places, strict=True):
        yield part._replace(name=name, place=place)


def _check_unique(parts: Sequence[_Part], file: str) -> None:
    """Refuse variables that would be stored twice, and names that would stand for two tensors."""
    by_node: dict[str, list[str]] = {}
    by_name: dict[str, list[_Part]] = {}
    for part in parts:
        by_node.setdefault(part.node, []).append(part.name)
        by_name.setdefault(part.name, []).append(part)
    twice = {node: names for node, names in by_node.items() if len(names) > 1}
    if twice:
        raise NameConflictError("variables would be saved twice", names=twice, file=file)
    mixed = {
        name: [part.node for part in group]
        for name, group in by_name.items()
        if len(group) > 1 and not _are_of_one_tensor(group)
    }
    if mixed:
        raise NameConflictError("variables would be saved under one name", names=mixed, file=file)


def _are_of_one_tensor(parts: Sequence[_Part]) -> bool:
    return len({part.place and part.place.full_shape for part in parts}) == 1 and parts[0].place is not None


def _savable(part: _Part, known: GraphVariables, file: str) -> Savable:
    try:
        new_key(part.name)
    except ValueError as error:
        raise GraphError(str(error), node=part.node, file=file) from error
    if part.node in known.exports:
        return _savable_table(part, known.exports[part.node])
    node = known.nodes[part.node]
    dtype = _dtype_of(node, "dtype")
    if dtype.storage is Storage.NONE:
        raise GraphError(
            f"got a variable of dtype {dtype.name}, which is never stored", node=node.name, file=file
        )
    # A reference is stored itself, unless it is a part. A part that is a resource is read by nodes of the
    # Saver's own, as is a resource that nothing else reads.
    value = known.read(node.name) if part.place is None else None
    if node.op in REFERENCE_OPS:
        is_read = part.place is not None and known.has_node(parse_output(part.snapshot).node)
        value = part.snapshot.removesuffix(":0") if is_read else node.name
    spec = "" if part.place is None else _format_slice(part.place, file)
    cached = known.cached(node.name)
    device = None if cached is None else cached.device
    return Savable(part.name, node, (SaveSpec(part.name, spec, value, dtype),), variable_shape(node), device)


def _savable_table(part: _Part, export: TableExport) -> Savable:
    node = export.node
    keys = SaveSpec(f"{part.name}-keys", "", node.name, _dtype_of(node, "Tkeys"))
    values = SaveSpec(f"{part.name}-values", "", f"{node.name}:1", _dtype_of(node, "Tvalues"))
    return Savable(part.name, export.table, (keys, values))


def _dtype_of(node: messages.NodeDef, attribute: str) -> DType:
    return base_dtype(node.attr[attribute].type if attribute in node.attr else 0)


def _format_slice(place: Partition, file: str) -> str:
    """Return the place of a part as restore ops write it, ``4 1 0,2:0,1``; CorruptError if it is not one."""
    try:
        if len(place.offset) != len(place.shape):
            raise CorruptError(f"got {len(place.offset)} offsets and {len(place.shape)} sizes")
        part = TensorSlice(tuple(zip(place.offset, place.shape, strict=True)))
        part.region(place.full_shape)
    except CorruptError as error:
        raise error.at(file, label=f"a part of variable {place.full_name!r}") from None
    return f"{' '.join(map(str, place.full_shape))} {part}"
