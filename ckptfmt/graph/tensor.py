"""Tensors of a graph: what a node puts out, of which dtype and shape, as far as the file says.

Which outputs an op has, its definition says together with the attributes of the node: one output is one
tensor, as many as an attribute counts, or one for each dtype of a list. Source: TensorFlow
``core/framework/op_def.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.dtypes import DType, find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.node import GraphNode
from ckptfmt.proto import messages

REFERENCE = 100
"""What is added to the number of a dtype for references to such tensors."""

MAX_OUTPUTS = 1_000_000
"""Tensors that an op counts; no real one comes near."""

_SHAPED = frozenset(("Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "Variable", "VariableV2"))
"""Ops whose attribute ``shape`` is that of what they put out."""


class GraphTensor(NamedTuple):
    """A tensor of a graph or of the body of a function; its value is not known, but for constants."""

    name: str
    """``node:k``, in the body of a function ``node:out:k``."""
    node: GraphNode | None
    """The node that puts it out; None for an argument of a function."""
    number: int
    """Which of the node's outputs it is, all counted."""
    dtype: DType | None
    """Its dtype; None where neither node nor op says it."""
    shape: PartialShape
    """Its shape as the file has it, None in it for a size of any kind; None where it has none."""


class _Outputs(NamedTuple):
    """Tensors that come from one output of an op."""

    name: str
    size: int
    """How many."""
    codes: tuple[int, ...]
    """Number of the dtype of each, or of all; none where that is not known."""

    def code(self, number: int) -> int:
        if not self.codes:
            return 0
        return self.codes[number] if len(self.codes) > 1 else self.codes[0]


class NodeOutputs:
    """What one node puts out."""

    def __init__(self, node: GraphNode, op: messages.OpDef | None) -> None:
        self._node = node
        self._outputs: list[_Outputs] | None = None
        if op is not None:
            self._outputs = [_outputs(argument, node._outlined, op) for argument in op.output_arg]

    def __iter__(self) -> Iterator[GraphTensor]:
        """Iterate over the tensors; none where the op is not known."""
        number = 0
        for output in self._outputs or ():
            for index in range(output.size):
                yield self._tensor(number, output.name, index, output.code(index))
                number += 1

    def __len__(self) -> int:
        return sum(output.size for output in self._outputs or ())

    def find(self, number: int, name: str | None = None) -> GraphTensor | None:
        """Return an output, of those called ``name`` if given; None where there is none of that number.

        Where the op is not known, there is one of any number.
        """
        if self._outputs is None:
            return self._tensor(number, name, number, 0)
        before = 0
        for output in self._outputs:
            start = 0 if name is not None else before
            if (name is None or name == output.name) and start <= number < start + output.size:
                index = number - start
                return self._tensor(before + index, output.name, index, output.code(index))
            before += output.size
        return None

    def _tensor(self, number: int, name: str | None, index: int, code: int) -> GraphTensor:
        node = self._node
        within = node.in_function and name is not None
        text = f"{node.name}:{name}:{index}" if within else f"{node.name}:{number}"
        return GraphTensor(
            text, node, number, find_dtype(code) if code else None, _shape(node._outlined, number)
        )


def _outputs(argument: messages.OpDef.ArgDef, node: messages.NodeDef, op: messages.OpDef) -> _Outputs:
    if argument.type_list_attr:
        listed = tuple(_attribute(argument.type_list_attr, node, op).list.type)
        return _Outputs(argument.name, len(listed), listed)
    count = _attribute(argument.number_attr, node, op).i if argument.number_attr else 1
    if not 0 <= count <= MAX_OUTPUTS:
        raise CorruptError(f"node {node.name!r} ({node.op}) has {count} outputs, want 0 to {MAX_OUTPUTS}")
    code = argument.type or (_attribute(argument.type_attr, node, op).type if argument.type_attr else 0)
    if code and argument.is_ref and code < REFERENCE:
        code += REFERENCE
    return _Outputs(argument.name, count, (code,) if code else ())


def _attribute(name: str, node: messages.NodeDef, op: messages.OpDef) -> messages.AttrValue:
    """The attribute of a node, or what it has by default."""
    if name in node.attr:
        return node.attr[name]
    default = next((attribute.default_value for attribute in op.attr if attribute.name == name), None)
    return default if default is not None else messages.AttrValue()


def _shape(node: messages.NodeDef, number: int) -> PartialShape:
    attributes: Mapping[str, messages.AttrValue] = node.attr
    if "_output_shapes" in attributes:
        shapes = attributes["_output_shapes"].list.shape
        if number < len(shapes):
            return decode_shape(shapes[number])
    if node.op == "Const" and "value" in attributes:
        return decode_shape(attributes["value"].tensor.tensor_shape)
    if node.op in _SHAPED and "shape" in attributes:
        return decode_shape(attributes["shape"].shape)
    return None
