"""The kind of a value: what it holds, and the TensorBoard plugin that its tag belongs to.

A value may name its plugin itself, but usually only the first value of a tag does; the others belong to the
same plugin. A tag that was used for scalars and later for histograms is of both kinds, and each kind has its
own values.
"""

from __future__ import annotations

import math
from enum import IntEnum

from ckptfmt.arrays.decode import to_array
from ckptfmt.dtypes import DTYPES, as_dtype
from ckptfmt.errors import CkptfmtError
from ckptfmt.proto import messages

FLOAT = as_dtype("float32").code
"""The dtype of scalars, as messages store it."""

KINDS = ("scalars", "histograms", "images", "audio", "text", "tensors")
"""The kinds of tags; each is the name of a property of an event log."""

HPARAMS = "hparams"
"""The plugin that stores hyperparameters in the metadata of tags, which have no values."""

_PLUGINS = ("scalars", "histograms", "images", "audio", "text", HPARAMS)
_OTHER_PLUGIN = len(_PLUGINS) + 1
_NUMBER_OF_PLUGIN = {"": 0, **{name: number for number, name in enumerate(_PLUGINS, 1)}}

_PLUGIN_SHIFT = 4
"""Bits of the content in a code; the plugin takes the bits above them."""


class Content(IntEnum):
    """What a ``Summary.Value`` holds."""

    NOTHING = 0
    SIMPLE = 1
    """A ``simple_value``, as TensorFlow 1 writes scalars."""
    FLOAT = 2
    """A tensor of one float32 and rank 0, as TensorFlow 2 writes scalars."""
    NUMBER = 3
    """Any other tensor of one number."""
    TENSOR = 4
    """Any other tensor."""
    HISTOGRAM = 5
    IMAGE = 6
    AUDIO = 7
    OLD_HISTOGRAM = 8
    """``obsolete_old_style_histogram``: bytes that no program reads any more."""


def tag_of(value: messages.Summary.Value) -> str:
    """Return the tag of a value; the tensor summaries of TensorFlow 0.12 to 1.2 have a node's name instead.

    Source: TensorBoard ``backend/event_processing/event_accumulator.py``, ``_ProcessEvent``.
    """
    return value.tag or (value.node_name if value.HasField("tensor") else "")


KEPT = frozenset((Content.NUMBER, Content.TENSOR, Content.HISTOGRAM, Content.IMAGE, Content.AUDIO))
"""Content that a column of numbers cannot replace: the value is read again when it is needed."""

_CONTENT = {
    None: Content.NOTHING,
    "simple_value": Content.SIMPLE,
    "tensor": Content.TENSOR,
    "histo": Content.HISTOGRAM,
    "image": Content.IMAGE,
    "audio": Content.AUDIO,
    "obsolete_old_style_histogram": Content.OLD_HISTOGRAM,
}

_KIND_OF_CONTENT = {
    Content.SIMPLE: "scalars",
    Content.HISTOGRAM: "histograms",
    Content.IMAGE: "images",
    Content.AUDIO: "audio",
}


def code_of(content: Content, plugin: str) -> int:
    """Return a value's content and the plugin that it names itself as one number below 128.

    A column of codes takes one byte a value, and the codes of a tag tell its kinds without its values.
    """
    return content + (_NUMBER_OF_PLUGIN.get(plugin, _OTHER_PLUGIN) << _PLUGIN_SHIFT)


def content_of(code: int) -> Content:
    """Return the content in a code."""
    return Content(code & (1 << _PLUGIN_SHIFT) - 1)


def kind_of_value(code: int, plugin: str) -> str | None:
    """Return the kind of a value, given its code and the plugin of its tag; None if it has no kind.

    Content with a message of its own decides first, then the plugin that the value names, then the tag's.
    A tensor of the plugin ``scalars`` that is not one number is of kind ``tensors``. Values of the plugin
    ``hparams`` are of kind ``hparams``, which is not one of :data:`KINDS`.
    """
    content = content_of(code)
    if content in _KIND_OF_CONTENT:
        return _KIND_OF_CONTENT[content]
    # A code of plugin 0 comes from a value that names none.
    number = code >> _PLUGIN_SHIFT or _NUMBER_OF_PLUGIN.get(plugin, _OTHER_PLUGIN)
    kind = _PLUGINS[number - 1] if 0 < number < _OTHER_PLUGIN else "tensors"
    if kind == HPARAMS:
        return HPARAMS
    if content in (Content.NOTHING, Content.OLD_HISTOGRAM):
        # No value to return, whatever the plugin.
        return None
    return "tensors" if kind == "scalars" and content is Content.TENSOR else kind


def noun_of(kind: str) -> str:
    """Return what errors call a tag of a kind: ``scalar tag``."""
    return f"{kind.removesuffix('s')} tag"


def content_and_number(value: messages.Summary.Value) -> tuple[Content, float]:
    """Return what a value holds, and its number; 0 if it is not a single number."""
    content = _CONTENT[value.WhichOneof("value")]
    if content is Content.SIMPLE:
        return content, value.simple_value
    if content is not Content.TENSOR:
        return content, 0.0
    tensor = value.tensor
    shape = tensor.tensor_shape
    # The shape comes first: decoding a large tensor only to count its elements would cost its size.
    if shape.dim and math.prod(dim.size for dim in shape.dim) != 1:
        return content, 0.0
    # Strings and complex numbers do not fit into a column of floats.
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None or dtype.numpy.hasobject or dtype.name.startswith("complex"):
        return content, 0.0
    try:
        array = to_array(tensor)
    except CkptfmtError:
        # The tag still lists the value, which raises this error when it is read.
        return content, 0.0
    if array.size != 1:
        return content, 0.0
    # Only what can be made again from the number is not kept: see Content.FLOAT in EventStore.read_value().
    is_float = tensor.dtype == FLOAT and not array.shape and not shape.unknown_rank
    return (Content.FLOAT if is_float else Content.NUMBER), float(array.reshape(-1)[0])


def scalar_of(value: messages.Summary.Value, plugin: str) -> float | None:
    """Return the number of a value of kind ``scalars``, given the plugin of its tag; None for other kinds."""
    content, number = content_and_number(value)
    code = code_of(content, value.metadata.plugin_data.plugin_name)
    return number if kind_of_value(code, plugin) == "scalars" else None
