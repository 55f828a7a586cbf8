"""Kinds: what a value is, going by what it holds and by the plugin that its tag is of.

A value may say itself of which plugin it is, and as a rule only the first one of a tag does; what says
nothing is of the plugin that the tag's first value names. So a tag may be of several kinds, as one that was
used for scalars and then for histograms: each kind has the values that are of it.
"""

from __future__ import annotations

import math
from enum import IntEnum

from ckptfmt.arrays.tensor_proto import to_array
from ckptfmt.dtypes import DTYPES, as_dtype
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto import messages

FLOAT = as_dtype("float32").code
"""The dtype of scalars, as messages have it."""

KINDS = ("scalars", "histograms", "images", "audio", "text", "tensors")
"""What a tag may be of, and where its values are found."""

HPARAMS = "hparams"
"""The plugin that stores hyperparameters in the metadata of tags; these have no values."""

_PLUGINS = ("scalars", "histograms", "images", "audio", "text", HPARAMS)
_OTHER_PLUGIN = len(_PLUGINS) + 1
_NUMBER_OF_PLUGIN = {"": 0, **{name: number for number, name in enumerate(_PLUGINS, 1)}}

_PLUGIN_SHIFT = 4


class What(IntEnum):
    """What a Summary.Value holds."""

    NOTHING = 0
    SIMPLE = 1
    """A ``simple_value``, as TensorFlow 1 writes scalars."""
    FLOAT = 2
    """A tensor of one float32 of rank 0, as TensorFlow 2 writes them."""
    NUMBER = 3
    """Any other tensor of one number."""
    TENSOR = 4
    """Any other tensor."""
    HISTOGRAM = 5
    IMAGE = 6
    AUDIO = 7
    OLD_HISTOGRAM = 8
    """``obsolete_old_style_histogram``: bytes that nothing reads any more."""


KEPT = frozenset((What.NUMBER, What.TENSOR, What.HISTOGRAM, What.IMAGE, What.AUDIO))
"""What is more than its number: it is read again when it is asked for."""

_WHAT = {
    None: What.NOTHING,
    "simple_value": What.SIMPLE,
    "tensor": What.TENSOR,
    "histo": What.HISTOGRAM,
    "image": What.IMAGE,
    "audio": What.AUDIO,
    "obsolete_old_style_histogram": What.OLD_HISTOGRAM,
}

_KIND_OF_WHAT = {
    What.SIMPLE: "scalars",
    What.HISTOGRAM: "histograms",
    What.IMAGE: "images",
    What.AUDIO: "audio",
}


def code_of(what: What, plugin: str) -> int:
    """Return what a value holds and the plugin that it names itself, as one number below 128."""
    return what + (_NUMBER_OF_PLUGIN.get(plugin, _OTHER_PLUGIN) << _PLUGIN_SHIFT)


def what_of(code: int) -> int:
    """Return what a value of a code holds."""
    return code & (1 << _PLUGIN_SHIFT) - 1


def kind_of_value(code: int, plugin: str) -> str | None:
    """Return the kind of a value of a tag whose first value names a plugin; None where it is of none.

    A value of the plugin ``scalars`` that is not one number is one of the tensors; what belongs to the plugin
    ``hparams`` is of the kind of that name.
    """
    what = What(what_of(code))
    if what in _KIND_OF_WHAT:
        return _KIND_OF_WHAT[what]
    number = code >> _PLUGIN_SHIFT or _NUMBER_OF_PLUGIN.get(plugin, _OTHER_PLUGIN)
    kind = _PLUGINS[number - 1] if 0 < number < _OTHER_PLUGIN else "tensors"
    if kind == HPARAMS:
        return HPARAMS
    if what in (What.NOTHING, What.OLD_HISTOGRAM):
        return None
    return "tensors" if kind == "scalars" and what is What.TENSOR else kind


def number_in(value: messages.Summary.Value) -> tuple[What, float]:
    """Return what a value holds, and its number where it is one; else 0."""
    what = _WHAT[value.WhichOneof("value")]
    if what is What.SIMPLE:
        return what, value.simple_value
    if what is not What.TENSOR:
        return what, 0.0
    tensor = value.tensor
    shape = tensor.tensor_shape
    if shape.dim and math.prod(dim.size for dim in shape.dim) != 1:
        return what, 0.0
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None or dtype.numpy.hasobject or dtype.name.startswith("complex"):
        return what, 0.0
    try:
        array = to_array(tensor)
    except CkptfmtError:
        return what, 0.0
    if array.size != 1:
        return what, 0.0
    is_float = tensor.dtype == FLOAT and not array.shape and not shape.unknown_rank
    return (What.FLOAT if is_float else What.NUMBER), float(array.reshape(-1)[0])
