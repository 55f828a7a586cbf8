"""Variables: what the Saver of a ``.meta`` file restores, and under which names.

The names in a checkpoint are those that the Saver gives to its restore ops, not those of the variables::

    restore_op_name → NoOp … → Assign(variable, value)
                                      value ← Identity … ← RestoreV2:k    tensor_names[k], shape_and_slices[k]

so that ``Saver({"renamed": v})`` comes out as it is stored, and so do partitioned variables, whose name is
there once for each part. Of a graph exported without a Saver, TensorFlow restores the collection
``variables``. Source: ``python/training/saver.py``, ``core/ops/io_ops.cc``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.decode import decode_tensor_proto
from ckptfmt.dtypes import DTYPES, REF_OFFSET, DType, find_dtype
from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.node import OutputName, parse_function_output, parse_output
from ckptfmt.proto import messages
from ckptfmt.proto.parse import parse_message

Region: TypeAlias = "tuple[tuple[int, int], ...]"
"""Start and stop in each dimension."""


class SavedVariable(NamedTuple):
    """What a graph says of a tensor in its checkpoint."""

    dtype: DType
    """Its dtype."""
    shape: PartialShape
    """Its full shape, also where it is saved in parts."""


class Source(NamedTuple):
    """What a variable is restored from."""

    name: str
    """The name in the checkpoint."""
    region: Region | None
    """The part of that tensor which it is, start and stop of each dimension; None for all of it."""


class _Output(NamedTuple):
    """One output of a node: where an input comes from."""

    node: messages.NodeDef
    number: int


class _Restored(NamedTuple):
    """One tensor that a restore op reads."""

    name: str
    dtype: DType
    full_shape: Sequence[int] | None
    """What its slice says, None where it is read whole."""
    region: Region | None
    """The slice itself."""


VARIABLE_OPS = frozenset({"Variable", "VariableV2", "VarHandleOp"})
"""Ops that are variables: references of two kinds, and resources."""

_ASSIGNS = frozenset({"Assign", "AssignVariableOp"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_RESTORES = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
_PASSING = frozenset({"Identity", "IdentityN", "Enter", "RefEnter", "RefIdentity"})
"""Ops whose output k is their input k."""

_DIGITS = re.compile(r"[0-9]{1,19}")


def saved_variables(meta: messages.MetaGraphDef, file: str) -> dict[str, SavedVariable]:
    """Return what the Saver of a MetaGraphDef would restore; as :func:`read_saved_variables`."""
    graph = _Graph(meta.graph_def, file)
    variables = graph.restored_by(meta.saver_def.restore_op_name)
    if variables:
        return variables
    if "variables" in meta.collection_def:
        return _collected(meta.collection_def["variables"], graph)
    if any(node.op in VARIABLE_OPS for node in meta.graph_def.node):
        raise GraphError("neither a Saver nor a collection says which variables are saved", file=file)
    return {}


class _Graph:
    """The nodes of a graph by name."""

    def __init__(self, graph: messages.GraphDef, file: str, *, in_function: bool = False) -> None:
        self.file = file
        self._parse = parse_function_output if in_function else parse_output
        self._nodes = {node.name: node for node in graph.node}
        self._origins: dict[tuple[str, int], OutputName] = {}
        self._restored: dict[str, list[_Restored]] = {}

    def node(self, name: str) -> messages.NodeDef:
        """Return a node by name; CorruptError where the graph has none."""
        node = self._nodes.get(name)
        if node is None:
            raise CorruptError(f"graph has no node {name!r}", file=self.file)
        return node

    def input(self, node: messages.NodeDef, index: int) -> _Output:
        """Return where an input of a node comes from, past the ops that only pass it on."""
        origin = self.origin(node, index)
        return _Output(self.node(origin.node), origin.number)

    def origin(self, node: messages.NodeDef, index: int) -> OutputName:
        """Return the same by name: that of a node or, in a function, of an argument."""
        name, output = self._reference(node, index)
        passed = []
        while (found := self._origins.get((name, output))) is None:
            source = self._nodes.get(name)
            if source is None or source.op not in _PASSING:
                found = OutputName(name, output)
                break
            # In this set until the end is known: the way may be long, and others come along it, too.
            passed.append((name, output))
            self._origins[name, output] = OutputName(name, output)
            name, output = self._reference(source, output if source.op == "IdentityN" else 0)
        for at in passed:
            self._origins[at] = found
        return found

    def assigned(self, nodes: Iterable[messages.NodeDef]) -> Iterator[tuple[str, Source]]:
        """Yield where the variable of each assignment of what was restored comes from, and from what."""
        for node in nodes:
            if node.op not in _ASSIGNS:
                continue
            value = self.origin(node, 1)
            restore = self._nodes.get(value.node)
            if restore is None or restore.op not in _RESTORES:
                continue
            if restore.name not in self._restored:
                self._restored[restore.name] = list(self._restores(restore))
            found = self._restored[restore.name]
            if value.number < len(found):
                yield self.origin(node, 0).node, Source(found[value.number].name, found[value.number].region)

    def _reference(self, node: messages.NodeDef, index: int) -> tuple[str, int]:
        if index >= len(node.input) or node.input[index].startswith("^"):
            raise CorruptError(f"node {node.name!r} ({node.op}) has no input {index}", file=self.file)
        return self._parse(node.input[index])[:2]

    def restored_by(self, restore_op: str) -> dict[str, SavedVariable]:
        """Return what a Saver's restore op restores; nothing where it leads to no op that restores."""
        if not restore_op:
            return {}
        order = {}
        assigned: dict[tuple[str, int], list[messages.NodeDef]] = {}
        for node in self.leading_to(parse_output(restore_op).node):
            if node.op in _RESTORES:
                order[node.name] = node
            elif node.op in _ASSIGNS:
                value = self.input(node, 1)
                variable = self.input(node, 0).node
                if value.node.op in _RESTORES and variable.op in VARIABLE_OPS:
                    assigned.setdefault((value.node.name, value.number), []).append(variable)
        variables: dict[str, SavedVariable] = {}
        for node in order.values():
            for index, (name, dtype, full_shape, _) in enumerate(self._restores(node)):
                shapes: list[PartialShape] = [None if full_shape is None else tuple(full_shape)]
                if full_shape is None:
                    shapes += map(_variable_shape, assigned.get((node.name, index), ()))
                for shape in shapes:
                    self._add(variables, name, SavedVariable(dtype, shape))
        return variables

    def leading_to(self, name: str) -> Iterator[messages.NodeDef]:
        """Every node that must run for a node, each once, in the order in which inputs name them."""
        seen = {name}
        waiting = [name]
        while waiting:
            node = self.node(waiting.pop())
            yield node
            names = [parse_output(text).node for text in reversed(node.input)]
            fresh = [name for name in dict.fromkeys(names) if name not in seen]
            seen.update(fresh)
            waiting += fresh

    def _restores(self, node: messages.NodeDef) -> Iterator[_Restored]:
        """What a restore op reads, by the number of its output."""
        if node.op == "RestoreV2":
            types = list(node.attr["dtypes"].list.type) if "dtypes" in node.attr else []
        else:
            types = [node.attr["dt"].type if "dt" in node.attr else 0]
        names = self._strings(node, 1, len(types))
        slices = self._strings(node, 2, len(types)) if node.op != "Restore" else [""] * len(types)
        for name, code, part in zip(names, types, slices, strict=True):
            shape, region = parse_slice(part, self.file) if part else (None, None)
            yield _Restored(name, _base_dtype(code), shape, region)

    def _strings(self, node: messages.NodeDef, index: int, count: int) -> list[str]:
        """The constant strings that an input of a node is, as many as are wanted."""
        source = self.input(node, index).node
        if source.op != "Const":
            what = f"input {index} is not a constant but a {source.op}"
            raise GraphError(what, node=node.name, file=self.file)
        tensor = source.attr["value"].tensor if "value" in source.attr else messages.TensorProto()
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        # Before decoding: a shape of a few bytes may ask for any number of strings.
        fits = shape == [count] or (not shape and count == 1)
        if tensor.dtype != messages.DataType.DT_STRING or not fits:
            dtype = find_dtype(tensor.dtype).name
            raise CorruptError(
                f"constant {source.name!r}: got {dtype}{shape}, want {count} strings", file=self.file
            )
        try:
            values = decode_tensor_proto(tensor.SerializeToString()).ravel().tolist()
        except CorruptError as error:
            raise error.at(self.file, 0) from None
        # Each once: one value may stand for any number.
        texts = {value: value.decode("utf-8", "surrogateescape") for value in values}
        return [texts[value] for value in values]

    def _add(self, variables: dict[str, SavedVariable], name: str, new: SavedVariable) -> None:
        """Add what is known of a variable to what has been known of it."""
        known = variables.get(name)
        if known is not None:
            shape = _merged(known.shape, new.shape)
            if known.dtype != new.dtype or shape is _CONTRADICTION:
                raise CorruptError(
                    f"tensor {name!r} is restored as {known.dtype.name} of shape {known.shape} "
                    f"and as {new.dtype.name} of shape {new.shape}",
                    file=self.file,
                )
            new = SavedVariable(new.dtype, shape)
        variables[name] = new

    def collected(self, data: bytes, variables: dict[str, SavedVariable]) -> None:
        """Add the variable of a serialized VariableDef."""
        variable = parse_message(messages.VariableDef, data, self.file)
        node = self.node(parse_output(variable.variable_name).node)
        shape = _variable_shape(node)
        name = node.name
        if variable.save_slice_info_def.full_name:
            name = variable.save_slice_info_def.full_name
            shape = tuple(variable.save_slice_info_def.full_shape)
        self._add(variables, name, SavedVariable(_variable_dtype(node), shape))


def _collected(collection: messages.CollectionDef, graph: _Graph) -> dict[str, SavedVariable]:
    """The variables of a collection, under the names that a Saver of all of them gives them."""
    variables: dict[str, SavedVariable] = {}
    for data in collection.bytes_list.value:
        graph.collected(data, variables)
    return variables


def _base_dtype(code: int) -> DType:
    """The dtype of a code, of a reference that which it refers to: ``Variable`` has such outputs."""
    return DTYPES.get(code - REF_OFFSET) or find_dtype(code)


def _variable_dtype(node: messages.NodeDef) -> DType:
    return _base_dtype(node.attr["dtype"].type if "dtype" in node.attr else 0)


def _variable_shape(node: messages.NodeDef) -> PartialShape:
    """The shape of a variable as its node gives it."""
    if "shape" not in node.attr or node.attr["shape"].WhichOneof("value") != "shape":
        return None
    shape = decode_shape(node.attr["shape"].shape)
    if node.op == "Variable" and shape == ():
        # The first kind of variables wrote [] for a shape that is not known, too; what TensorFlow made of it
        # stands beside it.
        inferred = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else ()
        return decode_shape(inferred[0]) if inferred else None
    return shape


_CONTRADICTION = (-1,)
"""In place of a shape: two that no tensor has both."""


def _merged(a: PartialShape, b: PartialShape) -> PartialShape:
    """The shape that is both, or :data:`_CONTRADICTION`."""
    if a is None or b is None:
        return b if a is None else a
    if len(a) != len(b) or any(p != q and p is not None and q is not None for p, q in zip(a, b, strict=True)):
        return _CONTRADICTION
    return tuple(q if p is None else p for p, q in zip(a, b, strict=True))


def parse_slice(text: str, file: str) -> tuple[tuple[int, ...], Region]:
    """Return the shape of a tensor and the part of it that a text such as ``4 1 0,2:0,1`` names.

    Raises CorruptError where it is no such text, or the part juts out.
    """
    *sizes, part = text.split(" ")
    extents = [extent for extent in part.split(":") if extent]
    if not sizes or len(extents) != len(sizes) or not all(map(_DIGITS.fullmatch, sizes)):
        raise CorruptError(f"not a slice: {text[:100]!r}", file=file)
    shape = tuple(map(int, sizes))
    region = []
    for extent, size in zip(extents, shape, strict=True):
        if extent == "-":
            region.append((0, size))
            continue
        numbers = extent.split(",")
        if len(numbers) != 2 or not all(map(_DIGITS.fullmatch, numbers)):
            raise CorruptError(f"not a slice: {text[:100]!r}", file=file)
        start, length = map(int, numbers)
        if not 0 < length <= size - start:
            raise CorruptError(f"slice juts out of its tensor: {text[:100]!r}", file=file)
        region.append((start, start + length))
    return shape, tuple(region)


# --- from a variable to its tensor -----------------------------------------------------------------------


def variable_sources(graph: messages.GraphDef, restore_op: str, file: str) -> dict[str, Source]:
    """Return what each variable of a graph is restored from, by the name of its node.

    Followed are the assignments of what restore ops read: those that ``restore_op`` runs, of TensorFlow 2
    in the function that it calls; without one all in the graph. Variables that nothing restores are left out.

    Raises
    ------
    CorruptError
        The graph refers to what is not there.
    GraphError
        Names are not constants but computed.
    """
    nodes = _Graph(graph, file)
    call = nodes.node(parse_output(restore_op).node) if restore_op else None
    if call is not None and call.op in _CALLS:
        found = _assigned_in_function(nodes, graph, call)
    else:
        found = nodes.assigned(graph.node if call is None else nodes.leading_to(call.name))
    return {name: source for name, source in found if nodes.node(name).op in VARIABLE_OPS}


def _assigned_in_function(
    nodes: _Graph, graph: messages.GraphDef, call: messages.NodeDef
) -> Iterator[tuple[str, Source]]:
    """What is assigned to the variables whose handles a restore op hands to the function that it calls."""
    library = {function.signature.name: function for function in graph.library.function}
    function = library.get(call.attr["f"].func.name if "f" in call.attr else "")
    if function is None:
        raise CorruptError(f"node {call.name!r} calls a function that is not in the library", file=nodes.file)
    body = _Graph(messages.GraphDef(node=function.node_def), nodes.file, in_function=True)
    arguments = {argument.name: i for i, argument in enumerate(function.signature.input_arg)}
    for name, source in body.assigned(function.node_def):
        if name in arguments:
            yield nodes.origin(call, arguments[name]).node, source


def read_source(source: Source, variables: Mapping[str, Array]) -> Array:
    """Return the value of a variable out of the tensors it was saved in: all of one, or a part.

    Of a checkpoint only the part is read where its checksum can be verified.
    """
    if source.region is None:
        return np.asarray(variables[source.name])
    index = tuple(slice(start, stop) for start, stop in source.region)
    reader = getattr(variables, "slice", None)
    if reader is not None and (part := reader(source.name)).is_verified(index):
        return np.asarray(part[index])
    return np.asarray(variables[source.name][index])
