"""Calls of TensorFlow's functions in functional models, as operations of Keras 3.

::

    Keras 2    TFOpLambda, SlicingOpLambda    {"function": "math.multiply"}
    Keras 3    keras.src.ops.numpy.Multiply

An operation gets some arguments when it is made and others when it is called; the function gets all of them
when it is called.

Source: Keras 2 ``layers/core/tf_op_layer.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from ckptfmt.keras.graph_operations import CLASS, function_call
from ckptfmt.keras.nodes import Argument, Call, Tensor, tensors
from ckptfmt.keras.operation_table import Operation, operation
from ckptfmt.keras.translation import Work
from ckptfmt.text.quoting import shortened

_CLASSES = ("TFOpLambda", "SlicingOpLambda", CLASS)

_MASKS = ("ellipsis", "new_axis", "shrink_axis", "begin", "end")
"""Arguments of tf.strided_slice with a bit for each index."""

_WITHOUT_TENSORS = ("einsum", "linalg.einsum")
"""Functions that take tensors after another argument; Keras 2 saves only the first of these tensors."""

_DTYPES = {bool: "bool", int: "int32", float: "float32"}


class MadeOperation(NamedTuple):
    """An operation, and how it is called."""

    layer: dict[str, Any]
    """What it is in Keras 3."""
    args: list[Argument]


class _UnfitError(Exception):
    """An operation does not fit this call, for the reason that the message gives."""


def calls_function(description: Mapping[str, Any]) -> bool:
    """Return whether a layer is a call of a function of TensorFlow."""
    return description["class_name"] in _CLASSES


def translate_operation(
    description: Mapping[str, Any], name: str, call: Call, path: str, taken: Collection[str], work: Work
) -> list[MadeOperation]:
    """Return the operations for a function and its call; the last has its name. None if it is refused."""
    function, call = _function(description, call)
    try:
        if function == "__operators__.getitem":
            return [_get_item(name, call)]
        if function == "slice":
            return [_slice(name, call)]
        if function == "strided_slice":
            return [_strided_slice(name, call)]
        if function == "keras.backend.batch_flatten":
            return [MadeOperation(_described("keras.layers", "Flatten", name, {}), [call.first])]
        found = operation(function)
        if found is None:
            lacks = function in _WITHOUT_TENSORS and "lacks its tensors in this configuration"
            raise _UnfitError(lacks or "has no counterpart in Keras 3")
        made = _made(found, function, name, call)
        return _chained(made, found.then, name, taken)
    except _UnfitError as reason:
        work.refuse(path, description["class_name"], f"calls tf.{shortened(function, 80)}, which {reason}")
        return []


def _function(description: Mapping[str, Any], call: Call) -> tuple[str, Call]:
    """Return the function that a layer calls, and the call."""
    if description["class_name"] == CLASS:
        return function_call(description["config"], call)
    function = description["config"].get("function")
    return function if isinstance(function, str) else "?", call


def unused_operation(name: str) -> dict[str, Any]:
    """Return an operation that is never called, for a function that is needed no more.

    It may have computed the shape for another function, for example.
    """
    return {**_operation("numpy.Copy", name, {}), "inbound_nodes": []}


def _described(module: str, class_name: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, **config},
        "registered_name": class_name if module.startswith("keras.src") else None,
        "name": name,
    }


def _operation(class_name: str, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    module, _, short = class_name.rpartition(".")
    return _described(f"keras.src.ops.{module}", short, name, config)


def _made(found: Operation, function: str, name: str, call: Call) -> MadeOperation:
    first, *others = found.tensors
    given = {
        key: value for key, value in call.others.items() if value is not None and key not in ("name", first)
    }
    if found.class_name == "numpy.Matmul" and (given.get("transpose_a") or given.get("transpose_b")):
        return _transposing_matmul(name, call, given)
    args = [_constant(call.first)]
    for other in others:
        if other not in given:
            raise _UnfitError(f"lacks its argument {other} here")
        args.append(_constant(given.pop(other)))
    config = dict(found.defaults)
    for key, value in given.items():
        if any(tensors(value)):
            raise _UnfitError(f"has a tensor as {key} here, which Keras 3 does not take")
        if key in found.settings:
            config[found.settings[key]] = value
        elif key not in found.fixed or found.fixed[key] != value:
            raise _UnfitError(f"has {key}={shortened(repr(value), 80)} here, which Keras 3 does not have")
    return MadeOperation(_operation(found.class_name, name, _mended(found.class_name, config)), args)


def _mended(class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an operation as Keras 3 writes them."""
    if class_name == "numpy.Split" and isinstance(config.get("indices_or_sections"), list):
        # TensorFlow takes sizes, Keras the places of cuts.
        sizes = _numbers(config["indices_or_sections"], "num_or_size_splits")
        if -1 in sizes:
            raise _UnfitError("has a size of -1 here, which Keras 3 does not take")
        config["indices_or_sections"] = list(accumulate(sizes[:-1]))
    if class_name == "nn.Normalize":
        # The bound of the norm, not that of its square.
        epsilon = config["epsilon"]
        if not isinstance(epsilon, float) or not epsilon >= 0:
            raise _UnfitError(f"has epsilon={shortened(repr(epsilon), 80)} here, which Keras 3 does not have")
        config["epsilon"] = epsilon**0.5
    for key in ("pool_size", "strides"):
        # Those of the batch and of the channels are not left out everywhere.
        if isinstance(config.get(key), list) and len(config[key]) == 4 and config[key][::3] == [1, 1]:
            config[key] = config[key][1:3]
    for key in ("mode", "padding"):
        if isinstance(config.get(key), str):
            config[key] = config[key].lower()
    if class_name == "numpy.Sum" and "axis" not in config:
        config["axis"] = None
    return config


def _transposing_matmul(name: str, call: Call, given: Mapping[str, Any]) -> MadeOperation:
    left = "...ji" if given.get("transpose_a") else "...ij"
    right = "...kj" if given.get("transpose_b") else "...jk"
    others = {key: value for key, value in given.items() if key not in ("b", "transpose_a", "transpose_b")}
    if "b" not in given or any(others.values()):
        raise _UnfitError("has arguments here that Keras 3 does not have")
    layer = _operation("numpy.Einsum", name, {"subscripts": f"{left},{right}->...ik"})
    return MadeOperation(layer, [_constant(call.first), _constant(given["b"])])


def _chained(
    made: MadeOperation, then: tuple[str, ...], name: str, taken: Collection[str]
) -> list[MadeOperation]:
    """Return an operation and those that are applied to its result; the last gets the name."""
    chain = [made]
    for class_name in then:
        before = f"{name}_{len(chain)}"
        while before in taken:
            before += "_"
        previous = chain[-1].layer
        previous["name"] = previous["config"]["name"] = before
        axis = {"axis": 0} if class_name == "numpy.Sum" else {}
        chain.append(MadeOperation(_operation(class_name, name, axis), [Tensor(before, 0, 0)]))
    return chain


def simplified(description: Mapping[str, Any], call: Call) -> Call:
    """Return a call that needs no more tensors than it must.

    ``tf.reshape(x, [tf.shape(x)[0], 24])`` is ``tf.reshape(x, [-1, 24])``: one size that is no number follows
    from the others.
    """
    shape = call.others.get("shape")
    is_reshape = calls_function(description) and description["config"].get("function") == "reshape"
    if not is_reshape or not isinstance(shape, list) or -1 in shape:
        return call
    sizes = [-1 if isinstance(each, Tensor) else each for each in shape]
    return call._replace(others={**call.others, "shape": sizes}) if sizes.count(-1) == 1 else call


def _get_item(name: str, call: Call) -> MadeOperation:
    spec = call.others.get("slice_spec")
    items = spec if isinstance(spec, list) else [spec]
    return MadeOperation(
        _operation("numpy.GetItem", name, {}), [call.first, [_index(each) for each in items]]
    )


def _slice(name: str, call: Call) -> MadeOperation:
    begin, size = (_numbers(call.others.get(key), key) for key in ("begin", "size"))
    if len(begin) != len(size):
        raise _UnfitError(f"has {len(begin)} numbers as begin and {len(size)} as size here")
    spec = [
        {"start": first, "stop": None if count == -1 else first + count, "step": None}
        for first, count in zip(begin, size, strict=True)
    ]
    return _get_item(name, Call(call.first, {"slice_spec": spec}))


def _strided_slice(name: str, call: Call) -> MadeOperation:
    begin, end = (_numbers(call.others.get(key), key) for key in ("begin", "end"))
    steps = call.others.get("strides")
    strides = [1] * len(begin) if steps is None else _numbers(steps, "strides")
    ellipsis, new_axis, single, from_start, to_end = _numbers(
        [call.others.get(f"{each}_mask") or 0 for each in _MASKS], "masks"
    )
    spec: list[Argument] = []
    for at, (start, stop, step) in enumerate(zip(begin, end, strides, strict=False)):
        if ellipsis >> at & 1:
            spec.append({"class_name": "__ellipsis__"})
        elif new_axis >> at & 1:
            spec.append(None)
        elif single >> at & 1:
            spec.append(start)
        else:
            first, last = None if from_start >> at & 1 else start, None if to_end >> at & 1 else stop
            spec.append({"start": first, "stop": last, "step": step})
    return _get_item(name, Call(call.first, {"slice_spec": spec}))


def _numbers(value: Argument, key: str) -> list[int]:
    if not isinstance(value, list) or not all(type(each) is int for each in value):
        raise _UnfitError(f"has no numbers as {key} here")
    return value


def _index(item: Argument) -> Argument:
    """Return an index as Keras 3 writes it: a number, None for a new axis, a slice, or an ellipsis."""
    if isinstance(item, dict):
        if item.get("class_name") == "__ellipsis__":
            return {"class_name": "__ellipsis__", "config": {}}
        if {"start", "stop", "step"} == item.keys() and not any(tensors(item)):
            return {"class_name": "__slice__", "config": dict(item)}
    if item is None or (isinstance(item, int) and not isinstance(item, bool)):
        return item
    raise _UnfitError("has an index here that is a tensor or an array")


def _constant(value: Argument) -> Argument:
    """Return an argument in which each list of numbers is an array."""
    if not isinstance(value, list):
        return value
    if any(tensors(value)):
        return [_constant(each) for each in value]
    inner: Any = value
    while isinstance(inner, list) and inner:
        inner = inner[0]
    dtype = _DTYPES.get(type(inner))
    if dtype is None:
        raise _UnfitError("has a constant here that is no array of numbers")
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": dtype}}
