"""Calls: nodes that run a function of an object, so that a signature of a TensorFlow 2 model can name it.

A model often has more functions than signatures: ``encode`` beside ``serving_default``, or no signature at
all. The graph gets a placeholder for each argument, and a call that takes the nodes of the objects that the
function is bound to. Source: TensorFlow ``python/saved_model/signature_serialization.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ckptfmt.errors import CorruptError, GraphError, NameNotFoundError
from ckptfmt.graph.meta.node_builder import fill_shape
from ckptfmt.graph.node import free_name
from ckptfmt.proto import messages
from ckptfmt.saved_model.functions import ConcreteFunctions, object_functions
from ckptfmt.saved_model.structured import TensorSpec, TypeSpec, Value
from ckptfmt.text.closest import closest_names
from ckptfmt.text.quoting import listed

_PREDICT = "tensorflow/serving/predict"


def call_function(
    meta: messages.MetaGraphDef, name: str, function: str, objects: Mapping[str, int], file: str
) -> messages.SignatureDef:
    """Add nodes that call a function of an object to a graph, and return the signature ``name`` of them.

    Parameters
    ----------
    meta
        The meta graph, which is changed.
    function
        The path of the function from the model (``encode``), or the name of one of its traces.
    objects
        The number of the object that each variable and table of the graph is.

    Raises
    ------
    NameNotFoundError
        No object has such a function.
    GraphError
        It has several traces, takes or returns something that is not a tensor, or is bound to something that
        is not in the graph.
    """
    trace = _trace(meta, function, file)
    body = next((each for each in meta.graph_def.library.function if each.signature.name == trace), None)
    if body is None:
        raise CorruptError(f"no function {trace!r} in the library", file=file)
    known = ConcreteFunctions(meta.object_graph_def.concrete_functions, file)[trace]
    taken = [spec for spec in _flat(known.arguments, function, file) if isinstance(spec, TensorSpec)]
    returned = _outputs(known.returns, function, file)
    arguments, outputs = body.signature.input_arg, body.signature.output_arg
    if len(taken) + len(known.captures) != len(arguments) or len(returned) != len(outputs):
        raise GraphError(f"function {function!r} takes or returns other tensors than it says", file=file)
    names = {node.name for node in meta.graph_def.node}
    signature = messages.SignatureDef(method_name=_PREDICT)
    call = messages.NodeDef(op="StatefulPartitionedCall", name=free_name("StatefulPartitionedCall", names))
    names.add(call.name)
    for spec, argument in zip(taken, arguments, strict=False):
        key = spec.name or argument.name
        if key in signature.inputs:
            key = argument.name
        node = meta.graph_def.node.add(op="Placeholder", name=free_name(_node_name(f"{name}_{key}"), names))
        names.add(node.name)
        node.attr["dtype"].type = argument.type
        fill_shape(node.attr["shape"].shape, spec.shape)
        call.input.append(node.name)
        _describe(signature.inputs[key], f"{node.name}:0", argument.type, spec)
    call.input.extend(_captures(meta, known.captures, objects, function, file))
    call.attr["f"].func.name = trace
    for attribute in ("config_proto", "config", "executor_type"):
        call.attr[attribute].s = b""
    call.attr["Tin"].list.type.extend(argument.type for argument in arguments)
    call.attr["Tout"].list.type.extend(output.type for output in outputs)
    for number, ((key, result), output) in enumerate(zip(returned, outputs, strict=True)):
        _describe(signature.outputs[key], f"{call.name}:{number}", output.type, result)
        fill_shape(call.attr["_output_shapes"].list.shape.add(), result.shape)
    meta.graph_def.node.append(call)
    return signature


def _trace(meta: messages.MetaGraphDef, function: str, file: str) -> str:
    """Return the name of the trace that a path, or a name of a trace, means."""
    graph = meta.object_graph_def
    if function in graph.concrete_functions:
        return function
    known = object_functions(graph, file)
    paths = {path: each for each in known for path in (each.path, *each.aliases) if path is not None}
    if function not in paths:
        close = closest_names(function, paths)
        raise NameNotFoundError(function, file=file, noun="function of an object", close_matches=close)
    traces = paths[function].traces
    if len(traces) != 1:
        what = f"function {function!r} has {len(traces)} traces"
        raise GraphError(f"{what}: pass one of {listed(traces)}" if traces else what, file=file)
    return traces[0]


def _flat(value: Value, function: str, file: str) -> Iterator[Value]:
    """Iterate over the parts of nested arguments in the order of TensorFlow's ``nest.flatten``."""
    if isinstance(value, TypeSpec):
        what = f"function {function!r} takes or returns a {value.class_name}, which no signature can"
        raise GraphError(what, file=file)
    if isinstance(value, TensorSpec) or not isinstance(value, (tuple, list, dict)):
        yield value
        return
    for each in (value[key] for key in sorted(value)) if isinstance(value, dict) else value:
        yield from _flat(each, function, file)


def _outputs(returns: Value, function: str, file: str) -> list[tuple[str, TensorSpec]]:
    """Return the tensors that a function returns, named as in a signature that TensorFlow makes of it."""
    if isinstance(returns, dict):
        named = [(key, returns[key]) for key in sorted(returns)]
    elif isinstance(returns, (tuple, list)) and not isinstance(returns, TensorSpec):
        named = [(f"output_{number}", each) for number, each in enumerate(returns)]
    else:
        named = [("output_0", returns)]
    if not named or not all(isinstance(each, TensorSpec) for _, each in named):
        what = f"function {function!r} does not return a tensor, a sequence or a dictionary of tensors"
        raise GraphError(what, file=file)
    return named


def _captures(
    meta: messages.MetaGraphDef,
    captures: tuple[int, ...],
    objects: Mapping[str, int],
    function: str,
    file: str,
) -> Iterator[str]:
    """Iterate over the tensors of the graph for the objects that a function is bound to."""
    nodes = {number: name for name, number in objects.items()}
    known, assets = meta.object_graph_def.nodes, meta.asset_file_def
    for number in captures:
        held = known[number] if 0 <= number < len(known) else messages.SavedObject()
        if number in nodes:
            yield nodes[number]
        elif held.WhichOneof("kind") == "constant" and held.constant.operation:
            yield held.constant.operation
        elif held.WhichOneof("kind") == "asset" and 0 <= held.asset.asset_file_def_index < len(assets):
            yield assets[held.asset.asset_file_def_index].tensor_info.name
        else:
            what = f"function {function!r} uses object {number}, which is not in the graph that servers run"
            raise GraphError(what, file=file)


def _node_name(text: str) -> str:
    """Return a text as TensorFlow allows it for a node: letters, digits, dots and underscores."""
    return re.sub(r"[^A-Za-z0-9_.]", "_", text).lstrip("_") or "input"


def _describe(info: messages.TensorInfo, tensor: str, code: int, spec: TensorSpec) -> None:
    info.name, info.dtype = tensor, code
    fill_shape(info.tensor_shape, spec.shape)
