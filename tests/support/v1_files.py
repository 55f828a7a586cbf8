"""V1 files that hold whatever a test wants of one tensor, and a good tensor besides."""

from __future__ import annotations

import numpy as np

from ckptfmt.checkpoint.slices import FULL, TensorSlice, encode_slice_key
from tests.support.bundles import encode_extents
from tests.support.table_writer import encode_field, encode_shape, encode_table

WHOLE = encode_extents((0, FULL))
"""The slice that is all of a vector."""

V1_KEY = encode_slice_key(b"t", TensorSlice(((0, FULL),)))
GOOD_V1_KEY = encode_slice_key(b"u", TensorSlice(((0, FULL),)))
TWO_FLOATS = encode_field(5, np.array([1, 2], "<f4").tobytes())


def v1_meta(
    name: bytes = b"t",
    shape: tuple[int, ...] = (2,),
    dtype: int = 1,
    slices: tuple[bytes, ...] = (WHOLE,),
) -> bytes:
    """Return a SavedSliceMeta."""
    out = encode_field(1, name) + encode_field(2, encode_shape(shape)) + encode_field(3, dtype)
    return out + b"".join(encode_field(4, part) for part in slices)


def v1_data(values: bytes, name: bytes = b"t", part: bytes = WHOLE) -> bytes:
    """Return a SavedTensorSlices with the values of a slice."""
    return encode_field(2, encode_field(1, name) + encode_field(2, part) + encode_field(3, values))


def v1_table(
    meta: bytes = b"", data: bytes = b"", *, key: bytes = V1_KEY, version: bytes = b"\x08\x01"
) -> bytes:
    """Return a file of two tensors: "t" has this metadata and these values, and "u" is good."""
    metas = encode_field(1, meta or v1_meta()) + encode_field(1, v1_meta(b"u")) + encode_field(2, version)
    items = [
        (b"", encode_field(1, metas)),
        (key, data or v1_data(TWO_FLOATS)),
        (GOOD_V1_KEY, v1_data(TWO_FLOATS, b"u")),
    ]
    return encode_table(sorted(items))


def v1_slice(name: str, size: int, start: int, values: np.ndarray) -> bytes:
    """Return a file that holds part of a float32 vector of ``size`` elements, from ``start`` on."""
    extent = start, len(values)
    part = encode_extents(extent)
    meta = encode_field(1, v1_meta(name.encode(), (size,), slices=(part,))) + encode_field(2, b"\x08\x01")
    data = v1_data(encode_field(5, values.astype("<f4").tobytes()), name.encode(), part)
    key = encode_slice_key(name.encode(), TensorSlice((extent,)))
    return encode_table([(b"", encode_field(1, meta)), (key, data)])
