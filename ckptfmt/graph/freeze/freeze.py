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

A value is followed from each variable along the edges that carry its handle, into functions and out of them
again; every node that it meets is changed once. Unlike in TensorFlow, gathers in functions, handles that
functions return and the oldest kind of variable are converted, and what cannot be frozen is an error.
Source: ``python/framework/convert_to_constants.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, count
from typing import Any, NamedTuple

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.arrays.encode import fill_proto, outline_proto, to_proto
from ckptfmt.dtypes import DType, Storage, find_dtype
from ckptfmt.errors import GraphError, NameNotFoundError
from ckptfmt.graph.function import Functions
from ckptfmt.graph.graph import Graph
from ckptfmt.graph.meta.meta_graph import MetaGraph
from ckptfmt.graph.meta.variables import VARIABLE_OPS, Source, read_source, variable_sources
from ckptfmt.graph.node import GraphNode, parse_function_output, parse_output
from ckptfmt.graph.ops import known_ops
from ckptfmt.graph.outline import Outline
from ckptfmt.graph.tensor import NodeOutputs
from ckptfmt.graph.tensor_content import MAX_BYTES, is_large
from ckptfmt.proto import messages
from ckptfmt.storage.file import is_mapping

_PASSING = frozenset(
    (
        *("Identity", "Enter", "Exit", "NextIteration", "Switch", "_SwitchN", "Merge"),
        *("RefEnter", "RefIdentity"),
    )
)
"""Ops that hand a handle on; their dtype becomes that of the value."""


class _Call(NamedTuple):
    """An op that calls functions."""

    first: int
    """The first input that is an argument."""
    takes: str
    """The attribute that has the dtypes of the arguments."""
    returns: str
    """The attribute that has the dtypes of what is returned."""
    functions: tuple[str, ...]
    """The attributes that name functions."""


_CALLS: Mapping[str, _Call] = {
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), _Call(0, "Tin", "Tout", ("f",))),
    **dict.fromkeys(("If", "StatelessIf"), _Call(1, "Tin", "Tout", ("then_branch", "else_branch"))),
    **dict.fromkeys(("Case", "StatelessCase"), _Call(1, "Tin", "Tout", ("branches",))),
    **dict.fromkeys(("While", "StatelessWhile"), _Call(0, "T", "T", ("body", "cond"))),
}

_ASKING = frozenset(("VarIsInitializedOp", "IsVariableInitialized"))
"""Ops that ask whether a variable has a value, which a constant has."""

_WRITING = ("Assign", "Scatter", "Apply", "Update", "CountUpTo", "DestroyResource")


class _Value(NamedTuple):
    """What a variable is frozen to."""

    variable: str
    dtype: DType
    shape: tuple[int, ...]
    has_handle: bool
    """Whether it takes the place of a handle, not of a reference, which ops take as a value too."""


class _Place(NamedTuple):
    """Where a value is met: an input of a node, or what a function takes or returns."""

    body: str | None
    """The function, None for the graph."""
    node: str | None
    """The node; None for the function itself."""
    number: int
    """Number of the input, of the argument or of what is returned."""
    is_return: bool = False
    """Whether it is what the function returns."""


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
        in the checkpoint or by those of the nodes. Only those that the outputs need are read. Large ones
        that lie in a mapped file, as those of a checkpoint do, stay there: it should not be changed in place
        before the graph is written.
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
    _check_functions(kept)
    frozen = messages.GraphDef()
    frozen.CopyFrom(kept._outline.message)
    contents = kept._outline.by_name()
    needed = [node for node in kept._outline.message.node if node.op in VARIABLE_OPS]
    sources = variable_sources(graph._outline.message, restore_op, graph.file or "graph") if needed else {}
    freezer = _Freezer(frozen, contents)
    chosen = _chosen(needed, sources, variables)
    size = sum(map(len, contents.values()))
    for node in needed:
        array = _value_of(node, chosen[node.name], variables)
        size += array.nbytes
        if size >= MAX_BYTES:
            raise GraphError(f"the constants take {size} bytes or more, want less than {MAX_BYTES}")
        freezer.freeze(node, array)
    freezer.check_functions()
    freezer.rename_functions()
    return Graph(Outline.of(frozen, contents), None, graph._ops)


def _hint(graph: Graph, name: str) -> str:
    try:
        graph[parse_output(name).node]
    except NameNotFoundError as error:
        close = " or ".join(map(repr, error.close_matches))
        return f"; did you mean {close}?" if close else ""
    return ""


def _check_functions(graph: Graph) -> None:
    """Raise where a function that is called has a variable of its own, which no checkpoint knows."""
    reached = graph.functions.reached_from(graph.functions.called_by(graph._outline.message.node))
    for name in graph.functions:
        nodes = graph.functions[name].message.node_def if name in reached else ()
        inner = next((node for node in nodes if node.op in VARIABLE_OPS), None)
        if inner is not None:
            raise GraphError(f"{inner.op} within function {name!r} cannot be frozen", node=inner.name)


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


def _nobody_writes(array: Array) -> bool:
    """Whether an array views bytes, or a mapping that cannot be written to.

    Not so what owns its memory: it may be read-only for this view of it and not for others.
    """
    base: Any = array
    while isinstance(base, (np.ndarray, memoryview)):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    return (isinstance(base, bytes) or is_mapping(base)) and memoryview(base).readonly


class _Body:
    """The nodes of a graph or of a function, and what takes which of their outputs."""

    def __init__(self, nodes: Iterable[messages.NodeDef], function: messages.FunctionDef | None) -> None:
        self.function = function
        self.nodes = {node.name: node for node in nodes}
        self.takers: dict[str, list[tuple[str, int]]] = {}
        """Name of a node or of an argument -> the nodes that take any output of it, and at which input."""
        self.returned: dict[str, list[int]] = {}
        """Name of a node or of an argument -> which of what the function returns are outputs of it."""
        self.parse = parse_output if function is None else parse_function_output
        for node in self.nodes.values():
            for index, text in enumerate(node.input):
                if not text.startswith("^"):
                    self.takers.setdefault(self.parse(text).node, []).append((node.name, index))
        arguments = () if function is None else function.signature.output_arg
        self.returns = [
            function.ret[a.name] if function and a.name in function.ret else "" for a in arguments
        ]
        """What a function returns, as its body writes it."""
        for index, text in enumerate(self.returns):
            self.returned.setdefault(self.parse(text).node, []).append(index)


class _Freezer:
    """Replaces variables in a graph, and follows their values."""

    def __init__(self, graph: messages.GraphDef, contents: dict[str, memoryview]) -> None:
        """Take a graph, and what becomes the contents of its large constants."""
        self._graph = graph
        self._contents = contents
        self._main = _Body(graph.node, None)
        self._functions = {function.signature.name: function for function in graph.library.function}
        self._bodies: dict[str, _Body] = {}
        self._met: dict[_Place, _Value] = {}
        self._waiting: list[tuple[_Place, _Value]] = []
        self._entered: dict[str, set[int]] = {}
        """Function -> which of its arguments are values."""
        self._callers: dict[str, dict[tuple[str | None, str], None]] = {}
        """Function that was entered -> where it was called: the body and the node."""
        self._returned: dict[str, dict[int, _Value]] = {}
        """Function -> which of what it returns are values."""

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
        has_handle = variable.op == "VarHandleOp"
        node = self._main.nodes[name]
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = dtype.code
        tensor = node.attr["value"].tensor
        try:
            content = outline_proto(tensor, array, dtype, array.shape)
        except (TypeError, ValueError) as error:
            raise GraphError(f"value of the variable: {error}", node=name) from error
        if content is not None and is_large(content.nbytes):
            # No copy of what nobody can change, or was copied to stand in this order.
            lasts = _nobody_writes(array) or not np.may_share_memory(content, array)
            self._contents[name] = (content if lasts else content.copy()).data.toreadonly()
        elif content is not None:
            tensor.tensor_content = content.tobytes()
        value = _Value(name, dtype, array.shape, has_handle)
        self._hand_on(None, name, value)
        while self._waiting:
            place, value = self._waiting.pop()
            if place not in self._met:
                self._met[place] = value
                self._meet(place, value)
            elif self._met[place].dtype != value.dtype:
                raise GraphError(
                    f"takes variables of several dtypes, {value.dtype.name} of {value.variable!r} too",
                    node=place.node or place.body,
                )

    def _hand_on(self, name: str | None, node: str, value: _Value, number: int | None = None) -> None:
        """Let those meet a value who take an output of a node or argument, or any of its outputs."""
        body = self._body(name)
        for taker, index in body.takers.get(node, ()):
            if number in (None, self._number(body, body.nodes[taker].input[index])):
                self._waiting.append((_Place(name, taker, index), value))
        for index in body.returned.get(node, ()):
            if number in (None, self._number(body, body.returns[index])):
                self._waiting.append((_Place(name, None, index, is_return=True), value))

    def _number(self, body: _Body, text: str) -> int:
        """Which of all outputs of a node is taken."""
        output = body.parse(text)
        node = body.nodes.get(output.node)
        if node is None or output.name is None:
            return output.number
        function = self._functions.get(node.op)
        op = function.signature if function is not None else known_ops().get(node.op)
        found = NodeOutputs(GraphNode(node, in_function=True), op).find(output.number, output.name)
        return -1 if found is None else found.number

    def _meet(self, place: _Place, value: _Value) -> None:
        """Change what takes a value in place of a handle, and hand it on."""
        body = self._body(place.body)
        if place.node is None:
            if place.is_return:
                self._leave(place, value)
            else:
                self._enter(place, value)
            return
        node = body.nodes[place.node]
        if node.op in _PASSING:
            node.attr["T"].type = value.dtype.code
            node.attr.pop("_output_shapes", None)
            # The second output of a Merge is a number.
            self._hand_on(place.body, node.name, value, 0 if "Merge" in node.op else None)
        elif node.op == "ReadVariableOp":
            self._read(node, body)
        elif node.op in ("ResourceGather", "ResourceGatherNd"):
            self._gather(node, body)
        elif node.op in self._functions:
            self._call_function(node.op, place, place.number, value)
        elif node.op in _CALLS:
            self._call(node, place, value)
        elif node.op == "VariableShape":
            out = node.attr["out_type"].type or messages.DataType.DT_INT32
            _rebuild(node, "Shape", list(node.input[:1]), {"T": value.dtype.code, "out_type": out})
        elif node.op in _ASKING:
            _rebuild(node, "Const", [], {"dtype": messages.DataType.DT_BOOL})
            fill_proto(node.attr["value"].tensor, np.asarray(True), find_dtype(messages.DataType.DT_BOOL), ())
            self._rename_output(body, node.name, "is_initialized", "output")
        else:
            self._check(node, place, value)

    def _check(self, node: messages.NodeDef, place: _Place, value: _Value) -> None:
        """Raise where an op takes the variable itself, not its value."""
        known = known_ops().get(node.op)
        arguments = known.input_arg if known else ()
        argument = arguments[min(place.number, len(arguments) - 1)] if arguments else None
        if not value.has_handle and not (argument is not None and argument.is_ref):
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
        if len(node.input) < 2 or indices not in (messages.DataType.DT_INT32, messages.DataType.DT_INT64):
            raise GraphError(
                f"{node.op}: got {len(node.input)} inputs and indices of {find_dtype(indices).name}, "
                "want 2 and int32 or int64",
                node=node.name,
            )
        types = {"Tparams": dtype, "Tindices": indices}
        if node.op == "ResourceGatherNd":
            _rebuild(node, "GatherNd", list(node.input[:2]), types)
            return
        if node.attr["batch_dims"].i:
            raise GraphError(
                f"ResourceGather with batch_dims {node.attr['batch_dims'].i} cannot be frozen", node=node.name
            )
        arguments = () if body.function is None else body.function.signature.input_arg
        taken = {*body.nodes, *(argument.name for argument in arguments)}
        names = (f"{node.name}/axis{suffix}" for suffix in chain([""], (f"_{n}" for n in count(1))))
        axis_name = next(name for name in names if name not in taken)
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

    def _call(self, node: messages.NodeDef, place: _Place, value: _Value) -> None:
        call = _CALLS[node.op]
        argument = place.number - call.first
        if argument < 0:
            return
        self._set_type(node, call.takes, argument, value)
        for attribute in call.functions:
            given = node.attr[attribute]
            for named in (given.func, *given.list.func) if given.HasField("func") else given.list.func:
                self._call_function(named.name, place, argument, value)
        if call.returns == call.takes:
            # Of a loop the outputs are what its arguments are, but those of another call have another shape.
            for shape in self._shapes(node, argument):
                _forget(shape)
            self._hand_on(place.body, node.name, value, argument)

    def _call_function(self, name: str, place: _Place, argument: int, value: _Value) -> None:
        """Let a function that a node calls meet a value."""
        assert place.node is not None
        if name not in self._functions:
            raise GraphError(f"calls {name!r}, which is not in the library", node=place.node)
        self._waiting.append((_Place(name, None, argument), value))
        caller = (place.body, place.node)
        callers = self._callers.setdefault(name, {})
        if caller not in callers:
            callers[caller] = None
            # What it returns may have been met when another node called it.
            for number, returned in self._returned.get(name, {}).items():
                self._return(caller, number, returned)

    def _leave(self, place: _Place, value: _Value) -> None:
        """Make what a function returns a value."""
        assert place.body is not None
        argument = self._functions[place.body].signature.output_arg[place.number]
        argument.type = value.dtype.code
        argument.ClearField("handle_data")
        self._returned.setdefault(place.body, {})[place.number] = value
        for caller in self._callers[place.body]:
            self._return(caller, place.number, value)

    def _return(self, caller: tuple[str | None, str], number: int, value: _Value) -> None:
        """Hand on what a node gets from the function that it calls."""
        body, name = caller
        node = self._body(body).nodes[name]
        call = None if node.op in self._functions else _CALLS[node.op]
        if call is not None:
            if call.returns == call.takes:
                return  # a loop, whose outputs its arguments tell
            self._set_type(node, call.returns, number, value)
        for shape in self._shapes(node, number):
            _forget(shape)
        self._hand_on(body, name, value, number)

    def _set_type(self, node: messages.NodeDef, attribute: str, number: int, value: _Value) -> None:
        types = node.attr[attribute].list.type
        if number >= len(types):
            raise GraphError(f"has {len(types)} dtypes, want more than {number}", node=node.name)
        types[number] = value.dtype.code

    def _shapes(self, node: messages.NodeDef, number: int) -> list[messages.TensorShapeProto]:
        """What a node that calls says of the shape of an output."""
        names = (name for name in ("output_shapes", "_output_shapes") if name in node.attr)
        found = (node.attr[name].list.shape for name in names)
        return [shapes[number] for shapes in found if number < len(shapes)]

    def _enter(self, place: _Place, value: _Value) -> None:
        """Make the argument of a function a value."""
        assert place.body is not None
        function = self._functions[place.body]
        self._entered.setdefault(place.body, set()).add(place.number)
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
        self._hand_on(place.body, argument.name, value)

    def check_functions(self) -> None:
        """Raise where a function that was changed gets, or hands back, something else elsewhere.

        Of a loop TensorFlow takes a handle that its body hands back for the one that it got.
        """
        for name, callers in self._callers.items():
            for number, value in self._returned.get(name, {}).items():
                taken = self._met.get(_Place(name, None, number))
                loops = [node for node in map(self._node, callers) if node.op in ("While", "StatelessWhile")]
                in_loop = any(node.attr["body"].func.name == name for node in loops)
                if in_loop and (taken is None or taken.variable != value.variable):
                    raise GraphError(
                        f"the body {name!r} hands back variable {value.variable!r} in place of another",
                        node=loops[0].name,
                    )
        bodies: list[str | None] = [None, *self._reached()]
        for body in bodies:
            for node in self._body(body).nodes.values():
                self._check_call(body, node)

    def _node(self, caller: tuple[str | None, str]) -> messages.NodeDef:
        return self._body(caller[0]).nodes[caller[1]]

    def _reached(self) -> list[str]:
        """The functions that the graph calls, directly or not."""
        functions = Functions(self._graph.library, None)
        return sorted(functions.reached_from(functions.called_by(self._graph.node)))

    def _check_call(self, body: str | None, node: messages.NodeDef) -> None:
        call = _CALLS.get(node.op)
        if node.op in self._functions:
            first, called = 0, [node.op]
        elif call is not None:
            first = call.first
            given = [node.attr[attribute] for attribute in call.functions]
            called = [f.name for g in given for f in ((g.func,) if g.HasField("func") else g.list.func)]
        else:
            return
        for name in called:
            for place in self._entered.get(name, ()):
                if _Place(body, node.name, first + place) not in self._met:
                    raise GraphError(
                        f"calls {name!r} with what is no variable, where another call has one", node=node.name
                    )
        if call is None or call.returns == call.takes:
            return
        numbers = [set(self._returned.get(name, ())) for name in called]
        if any(found != numbers[0] for found in numbers):
            raise GraphError(
                f"one of {', '.join(map(repr, called))} hands back a variable, another does not",
                node=node.name,
            )

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
        # What a gradient is of, and what it takes, is no more what it was.
        kept = [
            g for g in self._graph.library.gradient if not {g.function_name, g.gradient_func} & set(names)
        ]
        del self._graph.library.gradient[:]
        self._graph.library.gradient.extend(kept)
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
