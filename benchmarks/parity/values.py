"""Seeded values of every dtype, and checkpoints of them that need no TensorFlow."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bundle import BundleWriter
from benchmarks.inputs import SEED, values
from ckptfmt.dtypes import DTYPES, DType, Storage

SHAPE = (7, 5)
BULK_TENSORS = 16
NUMBERS = [dtype for dtype in DTYPES.values() if dtype.storage in (Storage.FIXED, Storage.LOW_BITS)]
"""All dtypes of numbers that can be stored."""
STORABLE = [dtype for dtype in DTYPES.values() if dtype.storage is not Storage.NONE]


def random_array(dtype: DType, shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    """Return any bits at all, so that NaNs of all kinds and denormal numbers are among them."""
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
        # Signed ones have their sign in all upper bits.
        sign = np.uint8(1 << (dtype.bits - 1)) if dtype.signed else np.uint8(0)
        low: np.ndarray[Any, Any] = (bits ^ sign) - sign
        return low.view(dtype.numpy).reshape(shape)
    assert dtype.itemsize is not None
    return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype.numpy).reshape(shape)


def write_handover(folder: Path, nbytes: int) -> tuple[Path, Path]:
    """Write a checkpoint of all dtypes of numbers, and one of so many bytes; return their prefixes."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds, bulk = folder / "kinds", folder / "bulk"
    with BundleWriter(kinds) as writer:
        # Quantised dtypes are integers to everything but TensorFlow.
        for dtype in sorted(NUMBERS, key=lambda dtype: dtype.name):
            if dtype.name == dtype.numpy_name:
                writer.add(dtype.name, random_array(dtype))
    count = nbytes // (4 * BULK_TENSORS)
    rng = np.random.default_rng(SEED)
    with BundleWriter(bulk) as writer:
        for number in range(BULK_TENSORS):
            writer.add_pieces(f"tensor_{number:02d}", np.dtype("float32"), (count,), values(rng, count))
    return kinds, bulk
