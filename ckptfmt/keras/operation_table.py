"""Functions of TensorFlow that functional models call, and the operations of Keras 3 that compute the same.

A row says which class of ``keras.src.ops`` an operation has, which arguments of the function are its tensors,
in order, and which are its settings, as ``NAME`` or ``NAME>NAME_IN_KERAS_3``. Any other argument must be None
or have the value that is given here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Operation:
    """An operation of Keras 3."""

    class_name: str
    """Module and class: ``numpy.Add``."""
    tensors: tuple[str, ...] = ("x",)
    """The arguments of the function that are tensors. The first is the first argument, whatever its name."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Arguments of the function and their names in Keras 3."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the operation unless the function has others."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the function that may have this value only."""
    then: tuple[str, ...] = ()
    """Operations without arguments that are applied to the result."""


def _op(class_name: str, tensors: str = "x", settings: str = "", **others: Any) -> Operation:  # noqa: ANN401
    pairs = (each.partition(">") for each in settings.split())
    names = {old: new or old for old, _, new in pairs}
    return Operation(class_name, tuple(tensors.split()), names, **others)


def _rows(
    names: str, class_format: str, tensors: str = "x", settings: str = ""
) -> Iterator[tuple[str, Operation]]:
    """Iterate over rows for functions of the same arguments: ``FUNCTION`` or ``FUNCTION>CLASS``."""
    for each in names.split():
        function, _, class_name = each.partition(">")
        name = class_name or "".join(part.capitalize() for part in function.split("."))[len("Math") :]
        yield function, _op(class_format.format(name), tensors, settings)


_AXES = "axis keepdims keep_dims>keepdims"

_BINARY = (
    "math.add __operators__.add>Add math.subtract math.multiply math.divide math.truediv>TrueDivide "
    "math.divide_no_nan>DivideNoNan math.floordiv>FloorDivide floor_div>FloorDivide "
    "math.floormod>Mod math.mod "
    "math.pow>Power math.maximum math.minimum math.greater math.greater_equal>GreaterEqual "
    "math.less math.less_equal>LessEqual math.equal math.not_equal>NotEqual "
    "__operators__.eq>Equal __operators__.ne>NotEqual "
    "math.logical_and>LogicalAnd math.logical_or>LogicalOr math.logical_xor>LogicalXor math.atan2>Arctan2 "
    "div>TrueDivide"
)
_UNARY = (
    "math.negative math.abs>Absolute math.exp math.expm1 math.log math.log1p math.sqrt math.square math.sign "
    "math.floor math.ceil math.round math.sin math.cos math.tan math.sinh math.cosh math.tanh "
    "math.asin>Arcsin math.acos>Arccos math.atan>Arctan math.asinh>Arcsinh math.acosh>Arccosh "
    "math.atanh>Arctanh math.logical_not>LogicalNot math.is_nan>Isnan math.is_finite>Isfinite "
    "math.is_inf>Isinf math.reciprocal identity>Copy"
)
_REDUCTIONS = (
    "math.reduce_mean>Mean math.reduce_sum>Sum math.reduce_max>Max math.reduce_min>Min math.reduce_prod>Prod "
    "math.reduce_any>Any math.reduce_all>All math.reduce_std>Std math.reduce_variance>Var"
)

_NHWC = {"data_format": "NHWC"}

_TABLE: dict[str, Operation] = {
    **dict(_rows(_BINARY, "numpy.{}", "x y")),
    **dict(_rows(_UNARY, "numpy.{}")),
    **dict(_rows(_REDUCTIONS, "numpy.{}", "input_tensor", _AXES)),
    "math.reduce_logsumexp": _op("math.Logsumexp", "input_tensor", _AXES),
    "math.rsqrt": _op("math.Rsqrt"),
    "math.erf": _op("math.Erf"),
    "math.squared_difference": _op("numpy.Subtract", "x y", then=("numpy.Square",)),
    "math.argmax": _op("numpy.Argmax", "input", "axis", defaults={"axis": 0}, fixed={"output_type": "int64"}),
    "math.argmin": _op("numpy.Argmin", "input", "axis", defaults={"axis": 0}, fixed={"output_type": "int64"}),
    "math.top_k": _op("math.TopK", "input", "k sorted", defaults={"k": 1}),
    "math.cumsum": _op(
        "numpy.Cumsum", "x", "axis", defaults={"axis": 0}, fixed={"exclusive": False, "reverse": False}
    ),
    "math.add_n": _op("numpy.Stack", "inputs", defaults={"axis": 0}, then=("numpy.Sum",)),
    # activations
    **dict(_rows("math.sigmoid math.softplus", "nn.{}")),
    **dict(
        _rows("nn.relu>Relu nn.relu6>Relu6 nn.selu>Selu nn.softsign>Softsign nn.elu>Elu", "nn.{}", "features")
    ),
    "nn.silu": _op("nn.Silu", "features", fixed={"beta": 1.0}),
    "nn.leaky_relu": _op("nn.LeakyRelu", "features", "alpha>negative_slope"),
    "nn.gelu": _op("nn.Gelu", "features", "approximate", defaults={"approximate": False}),
    "nn.softmax": _op("nn.Softmax", "logits", "axis dim>axis"),
    "nn.log_softmax": _op("nn.LogSoftmax", "logits", "axis dim>axis"),
    "nn.bias_add": _op("numpy.Add", "value bias", fixed=_NHWC),
    "nn.space_to_depth": _op("nn.SpaceToDepth", "input", "block_size", fixed=_NHWC),
    "nn.depth_to_space": _op("nn.DepthToSpace", "input", "block_size", fixed=_NHWC),
    # shapes
    "reshape": _op("numpy.Reshape", "tensor", "shape>newshape"),
    "transpose": _op("numpy.Transpose", "a", "perm>axes", fixed={"conjugate": False}),
    "expand_dims": _op("numpy.ExpandDims", "input", "axis dim>axis"),
    "squeeze": _op("numpy.Squeeze", "input", "axis squeeze_dims>axis"),
    "concat": _op("numpy.Concatenate", "values", "axis"),
    "stack": _op("numpy.Stack", "values", "axis"),
    "unstack": _op("core.Unstack", "value", "num axis"),
    "split": _op("numpy.Split", "value", "num_or_size_splits>indices_or_sections axis"),
    "tile": _op("numpy.Tile", "input", "multiples>repeats"),
    "repeat": _op("numpy.Repeat", "input", "repeats axis"),
    "broadcast_to": _op("numpy.BroadcastTo", "input", "shape"),
    "reverse": _op("numpy.Flip", "tensor", "axis"),
    "roll": _op("numpy.Roll", "input", "shift axis"),
    "sort": _op("numpy.Sort", "values", "axis", fixed={"direction": "ASCENDING"}),
    "argsort": _op("numpy.Argsort", "values", "axis", fixed={"direction": "ASCENDING", "stable": False}),
    "pad": _op("numpy.Pad", "tensor", "paddings>pad_width mode", fixed={"constant_values": 0}),
    "gather": _op("numpy.Take", "params indices", "axis", defaults={"axis": 0}, fixed={"batch_dims": 0}),
    "where": _op("numpy.Where", "condition x y"),
    "linalg.diag_part": _op("numpy.Diagonal", "input", defaults={"axis1": -2, "axis2": -1}, fixed={"k": 0}),
    # values
    "cast": _op("core.Cast", "x", "dtype"),
    "stop_gradient": _op("core.StopGradient", "input"),
    "clip_by_value": _op("numpy.Clip", "t", "clip_value_min>x_min clip_value_max>x_max"),
    "zeros_like": _op("numpy.ZerosLike", "input", "dtype"),
    "ones_like": _op("numpy.OnesLike", "input", "dtype"),
    "one_hot": _op(
        "nn.OneHot", "indices", "depth>num_classes axis dtype", fixed={"on_value": 1, "off_value": 0}
    ),
    "tensordot": _op("numpy.Tensordot", "a b", "axes"),
    "linalg.matmul": _op("numpy.Matmul", "a b", fixed={"transpose_a": False, "transpose_b": False}),
    "math.l2_normalize": _op("nn.Normalize", "x", "axis epsilon", defaults={"epsilon": 1e-12}),
    "norm": _op("linalg.Norm", "tensor", "axis keepdims", fixed={"ord": "euclidean"}),
    "nn.max_pool2d": _op("nn.MaxPool", "input", "ksize>pool_size strides padding", fixed=_NHWC),
    "nn.avg_pool2d": _op("nn.AveragePool", "input", "ksize>pool_size strides padding", fixed=_NHWC),
    "image.resize": _op(
        *("image.Resize", "images", "size method>interpolation antialias"),
        fixed={"preserve_aspect_ratio": False, "half_pixel_centers": True, "align_corners": False},
    ),
    "image.rgb_to_grayscale": _op("image.RGBToGrayscale", "images"),
    "image.flip_left_right": _op("numpy.Flip", "image", defaults={"axis": -2}),
    "image.flip_up_down": _op("numpy.Flip", "image", defaults={"axis": -3}),
}

_OTHER_NAMES = {
    "math.l2_normalize": ("nn.l2_normalize", "linalg.l2_normalize"),
    "math.sigmoid": ("nn.sigmoid", "sigmoid"),
    "math.tanh": ("nn.tanh", "tanh"),
    "math.softplus": ("nn.softplus",),
    "math.top_k": ("nn.top_k",),
    "nn.silu": ("nn.swish",),
    "linalg.matmul": ("matmul",),
    "norm": ("linalg.norm",),
    "clip_by_value": ("compat.v1.clip_by_value",),
    "nn.max_pool2d": ("nn.max_pool",),
    "nn.avg_pool2d": ("nn.avg_pool",),
    "linalg.diag_part": ("linalg.tensor_diag_part",),
}
"""Names by which TensorFlow knows a function besides that of the table."""

_ALIASES = {other: name for name, others in _OTHER_NAMES.items() for other in others}


def operation(function: str) -> Operation | None:
    """Return the operation of Keras 3 for a function, by its name below ``tf``; None if it has none."""
    for name in (function, function.removeprefix("compat.v1.")):
        found = _TABLE.get(_ALIASES.get(name, name)) or _TABLE.get(f"math.{name}")
        if found is not None:
            return found
    return None
