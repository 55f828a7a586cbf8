"""Tensors handed over in memory, as those of PyTorch and JAX.

PyTorch has no read-only tensors. So an array that views a mapped file is viewed in a second, private mapping,
of which the system copies the pages that are written to. JAX's arrays are read-only, so they view the file
itself, if the array is aligned as JAX wants it. Everything else is copied into an array of its own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np

from ckptfmt.arrays.array import Array
from ckptfmt.dtypes import DType, Storage
from ckptfmt.errors import ConversionError, MissingDependencyError
from ckptfmt.object_graph.keys import OBJECT_GRAPH_KEY
from ckptfmt.storage.private_memory import PrivateMemory, mapping_of
from ckptfmt.tensors.mapping import TensorMapping

_JAX_ALIGNMENT = 64
"""JAX copies arrays on the CPU that do not begin at a multiple of this."""


def to_torch(
    tensors: TensorMapping,
    device: Any,  # noqa: ANN401  (what the library takes)
    names: Iterable[str] | None,
    *,
    copy: bool,
) -> dict[str, Any]:
    """Return tensors of PyTorch by name; see :meth:`Tensors.to_torch`."""
    torch = _library("torch")

    def has(dtype: DType) -> bool:
        return dtype.storage is Storage.FIXED and isinstance(
            getattr(torch, dtype.numpy.name, None), torch.dtype
        )

    wanted = _wanted(tensors, names, "PyTorch", has)
    private = PrivateMemory()
    arrays = tensors.read(wanted, copy=copy)
    result = {}
    for name in wanted:
        array = arrays.pop(name)
        if not copy:
            array = _changeable(array, private)
        tensor = _as_torch(array, torch)
        result[name] = tensor if device is None else tensor.to(device)
    return result


def to_jax(
    tensors: TensorMapping,
    device: Any,  # noqa: ANN401  (what the library takes)
    names: Iterable[str] | None,
    *,
    copy: bool,
) -> dict[str, Any]:
    """Return arrays of JAX by name; see :meth:`Tensors.to_jax`."""
    jax = _library("jax")
    if isinstance(device, str):
        device = _jax_device(jax, device)

    def has(dtype: DType) -> bool:
        name = dtype.numpy.name
        is_number = dtype.storage in (Storage.FIXED, Storage.LOW_BITS)
        return is_number and (name == "bool" or hasattr(jax.numpy, name))

    wanted = _wanted(tensors, names, "JAX", has)
    arrays = tensors.read(wanted)
    result = {}
    for name in wanted:
        array = arrays.pop(name)
        # Memory other than a file's may belong to an array that the caller will change.
        if copy or not _is_aligned(array) or mapping_of(array) is None:
            array = _aligned_copy(array)
        # Without this, JAX would silently make 32 bits of 64.
        is_wide = array.dtype.name in ("int64", "uint64", "float64", "complex128")
        with _with_64_bits(jax) if is_wide else nullcontext():
            result[name] = jax.device_put(array, device)
    return result


def _library(name: str) -> Any:  # noqa: ANN401
    """Return a library, imported when it is needed: it takes seconds."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(name, name) from error


def _wanted(
    tensors: TensorMapping, names: Iterable[str] | None, library: str, has: Callable[[DType], bool]
) -> list[str]:
    """Return the names to hand over; ConversionError if the library lacks the dtype of any."""
    if isinstance(names, str):
        raise TypeError(f"names: got the string {names!r}, want several names")
    wanted = (
        [name for name in tensors if name != OBJECT_GRAPH_KEY]
        if names is None
        else list(dict.fromkeys(names))
    )
    absent = tensors._absent(wanted)
    if absent:
        raise tensors._not_found(absent)
    entries = tensors.entries
    problems = {name: f"no dtype {dtype.name}" for name in wanted if not has(dtype := entries[name].dtype)}
    if problems:
        raise ConversionError(library, problems, file=tensors.prefix, advice="pass names= without them")
    return wanted


def _changeable(array: Array, private: PrivateMemory) -> Array:
    """Return an array that PyTorch can write to: in private memory if possible, else a copy."""
    # PyTorch relies on aligned elements, and has no negative strides.
    if array.flags.aligned and min(array.strides, default=0) >= 0:
        view = private.view(array)
        if view is not None:
            return view
    return np.array(array, order="C")


def _as_torch(array: Array, torch: Any) -> Any:  # noqa: ANN401
    """Return an array as a tensor that shares its memory, also if its dtype is not NumPy's own."""
    if array.dtype.kind in "biufc" and array.dtype.isbuiltin == 1:
        return torch.from_numpy(array)
    bits = np.int16 if array.dtype.itemsize == 2 else np.uint8
    return torch.from_numpy(array.view(bits)).view(getattr(torch, array.dtype.name))


def _is_aligned(array: Array) -> bool:
    return array.flags.c_contiguous and array.__array_interface__["data"][0] % _JAX_ALIGNMENT == 0


def _aligned_copy(array: Array) -> Array:
    memory = np.empty(array.nbytes + _JAX_ALIGNMENT, np.uint8)
    start = -memory.__array_interface__["data"][0] % _JAX_ALIGNMENT
    copied: Array = np.ndarray(array.shape, array.dtype, memory, start)
    np.copyto(copied, array)
    return copied


def _jax_device(jax: Any, platform: str) -> Any:  # noqa: ANN401
    """Return the first device of a platform, which ``jax.device_put`` does not take by name."""
    try:
        return jax.devices(platform)[0]
    except RuntimeError as error:
        raise ValueError(f"device: got {platform!r}, want a platform that JAX has here: {error}") from error


def _with_64_bits(jax: Any) -> Any:  # noqa: ANN401
    """Return a context in which JAX keeps 64-bit dtypes."""
    # It was in another module before version 0.8.
    enable = (
        jax.enable_x64
        if hasattr(jax, "enable_x64")
        else importlib.import_module("jax.experimental").enable_x64
    )
    return enable(True)
