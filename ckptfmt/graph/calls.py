"""Calls: the nodes that call functions, and what their attributes say about arguments and results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.errors import GraphError
from ckptfmt.proto import messages


class CallOp(NamedTuple):
    """An op that calls the functions that its attributes name."""

    first_argument: int
    """The input that is the first argument; a condition or an index may come before it."""
    argument_dtypes: str
    """The attribute with the dtypes of the arguments."""
    result_dtypes: str
    """The attribute with the dtypes of the results."""
    functions: tuple[str, ...]
    """The attributes that name functions."""

    @property
    def is_loop(self) -> bool:
        """Whether the results are the arguments after some rounds, so that one attribute has their dtypes."""
        return self.result_dtypes == self.argument_dtypes


CALL_OPS: Mapping[str, CallOp] = {
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), CallOp(0, "Tin", "Tout", ("f",))),
    **dict.fromkeys(("If", "StatelessIf"), CallOp(1, "Tin", "Tout", ("then_branch", "else_branch"))),
    **dict.fromkeys(("Case", "StatelessCase"), CallOp(1, "Tin", "Tout", ("branches",))),
    **dict.fromkeys(("While", "StatelessWhile"), CallOp(0, "T", "T", ("body", "cond"))),
}
"""Ops that call functions through attributes. Source: TensorFlow ``core/ops/functional_ops.cc``."""


def function_attributes(node: messages.NodeDef, names: tuple[str, ...]) -> Iterator[messages.NameAttrList]:
    """Iterate over the functions that these attributes of a node name; an attribute may hold a list."""
    for name in names:
        if name in node.attr:
            yield from functions_in(node.attr[name])


def functions_in(value: messages.AttrValue) -> Iterator[messages.NameAttrList]:
    """Iterate over the functions that the value of an attribute names."""
    if value.HasField("func"):
        yield value.func
    yield from value.list.func


def set_dtype(node: messages.NodeDef, attribute: str, index: int, code: int) -> None:
    """Set the dtype of an argument or result of a call; GraphError if it has no such index."""
    types = node.attr[attribute].list.type
    if index >= len(types):
        raise GraphError(f"has {len(types)} dtypes, want more than {index}", node=node.name)
    types[index] = code


def forget_result_shape(node: messages.NodeDef, index: int) -> None:
    """Make the shape of a result of a call unknown: a handle is a scalar, its value need not be one."""
    for name in ("output_shapes", "_output_shapes"):
        if name in node.attr and index < len(node.attr[name].list.shape):
            forget_shape(node.attr[name].list.shape[index])


def forget_argument_shape(function: messages.FunctionDef, index: int) -> None:
    """Make the shape of an argument of a function unknown in all attributes that mention it."""
    if "_input_shapes" in function.attr:
        shapes = function.attr["_input_shapes"].list.shape
        if index < len(shapes):
            forget_shape(shapes[index])
    if index in function.arg_attr and "_output_shapes" in function.arg_attr[index].attr:
        for shape in function.arg_attr[index].attr["_output_shapes"].list.shape:
            forget_shape(shape)


def forget_shape(shape: messages.TensorShapeProto) -> None:
    """Make a shape unknown."""
    shape.Clear()
    shape.unknown_rank = True
