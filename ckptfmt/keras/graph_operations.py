"""Layers of TensorFlow 2.0 to 2.3 that are one operation of a graph, as calls of later versions' functions.

::

    {"class_name": "TensorFlowOpLayer", "config": {
      "node_def": {"op": "Mean", "attr": {"keep_dims": {"b": true}}}, "constants": {"1": -1}}}

The inputs of the operation are constants, by their numbers, and the tensors that the layer is called with.

Source: Keras 2 ``engine/base_layer.py: TensorFlowOpLayer``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from ckptfmt.keras.nodes import Argument, Call

CLASS = "TensorFlowOpLayer"

_ALIKE = {
    "math": (
        *(
            "Maximum",
            "Minimum",
            "Greater",
            "Greater_Equal",
            "Less",
            "Less_Equal",
            "Equal",
            "Not_Equal",
            "Pow",
        ),
        *(
            "Logical_And",
            "Logical_Or",
            "Logical_Not",
            "Squared_Difference",
            "Abs",
            "Exp",
            "Expm1",
            "Log",
            "Log1p",
        ),
        *(
            "Sqrt",
            "Rsqrt",
            "Square",
            "Sign",
            "Floor",
            "Ceil",
            "Round",
            "Sin",
            "Cos",
            "Tan",
            "Tanh",
            "Sigmoid",
        ),
        *("Softplus", "Erf", "Reciprocal", "Sinh", "Cosh", "Asin", "Acos", "Atan"),
    ),
    "nn": ("Relu", "Relu6", "Elu", "Selu", "Softsign", "Softmax", "Log_Softmax"),
    "": ("Identity", "Stop_Gradient", "Zeros_Like", "Ones_Like"),
}
"""Operations that are functions of the same name, with the same inputs."""

_OPS: dict[str, tuple[str, str, str]] = {
    **{
        name.replace("_", ""): (f"{module}.{name.lower()}".lstrip("."), "x y", "")
        for module, names in _ALIKE.items()
        for name in names
    },
    **dict.fromkeys(("Add", "AddV2"), ("math.add", "x y", "")),
    "Sub": ("math.subtract", "x y", ""),
    "Mul": ("math.multiply", "x y", ""),
    "Neg": ("math.negative", "x", ""),
    **dict.fromkeys(("Div", "RealDiv"), ("math.truediv", "x y", "")),
    "DivNoNan": ("math.divide_no_nan", "x y", ""),
    "FloorDiv": ("math.floordiv", "x y", ""),
    "FloorMod": ("math.floormod", "x y", ""),
    **{
        name: (f"math.reduce_{name.lower()}", "input_tensor axis", "keep_dims>keepdims")
        for name in ("Mean", "Sum", "Max", "Min", "Prod", "Any", "All")
    },
    "ArgMax": ("math.argmax", "input axis", ""),
    "ArgMin": ("math.argmin", "input axis", ""),
    "LeakyRelu": ("nn.leaky_relu", "features", "alpha"),
    "BiasAdd": ("nn.bias_add", "value bias", "data_format"),
    "Reshape": ("reshape", "tensor shape", ""),
    "Transpose": ("transpose", "a perm", ""),
    "ExpandDims": ("expand_dims", "input axis", ""),
    "Squeeze": ("squeeze", "input", "squeeze_dims>axis"),
    "ConcatV2": ("concat", "*values axis", ""),
    "Pack": ("stack", "*values", "axis"),
    "AddN": ("math.add_n", "*inputs", ""),
    "Unpack": ("unstack", "value", "num axis"),
    "Split": ("split", "axis value", "num_split>num_or_size_splits"),
    "SplitV": ("split", "value num_or_size_splits axis", ""),
    "Cast": ("cast", "x", "DstT>dtype"),
    "Pad": ("pad", "tensor paddings", ""),
    "PadV2": ("pad", "tensor paddings constant_values", ""),
    "MirrorPad": ("pad", "tensor paddings", "mode"),
    "Tile": ("tile", "input multiples", ""),
    "GatherV2": ("gather", "params indices axis", "batch_dims"),
    **dict.fromkeys(("Select", "SelectV2"), ("where", "condition x y", "")),
    **dict.fromkeys(("MatMul",), ("linalg.matmul", "a b", "transpose_a transpose_b")),
    **dict.fromkeys(
        ("BatchMatMul", "BatchMatMulV2"), ("linalg.matmul", "a b", "adj_x>transpose_a adj_y>transpose_b")
    ),
    "Slice": ("slice", "input begin size", ""),
    "OneHot": ("one_hot", "indices depth on_value off_value", "axis"),
    "MaxPool": ("nn.max_pool2d", "input", "ksize strides padding data_format"),
    "AvgPool": ("nn.avg_pool2d", "input", "ksize strides padding data_format"),
    "ResizeBilinear": ("image.resize", "images size", "half_pixel_centers align_corners"),
    "StridedSlice": (
        *("strided_slice", "input begin end strides"),
        "begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask",
    ),
}
"""For each operation a function, the names of the inputs as its arguments (``*`` takes all but those after
it), and attributes that are arguments."""

_DTYPES = {"DT_HALF": "float16", "DT_FLOAT": "float32", "DT_DOUBLE": "float64"}


def function_call(config: Mapping[str, Any], call: Call) -> tuple[str, Call]:
    """Return the function that computes what an operation does, and its call; ``raw_ops.OP`` if none does."""
    node, constants = config.get("node_def"), config.get("constants")
    node = node if isinstance(node, dict) else {}
    op, attributes = node.get("op"), node.get("attr")
    row = _OPS.get(op) if isinstance(op, str) else None
    if row is None:
        return f"raw_ops.{op}", call
    function, names, kept = row
    inputs = _inputs(call.first, constants if isinstance(constants, dict) else {})
    arguments = _named(inputs, names.split())
    for each in kept.split():
        attribute, _, argument = each.partition(">")
        value = _attribute(attributes.get(attribute) if isinstance(attributes, dict) else None)
        arguments[argument or attribute] = None if value == [] else value
    first = next(name for name in names.split() if name != "axis" or function != "split").lstrip("*")
    return function, Call(arguments.pop(first, None), arguments)


def _inputs(tensors: Argument, constants: Mapping[str, Any]) -> list[Argument]:
    """Return the inputs of an operation in order."""
    given = tensors if isinstance(tensors, list) else [tensors]
    known = {int(key): _number(value) for key, value in constants.items() if key.isdecimal() and len(key) < 9}
    waiting = iter(given)
    return [known[at] if at in known else next(waiting, None) for at in range(len(given) + len(known))]


def _number(value: Argument) -> Argument:
    """Return a constant without the class that marks it as an array."""
    if (
        isinstance(value, dict)
        and value.get("class_name") == "__numpy__"
        and isinstance(value.get("config"), dict)
    ):
        inner: Argument = value["config"].get("value")
        return inner
    return value


def _named(inputs: list[Argument], names: list[str]) -> dict[str, Any]:
    """Return inputs by the names of arguments."""
    if names[0].startswith("*"):
        after = len(names) - 1
        values = inputs[: len(inputs) - after]
        return {names[0][1:]: values, **dict(zip(names[1:], inputs[len(inputs) - after :], strict=False))}
    return dict(zip(names, inputs, strict=False))


def _attribute(value: object) -> Any:  # noqa: ANN401
    """Return an attribute, which the JSON of protobuf has as ``{"i": "-1"}``, for example."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((kind, content),) = value.items()
    if kind == "list" and isinstance(content, dict):
        return [
            _attribute({key: each})
            for key, values in content.items()
            if isinstance(values, list)
            for each in values
        ]
    if kind == "i" and isinstance(content, str | int) and len(str(content)) < 20:
        try:
            return int(content)
        except ValueError:
            return None
    if kind == "s" and isinstance(content, str):
        try:
            return base64.b64decode(content, validate=True).decode()
        except (binascii.Error, ValueError):
            return None
    if kind == "type" and isinstance(content, str):
        return _DTYPES.get(content, content.removeprefix("DT_").lower())
    return content if kind in ("b", "f") else None
