"""Arrays of other libraries, viewed as NumPy's: without a copy if they are in this machine's memory."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import BY_NAME

_READABLE_DEVICES = {1, 3, 11}
"""DLPack's kinds of memory that this processor reads: its own, and pinned for CUDA and ROCm."""


def has_dtype(values: object) -> bool:
    """Return whether values have a dtype of their own; Python's numbers, text and lists do not."""
    # NumPy's text is left out: its arrays lose zeros at the end of it.
    if isinstance(values, (str, bytes, list, tuple)):
        return False
    names = ("__array__", "__array_interface__", "__dlpack__")
    return any(hasattr(values, name) for name in names) or _has_buffer(values)


def view_array(values: Any) -> Array:  # noqa: ANN401
    """Return an array of another library as NumPy's, or NumPy's as it is.

    Raises TypeError if that is impossible: it is on a GPU, or NumPy has no such dtype.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise TypeError("got a masked array, whose missing values cannot be stored; pass array.filled(value)")
    if isinstance(values, (np.ndarray, np.generic)):
        return np.asarray(values)
    kind = f"{type(values).__module__}.{type(values).__qualname__}"
    torch = sys.modules.get("torch")  # never imported: whoever has a tensor has imported it
    try:
        if torch is not None and isinstance(values, torch.Tensor):
            return _view_torch(values, torch)
        if hasattr(values, "__array__") or hasattr(values, "__array_interface__") or _has_buffer(values):
            return np.asarray(values)
        _check_device(*values.__dlpack_device__())
        array: Array = np.from_dlpack(values)
        return array
    except MemoryError:
        raise
    except _UnreachableError as error:
        raise TypeError(str(error)) from None
    except Exception as error:  # whatever the library raises
        hint = "; copy it from the GPU first" if hasattr(values, "__cuda_array_interface__") else ""
        raise TypeError(f"got a {kind}, which NumPy cannot view{hint}: {error}") from error


class _UnreachableError(Exception):
    """The values of an array are not one after the other in memory that this processor reads."""


def _check_device(kind: int, number: int) -> None:
    if kind not in _READABLE_DEVICES:
        raise _UnreachableError(
            f"got an array on device {number} of DLPack's kind {kind}, want one in this machine's memory; "
            "copy it from the GPU first"
        )


def _view_torch(tensor: Any, torch: Any) -> Array:  # noqa: ANN401
    """Return a tensor of PyTorch as an array, also if it records gradients or NumPy lacks its dtype."""
    if tensor.device.type != "cpu":
        raise _UnreachableError(
            f"got a tensor on {tensor.device}, want one in this machine's memory; pass tensor.cpu()"
        )
    if tensor.layout is not torch.strided:
        raise _UnreachableError(f"got a {tensor.layout} tensor, want a dense one; pass tensor.to_dense()")
    # A conjugated or negated tensor is a view with a mark, which NumPy does not know.
    tensor = tensor.detach().resolve_conj().resolve_neg()
    name = str(tensor.dtype).removeprefix("torch.")
    if name.startswith(("bfloat16", "float8_", "float4_")) and name in BY_NAME:
        dtype = BY_NAME[name].numpy
        bits = torch.int16 if dtype.itemsize == 2 else torch.uint8
        bytes_of: Array = tensor.view(bits).numpy()
        return bytes_of.view(dtype)
    array: Array = tensor.numpy()
    return array


def _has_buffer(values: object) -> bool:
    try:
        memoryview(values)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True
