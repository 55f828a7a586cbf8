"""Scalars: values that nodes are known to have, since a placeholder became a constant.

Only what leads from a switch such as ``is_training`` to a condition is computed: tests and logic of scalars.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ckptfmt.arrays.decode import decode_tensor_proto
from ckptfmt.dtypes import find_dtype
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto import messages

MAX_BYTES = 1024
"""Size of the message of a constant that is decoded; a scalar that some test compares is smaller."""


class Scalar(NamedTuple):
    """The value of a tensor without dimensions."""

    value: Any
    """A Python bool, int, float, complex or bytes."""
    is_plain: bool = True
    """Whether nothing else happens where it is computed: a control input would make it wait, a loop has a
    place for it, and an input that is not known may never arrive."""


def scalar_of(tensor: messages.TensorProto) -> Scalar | None:
    """Return the value of a tensor; None if it has dimensions, or cannot be decoded."""
    if tensor.tensor_shape.dim or tensor.tensor_shape.unknown_rank or tensor.ByteSize() > MAX_BYTES:
        return None
    try:
        array = decode_tensor_proto(tensor.SerializeToString())
    except CkptfmtError:
        return None
    value = array.item() if array.ndim == 0 else None
    return Scalar(value) if isinstance(value, (bool, int, float, complex, bytes)) else None


def evaluate(node: messages.NodeDef, inputs: Sequence[Scalar | None]) -> Scalar | None:
    """Return the value of a node; None if it is not known, as may be those of some inputs."""
    known = _EVALUATORS.get(node.op)
    if known is None or len(inputs) != known.inputs:
        return None
    value = known.compute(node, [None if each is None else each.value for each in inputs])
    if value is None:
        return None
    is_plain = node.op != "Enter" and not any(text.startswith("^") for text in node.input)
    return Scalar(value, is_plain and all(each is not None and each.is_plain for each in inputs))


def is_evaluated(op: str) -> bool:
    """Return whether nodes of an op may have a known value."""
    return op in _EVALUATORS


class _Evaluator(NamedTuple):
    inputs: int
    """The number of inputs."""
    compute: Callable[[messages.NodeDef, list[Any]], Any]
    """Returns the value, None if it is not known, of a node with inputs, which may be None too."""


def _first(node: messages.NodeDef, inputs: list[Any]) -> Any:  # noqa: ANN401
    return inputs[0]


def _not(node: messages.NodeDef, inputs: list[Any]) -> bool | None:
    return (not inputs[0]) if isinstance(inputs[0], bool) else None


def _and(node: messages.NodeDef, inputs: list[Any]) -> bool | None:
    # One input may be enough.
    return False if False in inputs else True if inputs == [True, True] else None


def _or(node: messages.NodeDef, inputs: list[Any]) -> bool | None:
    return True if True in inputs else False if inputs == [False, False] else None


def _comparing(compare: Callable[[Any, Any], bool]) -> _Evaluator:
    def compute(node: messages.NodeDef, inputs: list[Any]) -> bool | None:
        first, second = inputs
        if first is None or type(first) is not type(second):
            return None
        try:
            return bool(compare(first, second))
        except TypeError:  # complex numbers have no order
            return None

    return _Evaluator(2, compute)


def _select(node: messages.NodeDef, inputs: list[Any]) -> Any:  # noqa: ANN401
    if not isinstance(inputs[0], bool) or None in inputs[1:]:
        return None
    return inputs[1] if inputs[0] else inputs[2]


def _cast(node: messages.NodeDef, inputs: list[Any]) -> Any:  # noqa: ANN401
    """Return a number as a bool, or a bool as a number: no other cast is needed, and these lose nothing."""
    value, dtype = inputs[0], find_dtype(node.attr["DstT"].type)
    if value is None or isinstance(value, bytes):
        return None
    if dtype.name == "bool":
        return bool(value)
    kind = dtype.numpy.kind if isinstance(value, bool) and dtype.numpy is not None else ""
    return int(value) if kind in ("i", "u") else float(value) if kind == "f" else None


_EVALUATORS: Mapping[str, _Evaluator] = {
    **dict.fromkeys(
        ("Identity", "StopGradient", "PreventGradient", "Snapshot", "Enter", "Squeeze", "EnsureShape"),
        _Evaluator(1, _first),
    ),
    "LogicalNot": _Evaluator(1, _not),
    "LogicalAnd": _Evaluator(2, _and),
    "LogicalOr": _Evaluator(2, _or),
    "Equal": _comparing(operator.eq),
    "NotEqual": _comparing(operator.ne),
    "Less": _comparing(operator.lt),
    "LessEqual": _comparing(operator.le),
    "Greater": _comparing(operator.gt),
    "GreaterEqual": _comparing(operator.ge),
    **dict.fromkeys(("Select", "SelectV2"), _Evaluator(3, _select)),
    "Cast": _Evaluator(1, _cast),
}
