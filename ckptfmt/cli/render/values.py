"""Values of a tensor, as text and as JSON."""

from __future__ import annotations

import base64
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from ckptfmt import ResourceHandle, Variant
from ckptfmt.cli.render.text import escape, shape_text

_OBJECTS = {bytes: "string", Variant: "variant", ResourceHandle: "resource"}
_NONFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


@dataclass(frozen=True, slots=True)
class PrintOptions:
    """How values are printed: as in :func:`numpy.set_printoptions`, besides ``characters``."""

    precision: int = 8
    threshold: int | None = 1000
    """Arrays of more elements are summarised; None for no array."""
    edgeitems: int = 3
    linewidth: int = 75
    characters: int | None = 200
    """Characters of a string that are shown; None for all."""


def builtin(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the array in a dtype of NumPy's own; values of ml_dtypes fit exactly into larger ones."""
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if np.issubdtype(array.dtype, np.number):
        return array
    return array.astype(np.int8 if "int" in array.dtype.name else np.float32)


# --- text --------------------------------------------------------------------------------------------------


def values_text(array: np.ndarray[Any, Any], options: PrintOptions) -> str:
    """Return the values as NumPy prints them, strings quoted and escaped, variants described."""
    threshold = sys.maxsize
    if options.threshold is not None and array.size > options.threshold:
        array = _edges(array, options.edgeitems)
        # So that NumPy summarises what is left, although it is small.
        threshold = 0
    if array.dtype.kind not in "bO":
        array = builtin(array)
    text: str = np.array2string(
        array,
        max_line_width=options.linewidth,
        precision=options.precision,
        threshold=threshold,
        edgeitems=options.edgeitems,
        formatter={"object": lambda value: _element_text(value, options.characters)},
    )
    return text


def _edges(array: np.ndarray[Any, Any], edgeitems: int) -> np.ndarray[Any, Any]:
    """Return the elements that a summary shows, and one more in each dimension that it shortens.

    NumPy then prints the same summary, of an array small enough to convert: the extra element makes it write
    the dots.
    """
    for axis, size in enumerate(array.shape):
        if size > 2 * edgeitems:
            ends = [*range(edgeitems + 1), *range(size - edgeitems, size)]
            array = array.take(ends, axis)
    return array


def _element_text(value: object, characters: int | None) -> str:
    """Return an element that is not a number."""
    if isinstance(value, bytes):
        return quote(value, characters)
    if isinstance(value, Variant):
        tensors = " ".join(f"{_dtype_name(tensor)}{shape_text(tensor.shape)}" for tensor in value.tensors)
        metadata = quote(value.metadata, characters)
        return f"<variant {escape(value.type_name)} metadata={metadata} tensors=({tensors})>"
    return escape(repr(value))


def _dtype_name(array: np.ndarray[Any, Any]) -> str:
    """Return the dtype of a tensor in a variant; for objects, what the first one is."""
    if not array.dtype.hasobject:
        return str(array.dtype)
    first = next(iter(array.flat), b"")
    return next((name for cls, name in _OBJECTS.items() if isinstance(first, cls)), "object")


def quote(value: bytes, characters: int | None = None) -> str:
    """Return bytes as quoted and escaped text, cut after ``characters``."""
    # A character of UTF-8 has at most four bytes.
    head = value if characters is None else value[: 4 * characters + 4]
    text = head.decode("utf-8", "surrogateescape")[:characters]
    quoted = '"' + escape(text).replace('"', '\\"') + '"'
    if len(text.encode("utf-8", "surrogateescape")) < len(value):
        quoted += f"… ({len(value)} bytes)"
    return quoted


# --- JSON --------------------------------------------------------------------------------------------------


def values_json(array: np.ndarray[Any, Any]) -> object:
    """Return the values as nested lists, or one value for a scalar; see ``ckptfmt show --help``."""
    if array.dtype.hasobject:
        return _map(_element_json, array.tolist())
    if array.dtype.kind != "b":
        array = builtin(array)
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], axis=-1)
    values: object = array.tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _map(number_json, values)
    return values


def number_json(value: object) -> object:
    """Return a number for JSON: NaN and infinities as strings, complex numbers as pairs."""
    if isinstance(value, complex):
        return [number_json(value.real), number_json(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return _NONFINITE.get(value, "NaN")
    return value


def _map(function: Any, value: object) -> object:  # noqa: ANN401  (any element to any element)
    if isinstance(value, list):
        return [_map(function, item) for item in value]
    return function(value)


def _element_json(value: object) -> object:
    if isinstance(value, bytes):
        return bytes_json(value)
    if isinstance(value, Variant):
        return {
            "type_name": value.type_name,
            "metadata": bytes_json(value.metadata),
            "tensors": [{"dtype": _dtype_name(tensor), "shape": tensor.shape} for tensor in value.tensors],
        }
    return repr(value)


def bytes_json(value: bytes) -> object:
    """Return bytes for JSON: text if they are UTF-8, else ``{"base64": …}``."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}
