"""Seeded values of every dtype, and checkpoints of them written without TensorFlow."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bundle import BundleWriter
from benchmarks.inputs import SEED, write_equal_tensors
from ckptfmt.dtypes import DTYPES, DType, Storage

SHAPE = (7, 5)
BULK_TENSORS = 16
"""Tensors of the checkpoint that is timed."""
NUMBERS = [dtype for dtype in DTYPES.values() if dtype.storage in (Storage.FIXED, Storage.LOW_BITS)]
"""All numeric dtypes that can be stored."""
STORABLE = [dtype for dtype in DTYPES.values() if dtype.storage is not Storage.NONE]


def random_array(dtype: DType, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    """Return random bits of a dtype, which include NaNs of all kinds and denormal numbers."""
    rng = np.random.default_rng([SEED, zlib.crc32(dtype.name.encode())])
    count = int(np.prod(shape))
    if dtype.storage is Storage.STRING:
        strings: np.ndarray[Any, Any] = np.empty(shape, object)
        for i, size in enumerate(rng.integers(0, 20, count)):
            strings.flat[i] = rng.bytes(size)
        return strings
    if dtype.name == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.storage is Storage.LOW_BITS:
        bits = rng.integers(0, 1 << dtype.bits, count).astype(np.uint8)
        # Sign extension: a signed value has its sign in all upper bits of the byte.
        sign = np.uint8(1 << (dtype.bits - 1)) if dtype.signed else np.uint8(0)
        low: np.ndarray[Any, Any] = (bits ^ sign) - sign
        return low.view(dtype.numpy).reshape(shape)
    assert dtype.itemsize is not None
    return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype.numpy).reshape(shape)


def write_handover(folder: Path, nbytes: int) -> tuple[Path, Path]:
    """Write a checkpoint of all numeric dtypes and one of ``nbytes`` bytes; return their prefixes."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds, bulk = folder / "kinds", folder / "bulk"
    with BundleWriter(kinds) as writer:
        # Without quantised dtypes: only TensorFlow tells them from integers.
        for dtype in sorted(NUMBERS, key=lambda dtype: dtype.name):
            if dtype.name == dtype.numpy_name:
                writer.add(dtype.name, random_array(dtype))
    write_equal_tensors(bulk, BULK_TENSORS, nbytes // (4 * BULK_TENSORS), np.random.default_rng(SEED))
    return kinds, bulk
