"""Tensors of a graph: the outputs of nodes, with their dtypes and shapes if the file says them.

The definition of an op lists its outputs. Each of them is one tensor, or as many as an attribute of the node
counts, or one for each dtype in an attribute. A graph numbers the tensors of a node across all its outputs
(``node:3``), the body of a function within each output (``node:out:1``).

Source: TensorFlow ``core/framework/op_def.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ckptfmt.dtypes import REF_OFFSET, DType, find_dtype
from ckptfmt.errors import CorruptError
from ckptfmt.graph.attributes import PartialShape, decode_shape
from ckptfmt.graph.node import GraphNode
from ckptfmt.notebook.card import Card
from ckptfmt.notebook.page import to_html
from ckptfmt.proto import messages
from ckptfmt.text.printing import shape_text

MAX_OUTPUTS = 1_000_000
"""Tensors of one output that an attribute may count. No real op comes near, and a damaged count would make
readers that list all of them never end."""

_SHAPED = frozenset(("Placeholder", "PlaceholderV2", "PlaceholderWithDefault", "Variable", "VariableV2"))
"""Ops whose attribute ``shape`` is the shape of their output."""


class GraphTensor(NamedTuple):
    """A tensor of a graph or of the body of a function, without its value."""

    name: str
    """``node:k``, or ``node:out:k`` in the body of a function."""
    node: GraphNode | None
    """The node whose output it is; None for an argument of a function."""
    number: int
    """Its number among all tensors of the node."""
    dtype: DType | None
    """Its dtype; None if neither the node nor its op says it."""
    shape: PartialShape
    """Its shape, with None for an unknown size; None if the file does not say it."""

    def _card(self) -> Card:
        node = None if self.node is None else f"{self.node.name} ({self.node.op})"
        dtype = None if self.dtype is None else self.dtype.name
        return Card(
            "GraphTensor", self.name, [("dtype", dtype), ("shape", shape_text(self.shape)), ("of", node)]
        )

    def _repr_html_(self) -> str:
        return to_html(self._card)


class _Output(NamedTuple):
    """The tensors of one output of an op."""

    name: str
    size: int
    """How many tensors it has."""
    codes: tuple[int, ...]
    """Code of the dtype of each, or one for all; empty if the dtype is not known."""

    def code(self, number: int) -> int:
        if not self.codes:
            return 0
        return self.codes[number] if len(self.codes) > 1 else self.codes[0]


class NodeOutputs:
    """The output tensors of one node."""

    def __init__(self, node: GraphNode, op: messages.OpDef | None) -> None:
        """Take a node and the definition of its op, None if that is not known.

        Raises CorruptError if the node claims more than :data:`MAX_OUTPUTS` tensors of one output.
        """
        self._node = node
        self._outputs: list[_Output] | None = None
        if op is not None:
            self._outputs = [_expand_output(argument, node, op) for argument in op.output_arg]

    def __iter__(self) -> Iterator[GraphTensor]:
        """Iterate over the tensors; there are none if the op is not known."""
        number = 0
        for output in self._outputs or ():
            for index in range(output.size):
                yield self._tensor(number, output.name, index, output.code(index))
                number += 1

    def __len__(self) -> int:
        return sum(output.size for output in self._outputs or ())

    def numbers(self) -> dict[str, range]:
        """Return the numbers of the tensors of each output, by the output's name."""
        numbers: dict[str, range] = {}
        start = 0
        for output in self._outputs or ():
            numbers[output.name] = range(start, start + output.size)
            start += output.size
        return numbers

    def find(self, number: int, name: str | None = None) -> GraphTensor | None:
        """Return the tensor with a number, counted within the output ``name`` if given, or None.

        If the op is not known, a tensor of any number may exist.
        """
        if self._outputs is None:
            return self._tensor(number, name, number, 0)
        before = 0  # tensors of the outputs before this one
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
        dtype = find_dtype(code) if code else None
        return GraphTensor(text, node, number, dtype, _find_shape(node._outlined, number))


def _expand_output(argument: messages.OpDef.ArgDef, node: GraphNode, op: messages.OpDef) -> _Output:
    """Return the tensors of one output of an op, as the attributes of a node count them."""
    message = node._outlined
    if argument.type_list_attr:
        codes = tuple(_attribute(argument.type_list_attr, message, op).list.type)
        return _Output(argument.name, len(codes), codes)
    count = _attribute(argument.number_attr, message, op).i if argument.number_attr else 1
    if not 0 <= count <= MAX_OUTPUTS:
        what = f"node {node.name!r} ({node.op}) has {count} outputs, want 0 to {MAX_OUTPUTS}"
        raise CorruptError(what, file=node.file)
    code = argument.type or (_attribute(argument.type_attr, message, op).type if argument.type_attr else 0)
    if code and argument.is_ref and code < REF_OFFSET:
        code += REF_OFFSET
    return _Output(argument.name, count, (code,) if code else ())


def _attribute(name: str, node: messages.NodeDef, op: messages.OpDef) -> messages.AttrValue:
    """Return the attribute of a node, or the op's default for it."""
    if name in node.attr:
        return node.attr[name]
    default = next((attribute.default_value for attribute in op.attr if attribute.name == name), None)
    return default if default is not None else messages.AttrValue()


def _find_shape(node: messages.NodeDef, number: int) -> PartialShape:
    """Return the shape of an output of a node, as its attributes state it."""
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
