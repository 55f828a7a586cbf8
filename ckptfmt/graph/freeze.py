"""Freezing: a graph in which variables are constants.

What is kept and what it becomes is what ``tf.compat.v1.graph_util.convert_variables_to_constants`` makes:

=======================================  ================================================================
node                                     becomes
=======================================  ================================================================
Variable, VariableV2, VarHandleOp        Const
ReadVariableOp                           Identity
ResourceGather, ResourceGatherNd         GatherV2, GatherNd
Identity, Enter, Exit, Switch …          the same, of the dtype of the value
calls, If, Case, While                   the same, and so in the functions they call, which get new names
=======================================  ================================================================

A value is followed from each variable along the edges that carry its handle, through functions too; every
node that it meets is changed once. Unlike in TensorFlow, gathers in functions and the oldest kind of variable
are converted, and what cannot be frozen is an error. Source: ``python/framework/convert_to_constants.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ckptfmt.dtypes import DType, Storage, find_dtype
from ckptfmt.errors import GraphError, TensorNotFoundError
from ckptfmt.graph.graph import MAX_BYTES, Graph
from ckptfmt.graph.meta_graph import MetaGraph
from ckptfmt.graph.node import parse_function_output, parse_output
from ckptfmt.graph.ops import known_ops
from ckptfmt.graph.variables import VARIABLE_OPS, Source, read_source, variable_sources
from ckptfmt.proto import messages
from ckptfmt.tensor.array import Array
from ckptfmt.tensor.tensor_proto import fill_proto, to_proto

_PASSING = frozenset(
    ("Identity", "Enter", "Exit", "NextIteration", "Switch", "_SwitchN", "RefEnter", "RefIdentity")
)
"""Ops that hand a handle on; their dtype becomes that of the value."""

_CALLS: Mapping[str, tuple[int, str, tuple[str, ...]]] = {
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), (0, "Tin", ("f",))),
    **dict.fromkeys(("If", "StatelessIf"), (1, "Tin", ("then_branch", "else_branch"))),
    "Case": (1, "Tin", ("branches",)),
    "StatelessCase": (1, "Tin", ("branches",)),
    **dict.fromkeys(("While", "StatelessWhile"), (0, "T", ("body", "cond"))),
}
"""Op that calls functions -> the first input that is an argument, the attributes that hold the dtypes of the
arguments, and those that name functions."""

_HARMLESS = frozenset(("VarIsInitializedOp", "IsVariableInitialized"))
_WRITING = ("Assign", "Scatter", "Apply", "Update", "CountUpTo", "DestroyResource")


class _Value(NamedTuple):
    """What a variable is frozen to."""

    variable: str
    dtype: DType
    shape: tuple[int, ...]


class _Place(NamedTuple):
    """An input of a node, or an argument of a function: where a value is met."""

    body: str | None
    """The function, None for the graph."""
    node: str | None
    """The node; None for an argument of the function."""
    number: int
    """Number of the input or of the argument."""


def freeze(
    meta_graph: MetaGraph | Graph, variables: Mapping[str, Array], outputs: str | Iterable[str]
) -> Graph:
    """Return the graph that computes outputs, its variables made constants; nothing is executed.

    Parameters
    ----------
    meta_graph
        What ``read_meta_graph`` or ``read_graph`` returns. Which tensor of a checkpoint a variable is, is
        told by the constants of its Saver; without one, by its name.
    variables
        The values by name: a checkpoint, a view of one (``ckpt.ema()``), or any other mapping, by the names
        in the checkpoint or by those of the nodes. Only those that the outputs need are read.
    outputs
        Names of nodes, or of tensors (``softmax:0``).

    Raises
    ------
    GraphError
        An output is not in the graph; a variable has no value, or one of another shape or dtype; it is
        written on the way to an output, or an op takes it that cannot be frozen; or the result has 2 GiB.
        ``.node`` says which.
    CorruptError
        The graph refers to what is not there.
    """
    graph = meta_graph.graph if isinstance(meta_graph, MetaGraph) else meta_graph
    restore_op = meta_graph.message.saver_def.restore_op_name if isinstance(meta_graph, MetaGraph) else ""
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    if not names:
        raise GraphError("got no outputs, want at least one")
    for name in names:
        if parse_output(name).node not in graph:
            raise GraphError(f"not in the graph{_hint(graph, name)}", node=parse_output(name).node)
    kept = graph.extract_subgraph(names)
    needed = [node for node in kept.message.node if node.op in VARIABLE_OPS]
    sources = variable_sources(graph.message, restore_op, graph.file or "graph") if needed else {}
    frozen = messages.GraphDef()
    frozen.CopyFrom(kept.message)
    freezer = _Freezer(frozen)
    chosen = _chosen(needed, sources, variables)
    size = 0
    for node in needed:
        array = _value_of(node, chosen[node.name], variables)
        size += array.nbytes
        if size >= MAX_BYTES:
            raise GraphError(f"the constants take {size} bytes or more, want less than {MAX_BYTES}")
        freezer.freeze(node, array)
    freezer.rename_functions()
    return Graph(frozen, None, graph._ops)


def _hint(graph: Graph, name: str) -> str:
    try:
        graph.tensor(name)
    except TensorNotFoundError as error:
        close = " or ".join(map(repr, error.close_matches))
        return f"; did you mean {close}?" if close else ""
    return ""


def _chosen(
    needed: Iterable[messages.NodeDef], sources: Mapping[str, Source], variables: Mapping[str, Array]
) -> dict[str, Source]:
    """Which value each variable has: all by their names in the checkpoint, or all by those of their nodes.

    Not some by one and some by the other: what a Saver renamed may be called as another variable is.
    """
    names = [node.name for node in needed]
    saved = {name: sources.get(name, Source(name, None)) for name in names}
    absent = [name for name, source in saved.items() if source.name not in variables]
    if not absent:
        return saved
    if all(name in variables for name in names):
        return {name: Source(name, None) for name in names}
    wanted = " or ".join(map(repr, dict.fromkeys([saved[absent[0]].name, absent[0]])))
    raise GraphError(f"variable has no value: the mapping has no {wanted}", node=absent[0])


def _value_of(node: messages.NodeDef, source: Source, variables: Mapping[str, Array]) -> Array:
    """The value of a variable, of the dtype and shape that its node says."""
    array = read_source(source, variables)
    dtype = find_dtype(node.attr["dtype"].type).base_dtype
    known = node.attr["shape"].shape if "shape" in node.attr else messages.TensorShapeProto(unknown_rank=True)
    sizes = None if known.unknown_rank else [dim.size for dim in known.dim]
    fits = sizes is None or (
        len(sizes) == array.ndim and all(w in (-1, got) for w, got in zip(sizes, array.shape, strict=True))
    )
    if node.op == "Variable" and sizes == []:
        fits = True  # it wrote that for a shape not known, too
    if dtype.storage is Storage.NONE or array.dtype != dtype.numpy or not fits:
        raise GraphError(
            f"value of the variable: got {array.dtype}{list(array.shape)}, want {dtype.name}{sizes}",
            node=node.name,
        )
    return array


class _Body:
    """The nodes of a graph or of a function, and what takes which of their outputs."""

    def __init__(self, nodes: Iterable[messages.NodeDef], function: messages.FunctionDef | None) -> None:
        self.function = function
        self.nodes = {node.name: node for node in nodes}
        self.takers: dict[str, list[tuple[str, int]]] = {}
        """Name of a node or of an argument -> the nodes that take any output of it, and at which input."""
        parse = parse_output if function is None else parse_function_output
        for node in self.nodes.values():
            for index, text in enumerate(node.input):
                if not text.startswith("^"):
                    self.takers.setdefault(parse(text).node, []).append((node.name, index))


class _Freezer:
    """Replaces variables in a graph, and follows their values."""

    def __init__(self, graph: messages.GraphDef) -> None:
        self._graph = graph
        self._main = _Body(graph.node, None)
        self._functions = {function.signature.name: function for function in graph.library.function}
        self._bodies: dict[str, _Body] = {}
        self._met: dict[_Place, _Value] = {}
        self._entered: dict[str, None] = {}

    def _body(self, name: str | None) -> _Body:
        if name is None:
            return self._main
        if name not in self._bodies:
            function = self._functions[name]
            self._bodies[name] = _Body(function.node_def, function)
        return self._bodies[name]

    def freeze(self, variable: messages.NodeDef, array: Array) -> None:
        """Make a variable a constant."""
        name, dtype = variable.name, find_dtype(variable.attr["dtype"].type).base_dtype
        node = self._main.nodes[name]
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = dtype.code
        fill_proto(node.attr["value"].tensor, array, dtype, array.shape)
        value = _Value(name, dtype, array.shape)
        waiting = self._takers(None, name)
        while waiting:
            place = waiting.pop()
            if place not in self._met:
                self._met[place] = value
                waiting += self._meet(place, value)
            elif self._met[place].dtype != dtype:
                raise GraphError(
                    f"takes variables of several dtypes, {dtype.name} of {name!r} too", node=place.node
                )

    def _takers(self, body: str | None, name: str) -> list[_Place]:
        return [_Place(body, node, index) for node, index in self._body(body).takers.get(name, ())]

    def _meet(self, place: _Place, value: _Value) -> list[_Place]:
        """Change what takes a value in place of a handle; return what takes it next."""
        body = self._body(place.body)
        if place.node is None:
            return self._enter(place, value)
        node = body.nodes[place.node]
        if node.op in _PASSING:
            node.attr["T"].type = value.dtype.code
            node.attr.pop("_output_shapes", None)
            return self._takers(place.body, node.name)
        if node.op == "ReadVariableOp":
            self._read(node, body)
        elif node.op in ("ResourceGather", "ResourceGatherNd"):
            self._gather(node, body)
        elif node.op in _CALLS:
            return self._call(node, place, value)
        elif node.op == "VariableShape":
            out = node.attr["out_type"].type or messages.DataType.DT_INT32
            _rebuild(node, "Shape", list(node.input[:1]), {"T": value.dtype.code, "out_type": out})
        elif node.op in known_ops() and node.op not in _HARMLESS:
            self._check(node, place, value)
        return []

    def _check(self, node: messages.NodeDef, place: _Place, value: _Value) -> None:
        """Raise where an op takes the variable itself, not its value."""
        arguments = known_ops()[node.op].input_arg
        argument = arguments[min(place.number, len(arguments) - 1)] if arguments else None
        takes_handle = argument is not None and (
            argument.is_ref or argument.type == messages.DataType.DT_RESOURCE
        )
        if not takes_handle:
            return
        if any(word in node.op for word in _WRITING):
            raise GraphError(f"{node.op} writes variable {value.variable!r} on the way", node=node.name)
        raise GraphError(f"{node.op} of variable {value.variable!r} cannot be frozen", node=node.name)

    def _read(self, node: messages.NodeDef, body: _Body) -> None:
        old = messages.NodeDef()
        old.CopyFrom(node)
        _rebuild(node, "Identity", [old.input[0]], {"T": old.attr["dtype"].type})
        self._rename_output(body, node.name, "value", "output")

    def _gather(self, node: messages.NodeDef, body: _Body) -> None:
        dtype, indices = node.attr["dtype"].type, node.attr["Tindices"].type
        types = {"Tparams": dtype, "Tindices": indices}
        if node.op == "ResourceGatherNd":
            _rebuild(node, "GatherNd", list(node.input[:2]), types)
            return
        if node.attr["batch_dims"].i:
            raise GraphError(
                f"ResourceGather with batch_dims {node.attr['batch_dims'].i} cannot be frozen", node=node.name
            )
        axis_name = f"{node.name}/axis"
        if axis_name not in body.nodes:
            nodes = self._graph.node if body.function is None else body.function.node_def
            axis = nodes.add(name=axis_name, op="Const")
            axis.attr["dtype"].type = indices
            axis.attr["value"].tensor.CopyFrom(to_proto(0, find_dtype(indices)))
            body.nodes[axis_name] = axis
        text = axis_name if body.function is None else f"{axis_name}:output:0"
        _rebuild(node, "GatherV2", [*node.input[:2], text], {**types, "Taxis": indices})

    def _rename_output(self, body: _Body, name: str, old: str, new: str) -> None:
        """In a function's body: let what takes an output take it by the name that the new op has for it."""
        if body.function is None:
            return
        for taker, index in body.takers.get(name, ()):
            text = body.nodes[taker].input[index]
            if text.startswith(f"{name}:{old}:"):
                body.nodes[taker].input[index] = f"{name}:{new}:{text.rpartition(':')[2]}"
        for key, text in body.function.ret.items():
            if text.startswith(f"{name}:{old}:"):
                body.function.ret[key] = f"{name}:{new}:{text.rpartition(':')[2]}"

    # --- functions ---------------------------------------------------------------------------------------

    def _call(self, node: messages.NodeDef, place: _Place, value: _Value) -> list[_Place]:
        first, types, attributes = _CALLS[node.op]
        argument = place.number - first
        if argument < 0:
            return []
        if argument >= len(node.attr[types].list.type):
            raise GraphError(
                f"has {len(node.attr[types].list.type)} dtypes, want more than {argument}", node=node.name
            )
        node.attr[types].list.type[argument] = value.dtype.code
        is_loop = node.op.endswith("While")
        # Of a loop the outputs are what its arguments are.
        for name in ("output_shapes", "_output_shapes") if is_loop else ():
            if name in node.attr and argument < len(node.attr[name].list.shape):
                shape = node.attr[name].list.shape[argument]
                shape.Clear()
                for size in value.shape:
                    shape.dim.add(size=size)
        entered = []
        for attribute in attributes:
            given = node.attr[attribute]
            for call in (given.func, *given.list.func) if given.HasField("func") else given.list.func:
                if call.name not in self._functions:
                    raise GraphError(f"calls {call.name!r}, which is not in the library", node=node.name)
                entered.append(_Place(call.name, None, argument))
                if is_loop and attribute == "body":
                    self._functions[call.name].signature.output_arg[argument].type = value.dtype.code
        return entered

    def _enter(self, place: _Place, value: _Value) -> list[_Place]:
        """Make the argument of a function a value."""
        assert place.body is not None
        function = self._functions[place.body]
        self._entered[place.body] = None
        if place.number >= len(function.signature.input_arg):
            raise GraphError(f"function {place.body!r} has no argument {place.number}")
        argument = function.signature.input_arg[place.number]
        argument.type = value.dtype.code
        argument.ClearField("handle_data")
        shapes = function.attr["_input_shapes"].list.shape if "_input_shapes" in function.attr else ()
        if place.number < len(shapes):
            _forget(shapes[place.number])
        own = function.arg_attr[place.number].attr if place.number in function.arg_attr else {}
        if "_output_shapes" in own:
            for shape in own["_output_shapes"].list.shape:
                _forget(shape)
        return self._takers(place.body, argument.name)

    def rename_functions(self) -> None:
        """Give the functions that were changed new names, here and where they are called."""
        taken = set(self._functions)
        names: dict[str, str] = {}
        for name in self._entered:
            base = name.rstrip("0123456789").rstrip("_") or name
            number = len(names)
            while (new := f"{base}_frozen_{number}") in taken:
                number += 1
            names[name] = new
            taken.add(new)
        for name, new in names.items():
            self._functions[name].signature.name = new
        if not names:
            return
        for nodes in (self._graph.node, *(f.node_def for f in self._functions.values())):
            for node in nodes:
                node.op = names.get(node.op, node.op)
                for given in node.attr.values():
                    for call in (given.func, *given.list.func) if given.HasField("func") else given.list.func:
                        call.name = names.get(call.name, call.name)


def _rebuild(node: messages.NodeDef, op: str, inputs: list[str], types: Mapping[str, int]) -> None:
    """Make a node anew, of which only name and placement stay."""
    name = node.name
    placed = list(node.attr["_class"].list.s) if "_class" in node.attr else []
    node.Clear()
    node.name, node.op = name, op
    node.input.extend(inputs)
    for attribute, code in types.items():
        node.attr[attribute].type = code
    if placed:
        node.attr["_class"].list.s.extend(placed)


def _forget(shape: messages.TensorShapeProto) -> None:
    shape.Clear()
    shape.unknown_rank = True
