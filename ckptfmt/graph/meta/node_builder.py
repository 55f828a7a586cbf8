"""Node builders: nodes that are added to a GraphDef, with names as TensorFlow chooses them.

Source: TensorFlow ``python/framework/ops.py`` (``unique_name``), ``core/graph/graph_constructor.cc``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from ckptfmt.arrays.encode import to_proto
from ckptfmt.dtypes import DType
from ckptfmt.graph.attributes import PartialShape
from ckptfmt.graph.meta.device_names import Device
from ckptfmt.proto import messages

ANYWHERE = Device()
"""No device in particular."""

AttributeValue: TypeAlias = "bool | int | bytes | DType | messages.TensorProto | PartialShape | list[Any]"


class NodeBuilder:
    """Appends nodes to a GraphDef, in one scope whose name is free."""

    def __init__(self, graph: messages.GraphDef, scope: str) -> None:
        """Take a GraphDef, and the name of the scope; if that is in use, ``_1``, ``_2`` … is appended."""
        self._nodes = graph.node
        # TensorFlow takes names that differ only in case for the same.
        self._taken = {node.name.lower() for node in graph.node}
        scopes = _scopes(self._taken)
        number, self.scope = 0, scope
        while self.scope.lower() in scopes:
            number += 1
            self.scope = f"{scope}_{number}"
        self._numbers: dict[str, int] = {}
        # Graphs in meta graphs have the shapes of outputs, other graphs do not; new nodes are like the rest.
        self._has_shapes = any("_output_shapes" in node.attr for node in graph.node)
        self._controlling: dict[str, messages.NodeDef] = {}

    def unique(self, name: str) -> str:
        """Return a free name for a node or a scope within the scope of this builder, and reserve it."""
        base = f"{self.scope}/{name}"
        key, full = base.lower(), base
        number = self._numbers.get(key, 0)
        while full.lower() in self._taken:
            number += 1
            full = f"{base}_{number}"
        self._numbers[key] = number
        self._taken.add(full.lower())
        return full

    def add(
        self,
        op: str,
        name: str,
        inputs: Iterable[str] = (),
        *,
        after: Iterable[str] = (),
        device: Device = ANYWHERE,
        shapes: Sequence[PartialShape] = (),
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> str:
        """Append a node with a name that :meth:`unique` returned, and return the name.

        ``after`` are nodes of this builder that run before it, and ``shapes`` those of its outputs.
        """
        node = self._nodes.add(name=name, op=op, device=str(device))
        node.input.extend(inputs)
        # TensorFlow sorts control inputs.
        for target in sorted(after):
            node.input.append(f"^{target}")
            self._controlling[target].attr["_has_manual_control_dependencies"].b = True
        for key, value in (attributes or {}).items():
            set_attribute(node.attr[key], value)
        if self._has_shapes and shapes:
            set_attribute(node.attr["_output_shapes"], list(shapes))
        self._controlling[name] = node
        return name

    def constant(self, name: str, values: Any, dtype: DType, device: Device = ANYWHERE) -> str:  # noqa: ANN401
        """Append a constant, and return its name."""
        tensor = to_proto(values, dtype)
        shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
        return self.add(
            "Const", name, device=device, shapes=[shape], attributes={"dtype": dtype, "value": tensor}
        )


def _scopes(names: Iterable[str]) -> set[str]:
    """Return all names, and the scopes that they are in."""
    scopes = set()
    for name in names:
        while name and name not in scopes:
            scopes.add(name)
            name = name.rpartition("/")[0]
    return scopes


def set_attribute(attribute: messages.AttrValue, value: AttributeValue) -> None:
    """Set an attribute: a tuple or None is a shape, a list may have dtypes, bytes or shapes."""
    if isinstance(value, bool):
        attribute.b = value
    elif isinstance(value, int):
        attribute.i = value
    elif isinstance(value, bytes):
        attribute.s = value
    elif isinstance(value, DType):
        attribute.type = value.code
    elif isinstance(value, messages.TensorProto):
        attribute.tensor.CopyFrom(value)
    elif isinstance(value, list):
        attribute.list.SetInParent()
        for item in value:
            if isinstance(item, DType):
                attribute.list.type.append(item.code)
            elif isinstance(item, bytes):
                attribute.list.s.append(item)
            else:
                fill_shape(attribute.list.shape.add(), item)
    else:
        fill_shape(attribute.shape, value)


def fill_shape(message: messages.TensorShapeProto, shape: PartialShape) -> None:
    """Turn an empty TensorShapeProto into a shape."""
    message.SetInParent()
    if shape is None:
        message.unknown_rank = True
        return
    for size in shape:
        message.dim.add(size=-1 if size is None else size)
