"""Signatures of TensorFlow 2 models as functions, which ``tf.saved_model.load`` returns.

A model of TensorFlow 2 says each signature twice: as tensors of its graph, which a session runs, and as a
function among its objects. Both have to compute the same, so the function of a new signature has as its body
the nodes of the graph between its inputs and its outputs. Variables and tables that these nodes use become
arguments, which the function is bound to::

    x ── Placeholder ── StatefulPartitionedCall ── y         in the graph
                         │
    w ── VarHandleOp ────┘

    def wrapper(x, w): return {"y": StatefulPartitionedCall(x, w)}       bound to the object of w

Source: TensorFlow ``python/saved_model/signature_serialization.py``, ``function_serialization.py``.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from ckptfmt.errors import CorruptError, GraphError
from ckptfmt.graph.function import Functions
from ckptfmt.graph.node import GraphNode, OutputName, free_name, parse_output
from ckptfmt.graph.outputs import PLACEHOLDERS
from ckptfmt.graph.prune import COLOCATION
from ckptfmt.graph.tensor import NodeOutputs
from ckptfmt.proto import messages

_NUMBER = re.compile(r"_(\d+)$")
"""What TensorFlow appends to the name of a function, so that no other has it."""


class _Argument(NamedTuple):
    """An argument of the function."""

    name: str
    type: int
    shape: messages.TensorShapeProto
    object: int | None
    """The object that it is bound to; None for an input of the signature."""


class SignatureFunction(NamedTuple):
    """The function of a signature."""

    body: messages.FunctionDef
    """For the library of the graph."""
    concrete: messages.SavedConcreteFunction
    """What the objects of the model know about it."""
    object: messages.SavedObject
    """The object that it is."""


class GraphFunctions:
    """Makes functions of the nodes of a graph."""

    def __init__(
        self,
        graph: messages.GraphDef,
        ops: Mapping[str, messages.OpDef],
        objects: Mapping[str, int],
        file: str,
    ) -> None:
        """Take a graph, and the number of the object that each of its variables and tables is."""
        self._nodes = {node.name: node for node in graph.node}
        self._functions = Functions(graph.library, file, ops)
        self._objects = objects
        self._file = file
        numbers = (_NUMBER.search(name) for name in self._functions)
        self._number = max((int(found[1]) for found in numbers if found), default=0)

    def make(
        self,
        name: str,
        signature: messages.SignatureDef,
        handles: Mapping[int, messages.SavedVariable],
    ) -> SignatureFunction:
        """Return the function of a signature.

        ``handles`` are the variables among the objects, by number.

        Raises
        ------
        GraphError
            An output needs a placeholder that is not an input, or a resource that no object is known for.
        CorruptError
            The graph refers to a node that does not exist.
        """
        self._number += 1
        inputs = {parse_output(_tensor(name, info)): key for key, info in sorted(signature.inputs.items())}
        if len(inputs) < len(signature.inputs):
            raise GraphError(f"signature {name!r} has several inputs of one tensor", file=self._file)
        outputs = {key: parse_output(_tensor(name, info)) for key, info in sorted(signature.outputs.items())}
        needed, bound = self._needed(name, inputs, outputs.values())
        taken = set(needed)
        arguments: dict[OutputName, _Argument] = {}
        for tensor, key in inputs.items():
            info = signature.inputs[key]
            argument = free_name(_argument_name(key), taken)
            taken.add(argument)
            arguments[tensor] = _Argument(argument, info.dtype, info.tensor_shape, None)
        for tensor in bound:
            argument = free_name("unknown", taken)
            taken.add(argument)
            shape, number = messages.TensorShapeProto(), self._objects[tensor.node]
            arguments[tensor] = _Argument(argument, messages.DataType.DT_RESOURCE, shape, number)
        body = messages.FunctionDef()
        body.signature.name = free_name(
            f"__inference_signature_wrapper_{_argument_name(name)}_{self._number}", self._functions
        )
        _add_arguments(body, list(arguments.values()), handles)
        self._add_nodes(body, needed, arguments)
        self._add_outputs(body, signature, outputs, arguments, taken)
        concrete = _concrete(
            signature, [each.object for each in arguments.values() if each.object is not None]
        )
        held = messages.SavedObject()
        held.bare_concrete_function.concrete_function_name = body.signature.name
        held.bare_concrete_function.argument_keywords.extend(sorted(signature.inputs))
        # As TensorFlow has it: only a single input can be given by its position.
        held.bare_concrete_function.allowed_positional_arguments = int(len(signature.inputs) == 1)
        return SignatureFunction(body, concrete, held)

    def _needed(
        self, name: str, inputs: Container[OutputName], outputs: Iterable[OutputName]
    ) -> tuple[dict[str, None], dict[OutputName, None]]:
        """Return the nodes that outputs need, and the resources that they take, each in the order met."""
        needed: dict[str, None] = {}
        bound: dict[OutputName, None] = {}
        waiting = [str(output) for output in outputs]
        while waiting:
            text = waiting.pop()
            tensor, is_control = parse_output(text), text.startswith("^")
            node = self._nodes.get(tensor.node)
            if node is None:
                raise CorruptError(f"signature {name!r} needs {tensor.node!r}: no such node", file=self._file)
            if tensor in inputs and not is_control:
                continue
            if node.name in self._objects and not is_control:
                bound[tensor] = None
            elif node.name not in needed:
                self._check(name, node)
                needed[node.name] = None
                waiting += node.input
        return needed, bound

    def _check(self, name: str, node: messages.NodeDef) -> None:
        """Raise GraphError for a node that cannot be part of the function of a signature."""
        if node.op in PLACEHOLDERS and node.op != "PlaceholderWithDefault":
            what = f"signature {name!r} needs the value of this placeholder: make it one of the inputs"
            raise GraphError(what, node=node.name, file=self._file)
        op = self._functions.op(node.op)
        types = [argument.type for argument in op.output_arg] if op is not None else ()
        if messages.DataType.DT_RESOURCE in types:
            what = f"signature {name!r} needs this resource, and no object of the model is known to be it"
            raise GraphError(what, node=node.name, file=self._file)

    def _add_nodes(
        self, body: messages.FunctionDef, needed: Container[str], arguments: Mapping[OutputName, _Argument]
    ) -> None:
        for node in self._nodes.values():
            if node.name not in needed:
                continue
            copy = body.node_def.add()
            copy.CopyFrom(node)
            copy.input[:] = [self._reference(text, arguments) for text in node.input]
            _drop_colocations(copy, needed)
            op = self._functions.op(node.op)
            if op is not None and op.is_stateful:
                # It runs whether or not an output needs it, as in the graph that a session runs.
                body.signature.is_stateful = True
                body.signature.control_output.append(node.name)
                body.control_ret[node.name] = node.name

    def _reference(self, text: str, arguments: Mapping[OutputName, _Argument]) -> str:
        """Return how the body of a function refers to a tensor of the graph."""
        if text.startswith("^"):
            return text
        tensor = parse_output(text)
        if tensor in arguments:
            return arguments[tensor].name
        node = self._nodes[tensor.node]
        as_inner = GraphNode(node, in_function=True, file=self._file)
        found = NodeOutputs(as_inner, self._functions.op(node.op)).find(tensor.number)
        if found is None:
            raise CorruptError(f"node {node.name!r} has no output {tensor.number}", file=self._file)
        if found.name.count(":") < 2:
            what = f"its op {node.op} is not known, so a function cannot refer to its outputs"
            raise GraphError(what, node=node.name, file=self._file)
        return found.name

    def _add_outputs(
        self,
        body: messages.FunctionDef,
        signature: messages.SignatureDef,
        outputs: Mapping[str, OutputName],
        arguments: Mapping[OutputName, _Argument],
        taken: set[str],
    ) -> None:
        names: set[str] = set()
        for key, tensor in outputs.items():
            info = signature.outputs[key]
            node = body.node_def.add(name=free_name("Identity", taken), op="Identity")
            taken.add(node.name)
            node.input.append(self._reference(str(tensor), arguments))
            node.attr["T"].type = info.dtype
            node.attr["_output_shapes"].list.shape.add().CopyFrom(info.tensor_shape)
            output = free_name("identity", names)
            names.add(output)
            body.signature.output_arg.add(name=output, type=info.dtype)
            body.ret[output] = f"{node.name}:output:0"


def _tensor(name: str, info: messages.TensorInfo) -> str:
    """Return the tensor of an input or output; GraphError if it consists of several."""
    if info.WhichOneof("encoding") != "name":
        what = (
            f"signature {name!r}: a function cannot be made for a sparse or composite tensor; name its parts"
        )
        raise GraphError(what)
    return info.name


def _argument_name(name: str) -> str:
    """Return a name as TensorFlow allows it for an argument: lower case, digits and underscores."""
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return plain if plain[:1].isalpha() else f"arg_{plain}"


def _add_arguments(
    body: messages.FunctionDef,
    arguments: Sequence[_Argument],
    handles: Mapping[int, messages.SavedVariable],
) -> None:
    for number, argument in enumerate(arguments):
        given = body.signature.input_arg.add(name=argument.name, type=argument.type)
        body.attr["_input_shapes"].list.shape.add().CopyFrom(argument.shape)
        attributes = body.arg_attr[number].attr
        attributes["_user_specified_name"].s = argument.name.encode()
        if argument.object is None:
            attributes["_output_shapes"].list.shape.add().CopyFrom(argument.shape)
        elif argument.object in handles:
            variable = handles[argument.object]
            given.handle_data.add(dtype=variable.dtype, shape=variable.shape)
    body.attr["_construction_context"].s = b"kEagerRuntime"


def _drop_colocations(node: messages.NodeDef, kept: Container[str]) -> None:
    """Have a node placed with no node that the body lacks."""
    if "_class" not in node.attr:
        return
    classes = node.attr["_class"].list.s
    left = [name for name in classes if name.removeprefix(COLOCATION).decode("utf-8", "replace") in kept]
    if left:
        classes[:] = left
    else:
        del node.attr["_class"]


def _concrete(signature: messages.SignatureDef, bound: Iterable[int]) -> messages.SavedConcreteFunction:
    """Return what objects know about the function of a signature: what it takes, returns and is bound to."""
    concrete = messages.SavedConcreteFunction(bound_inputs=bound)
    sides = concrete.canonicalized_input_signature.tuple_value.values
    sides.add().tuple_value.SetInParent()
    sides.add().dict_value.SetInParent()
    concrete.output_signature.dict_value.SetInParent()
    for fields, infos in (
        (sides[1].dict_value.fields, signature.inputs),
        (concrete.output_signature.dict_value.fields, signature.outputs),
    ):
        for key, info in infos.items():
            spec = fields[key].tensor_spec_value
            spec.name, spec.dtype = key, info.dtype
            spec.shape.CopyFrom(info.tensor_shape)
    return concrete
