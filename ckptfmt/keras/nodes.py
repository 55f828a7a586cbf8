"""The calls of layers in a functional model.

::

    Keras 2    [["dense", 0, 0, {"mask": ["masking", 0, 0]}]]    the first argument, and within it all others
    Keras 3    {"args": [TENSOR], "kwargs": {"mask": TENSOR}}    TENSOR: a __keras_tensor__ with its history

A tensor is named by its layer, the number of the call and that of the output. Keras 2 counts the making of an
inner model as its call 0; Keras 3 does not.

Source: Keras 2 ``engine/node.py: Node.serialize``, Keras 3 ``models/functional.py: serialize_node``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from ckptfmt.errors import CorruptError
from ckptfmt.keras.description import Json
from ckptfmt.text.quoting import shortened

_CONSTANT = "_CONSTANT_VALUE"
"""Instead of the name of a layer: the third item is not the number of an output but a value."""


class Tensor(NamedTuple):
    """An output of a call of a layer."""

    layer: str
    call: int
    output: int

    def to_keras_3(self) -> dict[str, Any]:
        """Return it as Keras 3 has it. What it says of shape and dtype is not read."""
        config = {"shape": [None], "dtype": "float32", "keras_history": list(self)}
        return {"class_name": "__keras_tensor__", "config": config}


Argument: TypeAlias = "Json | Tensor"
"""A value in which each tensor is a :class:`Tensor`."""


class Call(NamedTuple):
    """A call of a layer."""

    first: Argument
    """The first argument."""
    others: dict[str, Any]
    """All other arguments by name."""


def is_tensor(value: object, layers: Mapping[str, Any]) -> TypeGuard[list[Any]]:
    """Return whether a value of JSON is an output of one of these layers."""
    return _is_output(value) and value[0] in layers


def _is_output(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value of JSON names a layer, a call of it, and an output."""
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and type(value[1]) is int
        and type(value[2]) is int
    )


def is_constant(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value of JSON is a constant in the place of a tensor."""
    return isinstance(value, list) and len(value) in (3, 4) and value[0] == _CONSTANT and value[1] == -1


def decode_argument(value: Json, layers: Mapping[str, Any], others: dict[str, Any] | None = None) -> Argument:
    """Return an argument of Keras 2. Names of layers tell tensors from other lists.

    The other arguments, which stand in each tensor of the first one, are added to ``others``.
    """
    if is_tensor(value, layers) or is_constant(value):
        if others is not None and len(value) == 4 and isinstance(value[3], dict):
            others.update(value[3])
        constant: Json = value[2]
        return constant if value[0] == _CONSTANT else Tensor(*value[:3])
    if _is_output(value):
        # Keras 2 itself mixes up the calls of a layer that is in two models, and cannot load the file.
        what = f"a layer is called with an output of layer {shortened(value[0])!r}, which is not in the model"
        raise CorruptError(what)
    if isinstance(value, dict):
        return {key: decode_argument(each, layers, others) for key, each in value.items()}
    return [decode_argument(each, layers, others) for each in value] if isinstance(value, list) else value


def decode_call(node: Json, layers: Mapping[str, Any]) -> Call:
    """Return a call of Keras 2."""
    others: dict[str, Any] = {}
    first = decode_argument(node, layers, others)
    if isinstance(first, list) and len(first) == 1:
        first = first[0]
    return Call(first, {key: decode_argument(value, layers) for key, value in others.items()})


def tensors(value: Argument) -> Iterator[Tensor]:
    """Iterate over the tensors in an argument."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, list):
        for each in value:
            yield from tensors(each)


def to_keras_3(value: Argument, offsets: Mapping[str, int]) -> Json:
    """Return an argument as Keras 3 has it. Calls of a layer count from its offset."""
    if isinstance(value, Tensor):
        return value._replace(call=value.call - offsets.get(value.layer, 0)).to_keras_3()
    if isinstance(value, dict):
        return {key: to_keras_3(each, offsets) for key, each in value.items()}
    return [to_keras_3(each, offsets) for each in value] if isinstance(value, list) else value


def encode_call(args: Sequence[Any], kwargs: Mapping[str, Any], offsets: Mapping[str, int]) -> dict[str, Any]:
    """Return a call as Keras 3 has it."""
    return {
        "args": [to_keras_3(each, offsets) for each in args],
        "kwargs": {key: to_keras_3(each, offsets) for key, each in kwargs.items()},
    }
